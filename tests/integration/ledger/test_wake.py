"""Long polls: woken at once by a notification, by a poll in any case, at the price of one query."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.kit import clock
from services.ledger import wake
from services.ledger.store import Window
from services.ledger.wake import Wake, page_or_wait
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.test_reads import positions

pytestmark = pytest.mark.postgres
WAITERS = 200


@contextlib.asynccontextmanager
async def waking(ledger: Ledger) -> AsyncIterator[Wake]:
    made = Wake(ledger.reader)
    task = asyncio.create_task(made.run())
    while not await listeners(ledger):  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.02)
    yield made
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def listeners(ledger: Ledger) -> list[int]:
    """The server processes whose connection listens."""
    rows = await ledger.sql.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE '%wake' AND query LIKE 'LISTEN%'"
    )
    return [row["pid"] for row in rows]


def wait(ledger: Ledger, made: Wake, after: int, seconds: float = 20) -> asyncio.Task[Window]:
    page = page_or_wait(ledger.reader, made, "main", after, 10, wait=seconds)
    return asyncio.create_task(page)


async def test_a_waiting_reader_has_its_page_50_ms_after_the_commit(ledger: Ledger) -> None:
    appender, took = ledger.appender(), []
    async with waking(ledger) as made:
        for n in range(15):
            poll = wait(ledger, made, n)
            await asyncio.sleep(0.05)
            await appender.append_each([submission()])
            committed = clock.monotonic()
            assert positions(await poll) == [n + 1]
            took.append(clock.monotonic() - committed)
    assert statistics.median(took) < 0.05, took


async def test_a_lost_listening_connection_costs_the_polls_latency_and_no_more(
    ledger: Ledger,
) -> None:
    appender = ledger.appender()
    async with waking(ledger) as made:
        for n in range(3):
            (pid,) = await listeners(ledger)
            poll = wait(ledger, made, n)
            await asyncio.sleep(0.05)
            await ledger.sql.execute("SELECT pg_terminate_backend($1)", pid)
            await appender.append_each([submission()])
            committed = clock.monotonic()
            assert positions(await poll) == [n + 1]
            assert clock.monotonic() - committed < wake.POLL_SECONDS + 0.5
            deadline = clock.monotonic() + 10
            while await listeners(ledger) in ([], [pid]):
                assert clock.monotonic() < deadline
                await asyncio.sleep(0.05)


async def test_without_any_notification_the_poll_wakes(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake, "CHANNEL", "nobody_speaks_here")
    async with waking(ledger) as made:
        poll = wait(ledger, made, 0)
        await asyncio.sleep(0.05)
        await ledger.appender().append_each([submission()])
        committed = clock.monotonic()
        assert positions(await poll) == [1]
        assert clock.monotonic() - committed < wake.POLL_SECONDS + 0.5


async def test_many_waiting_readers_cost_one_query_each(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    page = ledger.reader.page

    async def counted(*arguments: Any, **filters: Any) -> Window:
        nonlocal asked
        asked += 1
        return await page(*arguments, **filters)

    monkeypatch.setattr(ledger.reader, "page", counted)
    appender = ledger.appender()
    async with waking(ledger) as made:
        polls = [wait(ledger, made, 0) for _ in range(WAITERS)]
        await asyncio.sleep(1.5)
        assert asked == WAITERS  # one each before it waits, and none while it does
        await appender.append_each([submission() for _ in range(5)])
        assert {tuple(positions(await poll)) for poll in polls} == {(1, 2, 3, 4, 5)}
        assert asked == 2 * WAITERS


async def test_a_reader_that_goes_away_leaves_nothing_behind(ledger: Ledger) -> None:
    async with waking(ledger) as made:
        gone = [wait(ledger, made, 0) for _ in range(20)]
        short = [wait(ledger, made, 0, 2) for _ in range(20)]
        event = made.news("main")
        waiters = event._waiters
        async with asyncio.timeout(1.5):
            while len(waiters) < 40:  # noqa: ASYNC110 - the length is all that tells
                await asyncio.sleep(0.01)
        for poll in gone:
            poll.cancel()
        await asyncio.gather(*gone, *short, return_exceptions=True)
        assert len(waiters) == 0
        assert made._news == {"main": event}  # one for the ledger, however many have waited
        await ledger.appender().append_each([submission()])
        await asyncio.wait_for(event.wait(), 3)
        assert made._news == {}


async def test_a_ledger_that_was_set_back_wakes_its_readers_too(ledger: Ledger) -> None:
    made = Wake(ledger.reader)
    made._is_at("main", 50)
    news = made.news("main")
    made._is_at("main", 50)
    assert not news.is_set()
    made._is_at("main", 40)
    assert news.is_set()
