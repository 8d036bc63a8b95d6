"""Generations of a ledger's read models: one is live, one more is built or kept beside it.

A rebuild fills the slot that is not live, from position 0, while readers and runner go on with the
live one. When it has caught up and its check has passed, one transaction makes it live: readers
see the old one or the new one, never both, and never an earlier position than before. The old one
is kept until the next rebuild, to go back to. What follows the old one is fenced off by the flip.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.projector import tables
from services.projector.tables import SLOTS

NAME = "readmodels"
"""The name of this set of read models: one cursor for all of them."""

_LIVE = text("SELECT number, slot FROM projector.generation WHERE ledger = :ledger"
             " AND state = 'live'")  # fmt: skip
_ALL = text("SELECT number, slot, state, begun_at, live_since, digest FROM projector.generation"
            " WHERE ledger = :ledger ORDER BY number DESC")  # fmt: skip
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_FIRST = text("""
INSERT INTO projector.generation (ledger, number, slot, state, live_since)
VALUES (:ledger, 1, 'projector', 'live', clock_timestamp()) ON CONFLICT (ledger, number) DO NOTHING
""")
_BEGIN = text("""
INSERT INTO projector.generation (ledger, number, slot, state)
SELECT :ledger, max(number) + 1, :slot, 'building'
  FROM projector.generation WHERE ledger = :ledger
RETURNING number
""")
_MARK = text("""
UPDATE projector.generation SET state = :state, digest = coalesce(:digest, digest),
       live_since = CASE WHEN :state = 'live' THEN clock_timestamp() ELSE live_since END
 WHERE ledger = :ledger AND number = :number
""")
_FENCE = text("""
UPDATE projector.cursor SET fencing = fencing + CAST(:more AS integer)
 WHERE projection = :projection AND ledger = :ledger RETURNING position
""")


@dataclass(frozen=True, slots=True)
class Generation:
    """One building of all read models of a ledger, and the slot where its tables are."""

    number: int = 1
    slot: str = SLOTS[0]

    @property
    def cursor(self) -> str:
        """The name of its cursor."""
        return NAME if self.number == 1 else f"{NAME}/{self.number}"


FIRST = Generation()


@dataclass(frozen=True, slots=True)
class Known:
    """A generation and what is known of it. `state`: building, live, kept or dropped."""

    generation: Generation
    state: str
    begun_at: datetime
    live_since: datetime | None
    digest: str | None


async def live(connection: AsyncConnection, ledger: str) -> Generation:
    """Return the generation that readers see, in the connection's snapshot."""
    row = (await connection.execute(_LIVE, {"ledger": ledger})).one_or_none()
    return FIRST if row is None else Generation(row.number, row.slot)


class Generations:
    """The generations of one ledger."""

    def __init__(self, engine: AsyncEngine, ledger: str) -> None:
        self._engine = engine
        self.ledger = ledger
        self._me = {"ledger": ledger}

    async def live(self) -> Generation:
        """Return the one that readers see."""
        async with self._engine.connect() as connection:
            return await live(connection, self.ledger)

    async def known(self) -> list[Known]:
        """Return all of them, the newest first; none before the first rebuild."""
        async with self._engine.connect() as connection:
            return await self._known(connection)

    async def begin(self) -> Generation:
        """Return the one that is being built; make an empty one, in the slot of the kept one."""
        async with self._engine.begin() as connection:
            await self._lock(connection)
            await connection.execute(_FIRST, self._me)
            known = await self._known(connection)
            for each in known:
                if each.state == "building":
                    return each.generation
            for each in known:
                if each.state == "kept":
                    await self._mark(connection, each.generation, "dropped")
            present = await live(connection, self.ledger)
            slot = SLOTS[present.slot == SLOTS[0]]
            for table in (*tables.READ_MODELS.values(), tables.parked):
                sql = f"DELETE FROM {tables.named(table, slot)} WHERE ledger = :ledger"  # noqa: S608 - our own names
                await connection.execute(text(sql), self._me)
            made = await connection.execute(_BEGIN, self._me | {"slot": slot})
            return Generation(made.scalar_one(), slot)

    async def kept(self) -> Generation | None:
        """Return the one that can be gone back to."""
        found = [each.generation for each in await self.known() if each.state == "kept"]
        return next(iter(found), None)

    async def flip(self, to: Generation, digest: str | None = None) -> bool:
        """Make a generation live; False, and nothing is changed, while it is behind the live one.

        Whoever follows the one that was live is fenced off before its next commit.
        """
        async with self._engine.begin() as connection:
            await self._lock(connection)
            before = await live(connection, self.ledger)
            there = await self._fence(connection, before, 1)
            if await self._fence(connection, to, 0) < there:
                await connection.rollback()
                return False
            await self._mark(connection, before, "kept")
            await self._mark(connection, to, "live", digest)
            return True

    async def _fence(self, connection: AsyncConnection, of: Generation, more: int) -> int:
        """Hold a cursor still until the transaction ends, and return its position."""
        moved = self._me | {"projection": of.cursor, "more": more}
        return (await connection.execute(_FENCE, moved)).scalar_one_or_none() or 0

    async def _lock(self, connection: AsyncConnection) -> None:
        await connection.execute(_LOCK, {"name": f"projector/generations/{self.ledger}"})

    async def _known(self, connection: AsyncConnection) -> list[Known]:
        rows = (await connection.execute(_ALL, self._me)).all()
        return [
            Known(Generation(row.number, row.slot), row.state, row.begun_at, row.live_since,
                  row.digest)
            for row in rows
        ]  # fmt: skip

    async def _mark(
        self, connection: AsyncConnection, one: Generation, state: str, digest: str | None = None
    ) -> None:
        marked = self._me | {"number": one.number, "state": state, "digest": digest}
        await connection.execute(_MARK, marked)
