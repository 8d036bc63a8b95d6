"""Servers of a benchmark's own, in a temporary directory that goes with it. fsync is on."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from deploy.embedded import EmbeddedPostgres, default_cache_dir, embedded_kafka, embedded_postgres
from migrations.run import upgrade
from services.kit.settings import environment

TEMPLATE = "prepared"
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


class Databases:
    """Databases on one server: a migrated template and copies of it."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._copies = 0

    @property
    def template(self) -> str:
        """The URL of the template. Nobody may be connected to it while it is copied."""
        return self._server.dsn(TEMPLATE)

    async def prepare(self) -> None:
        """Make the template with the newest schema, and make sure that commits are durable."""
        await self._server.ensure_database(TEMPLATE)
        await asyncio.to_thread(upgrade, self.template)
        for setting in _DURABLE:
            assert await self._admin(f"SHOW {setting}") == "on", setting

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[str]:
        """Lend the URL of a fresh copy, just after a checkpoint: all copies start alike."""
        self._copies += 1
        name = f"copy_{self._copies}"
        await self._admin(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
        await self._admin("CHECKPOINT")
        try:
            yield self._server.dsn(name)
        finally:
            await self._admin(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def _admin(self, statement: str) -> object:
        connection = await asyncpg.connect(self._server.dsn("postgres"))
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def databases() -> AsyncIterator[Databases]:
    """Run a PostgreSQL with a migrated template for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="rlg-bench-") as folder:
        async with embedded_postgres(Path(folder) / "postgres") as server:
            made = Databases(server)
            await made.prepare()
            yield made


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[str]:
    """Run a Kafka for the time of the block; yield its bootstrap servers."""
    cache = default_cache_dir(environment())
    async with embedded_kafka(folder / "kafka", cache) as server:
        yield server.bootstrap_servers
