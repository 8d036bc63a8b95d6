"""PostgreSQL, writing: load what a decision needs, store what was decided. The hot path.

One direct connection, opened when needed and thrown away after a failure. Failures say what to do
next: `Rejected` – these rows will never be taken; `Uncertain` – nobody knows whether they were
taken, so try again with the same ids.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Any

from contracts.event import Receipt
from services.kit import database
from services.ledger.body import Recorded
from services.ledger.model import Head, Item, Known, Plan, Request, Snapshot, Stored
from services.ledger.tables import LedgerRow

LOCK = 1818584167
"""First number of the advisory lock of a ledger (the second is its id), as in append_v1.sql."""
_SETTINGS = {
    "synchronous_commit": "on",  # a receipt promises that the event is on disk
    "default_transaction_isolation": "read committed",
    # A plan made while the tables were empty must not scan them when they have grown.
    "enable_seqscan": "off",
}
_FOR_EVER = ("22", "23", "54", "P0")
"""SQLSTATE classes that the same rows will meet again: bad data, a violated rule, a limit."""

_LOAD = """
SELECT head.position, head.commitment, known.keys, known.ids, known.versions,
       stored.uuids, stored.sources, stored.positions, stored.salts, stored.commitments
  FROM (SELECT 1) AS always
  LEFT JOIN LATERAL (
       SELECT position, commitment FROM ledger.event
        WHERE ledger_id = $1 ORDER BY position DESC LIMIT 1) AS head ON true
 CROSS JOIN LATERAL (
       SELECT array_agg(asked.key) AS keys, array_agg(s.subject_id) AS ids,
              array_agg(h.version) AS versions
         FROM unnest($2::text[]) AS asked(key)
        CROSS JOIN LATERAL (
              SELECT subject_id FROM ledger.subject
               WHERE key = asked.key AND ledger_id = $1 LIMIT 1) AS s
        CROSS JOIN LATERAL (
              SELECT version FROM ledger.history
               WHERE subject_id = s.subject_id AND ledger_id = $1
               ORDER BY version DESC LIMIT 1) AS h) AS known
 CROSS JOIN LATERAL (
       SELECT array_agg(asked.uuid) AS uuids, array_agg(asked.source) AS sources,
              array_agg(e.position) AS positions, array_agg(b.salt) AS salts,
              array_agg(e.commitment) AS commitments
         FROM unnest($3::uuid[], $4::text[]) AS asked(uuid, source)
        CROSS JOIN LATERAL (
              SELECT position, commitment FROM ledger.event
               WHERE event_uuid = asked.uuid AND ledger_id = $1 AND source = asked.source
               LIMIT 1) AS e
         LEFT JOIN ledger.event_body AS b ON b.ledger_id = $1 AND b.position = e.position) AS stored
"""
_APPEND = f"SELECT ledger.append_v1({', '.join(f'${n}' for n in range(1, 19))})"
_RECEIPTS = """
SELECT e.position, e.versions, e.recorded_at, e.commitment, b.body,
       ARRAY(SELECT s.key FROM unnest(e.subject_ids) WITH ORDINALITY AS named(id, n)
               JOIN ledger.subject AS s ON s.ledger_id = $1 AND s.subject_id = named.id
              ORDER BY n) AS keys
  FROM ledger.event AS e JOIN ledger.event_body AS b USING (ledger_id, position)
 WHERE e.ledger_id = $1 AND e.position = ANY($2::bigint[])
"""


class Rejected(Exception):
    """The database refuses these rows, today and tomorrow."""


class Uncertain(Exception):
    """The connection, the lock or the server failed: the outcome is not known."""


class Writer:
    """Reads and writes one ledger for its appender; one call at a time."""

    def __init__(self, url: str, ledger: LedgerRow) -> None:
        self.ledger = ledger
        self._url = url
        self._open: database.Connection | None = None

    async def load(self, requests: Sequence[Request]) -> Snapshot:
        """Return, from one snapshot, all that deciding the requests takes."""
        subjects = list({key for request in requests for key in request.subjects})
        ids = list({item.key for request in requests for item in request.items})
        uuids, sources = [key[0] for key in ids], [key[1] for key in ids]
        with _translated():
            connection = await self._connection()
            row = await connection.fetchrow(_LOAD, self.ledger.id, subjects, uuids, sources)
        return _snapshot(row)

    async def append(self, plan: Plan) -> datetime | None:
        """Store a plan and return its recorded_at; None: the head has moved, nothing is stored."""
        with _translated():
            connection = await self._connection()
            recorded_at: datetime | None = await connection.fetchval(
                _APPEND, self.ledger.id, *_arguments(plan)
            )
        return recorded_at

    async def receipts(self, positions: Sequence[int]) -> dict[int, Receipt]:
        """Return the receipts that were given for stored events, by position."""
        if not positions:
            return {}
        with _translated():
            connection = await self._connection()
            rows = await connection.fetch(_RECEIPTS, self.ledger.id, positions)
        return {row["position"]: _recorded(row).receipt(self.ledger.name) for row in rows}

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the ledger's lock for a block that loads and appends; it commits at the end."""
        with _translated():
            connection = await self._connection()
            async with connection.transaction():
                await connection.execute(
                    "SELECT pg_advisory_xact_lock($1, $2)", LOCK, self.ledger.id
                )
                yield

    async def close(self) -> None:
        """Drop the connection; the next call opens another one."""
        connection, self._open = self._open, None
        if connection is not None:
            connection.terminate()

    async def _connection(self) -> database.Connection:
        if self._open is None or self._open.is_closed():
            name = f"ledger writer {self.ledger.name}"
            self._open = await database.connection(self._url, name, _SETTINGS, role="rlg_appender")
        return self._open


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except (*database.DatabaseError, TimeoutError, RuntimeError) as error:  # uvloop: closed handle
        state = str(getattr(error, "sqlstate", None) or "")
        never = state.startswith(_FOR_EVER) or isinstance(error, ValueError)
        raise (Rejected if never else Uncertain)(f"{type(error).__name__}: {error}") from error


def _snapshot(row: Any) -> Snapshot:
    head = Head(row["position"] or 0, row["commitment"] or b"")
    subjects = zip(row["keys"] or (), row["ids"] or (), row["versions"] or (), strict=True)
    stored = zip(
        row["uuids"] or (),
        row["sources"] or (),
        row["positions"] or (),
        row["salts"] or (),
        row["commitments"] or (),
        strict=True,
    )
    return Snapshot(
        head=head,
        subjects={key: Known(id_, version) for key, id_, version in subjects},
        stored={(uuid, source): Stored(*rest) for uuid, source, *rest in stored},
    )


def _recorded(row: Any) -> Recorded:
    return Recorded(
        position=row["position"],
        versions=dict(zip(row["keys"], row["versions"], strict=True)),
        recorded_at=row["recorded_at"],
        commitment=row["commitment"],
        body=row["body"],
    )


def _arguments(plan: Plan) -> list[Any]:
    """Return what append_v1 takes after the ledger's id."""
    items: list[Item] = [placed.item for placed in plan.placed]
    return [
        plan.expected.position,
        plan.expected.commitment,
        [item.uuid for item in items],
        [item.source for item in items],
        [item.type for item in items],
        [item.occurred_at for item in items],
        [item.principal for item in items],
        [item.assurance for item in items],
        [item.causation for item in items],
        [item.commitment for item in items],
        [item.salt for item in items],
        [item.body for item in items],
        [len(placed.versions) for placed in plan.placed],
        [id_ for placed in plan.placed for id_ in placed.subject_ids],
        [version for placed in plan.placed for version in placed.versions],
        list(plan.new_subjects.values()),
        list(plan.new_subjects),
    ]
