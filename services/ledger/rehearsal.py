"""The start-up self-test: one probe appended to a ledger as a real event is, and rolled back.

Promise: nothing is left behind, no reader is woken, and other appenders wait for milliseconds.
"""

from __future__ import annotations

import hashlib
import uuid

from contracts.subject import MAX_PER_EVENT
from services.kit import database
from services.kit.settings import SettingsError
from services.ledger.tables import LedgerRow
from services.ledger.writer import LOCK

_HEAD = """
SELECT position, commitment FROM ledger.event WHERE ledger_id = $1 ORDER BY position DESC LIMIT 1
"""
_APPEND = """
SELECT outcome FROM ledger.append_v1(
    in_ledger_id => $1, in_epoch => $2, in_certified => $3, in_probe => true, in_head => $4,
    in_head_commitment => $5, in_event_uuids => ARRAY[$6::uuid],
    in_sources => ARRAY['/self-test'], in_types => ARRAY['org.releaseledger.self-test'],
    in_occurred_at => ARRAY[NULL::timestamptz], in_principals => ARRAY['service:ledger'],
    in_assurances => ARRAY['A0'], in_causations => ARRAY[NULL::text],
    in_commitments => ARRAY[$7::bytea], in_salts => ARRAY[$8::bytea], in_bodies => ARRAY[$9::bytea],
    in_lasts => ARRAY[1], in_subject_ids => ARRAY[$10::bigint], in_versions => ARRAY[1],
    in_new_keys => ARRAY[$11::text])
"""
_LEFT = """
SELECT (SELECT count(*) FROM ledger.event WHERE ledger_id = $1 AND event_uuid = $2)
     + (SELECT count(*) FROM ledger.subject WHERE ledger_id = $1 AND key = $3)
"""


async def rehearse(url: str, ledger: LedgerRow, *, certified: bool = False) -> None:
    """Append to `ledger` and roll back; `SettingsError` when that fails or leaves anything."""
    try:
        connection = await database.connection(url, "ledger self-test", role="rlg_appender")
        try:
            await _rehearse(connection, ledger, certified=certified)
        finally:
            connection.terminate()
    except database.DatabaseError as error:
        raise SettingsError(f"the self-test of the ledger {ledger.name} failed: {error}") from error


async def _rehearse(connection: database.Connection, ledger: LedgerRow, *, certified: bool) -> None:
    probe = uuid.uuid4()
    seen = (ledger.id, probe, f"self-test:{probe}")
    attempt = connection.transaction()
    await attempt.start()
    try:
        await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", LOCK, ledger.id)
        place = await _place(connection, ledger.id)
        told = (ledger.id, ledger.epoch, certified, *place[:2])
        outcome = await connection.fetchval(_APPEND, *told, *_event(probe), place[2], seen[2])
        stored = await connection.fetchval(_LEFT, *seen)
    finally:
        await attempt.rollback()
    if outcome != "appended" or not stored:
        raise SettingsError(f"the self-test of the ledger {ledger.name} stored nothing: {outcome}")
    if await connection.fetchval(_LEFT, *seen):
        raise SettingsError(
            f"the self-test of the ledger {ledger.name} was rolled back and is there nevertheless: "
            "something between us and PostgreSQL commits what we did not"
        )


async def _place(connection: database.Connection, ledger_id: int) -> tuple[int, bytes, int]:
    """Return the head's position and commitment, and the id of a subject that would be new."""
    head = await connection.fetchrow(_HEAD, ledger_id)
    position, commitment = (0, b"") if head is None else head
    return position, commitment, (position + 1) * MAX_PER_EVENT


def _event(probe: uuid.UUID) -> tuple[uuid.UUID, bytes, bytes, bytes]:
    """Return the probe's id, commitment, salt and body."""
    salt, body = probe.bytes, b"{}"
    return probe, hashlib.sha256(salt + body).digest(), salt, body
