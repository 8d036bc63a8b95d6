"""PostgreSQL: engines for queries (SQLAlchemy Core), direct connections for hot paths (asyncpg).

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


_LIMITS: Mapping[str | None, Mapping[str, str]] = {
    # It holds the ledger's lock while it works: whoever stalls in there stops everybody else.
    "rlg_appender": {
        "idle_in_transaction_session_timeout": "5000",
        "transaction_timeout": str(LOCK_TIMEOUT_MS + STATEMENT_TIMEOUT_MS),
    },
}
"""Limits of a role that differ from everybody's."""


class RoleRefused(PermissionError):
    """The login may not take the role; the message is one sentence for its DBA."""


def _server_settings(name: str, role: str | None) -> dict[str, str]:
    settings = {
        "application_name": f"release-ledger {name}",
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": str(STATEMENT_TIMEOUT_MS),
        "timezone": "UTC",
        "jit": "off",
        # When our machine is gone the server notices within half a minute and frees its locks.
        "tcp_keepalives_idle": "15",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "20000",
        **_LIMITS.get(role, {}),
    }
    return settings if role is None else settings | {"role": role}


Engine: TypeAlias = AsyncEngine
"""For whoever hands one on and asks nothing of it himself."""


def engine(url: str, name: str, size: int = 5, *, role: str | None = None) -> AsyncEngine:
    """Return an engine for queries; `name` shows in pg_stat_activity.

    With a `role` every session has that role's rights from its first statement, however mighty
    the login is. `RoleRefused` when the login is not a member.
    """
    return create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        async_creator=lambda: _connect(url, name, role),
        pool_size=size,
        max_overflow=size,
        pool_pre_ping=True,
    )


async def connection(
    url: str, name: str, settings: Mapping[str, str] | None = None, *, role: str | None = None
) -> Connection:
    """Open one direct connection; `settings` are server settings over ours.

    For whoever keeps a connection: nothing is reset between statements, prepared ones stay.
    """
    return await _connect(
        url, name, role, settings, command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 5
    )


async def _connect(
    url: str,
    name: str,
    role: str | None,
    settings: Mapping[str, str] | None = None,
    **how: Any,
) -> Connection:
    told = _server_settings(name, role) | dict(settings or {})
    try:
        return await asyncpg.connect(_plain(url), **how, server_settings=told, timeout=10)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError) as error:
        if role is None:
            raise
        raise RoleRefused(
            f"the login of DATABASE_URL cannot work as {role} ({error}): "
            f"migrate the database, then let its DBA GRANT {role} to the login"
        ) from error


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def reachable(target: AsyncEngine) -> Check:
    """Return a readiness check: the database answers."""

    async def check() -> str | None:
        async with target.connect() as connection:
            await connection.execute(text("SELECT 1"))
        return None

    return check
