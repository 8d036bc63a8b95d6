"""Failover: the primary dies, its standby takes over; nothing acknowledged is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from contracts.problem import Unavailable
from deploy.embedded import EmbeddedPostgres, EmbeddedStandby
from migrations.run import upgrade
from services.kit import clock, database
from services.ledger import certify, settling, writer
from services.ledger.appender import Appender, Outcome, Submission
from services.ledger.fence import Fence
from services.ledger.receipt import Acknowledgement
from services.ledger.store import Reader
from services.ledger.writer import Writer
from tests.faults.servers import SETTINGS, frozen, kill_at_once, standby_of
from tests.integration.ledger.conftest import Ledger, submission
from tests.story.served import ROOT, environment

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(180)]
CALLERS = 6
DATABASE = "failover"


@contextlib.asynccontextmanager
async def migrated_pair(home: Path) -> AsyncIterator[tuple[EmbeddedPostgres, EmbeddedStandby]]:
    primary = EmbeddedPostgres(home / "first", SETTINGS)
    await primary.start()
    try:
        await primary.ensure_database(DATABASE)
        await asyncio.to_thread(upgrade, primary.dsn(DATABASE), "ledger")
        async with standby_of(primary, home / "second", "second") as standby:
            yield primary, standby
    finally:
        await primary.stop()


class Engine:
    """A process that appends in certified mode, as far as a test can see."""

    def __init__(self, appender: Appender, reader: Reader, fence: Fence) -> None:
        self.appender = appender
        self.reader = reader
        self.fence = fence

    async def append(self, item: Submission, seconds: float = 60) -> Outcome:
        """Append one event, or raise `Unavailable`."""
        (outcome,) = await asyncio.wait_for(self.appender.append_each([item]), seconds)
        return outcome

    async def acknowledges(self, item: Submission, seconds: float) -> bool:
        """Say whether the event is acknowledged in time."""
        with contextlib.suppress(TimeoutError, Unavailable):
            return (await self.append(item, seconds)).receipt is not None
        return False


@contextlib.asynccontextmanager
async def engine(
    server: EmbeddedPostgres, fence: Fence | None = None, epoch: int | None = None
) -> AsyncIterator[Engine]:
    """Run a process in certified mode; with `epoch`, one not certified that is in that epoch."""
    url, fence = server.dsn(DATABASE), fence or Fence()
    reader = Reader(database.engine(url, "failover"))
    work: asyncio.Task[None] | None = None
    try:
        await reader.open(["main"])
        list(map(fence.admit, reader.ledgers))
        row = reader.ledger("main")
        writer = Writer(url, replace(row, epoch=epoch or row.epoch), certified=epoch is None)
        appender = Appender(writer)
        work = asyncio.create_task(appender.run())
        yield Engine(appender, reader, fence)
    finally:
        if work is not None:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        await reader.close()


class Load:
    """Callers that append one event after the other, each until it is acknowledged."""

    def __init__(self, engine: Engine) -> None:
        self.receipts: dict[str, Acknowledgement] = {}
        self.sent: dict[str, Submission] = {}
        self._engine = engine
        self._tasks = [asyncio.create_task(self._call(n)) for n in range(CALLERS)]

    async def _call(self, caller: int) -> None:
        for n in range(1, 1_000_000):
            id_ = f"{caller}-{n}"
            self.sent[id_] = item = submission("s:all", f"own:{caller}", f"new:{id_}", id=id_)
            outcome = await self._engine.append(item)
            assert outcome.kind == "appended"
            assert outcome.receipt is not None
            self.receipts[id_] = outcome.receipt

    async def reach(self, count: int) -> None:
        while len(self.receipts) < count:  # noqa: ASYNC110 - to look is all we can
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def ceremony(server: EmbeddedPostgres, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m services epoch` as an operator does."""
    return subprocess.run(
        [sys.executable, "-m", "services", "epoch", *arguments],
        env=environment(DATABASE_URL=server.dsn(DATABASE)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def whole(server: EmbeddedPostgres) -> int:
    """Check I1, I2, I3 and the commitments; return the head."""
    sql = await asyncpg.connect(server.dsn(DATABASE))
    try:
        return await Ledger(server.dsn(DATABASE), sql, None).check()  # type: ignore[arg-type]
    finally:
        await sql.close()


async def test_no_acknowledged_event_is_lost_and_the_former_primary_takes_none(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("RLG_TEST_SEED", random.randrange(2**32)))
    print(f"RLG_TEST_SEED={seed}")  # noqa: T201 - to run the same again
    chance = random.Random(seed)
    async with migrated_pair(tmp_path) as (first, second):
        async with engine(first) as before:
            load = Load(before)
            await load.reach(chance.randint(50, 400))
            await asyncio.sleep(chance.uniform(0, 0.05))
            kill_at_once(first)
            await load.stop()
        assert "promote it first" in ceremony(second, "--reason", "too early").stderr
        await second.promote()
        told = ceremony(second, "--reason", "the first machine is lost").stdout
        assert "was in epoch 1 and is in epoch 2" in told
        async with standby_of(second, tmp_path / "third", "third"):
            fence = await go_on(second, load)
            assert await whole(second) == len(load.sent) + 1
        await refuse(first, fence, load)


async def go_on(server: EmbeddedPostgres, load: Load) -> Fence:
    """Send all again to the new primary: first receipts, and what was open is stored once."""
    async with engine(server) as after:
        open_ = [id_ for id_ in load.sent if id_ not in load.receipts]
        assert open_, "every event was acknowledged: the kill came too late to prove anything"
        for id_, receipt in load.receipts.items():
            again = await after.append(load.sent[id_])
            assert again.receipt == receipt, f"{id_} is not where it was acknowledged"
        for id_ in open_:
            assert (await after.append(load.sent[id_])).receipt is not None
        assert (await after.append(submission())).kind == "appended"
        return after.fence


async def refuse(former: EmbeddedPostgres, fence: Fence, load: Load) -> None:
    """Start the former primary again, alone, as if nothing had happened."""
    await former.stop()
    await former.start()
    with pytest.raises(Unavailable, match="epoch 1, and epoch 2 has begun"):
        async with engine(former, fence):
            pass
    async with engine(former, epoch=2) as moved:  # its address led to the new primary before
        known = next(iter(load.receipts))
        for item in (submission(), load.sent[known]):  # a duplicate would be an acknowledgement too
            with pytest.raises(Unavailable, match="must not be appended to: nothing was stored"):
                await moved.append(item)
    async with engine(former) as ignorant:
        for item in (submission(), load.sent[known]):
            assert not await ignorant.acknowledges(item, 3)


async def test_without_its_standby_a_ledger_acknowledges_nothing_and_then_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Patience by default is half a minute: less will do here.
    monkeypatch.setattr(writer, "CALL_SECONDS", 1.0)
    monkeypatch.setattr(settling, "GIVE_UP_SECONDS", 2)
    monkeypatch.setattr(certify, "CONFIRM_SECONDS", 1)
    async with migrated_pair(tmp_path) as (first, second), engine(first) as process:
        stored, late = submission("s:1"), submission("s:1")
        assert await process.acknowledges(stored, 30)
        await second.stop()
        with pytest.raises(Unavailable):
            await process.appender.append_each([late], deadline=clock.monotonic() + 2)
        assert not await process.acknowledges(stored, 1), "a duplicate is an acknowledgement too"
        await second.start()
        assert (await process.append(stored)).kind == "duplicate"
        assert (await process.append(late)).receipt is not None
        assert await whole(first) == 2


CANCEL = """
SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_stat_activity
 WHERE wait_event = 'SyncRep' AND application_name LIKE '%writer%'
"""


async def test_a_wait_that_is_cancelled_again_and_again_acknowledges_nothing(
    tmp_path: Path,
) -> None:
    async with (
        migrated_pair(tmp_path) as (first, second),
        engine(first) as one,
        engine(first) as other,
    ):
        item = submission("s:1")
        sql = await asyncpg.connect(first.dsn(DATABASE))
        with frozen(second):
            answers = [asyncio.create_task(process.append(item)) for process in (one, other)]
            cancelled = 0
            while cancelled < 10 and not any(answer.done() for answer in answers):
                cancelled += await sql.fetchval(CANCEL)
                await asyncio.sleep(0.05)
            assert await sql.fetchval("SELECT count(*) FROM ledger.event") == 1, "it can be read"
            assert not any(answer.done() for answer in answers)
        outcomes = await asyncio.gather(*answers)
        await sql.close()
        assert [o.receipt for o in outcomes] == [outcomes[0].receipt] * 2
        assert outcomes[0].receipt is not None
        assert await whole(first) == 1
