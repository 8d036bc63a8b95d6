"""Time limits: nobody who stalls inside a ledger's lock stops the others for long."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from services.kit import clock, database
from services.ledger.pool import Pool
from services.ledger.writer import LOCK
from tests.integration.ledger.conftest import Ledger, submission

pytestmark = pytest.mark.postgres


async def test_a_holder_of_the_lock_that_falls_asleep_is_ended_and_the_others_go_on(
    ledger: Ledger,
) -> None:
    appender = ledger.appender()
    await appender.append_each([submission()])
    stalled = await database.connection(ledger.url, "stalled", role="rlg_appender")
    await stalled.execute("BEGIN")
    await stalled.fetchval("SELECT pg_advisory_xact_lock($1, 1)", LOCK)
    began = clock.monotonic()
    outcomes = await asyncio.gather(*(appender.append_each([submission()]) for _ in range(3)))
    assert [o.kind for (o,) in outcomes] == ["appended"] * 3
    assert clock.monotonic() - began > 1  # it did wait for the one who slept
    with pytest.raises(database.DatabaseError):
        await stalled.execute("COMMIT")
    stalled.terminate()
    assert await ledger.check() == 4


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (
            "rlg_appender",
            {"idle_in_transaction_session_timeout": "5s", "transaction_timeout": "19s"},
        ),
        ("rlg_reader", {"idle_in_transaction_session_timeout": "15s", "transaction_timeout": "0"}),
    ],
)
async def test_every_session_has_limits(
    ledger: Ledger, role: str, expected: dict[str, str]
) -> None:
    expected |= {"lock_timeout": "4s", "statement_timeout": "15s"}
    engine = database.engine(ledger.url, "test", role=role)
    async with engine.connect() as lent:
        found = [{n: (await lent.execute(text(f"SHOW {n}"))).scalar_one() for n in expected}]
    await engine.dispose()
    pool = Pool(ledger.url, "test", 1, role=role)
    direct = await database.connection(ledger.url, "test", role=role)
    async with pool.connection() as pooled:
        found += [
            {name: await session.fetchval(f"SHOW {name}") for name in expected}
            for session in (pooled, direct)
        ]
    await direct.close()
    await pool.close()
    assert found == [expected] * 3
