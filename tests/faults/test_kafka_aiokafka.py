"""Where aiokafka 0.14 loses its way for good (aiokafka#1017), on a real broker; our relay goes on.

Three tests hold what the library does alone: should one fail after an update, a rule of ours may be
needless now. Nothing is faked but the moment: whether the partition has a leader, and a counter
that would need two thousand million records.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import LeaderNotAvailableError, OutOfOrderSequenceNumber, UnknownError

from contracts import topics
from services.kit.kafka import KafkaProducer, ensure_topics
from services.kit.metrics import REGISTRY
from tests.faults.kafka_world import EVENTS, World, events
from tests.integration.kafka.live import running

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]
HIGHEST = 2**31 - 1
NOBODYS = [("ledger", b"nobodys")]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes the product 10 s takes one here."""
    monkeypatch.setattr("services.kit.kafka.producer.REQUEST_MS", 1000)


class Leaderless:
    """Lets the events partition have no leader, for whoever asks its metadata for one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.until: Callable[[], bool] = lambda: True
        usual = ClusterMetadata.leader_for_partition

        def leader(cluster: ClusterMetadata, place: Any) -> Any:
            if place != EVENTS or self.until():
                return usual(cluster, place)
            self.asked += 1
            return -1

        monkeypatch.setattr(ClusterMetadata, "leader_for_partition", leader)

    @contextlib.contextmanager
    def now(self) -> Any:
        self.until = lambda: False
        yield
        self.until = lambda: True


@pytest.fixture
def leaderless(monkeypatch: pytest.MonkeyPatch) -> Leaderless:
    return Leaderless(monkeypatch)


@contextlib.asynccontextmanager
async def library(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    await ensure_topics(kafka)
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka, acks="all", enable_idempotence=True, request_timeout_ms=1000
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def one(producer: AIOKafkaProducer) -> BaseException | None:
    """Send a record; return why it is not acknowledged."""
    sent = await producer.send(topics.EVENTS, b"{}", partition=0, headers=NOBODYS)
    async with asyncio.timeout(5):
        await asyncio.wait({sent})
    failure: BaseException | None = sent.exception()
    return failure


async def test_the_library_counts_a_batch_that_it_never_sent(
    kafka: str, leaderless: Leaderless
) -> None:
    async with library(kafka) as producer:
        assert await one(producer) is None
        with leaderless.now():
            assert isinstance(await one(producer), LeaderNotAvailableError)
        for _ in range(3):  # and so for ever
            assert isinstance(await one(producer), OutOfOrderSequenceNumber)


async def test_the_library_counts_into_negative_numbers(kafka: str) -> None:
    async with library(kafka) as producer:
        producer._txn_manager._sequence_numbers[EVENTS] = HIGHEST
        assert await one(producer) is None
        for _ in range(3):  # Java goes on with 0
            assert isinstance(await one(producer), UnknownError)


async def test_a_new_producer_of_the_library_may_begin_with_its_second_batch(
    kafka: str, leaderless: Leaderless
) -> None:
    async with library(kafka) as producer:
        with leaderless.now():
            assert isinstance(await one(producer), LeaderNotAvailableError)
        assert await one(producer) is None  # the broker takes any number as the first one


def rebuilds(here: World) -> float:
    return REGISTRY.get_sample_value("rlg_relay_rebuilds_total", {"ledger": here.name}) or 0


async def relayed_whole(here: World) -> None:
    await here.relayed(30)
    await here.judge_relay(await here.history())


async def test_a_relay_survives_a_batch_that_was_counted_and_not_sent(
    here: World, leaderless: Leaderless
) -> None:
    some = events(random.Random(1), 6)
    producer = KafkaProducer(here.place.kafka, "faults")
    async with running(here.ledger.relay(here.place.kafka, producer=producer).run()):
        await here.append(some[:30])
        await here.relayed()
        former = producer._live
        with leaderless.now():
            await here.append(some[30:60])
            async with asyncio.timeout(10):
                while not rebuilds(here):  # noqa: ASYNC110 - metrics tell nobody
                    await asyncio.sleep(0.01)
        assert former is not None
        assert former._txn_manager._sequence_numbers[EVENTS] > 30, "counted"
        await here.append(some[60:])
        await relayed_whole(here)
        assert producer._live is not former
    assert leaderless.asked


@pytest.mark.parametrize("seconds", [0.3, 3.5])
async def test_a_relay_outlasts_a_partition_without_a_leader(
    here: World, leaderless: Leaderless, seconds: float
) -> None:
    some = events(random.Random(2), 24)
    relay = here.ledger.relay(here.place.kafka)
    async with running(relay.run()):
        await here.append(some[:5])
        await here.relayed()
        with leaderless.now():
            await here.append(some[5:])
            await asyncio.sleep(seconds)
            assert await here.ledger.confirmed() == 5
        await relayed_whole(here)
        assert await relay.check() is None
    assert leaderless.asked


async def test_a_relay_says_so_until_something_is_delivered_again(
    here: World, leaderless: Leaderless
) -> None:
    relay = here.ledger.relay(here.place.kafka)
    async with running(relay.run()):
        with leaderless.now():
            await here.append(events(random.Random(4), 3))
            async with asyncio.timeout(10):
                while not rebuilds(here):  # noqa: ASYNC110 - metrics tell nobody
                    await asyncio.sleep(0.01)
            said = []
            for _ in range(40):
                said.append(await relay.check())
                await asyncio.sleep(0.05)
        assert None not in said
        await relayed_whole(here)
        assert await relay.check() is None


async def test_a_new_relay_whose_first_batch_expires_sends_nothing_behind_it(
    here: World, leaderless: Leaderless
) -> None:
    """The leader comes back the moment the first of several batches has been given up."""
    for number in range(3):
        await here.append(events(random.Random(number), 13))
    producer = KafkaProducer(here.place.kafka, "faults")

    def counted() -> bool:
        live = producer._live
        return bool(rebuilds(here)) or (
            live is not None and live._txn_manager._sequence_numbers[EVENTS] > 0
        )

    leaderless.until = counted
    async with running(here.ledger.relay(here.place.kafka, producer=producer).run()):
        await relayed_whole(here)
    assert leaderless.asked


async def test_a_relay_survives_the_end_of_the_sequence_numbers(here: World) -> None:
    some = events(random.Random(3), 6)
    producer = KafkaProducer(here.place.kafka, "faults")
    await producer.deliver([])
    assert producer._live is not None
    producer._live._txn_manager._sequence_numbers[EVENTS] = HIGHEST - 25
    async with running(here.ledger.relay(here.place.kafka, producer=producer).run()):
        for start in range(0, len(some), 10):
            await here.append(some[start : start + 10])
            await asyncio.sleep(0.05)
        await relayed_whole(here)
    assert rebuilds(here) == 1
