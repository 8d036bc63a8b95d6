"""The epoch ceremony: one step up, after the last event, recorded for ever."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from contracts.problem import Unavailable
from services.kit.settings import SettingsError
from services.ledger.appender import Appender
from services.ledger.epoch import begin
from services.ledger.fence import moved_on
from services.ledger.writer import LOCK, Writer
from tests.integration.ledger.conftest import Ledger, submission

pytestmark = pytest.mark.postgres


def started_in(epoch: int, ledger: Ledger) -> Appender:
    """Return the appender of a process that started in this epoch."""
    return ledger.appender(Writer(ledger.url, replace(ledger.reader.ledger("main"), epoch=epoch)))


async def test_each_ceremony_raises_the_epoch_by_one_and_leaves_a_record(ledger: Ledger) -> None:
    empty = await begin(ledger.url, "main", "a restore")
    assert (empty.former, empty.present, empty.head, empty.commitment) == (1, 2, 0, "")
    (outcome,) = await started_in(2, ledger).append_each([submission()])
    assert outcome.receipt is not None
    begun = await begin(ledger.url, "main", "a failover")
    assert (begun.former, begun.present, begun.head) == (2, 3, 1)
    assert begun.commitment == outcome.receipt.commitment
    rows = await ledger.sql.fetch("SELECT * FROM ledger.epoch ORDER BY epoch")
    assert [(r["epoch"], r["after_position"], r["reason"]) for r in rows] == [
        (2, 0, "a restore"),
        (3, 1, "a failover"),
    ]
    assert rows[1]["commitment"].hex() == begun.commitment
    assert {r["login"] for r in rows} == {"postgres"}
    assert all(r["person"] for r in rows)


async def test_a_process_that_missed_a_ceremony_appends_nothing_and_says_why(
    ledger: Ledger,
) -> None:
    appender = ledger.appender()
    (outcome,) = await appender.append_each([submission()])
    assert outcome.kind == "appended"
    assert await moved_on(ledger.url, ledger.reader.ledgers) is None
    await begin(ledger.url, "main", "a failover")
    with pytest.raises(Unavailable, match="must not be appended to: nothing was stored"):
        await appender.append_each([submission()])
    assert "is in epoch 2, this process works in epoch 1" in str(
        await moved_on(ledger.url, ledger.reader.ledgers)
    )
    (outcome,) = await started_in(2, ledger).append_each([submission()])
    assert outcome.kind == "appended"
    assert await ledger.check() == 2


async def test_a_ceremony_that_cannot_be_held_changes_nothing(ledger: Ledger) -> None:
    for name, reason, says in (
        ("elsewhere", "why not", "no ledger 'elsewhere'"),
        ("main", "  ", "the epoch stays as it was"),
    ):
        with pytest.raises(SettingsError, match=says):
            await begin(ledger.url, name, reason)
    assert await ledger.sql.fetchval("SELECT epoch FROM ledger.ledger") == 1


async def test_a_ceremony_waits_for_an_append_that_is_under_way(ledger: Ledger) -> None:
    other = await asyncpg.connect(ledger.url)
    lock = other.transaction()
    await lock.start()
    await other.execute("SELECT pg_advisory_xact_lock($1, 1)", LOCK)
    ceremony = asyncio.create_task(begin(ledger.url, "main", "a failover"))
    await asyncio.sleep(0.3)
    assert not ceremony.done()
    await lock.rollback()
    assert (await ceremony).present == 2
    await other.close()


@pytest.mark.parametrize(
    "change", ["UPDATE ledger.epoch SET reason = 'x'", "DELETE FROM ledger.epoch"]
)
async def test_the_record_of_a_ceremony_stays(ledger: Ledger, change: str) -> None:
    await begin(ledger.url, "main", "a failover")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await ledger.sql.execute(change)
