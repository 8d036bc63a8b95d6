"""Appends at full speed while the log is sealed, witnessed and verified: nobody cries wolf."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from services.kit import clock
from services.kit.tlog.checkpoint import Checkpoint
from services.ledger.verify.whole import verify
from services.ledger.verify.work import Job
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.sealing import Workshop
from tests.integration.ledger.test_witnesses import Quorum

pytestmark = [pytest.mark.postgres, pytest.mark.slow]
EVENTS = int(os.environ.get("RLG_TEST_BESIDE_EVENTS", "12000"))
CALLERS, EACH = 8, 50


def batches() -> Iterator[list[str]]:
    for start in range(0, EVENTS, EACH):
        yield [f"release:{n % 4000}" for n in range(start, min(start + EACH, EVENTS))]


@pytest.mark.timeout(3600)
async def test_nothing_that_is_right_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    """The quorum is required: a witness that refuses once would stop the sealer."""
    workshop, appender = Workshop(ledger.url, tmp_path), ledger.appender()
    workshop.begin()
    quorum = Quorum(workshop)
    running = quorum.sealer(quorum.witnesses(required=True))
    sealing = asyncio.create_task(running.run())
    todo, verified = batches(), list[Checkpoint]()

    async def append() -> None:
        for some in todo:
            outcomes = await appender.append_all([submission(s, "service:pay") for s in some])
            assert {outcome.kind for outcome in outcomes} == {"appended"}

    def check(head: Checkpoint, *older: Checkpoint) -> Checkpoint:
        naming = workshop.keys.naming.checker.pem()
        job = Job(head, workshop.shelf, "main", ledger.url, naming)
        verify(job, 1, lambda _: None, older)
        return head

    async def watch() -> None:
        while not workshop.seen:  # noqa: ASYNC110 - nobody has cosigned the empty tree
            await asyncio.sleep(0.01)
        while True:
            verified.append(
                await asyncio.to_thread(check, quorum.believed(), *workshop.seen[-3:-1])
            )

    async def until(size: int) -> None:
        while not verified or verified[-1].size < size:
            assert not sealing.done(), sealing.exception()
            assert not watching.done(), watching.exception()
            await asyncio.sleep(0.1)

    watching, began = asyncio.create_task(watch()), clock.monotonic()
    await asyncio.gather(*(append() for _ in range(CALLERS)))
    took = clock.monotonic() - began
    await until(EVENTS)
    for task in (sealing, watching):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await quorum.close()
    assert verified[-1].size == EVENTS
    print(  # noqa: T201 - the figures of this run
        f"{EVENTS} events in {took:.0f} s ({EVENTS / took:.0f}/s); {len(workshop.seen)} checkpoints"
        f" that two witnesses cosigned, {len(verified)} verifications, nothing refused"
    )
