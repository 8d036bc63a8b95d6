"""The start-up self-test: one probe appended to a ledger as a real event is, and rolled back.

Promise: nothing is left behind, no reader is woken, and other appenders wait for milliseconds.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from contracts.subject import MAX_PER_EVENT
from services.kit import database
from services.kit.settings import SettingsError
from services.ledger.tables import LedgerRow
from services.ledger.writer import LOCK

_HEAD = """
SELECT position, commitment FROM ledger.event WHERE ledger_id = $1 ORDER BY position DESC LIMIT 1
"""
_APPEND = """
SELECT ledger.append_v1(
    in_ledger_id => $1, in_head => $2, in_head_commitment => $3, in_event_uuids => ARRAY[$4::uuid],
    in_sources => ARRAY['/self-test'], in_types => ARRAY['org.releaseledger.self-test'],
    in_occurred_at => ARRAY[NULL::timestamptz], in_principals => ARRAY['service:ledger'],
    in_assurances => ARRAY['A0'], in_causations => ARRAY[NULL::text],
    in_commitments => ARRAY[$5::bytea], in_salts => ARRAY[$6::bytea], in_bodies => ARRAY[$7::bytea],
    in_subject_counts => ARRAY[1], in_subject_ids => ARRAY[$8::bigint], in_versions => ARRAY[1],
    in_new_ids => ARRAY[$8::bigint], in_new_keys => ARRAY[$9::text])
"""
_LEFT = """
SELECT (SELECT count(*) FROM ledger.event WHERE ledger_id = $1 AND event_uuid = $2)
     + (SELECT count(*) FROM ledger.subject WHERE ledger_id = $1 AND key = $3)
"""


async def rehearse(url: str, ledger: LedgerRow) -> None:
    """Append to `ledger` and roll back; `SettingsError` when that fails or leaves anything."""
    try:
        connection = await database.connection(url, "ledger self-test", role="rlg_appender")
        try:
            await _rehearse(connection, ledger)
        finally:
            connection.terminate()
    except database.DatabaseError as error:
        raise SettingsError(f"the self-test of the ledger {ledger.name} failed: {error}") from error


async def _rehearse(connection: database.Connection, ledger: LedgerRow) -> None:
    probe = uuid.uuid4()
    seen = (ledger.id, probe, f"self-test:{probe}")
    attempt = connection.transaction()
    await attempt.start()
    try:
        await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", LOCK, ledger.id)
        await connection.fetchval(_APPEND, *await _arguments(connection, *seen))
        stored = await connection.fetchval(_LEFT, *seen)
    finally:
        await attempt.rollback()
    if not stored:
        raise SettingsError(f"the self-test of the ledger {ledger.name} stored nothing")
    if await connection.fetchval(_LEFT, *seen):
        raise SettingsError(
            f"the self-test of the ledger {ledger.name} was rolled back and is there nevertheless: "
            "something between us and PostgreSQL commits what we did not"
        )


async def _arguments(
    connection: database.Connection, ledger_id: int, probe: uuid.UUID, subject: str
) -> tuple[Any, ...]:
    head = await connection.fetchrow(_HEAD, ledger_id)
    position, commitment = (0, b"") if head is None else head
    salt, body = probe.bytes, b"{}"
    digest = hashlib.sha256(salt + body).digest()
    first = (position + 1) * MAX_PER_EVENT
    return ledger_id, position, commitment, probe, digest, salt, body, first, subject
