"""The gatekeeper's own rows: when each open gate is judged again, and whom an event concerns.

All of it is a cache: emptied together with its cursor, it is filled again by the ledger's feed.
When a gate is due, the clock of whoever judges says; how long a claim holds, the database's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

LEASE_SECONDS = 10.0
"""For so long nobody else judges what one has claimed; then whoever did is taken to be dead."""
STANDBY_SECONDS = 1.0

_LOCK = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
_BEGIN = text("""
INSERT INTO gatekeeper.cursor (ledger, position) VALUES (:ledger, 0) ON CONFLICT DO NOTHING
""")
_CURSOR = text("SELECT position FROM gatekeeper.cursor WHERE ledger = :ledger")
_MOVE = text("""
UPDATE gatekeeper.cursor SET position = :to WHERE ledger = :ledger AND position = :position
RETURNING position
""")
_OF_A_GATE = ("gate_timer", "gate_interest")
_END = [
    text(f"DELETE FROM gatekeeper.{name} WHERE ledger = :ledger AND release = ANY(:releases)")  # noqa: S608 - constants
    for name in _OF_A_GATE
]
_FORGET = [
    text(f"DELETE FROM gatekeeper.{name} WHERE ledger = :ledger AND release = :release"  # noqa: S608 - constants
         " AND gate = :gate")
    for name in _OF_A_GATE
]  # fmt: skip
# What moved before the decision is in it, and whoever judges at this moment knows less than it.
_DECIDED = text("""
INSERT INTO gatekeeper.gate_timer (ledger, release, gate, decision_position, fires_at)
VALUES (:ledger, :release, :gate, :position, :fires_at)
ON CONFLICT (ledger, release, gate) DO UPDATE
   SET decision_position = excluded.decision_position, fires_at = excluded.fires_at,
       moved = NULL, settles_at = NULL, claimed_until = NULL
""")
_UNREAD = text("""
DELETE FROM gatekeeper.gate_interest
 WHERE ledger = :ledger AND release = :release AND gate = :gate AND subject <> ALL(:subjects)
""")
_READ = text("""
INSERT INTO gatekeeper.gate_interest (ledger, subject, release, gate)
SELECT :ledger, subject, :release, :gate FROM unnest(CAST(:subjects AS text[])) AS subject
ON CONFLICT DO NOTHING RETURNING subject
""")
_MOVED = text("""
UPDATE gatekeeper.gate_timer AS t
   SET moved = m.position, settles_at = coalesce(t.settles_at, :settles_at)
  FROM (SELECT i.release, i.gate, max(e.position) AS position
          FROM unnest(CAST(:subjects AS text[]), CAST(:positions AS bigint[]))
               AS e (subject, position)
          JOIN gatekeeper.gate_interest AS i ON i.ledger = :ledger AND i.subject = e.subject
         GROUP BY i.release, i.gate) AS m
 WHERE t.ledger = :ledger AND t.release = m.release AND t.gate = m.gate
   AND t.decision_position < m.position
""")
_CLAIM = text("""
WITH due AS (
    SELECT release, gate FROM gatekeeper.gate_timer
     WHERE ledger = :ledger AND due_at <= :now
       AND (claimed_until IS NULL OR claimed_until <= clock_timestamp())
     ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE gatekeeper.gate_timer AS t
   SET claimed_until = clock_timestamp() + make_interval(secs => :seconds)
  FROM due WHERE t.ledger = :ledger AND t.release = due.release AND t.gate = due.gate
RETURNING t.release, t.gate, t.due_at, t.fires_at, t.moved, t.claimed_until
""")
_OVERDUE = text("""
SELECT count(*) FROM gatekeeper.gate_timer WHERE ledger = :ledger AND due_at < :before
""")
_MINE = "ledger = :ledger AND release = :release AND gate = :gate AND claimed_until = :held"
_SETTLE = text(f"""
UPDATE gatekeeper.gate_timer
   SET decision_position = :position, fires_at = :fires_at, claimed_until = NULL,
       settles_at = CASE WHEN moved IS DISTINCT FROM :moved THEN settles_at END,
       moved = nullif(moved, :moved)
 WHERE {_MINE} RETURNING gate
""")  # noqa: S608 - a constant
_AGAIN = text("""
UPDATE gatekeeper.gate_timer SET settles_at = coalesce(settles_at, :settles_at)
 WHERE ledger = :ledger AND release = :release AND gate = :gate
""")
_PUT_OFF = text(f"""
UPDATE gatekeeper.gate_timer
   SET claimed_until = clock_timestamp() + make_interval(secs => :seconds) WHERE {_MINE}
""")  # noqa: S608 - a constant

Key: TypeAlias = tuple[str, str]
"""Release and gate."""


class Superseded(Exception):
    """Somebody else has moved this ledger's cursor, or emptied it. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest decision about a gate, as far as the timers need it."""

    position: int
    fires_at: datetime | None
    read: Collection[str]
    """The histories that it rests on."""


@dataclass(slots=True)
class Seen:
    """What a batch of the feed says."""

    newest: dict[Key, Newest] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    """Subject → the last position that names it, decisions left out."""
    ended: set[str] = field(default_factory=set)
    """Releases that nobody judges any more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A gate that is due, ours until `claimed_until`: also the token that says so."""

    release: str
    gate: str
    due_at: datetime
    fires_at: datetime | None
    moved: int | None
    claimed_until: datetime

    @property
    def cause(self) -> str:
        """`time`, or `event`: something moved, and no timer was due before it."""
        return "time" if self.due_at == self.fires_at else "event"


class Store:
    """The rows of one ledger's gates."""

    def __init__(
        self, engine: AsyncEngine, ledger: str, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._engine = engine
        self._lease = lease_seconds
        self.ledger = ledger

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[int]:
        """Wait until nobody else follows this ledger's feed; lend the position to follow after."""
        apart = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        async with apart.connect() as connection:
            name = {"name": f"gatekeeper/{self.ledger}"}
            while not (await connection.execute(_LOCK, name)).scalar_one():  # noqa: ASYNC110 - the event is another process's end
                await asyncio.sleep(STANDBY_SECONDS)
            try:
                await connection.execute(_BEGIN, {"ledger": self.ledger})
                yield (await connection.execute(_CURSOR, {"ledger": self.ledger})).scalar_one()
            finally:
                await connection.invalidate()  # the lock ends with its session, whatever happened

    async def take(self, position: int, to: int, seen: Seen, settles_at: datetime) -> None:
        """Write what the events after `position` up to `to` say, with the cursor.

        What they moved is judged again at `settles_at`, unless it is due before. `Superseded`
        unless the cursor stands at `position`.
        """
        async with self._engine.begin() as connection:
            step = {"ledger": self.ledger, "position": position, "to": to}
            if (await connection.execute(_MOVE, step)).one_or_none() is None:
                raise Superseded(self.ledger)
            if seen.ended:
                ended = {"ledger": self.ledger, "releases": list(seen.ended)}
                for statement in _END:
                    await connection.execute(statement, ended)
            for key, newest in seen.newest.items():
                row = self._at(key) | {"position": newest.position, "fires_at": newest.fires_at}
                await connection.execute(_DECIDED, row)
                await self._read(connection, key, newest.read)
            if seen.moved:
                moved = {"subjects": list(seen.moved), "positions": list(seen.moved.values())}
                how = {"ledger": self.ledger, "settles_at": settles_at}
                await connection.execute(_MOVED, how | moved)

    async def claim(self, now: datetime, limit: int) -> list[Claim]:
        """Claim gates that are due and nobody's, the longest due first."""
        how = {"ledger": self.ledger, "now": now, "limit": limit, "seconds": self._lease}
        async with self._engine.begin() as connection:
            rows = (await connection.execute(_CLAIM, how)).all()
        return sorted((Claim(*row) for row in rows), key=lambda claim: claim.due_at)

    async def settle(self, claim: Claim, newest: Newest, again_at: datetime) -> None:
        """Give a claim back with what judging found; nothing, if it is not ours any more.

        What is read for the first time may have moved while nobody watched it: then the gate is
        judged once more at `again_at`.
        """
        key = (claim.release, claim.gate)
        told = {"position": newest.position, "fires_at": newest.fires_at, "moved": claim.moved}
        async with self._engine.begin() as connection:
            if (await connection.execute(_SETTLE, self._mine(claim) | told)).one_or_none() is None:
                return
            if await self._read(connection, key, newest.read):
                await connection.execute(_AGAIN, self._at(key) | {"settles_at": again_at})

    async def put_off(self, claim: Claim, seconds: float) -> None:
        """Let nobody judge a gate for some seconds."""
        async with self._engine.begin() as connection:
            await connection.execute(_PUT_OFF, self._mine(claim) | {"seconds": seconds})

    async def overdue(self, before: datetime) -> int:
        """Return how many gates have been due since before an instant."""
        async with self._engine.connect() as connection:
            how = {"ledger": self.ledger, "before": before}
            return int((await connection.execute(_OVERDUE, how)).scalar_one())

    async def forget(self, claim: Claim) -> None:
        """Let go of a gate."""
        async with self._engine.begin() as connection:
            for statement in _FORGET:
                await connection.execute(statement, self._at((claim.release, claim.gate)))

    async def _read(self, connection: AsyncConnection, key: Key, read: Collection[str]) -> bool:
        """Note what a gate rests on; say whether some of it is new."""
        told = self._at(key) | {"subjects": list(read)}
        await connection.execute(_UNREAD, told)
        return bool((await connection.execute(_READ, told)).all())

    def _at(self, key: Key) -> dict[str, Any]:
        return {"ledger": self.ledger, "release": key[0], "gate": key[1]}

    def _mine(self, claim: Claim) -> dict[str, Any]:
        return self._at((claim.release, claim.gate)) | {"held": claim.claimed_until}
