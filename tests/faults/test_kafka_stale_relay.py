"""A relay that is paused until its lease is gone, and then woken, moves and reorders nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest

from services.kit.kafka import KafkaFeed
from services.kit.remote import Client, HttpLedger
from tests.faults.kafka_parts import Moment, Part, relay
from tests.faults.kafka_world import World, batches, events

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]


@contextlib.asynccontextmanager
async def part(*how: Any) -> AsyncIterator[Part]:
    started = Part(*how)
    try:
        yield started
    finally:
        await started.kill()


class Readers:
    """Readers through `KafkaFeed`, each with what it was given."""

    def __init__(self, here: World, count: int) -> None:
        self.given: list[list[int]] = [[] for _ in range(count)]
        self._client = Client(here.place.http, "demo-key")
        self._feed = KafkaFeed(here.place.kafka, HttpLedger(self._client))
        self._name = here.name

    async def _read(self, into: list[int]) -> None:
        following: Any = self._feed.follow(self._name, 0)
        async with contextlib.aclosing(following) as batches_:
            async for batch in batches_:
                into += [event.position for event in batch]

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._read(into)) for into in self.given]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            await self._client.close()
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended

    async def have(self, count: int) -> None:
        async with asyncio.timeout(30):
            while any(len(one) < count for one in self.given):  # noqa: ASYNC110 - tasks fill it
                await asyncio.sleep(0.05)


async def stopped(one: Part) -> None:
    async with asyncio.timeout(20):
        while not one.is_stopped():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.005)


async def taken_over(here: World, fencing: int) -> None:
    async with asyncio.timeout(20):
        while await here.ledger.fencing() <= fencing:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("wakes", ["at once", "first", "late"])
@pytest.mark.parametrize("moment", get_args(Moment))
async def test_who_wakes_behind_its_lease_confirms_nothing(
    here: World, moment: Moment, wakes: str
) -> None:
    readers = Readers(here, 2)
    some = events(random.Random(moment), 12)
    async with readers.reading(), part(relay, here.place, moment, 100) as first:
        await here.append(some[:100])
        await here.relayed()
        held = await here.ledger.fencing()
        await here.append(some[100:150])
        await stopped(first)
        before = await here.ledger.confirmed()
        waits: Moment | None = "read" if wakes == "first" else None
        async with part(relay, here.place, waits, 100) as second:
            await taken_over(here, held)
            if wakes == "late":
                await here.append(some[150:])
                await here.relayed()
            first.signal(signal.SIGCONT)
            if wakes == "first":  # and works, while the holder of the lease has sent nothing yet
                await stopped(second)
                await asyncio.sleep(0.4)
                second.signal(signal.SIGCONT)
            if wakes != "late":
                await here.append(some[150:])
            await here.relayed()
            await asyncio.sleep(0.5)  # whatever the woken one still does
            await readers.have(len(some))
            assert before <= 100
            assert first.is_alive()
    assert len(await here.on_the_topic()) > len(some), "nothing was repeated, nothing was tried"
    await judge(here, readers)


async def test_two_relays_that_are_stopped_in_turn(here: World) -> None:
    chance, readers = random.Random(7), Readers(here, 2)
    some = events(chance, 20)
    async with (
        readers.reading(),
        part(relay, here.place) as first,
        part(relay, here.place) as second,
    ):
        appending = asyncio.create_task(append_slowly(here, chance, some))
        for number in range(4):
            one = (first, second)[number % 2]
            await asyncio.sleep(chance.uniform(0.05, 0.4))
            one.signal(signal.SIGSTOP)
            await asyncio.sleep(chance.uniform(1.1, 1.6))  # longer than the lease
            one.signal(signal.SIGCONT)
        await appending
        await here.relayed()
        await readers.have(len(some))
    assert await here.ledger.fencing() > 1, "nobody took over"
    await judge(here, readers)


async def append_slowly(here: World, chance: random.Random, some: list[dict[str, Any]]) -> None:
    for batch in batches(chance, some, 8):
        await here.append(batch)
        await asyncio.sleep(0.03)


async def judge(here: World, readers: Readers) -> None:
    history = await here.history()
    await here.judge_relay(history)
    for positions in readers.given:
        assert positions == list(range(1, len(history) + 1)), "each position once, in order"
