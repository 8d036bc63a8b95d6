"""What the runner writes: rows, cursor and parked events, in one transaction or not at all.

One process at a time follows a ledger: a session lock keeps a second one waiting and ends with its
connection. Should two believe that they hold it, the fencing token decides: only the newest claim
moves the cursor, and rows move with the cursor or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.projector import tables
from services.projector.readmodels.fact import canonical
from services.projector.readmodels.rows import Key, Row

NAME = "readmodels"
"""The name of this set of read models: one cursor for all of them."""
STANDBY_SECONDS = 1.0
_UNSTORABLE = ("22", "23", "54")
"""SQLSTATE classes of rows that the tables cannot hold: data, integrity, limits."""

_LOCK = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
_CLAIM = text("""
INSERT INTO projector.cursor AS held (projection, ledger, position, fencing, head)
VALUES (:projection, :ledger, 0, 1, 0)
ON CONFLICT (projection, ledger) DO UPDATE SET fencing = held.fencing + 1
RETURNING position, fencing
""")
_MOVE = text("""
UPDATE projector.cursor
   SET position = :to, head = greatest(head, :to), updated_at = clock_timestamp(),
       behind_since = CASE WHEN head > :to THEN CAST(:recorded_at AS timestamptz) END
 WHERE projection = :projection AND ledger = :ledger
   AND position = :position AND fencing = :fencing
RETURNING position
""")
_SEEN = text("""
UPDATE projector.cursor
   SET head = greatest(:head, position), updated_at = clock_timestamp(),
       behind_since = CASE WHEN :head > position THEN CAST(:behind_since AS timestamptz) END
 WHERE projection = :projection AND ledger = :ledger AND fencing = :fencing
RETURNING position
""")
_RESET = text("""
UPDATE projector.cursor SET position = 0, fencing = fencing + 1
 WHERE projection = :projection AND ledger = :ledger
""")
_PARK = text("""
INSERT INTO projector.parked (ledger, position, type, error, parked_at)
VALUES (:ledger, :position, :type, :error, clock_timestamp())
ON CONFLICT (ledger, position) DO UPDATE SET error = excluded.error
""")
_LOADING = {name: tables.loading(table) for name, table in tables.READ_MODELS.items()}
_SAVING = {name: tables.saving(table) for name, table in tables.READ_MODELS.items()}
_TIMES = {name: tables.times(table) for name, table in tables.READ_MODELS.items()}


class Superseded(Exception):
    """Somebody else has claimed this ledger, or moved its cursor. Nothing was written."""


class Unstorable(Exception):
    """The tables cannot hold what an event of this batch became. Nothing was written."""


@dataclass(slots=True)
class Claim:
    """The right to move one ledger's cursor, and where it stands."""

    position: int
    fencing: int


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that could not be folded. It stays in the ledger; the projection goes on."""

    position: int
    type: str
    error: str


@dataclass(frozen=True, slots=True)
class Folded:
    """What one batch became."""

    position: int
    """The last position in it."""
    recorded_at: str
    """Of that position."""
    changes: dict[str, list[Row]]
    parked: list[Parked]


class Projection:
    """The rows of one ledger, for the one who writes them."""

    def __init__(self, engine: AsyncEngine, ledger: str) -> None:
        self._engine = engine
        self.ledger = ledger
        self._me = {"projection": NAME, "ledger": ledger}

    @contextlib.asynccontextmanager
    async def claim(self) -> AsyncIterator[Claim]:
        """Wait until nobody else follows this ledger, then hold it with a new fencing token."""
        alone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        async with alone.connect() as connection:
            name = {"name": f"projector/{NAME}/{self.ledger}"}
            while not (await connection.execute(_LOCK, name)).scalar_one():  # noqa: ASYNC110 - the event is another process's end
                await asyncio.sleep(STANDBY_SECONDS)
            try:
                row = (await connection.execute(_CLAIM, self._me)).one()
                yield Claim(row.position, row.fencing)
            finally:
                await connection.invalidate()  # the lock ends with its session, whatever happened

    async def load(self, keys: Iterable[Key]) -> list[tuple[str, Row]]:
        """Return the rows that are there, a query for each table."""
        by_table: dict[str, list[tuple[str, ...]]] = {}
        for name, key in keys:
            by_table.setdefault(name, []).append(key)
        found: list[tuple[str, Row]] = []
        async with self._engine.connect() as connection:
            for name, wanted in by_table.items():
                columns = {
                    f"k{i}": list(values) for i, values in enumerate(zip(*wanted, strict=True))
                }
                rows = await connection.execute(_LOADING[name], {"ledger": self.ledger} | columns)
                found += [(name, _read(name, row)) for row in rows.scalars()]
        return found

    async def commit(self, claim: Claim, folded: Folded) -> None:
        """Write rows, parked events and cursor, or raise and write nothing.

        Durability: asynchronous, for all of it together; what a crash of the database takes back,
        the cursor gives again. Isolation: `Superseded` unless the cursor stands where the claim
        says and no newer claim exists.
        """
        try:
            async with self._engine.begin() as connection:
                await connection.execute(text("SET LOCAL synchronous_commit = off"))
                moved = await connection.execute(_MOVE, self._move(claim, folded))
                if moved.one_or_none() is None:
                    raise Superseded(self.ledger)
                for name, rows in folded.changes.items():
                    await connection.execute(_SAVING[name], {"rows": self._write(rows)})
                for parked in folded.parked:
                    await connection.execute(_PARK, self._park(parked))
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None) or ""
            if state.startswith(_UNSTORABLE):
                raise Unstorable(f"{state}: {error.orig}") from error
            raise
        claim.position = folded.position

    async def seen(self, claim: Claim, head: int, behind_since: str | None) -> None:
        """Note how far the ledger is and since when we are behind; `Superseded` if fenced."""
        moment = None if behind_since is None else datetime.fromisoformat(behind_since)
        noted = {"fencing": claim.fencing, "head": head, "behind_since": moment}
        async with self._engine.begin() as connection:
            found = await connection.execute(_SEEN, self._me | noted)
            if found.one_or_none() is None:
                raise Superseded(self.ledger)

    async def forget(self) -> None:
        """Empty the read models and set the cursor back, so that they are built again.

        Whoever follows is fenced off, claims anew and starts at position 1.
        """
        async with self._engine.begin() as connection:
            await connection.execute(_RESET, self._me)
            for table in (*tables.READ_MODELS.values(), tables.parked):
                await connection.execute(table.delete().where(table.c.ledger == self.ledger))

    def _move(self, claim: Claim, folded: Folded) -> dict[str, object]:
        return self._me | {
            "position": claim.position,
            "fencing": claim.fencing,
            "to": folded.position,
            "recorded_at": datetime.fromisoformat(folded.recorded_at),
        }

    def _write(self, rows: list[Row]) -> str:
        return json.dumps([{"ledger": self.ledger, **row} for row in rows])

    def _park(self, parked: Parked) -> dict[str, object]:
        return {
            "ledger": self.ledger,
            "position": parked.position,
            "type": parked.type,
            "error": parked.error[:2000],
        }


def _read(name: str, raw: str) -> Row:
    row: Row = json.loads(raw)
    del row["ledger"]
    for column in _TIMES[name]:
        row[column] = canonical(row[column])
    return row
