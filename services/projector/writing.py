"""What the runner writes: rows, cursor and parked events, in one transaction or not at all.

One process at a time follows a ledger: a session lock keeps a second one waiting and ends with its
connection. Should two believe that they hold it, the fencing token decides: only the newest claim
moves the cursor, and rows move with the cursor or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydantic_core import from_json, to_json
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.kit import clock
from services.projector import tables
from services.projector.generations import FIRST, Generation, live
from services.projector.readmodels.fact import canonical
from services.projector.readmodels.rows import Key, Row

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
_COMMIT = """
WITH moved AS (
  UPDATE projector.cursor
     SET position = :to, head = greatest(head, :to), updated_at = clock_timestamp(),
         behind_since = CASE WHEN head > :to THEN CAST(:recorded_at AS timestamptz) END
   WHERE projection = :projection AND ledger = :ledger
     AND position = :position AND fencing = :fencing
  RETURNING position, set_config('synchronous_commit', 'off', true)
), {written}
SELECT position FROM moved
"""
_MOVED = "EXISTS (SELECT FROM moved)"
"""Nothing is written but by whom the cursor belongs to."""
_WRITTEN = (*tables.READ_MODELS.values(), tables.parked)
_SEEN = text("""
UPDATE projector.cursor
   SET head = greatest(:head, position), updated_at = clock_timestamp(),
       behind_since = CASE WHEN :head > position THEN CAST(:behind_since AS timestamptz) END
 WHERE projection = :projection AND ledger = :ledger AND fencing = :fencing
RETURNING position
""")
_HELD = """
SELECT DISTINCT ON (subject) subject, position FROM {parked}
 WHERE ledger = :ledger AND subject <> '' ORDER BY subject, position
"""
_ENTRIES = """
SELECT CAST(to_jsonb(t) AS text) FROM {entry} t
 WHERE ledger = :ledger AND position = ANY(CAST(:positions AS bigint[]))
"""
_PUT_ASIDE = """
SELECT position FROM {parked}
 WHERE ledger = :ledger AND position = ANY(CAST(:positions AS bigint[]))
"""
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
    connection: AsyncConnection = field(repr=False)
    """Holds the lock, and writes: who has lost the one cannot do the other."""
    held: dict[str, int] = field(default_factory=dict)
    """Subjects that are parked, and the first position that is: all later ones wait for it."""


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that was not folded, or comes after such a one of its subject.

    It stays in the ledger; the projection goes on with all other subjects.
    """

    position: int
    type: str
    error: str
    subject: str


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
    """The rows of one generation of a ledger's read models, for the one who writes them."""

    def __init__(self, engine: AsyncEngine, ledger: str, generation: Generation = FIRST) -> None:
        self._engine = engine
        self.ledger = ledger
        self.generation = generation
        self._me = {"projection": generation.cursor, "ledger": ledger}
        slot, models = generation.slot, tables.READ_MODELS.items()
        self._loading = {name: tables.loading(table, slot) for name, table in models}
        self._commit = text(_COMMIT.format(written=_writing(slot)))
        parked = tables.named(tables.parked, slot)
        entry = tables.named(tables.entry, slot)
        self._entries = text(_ENTRIES.format(entry=entry))
        self._put_aside = text(_PUT_ASIDE.format(parked=parked))
        self._held = text(_HELD.format(parked=parked))

    @contextlib.asynccontextmanager
    async def claim(self) -> AsyncIterator[Claim]:
        """Wait until nobody else follows this ledger, then hold it with a new fencing token."""
        alone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        async with alone.connect() as connection:
            name = {"name": f"projector/{self.generation.cursor}/{self.ledger}"}
            while not (await connection.execute(_LOCK, name)).scalar_one():  # noqa: ASYNC110 - the event is another process's end
                await asyncio.sleep(STANDBY_SECONDS)
            try:
                row = (await connection.execute(_CLAIM, self._me)).one()
                held = (await connection.execute(self._held, self._me)).all()
                parked = {each.subject: each.position for each in held}
                yield Claim(row.position, row.fencing, connection, parked)
            finally:
                await connection.invalidate()  # the lock ends with its session, whatever happened

    async def is_live(self) -> bool:
        """Say whether readers see this generation."""
        async with self._engine.connect() as connection:
            return await live(connection, self.ledger) == self.generation

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
                rows = await connection.execute(
                    self._loading[name], {"ledger": self.ledger} | columns
                )
                found += [(name, _read(name, row)) for row in rows.scalars()]
        return found

    async def entries(self, positions: Sequence[int]) -> list[Row]:
        """Return the entries of the timeline at some positions."""
        async with self._engine.connect() as connection:
            found = await connection.execute(self._entries, self._me | {"positions": positions})
            return [_read("entry", row) for row in found.scalars()]

    async def parked(self, positions: Sequence[int]) -> set[int]:
        """Return those of some positions that are parked."""
        async with self._engine.connect() as connection:
            found = await connection.execute(self._put_aside, self._me | {"positions": positions})
            return set(found.scalars())

    async def commit(self, claim: Claim, folded: Folded) -> None:
        """Write rows, parked events and cursor, or raise and write nothing.

        Durability: asynchronous, for all of it together; what a crash of the database takes back,
        the cursor gives again. Isolation: `Superseded` unless the cursor stands where the claim
        says and no newer claim exists. One statement: a transaction by itself.
        """
        try:
            moved = await claim.connection.execute(self._commit, self._told(claim, folded))
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None) or ""
            if state.startswith(_UNSTORABLE):
                raise Unstorable(f"{state}: {error.orig}") from error
            raise
        if moved.one_or_none() is None:
            raise Superseded(self.ledger)
        claim.position = folded.position
        for parked in folded.parked:
            if parked.subject:
                claim.held.setdefault(parked.subject, parked.position)

    async def seen(self, claim: Claim, head: int, behind_since: str | None) -> None:
        """Note how far the ledger is and since when we are behind; `Superseded` if fenced."""
        moment = None if behind_since is None else datetime.fromisoformat(behind_since)
        noted = {"fencing": claim.fencing, "head": head, "behind_since": moment}
        async with self._engine.begin() as connection:
            found = await connection.execute(_SEEN, self._me | noted)
            if found.one_or_none() is None:
                raise Superseded(self.ledger)

    def _told(self, claim: Claim, folded: Folded) -> dict[str, object]:
        moment = datetime.fromisoformat(folded.recorded_at)
        parked = [_park(each, clock.now()) for each in folded.parked]
        written: Mapping[str, list[Row]] = folded.changes | {tables.parked.name: parked}
        told: dict[str, object] = {
            each.name: to_json(written.get(each.name, ())).decode() for each in _WRITTEN
        }
        told |= {"position": claim.position, "fencing": claim.fencing, "to": folded.position}
        return self._me | told | {"recorded_at": moment}


def _writing(slot: str) -> str:
    saved = {table.name: tables.saving(table, slot, _MOVED) for table in _WRITTEN}
    return ", ".join(f'"{name}" AS ({saving})' for name, saving in saved.items())


def _park(parked: Parked, moment: datetime) -> Row:
    return {
        "position": parked.position,
        "type": parked.type,
        "error": parked.error[:2000],
        "subject": parked.subject,
        "parked_at": moment,
    }


def _read(name: str, raw: str) -> Row:
    row: Row = from_json(raw)
    del row["ledger"]
    for column in _TIMES[name]:
        row[column] = canonical(row[column])
    return row
