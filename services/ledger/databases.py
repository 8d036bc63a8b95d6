"""One PostgreSQL that has ledgers in it: a pool for hot reads, an engine for the rest."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.problem import Unavailable
from services.kit import database
from services.ledger.pool import Pool
from services.ledger.tables import CREATE, FIND, IDENTITY, OCCUPIED, LedgerRow

HOT = {
    # One plan for ever, and one that goes by keys: made while the tables were empty, it must not
    # scan them when they have grown. A plan for each page would cost as much as the page.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "default_transaction_read_only": "on",
}


class Database:
    """Raises `Unavailable` when the server is away; whoever asks again may have more luck."""

    def __init__(self, engine: AsyncEngine, name: str, size: int = 5) -> None:
        """`name` is for people: a setting's name, never the URL, which has a password."""
        self.name = name
        self.engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.url = engine.url.render_as_string(hide_password=False)
        self._pool = Pool(self.url, "ledger reader", size, HOT, role="rlg_reader")

    def reading(self) -> contextlib.AbstractAsyncContextManager[database.Connection]:
        """Lend a connection for one statement of `queries`."""
        return self._pool.connection()

    async def listener(self) -> database.Connection:
        """Open a connection of the caller's own, for LISTEN."""
        return await database.connection(self.url, "ledger wake", role="rlg_reader")

    async def find(self, name: str) -> LedgerRow | None:
        """Return a ledger that is here."""
        async with self._connected() as connection:
            found = (await connection.execute(FIND, {"name": name})).one_or_none()
        return None if found is None else LedgerRow(found.ledger_id, found.name, found.epoch)

    async def ensure(self, name: str) -> LedgerRow:
        """Return a ledger; create it if it is missing."""
        while True:  # two processes may create different ledgers; the loser of a number retries
            found = await self.find(name)
            if found is not None:
                return found
            async with self._connected() as connection:
                await connection.execute(CREATE, {"name": name})

    async def occupied(self, names: Sequence[str]) -> list[str]:
        """Return those of the ledgers that have events here."""
        if not names:
            return []
        async with self._pool.connection() as connection:
            return [row["name"] for row in await connection.fetch(OCCUPIED, list(names))]

    async def identity(self) -> tuple[int, int]:
        """Return what tells whether two URLs lead to one database.

        Copies of a cluster share it: a promoted standby and its former primary look like one.
        """
        async with self._connected() as connection:
            cluster, number = (await connection.execute(IDENTITY)).one()
        return cluster, number

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()
        await self.engine.dispose()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        connection = self.engine.connect()
        try:
            await connection.start()
        except (*database.DatabaseError, TimeoutError) as error:
            raise self._away() from error
        try:
            yield connection
        except (DBAPIError, OSError, TimeoutError) as error:
            if isinstance(error, DBAPIError) and not _is_away(error):
                raise
            raise self._away() from error
        finally:
            await connection.close()

    def _away(self) -> Unavailable:
        return Unavailable(f"the database of {self.name} does not answer")


def _is_away(error: DBAPIError) -> bool:
    """Say whether the server is at fault (SQLSTATE classes 08, 53, 57), not the statement."""
    state = str(getattr(error.orig, "sqlstate", None) or "08")
    return error.connection_invalidated or state.startswith(("08", "53", "57"))
