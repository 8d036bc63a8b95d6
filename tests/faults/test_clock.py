"""A clock that is set back: recorded_at stands still until the clock has caught up.

A test cannot set the machine's clock. What a clock that was ahead leaves behind is an event with a
later recorded_at; the owner of the tables puts it there, as an append by another process, and that
is all that the next append can know of it.
"""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from services.kit import clock
from tests.faults.conftest import note, seeds
from tests.faults.doors import Engine
from tests.faults.record import Call, Record, Sent
from tests.faults.schedule import Run, Stage, play
from tests.faults.workload import FINE, Workload

pytestmark = [pytest.mark.postgres, pytest.mark.slow]
LOCK = "SELECT pg_advisory_xact_lock(1818584167, $1)"
HEAD = "SELECT coalesce(max(position), 0) FROM ledger.event WHERE ledger_id = $1"
EVENT = """
INSERT INTO ledger.event (ledger_id, position, event_uuid, source, type, subject_ids, versions,
                          recorded_at, principal, assurance, commitment)
SELECT $1, $2::bigint, $3, '/clock', $4, ARRAY[$2::bigint * 64], ARRAY[1],
       greatest(clock_timestamp() + $5::interval,
                (SELECT max(recorded_at) FROM ledger.event WHERE ledger_id = $1)),
       'key:test', 'A2', $6
"""
BODY = "INSERT INTO ledger.event_body VALUES ($1, $2, $3, $4)"
SUBJECT = "INSERT INTO ledger.subject VALUES ($1, $2::bigint * 64, $3)"
HISTORY = "INSERT INTO ledger.history VALUES ($1, $2::bigint * 64, 1, $2::bigint)"


async def append_with_clock_ahead(run: Run, ahead: timedelta) -> None:
    """Store an event as a process would whose clock is ahead; it counts as of unknown outcome."""
    number, subject = uuid.uuid4(), f"clock:{uuid.uuid4()}"
    event: dict[str, Any] = {
        "specversion": "1.0", "id": str(number), "source": "/clock", "type": FINE,
        "subject": subject,
    }  # fmt: skip
    call = Call((Sent.of(event),), {}, clock.monotonic())
    run.record.calls.append(call)
    origin = {"principal": "key:test", "assurance": "A2"}
    stored = {"event": event, "origin": origin}
    body = json.dumps(stored, sort_keys=True, separators=(",", ":")).encode()
    salt = run.chance.randbytes(16)
    sql = await asyncpg.connect(run.stage.url)
    async with sql.transaction():
        await sql.execute(LOCK, run.row.id)
        head = 1 + await sql.fetchval(HEAD, run.row.id)
        commitment = hashlib.sha256(salt + body).digest()
        await sql.execute(EVENT, run.row.id, head, number, FINE, ahead, commitment)
        await sql.execute(BODY, run.row.id, head, salt, body)
        await sql.execute(SUBJECT, run.row.id, head, subject)
        await sql.execute(HISTORY, run.row.id, head)
    await sql.close()


@pytest.mark.parametrize("seed", seeds(0.03))
async def test_a_clock_that_is_set_back(stage: Stage, seed: int) -> None:
    chance = random.Random(f"clock/{seed}")
    row = await stage.ledger()
    run = Run(stage, row, chance, Workload(chance), [Engine(stage.url, row)], Record(row.name))
    aheads = [timedelta(seconds=chance.choice([0.2, 60, 7200])) for _ in range(3)]

    async def set_back(run: Run) -> None:
        for ahead in aheads:
            await append_with_clock_ahead(run, ahead)
            run.fired.append("clock set back")

    await play(run, callers=3, calls=4, disturbances=[set_back])
    note(run.record, run.fired)
    latest = max(row.recorded_at for row in run.record.rows)
    assert run.record.rows[-1].recorded_at == latest
    if max(aheads) > timedelta(minutes=1):
        assert latest > clock.now()
