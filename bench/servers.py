"""Servers of a benchmark's own, in a temporary directory that goes with it. fsync is on."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
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

    def __init__(self, server: EmbeddedPostgres, home: Path) -> None:
        self._server = server
        self._home = home
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
            assert await self.admin(f"SHOW {setting}") == "on", setting

    @property
    def pid(self) -> int:
        """The postmaster's."""
        assert self._server.pid is not None
        return self._server.pid

    @property
    def socket_dir(self) -> Path:
        """Where libpq finds the server."""
        return self._server.socket_dir

    @property
    def log(self) -> Path:
        """What the server has written to its log."""
        return self._home / "server.log"

    @asynccontextmanager
    async def copy(
        self, settings: Mapping[str, str] | None = None, template: str = TEMPLATE
    ) -> AsyncIterator[str]:
        """Lend the URL of a fresh copy, just after a checkpoint: all copies start alike.

        `settings` are those of the whole database, for whoever connects; `template0` is empty.
        """
        self._copies += 1
        name = f"copy_{self._copies}"
        await self.admin(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        await self.tell(name, settings or {})
        for key, value in (settings or {}).items():
            assert await self._shown(name, key) == value, key
        await self.admin("CHECKPOINT")
        try:
            yield self._server.dsn(name)
        finally:
            await self.admin(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def tell(self, name: str, settings: Mapping[str, str]) -> None:
        """Give a database settings, for whoever connects from now on."""
        for key, value in settings.items():
            await self.admin(f'ALTER DATABASE "{name}" SET {key} = {value}')

    async def _shown(self, name: str, setting: str) -> object:
        connection = await asyncpg.connect(self._server.dsn(name))
        try:
            return await connection.fetchval(f"SHOW {setting}")
        finally:
            await connection.close()

    async def admin(self, statement: str) -> object:
        """Run a statement as the owner of the server; return its one value, if it has one."""
        connection = await asyncpg.connect(self._server.dsn("postgres"))
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()


def name_of(url: str) -> str:
    """Return the database that a URL names."""
    return url.partition("@/")[2].partition("?")[0]


@asynccontextmanager
async def databases() -> AsyncIterator[Databases]:
    """Run a PostgreSQL with a migrated template for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="rlg-bench-") as folder:
        home = Path(folder) / "postgres"
        async with embedded_postgres(home) as server:
            made = Databases(server, home)
            await made.prepare()
            yield made


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[str]:
    """Run a Kafka for the time of the block; yield its bootstrap servers."""
    cache = default_cache_dir(environment())
    async with embedded_kafka(folder / "kafka", cache) as server:
        yield server.bootstrap_servers
