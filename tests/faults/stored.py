"""Reads what a ledger holds, straight from its tables, for the judge."""

from __future__ import annotations

import json
from typing import Any

import asyncpg

from tests.faults.record import Record, Row, content

_EVENTS = """
SELECT e.position, e.event_uuid, e.source, e.type, e.subject_ids, e.versions, e.recorded_at,
       e.commitment, b.salt, b.body
  FROM ledger.event AS e LEFT JOIN ledger.event_body AS b USING (ledger_id, position)
 WHERE e.ledger_id = $1 ORDER BY e.position
"""
_HISTORIES = """
SELECT subject_id, version, position FROM ledger.history
 WHERE ledger_id = $1 ORDER BY subject_id, version
"""
_SUBJECTS = "SELECT subject_id, key FROM ledger.subject WHERE ledger_id = $1"


async def read(url: str, ledger_id: int, record: Record) -> None:
    """Put everything that is stored of a ledger into the record, from one snapshot."""
    sql = await asyncpg.connect(url)
    try:
        async with sql.transaction(isolation="repeatable_read", readonly=True):
            events = await sql.fetch(_EVENTS, ledger_id)
            histories = await sql.fetch(_HISTORIES, ledger_id)
            subjects = await sql.fetch(_SUBJECTS, ledger_id)
    finally:
        await sql.close()
    keys = {row["subject_id"]: row["key"] for row in subjects}
    record.rows = [_row(event, keys) for event in events]
    record.subjects = [row["key"] for row in subjects]
    found: dict[str, list[tuple[int, int]]] = {}
    for row in histories:
        found.setdefault(keys[row["subject_id"]], []).append((row["version"], row["position"]))
    record.histories = found


def _row(row: Any, keys: dict[int, str]) -> Row:
    event = json.loads(row["body"])["event"]
    assert (event["source"], event["type"]) == (row["source"], row["type"])
    return Row(
        position=row["position"],
        key=(row["source"], event["id"]),
        type=row["type"],
        content=content(event),
        subjects=tuple(keys[id_] for id_ in row["subject_ids"]),
        versions=tuple(row["versions"]),
        recorded_at=row["recorded_at"],
        salt=row["salt"],
        body=row["body"],
        commitment=row["commitment"],
    )
