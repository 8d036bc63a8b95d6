"""Alembic's environment for all three sections: connect, lock, migrate, commit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alembic import context
from sqlalchemy import pool, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from migrations.roles import hand_over

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

SCHEMA = context.config.config_ini_section
LOCK = 0x524C474D
"""Advisory lock: one migration at a time in a database."""


def _url() -> str:
    url = context.config.attributes.get("url") or context.get_x_argument(as_dictionary=True)["url"]
    return str(url)


async def _run() -> None:
    url = make_url(_url()).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


def _migrate(connection: Connection) -> None:
    """Migrate in one transaction; wait for another migration, but not long for a table's lock."""
    connection.execute(text("SET lock_timeout = '60s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    connection.execute(text("SET lock_timeout = '4s'"))
    connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{SCHEMA}"'))
    context.configure(
        connection=connection,
        version_table_schema=SCHEMA,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()
        for schema in (SCHEMA, f"{SCHEMA}_b"):
            hand_over(connection, schema)
    connection.commit()


if context.is_offline_mode():
    raise SystemExit("these migrations need a database; --sql is not supported")
asyncio.run(_run())
