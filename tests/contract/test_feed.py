"""One suite for every feed: gapless, in order, each event once, from any cursor, also when idle."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from contracts.event import RecordedEvent
from services.kit.kafka import KafkaFeed, ensure_topics
from services.kit.ports import Feed
from services.kit.remote import HttpFeed, HttpLedger
from tests.integration.kafka.live import LiveLedger, live_ledger, running


class MemoryFeed:
    """The plainest feed that keeps the promise; tests of readers can use it."""

    def __init__(self) -> None:
        self._events: list[RecordedEvent] = []
        self._news = asyncio.Event()

    def add(self, *events: RecordedEvent) -> None:
        self._events += events
        self._news.set()
        self._news = asyncio.Event()

    async def follow(self, ledger: str, after: int) -> AsyncIterator[list[RecordedEvent]]:  # noqa: ARG002
        while True:
            news = self._news
            batch = self._events[after:]
            yield batch
            after += len(batch)
            if not batch:
                await news.wait()


async def _copy(ledger: LiveLedger, feed: MemoryFeed) -> None:
    after = 0
    while True:
        page = await ledger.page(ledger.name, after, wait=5)
        feed.add(*page.events)
        after += len(page.events)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[LiveLedger]:
    async with live_ledger(database_url) as opened:
        yield opened


@pytest.fixture(params=["memory", "http", pytest.param("kafka", marks=pytest.mark.kafka)])
def transport(request: pytest.FixtureRequest) -> str:
    """What feeds; for Kafka its bootstrap servers."""
    return str(request.getfixturevalue("kafka") if request.param == "kafka" else request.param)


@pytest.fixture
async def feed(transport: str, ledger: LiveLedger) -> AsyncIterator[Feed]:
    if transport == "memory":
        memory = MemoryFeed()
        async with running(_copy(ledger, memory)):
            yield memory
    elif transport == "http":
        yield HttpFeed(cast("HttpLedger", ledger), limit=7)
    else:
        await ensure_topics(transport)
        async with running(ledger.relay(transport).run()):
            yield KafkaFeed(transport, ledger)


async def _take(
    feed: Feed, ledger: str, after: int, count: int, seconds: float = 4
) -> list[RecordedEvent]:
    """Follow until `count` events came; for less than the silence that would help a Kafka feed."""
    found: list[RecordedEvent] = []
    async with (
        asyncio.timeout(seconds),
        contextlib.aclosing(_follow(feed, ledger, after)) as batches,
    ):
        async for batch in batches:
            found += batch
            if len(found) >= count:
                return found
    raise AssertionError("a feed never ends")


def _follow(feed: Feed, ledger: str, after: int) -> Any:
    return feed.follow(ledger, after)


def _positions(events: list[RecordedEvent]) -> list[int]:
    return [event.position for event in events]


async def test_everything_from_the_start_while_the_log_grows(
    feed: Feed, ledger: LiveLedger
) -> None:
    await ledger.append(40)
    reading = asyncio.create_task(_take(feed, ledger.name, 0, 100))
    for _ in range(20):
        await ledger.append(3)
        await asyncio.sleep(0.01)
    assert _positions(await reading) == list(range(1, 101))


async def test_from_a_cursor(feed: Feed, ledger: LiveLedger) -> None:
    await ledger.append(30)
    assert _positions(await _take(feed, ledger.name, 17, 13)) == list(range(18, 31))


async def test_a_reader_comes_back_with_its_cursor(feed: Feed, ledger: LiveLedger) -> None:
    await ledger.append(5)
    first = await _take(feed, ledger.name, 0, 5)
    await ledger.append(5)
    second = await _take(feed, ledger.name, first[-1].position, 5)
    assert _positions(first + second) == list(range(1, 11))


async def test_an_idle_ledger_is_caught_up_with(feed: Feed, ledger: LiveLedger) -> None:
    await ledger.append(12)
    await asyncio.sleep(0.5)  # nothing more comes
    assert _positions(await _take(feed, ledger.name, 0, 12)) == list(range(1, 13))


async def test_news_come_while_waiting(feed: Feed, ledger: LiveLedger) -> None:
    reading = asyncio.create_task(_take(feed, ledger.name, 0, 1))
    await asyncio.sleep(1)
    await ledger.append()
    assert _positions(await asyncio.wait_for(reading, 2)) == [1]


async def test_two_readers_get_everything_each(feed: Feed, ledger: LiveLedger) -> None:
    reading = [asyncio.create_task(_take(feed, ledger.name, 0, 20)) for _ in range(2)]
    await ledger.append(20)
    for one in await asyncio.gather(*reading):
        assert _positions(one) == list(range(1, 21))


async def test_events_are_those_of_the_ledger(feed: Feed, ledger: LiveLedger) -> None:
    receipts = await ledger.append(3, subject="release:pay-1.42")
    found = await _take(feed, ledger.name, 0, 3)
    page = await ledger.page(ledger.name, 0)
    assert found == page.events
    assert [e.commitment for e in found] == [r.commitment for r in receipts]
