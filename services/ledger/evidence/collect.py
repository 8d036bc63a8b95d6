"""Reads what belongs into a pack: the histories that are a release's own, and their events.

A release's own subjects are itself and what only it is about: artifacts, changes, tickets, its
deployments, approvals, decisions. Services, environments, policies and people stand in its events
too, but their histories are those of many releases: the entries of the tree prove those whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.problem import Invalid, NotFound, Unavailable
from services.kit.database import Connection
from services.ledger.databases import Database
from services.ledger.sealing.leaves import Row

OWN_KINDS = frozenset({
    "release", "artifact", "change", "ticket", "deployment", "approval", "decision", "exception",
    "pipelinerun",
})  # fmt: skip
MAX_EVENTS = 20_000
_HISTORY = """
SELECT h.position FROM ledger.subject AS s
  JOIN ledger.history AS h ON h.subject_id = s.subject_id AND h.ledger_id = s.ledger_id
 WHERE s.key = $2 AND s.ledger_id = $1 AND h.position <= $3 ORDER BY h.version
"""
_ROWS = """
SELECT e.position, e.event_uuid, e.source, e.type, e.subject_ids, e.versions, e.occurred_at,
       e.recorded_at, e.principal, e.assurance, e.causation, e.commitment, stored.salt, stored.body
  FROM ledger.event AS e
  LEFT JOIN ledger.event_body AS stored USING (ledger_id, position)
 WHERE e.ledger_id = $1 AND e.position = ANY($2::bigint[]) ORDER BY e.position
"""
_NAMES = """
SELECT subject_id, key, signature FROM ledger.subject
  LEFT JOIN ledger.subject_name USING (ledger_id, subject_id)
 WHERE ledger_id = $1 AND subject_id = ANY($2::bigint[])
"""


@dataclass(frozen=True, slots=True)
class Disclosed:
    """A subject that is named in a pack: its key and the signature that gives its uid."""

    key: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Collected:
    """What is known of a release up to a position. `histories`: own subject → its positions."""

    rows: Sequence[Row]
    names: dict[int, Disclosed]
    histories: dict[str, list[int]]


async def collect(base: Database, ledger_id: int, subject: str, until: int) -> Collected:
    """Read it all. Raises `NotFound` when no event up to `until` names the subject, `Unavailable`
    when a redaction is about to be sealed.
    """
    async with base.reading() as connection:
        own = await _history(connection, ledger_id, subject, until)
        if not own:
            raise NotFound(f"no sealed event names {subject}")
        histories, rows = {subject: own}, await _read(connection, ledger_id, own)
        names = await _named(connection, ledger_id, rows)
        near = {each.key for each in names.values() if each.key.partition(":")[0] in OWN_KINDS}
        for key in sorted(near - {subject} - _other_releases(near)):
            histories[key] = await _history(connection, ledger_id, key, until)
        wanted = sorted({position for each in histories.values() for position in each})
        if len(wanted) > MAX_EVENTS:
            raise Invalid(f"{subject} has {len(wanted)} events; a pack holds {MAX_EVENTS}")
        rows = await _read(connection, ledger_id, wanted)
        gone = [row.position for row in rows if row.body is None]
        for position in gone:  # what excuses it
            key = f"event:{position}"
            histories[key] = await _history(connection, ledger_id, key, until)
            if len(histories[key]) < len(("asked for", "agreed to")):
                raise Unavailable(f"the redaction of position {position} is not sealed yet")
        if gone:
            wanted = sorted({position for each in histories.values() for position in each})
            rows = await _read(connection, ledger_id, wanted)
        return Collected(rows, await _named(connection, ledger_id, rows), histories)


def _other_releases(keys: set[str]) -> set[str]:
    return {key for key in keys if key.startswith("release:")}


async def _history(connection: Connection, ledger_id: int, key: str, until: int) -> list[int]:
    return [row[0] for row in await connection.fetch(_HISTORY, ledger_id, key, until)]


async def _read(connection: Connection, ledger_id: int, positions: list[int]) -> list[Row]:
    return [Row(*row) for row in await connection.fetch(_ROWS, ledger_id, positions)]


async def _named(
    connection: Connection, ledger_id: int, rows: Sequence[Row]
) -> dict[int, Disclosed]:
    wanted = list({subject for row in rows for subject in row.subject_ids})
    found = await connection.fetch(_NAMES, ledger_id, wanted)
    return {subject: Disclosed(key, signature) for subject, key, signature in found}
