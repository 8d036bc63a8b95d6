"""PostgreSQL: engines for queries (SQLAlchemy Core) and pools for the hot path (asyncpg).

A URL is what libpq takes: `postgresql://user@host/db`, or with a unix socket
`postgresql://user@/db?host=/run/postgresql`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import asyncpg
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.kit.service import Check

LOCK_TIMEOUT_MS = 4_000
STATEMENT_TIMEOUT_MS = 15_000
DatabaseError = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What a query can raise when the database is at fault, or the driver loses its way with it."""
Connection: TypeAlias = "asyncpg.Connection[Any]"
"""One direct connection; see `connection`."""


def _server_settings(name: str) -> dict[str, str]:
    return {
        "application_name": f"release-ledger {name}",
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": str(STATEMENT_TIMEOUT_MS),
        "timezone": "UTC",
        "jit": "off",
    }


def engine(url: str, name: str, size: int = 5) -> AsyncEngine:
    """Return an engine for queries; `name` shows in pg_stat_activity."""
    return create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        pool_size=size,
        max_overflow=size,
        pool_pre_ping=True,
        connect_args={"server_settings": _server_settings(name), "timeout": 10},
    )


async def pool(url: str, name: str, size: int = 4) -> asyncpg.Pool[Any]:
    """Open a pool of asyncpg connections (direct ones: prepared statements, advisory locks)."""
    return await asyncpg.create_pool(
        _plain(url), min_size=1, max_size=size, server_settings=_server_settings(name), timeout=10
    )


async def connection(url: str, name: str, settings: Mapping[str, str] | None = None) -> Connection:
    """Open one direct connection; `settings` are server settings over ours.

    For whoever keeps a connection: nothing is reset between statements, prepared ones stay.
    """
    return await asyncpg.connect(
        _plain(url),
        server_settings=_server_settings(name) | dict(settings or {}),
        timeout=10,
        command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 5,
    )


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def reachable(target: AsyncEngine) -> Check:
    """Return a readiness check: the database answers."""

    async def check() -> str | None:
        async with target.connect() as connection:
            await connection.execute(text("SELECT 1"))
        return None

    return check
