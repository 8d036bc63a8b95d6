"""What Kafka loses, repeats or garbles never reaches a reader: the ledger fills in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from contracts import topics
from services.kit.kafka import FeedBroken, KafkaFeed, KafkaProducer, Record
from services.kit.metrics import REGISTRY
from tests.integration.kafka.live import LiveLedger, running

pytestmark = pytest.mark.kafka
PLACE = TopicPartition(topics.EVENTS, 0)


class Reader:
    """Collects what a feed gives, from a feed that is already listening."""

    def __init__(self, feed: KafkaFeed, ledger: str, after: int = 0) -> None:
        self._batches: Any = feed.follow(ledger, after)
        self.positions: list[int] = []

    async def ready(self) -> None:
        """Take the first batch: from here on the feed listens at the end of the topic."""
        self.positions += [e.position for e in await anext(self._batches)]

    async def take(self, count: int, seconds: float = 3) -> list[int]:
        async with asyncio.timeout(seconds):
            while len(self.positions) < count:
                self.positions += [e.position for e in await anext(self._batches)]
        return self.positions

    async def close(self) -> None:
        await self._batches.aclose()


@contextlib.asynccontextmanager
async def reading(broker: str, ledger: LiveLedger, **how: Any) -> AsyncIterator[Reader]:
    reader = Reader(KafkaFeed(broker, ledger, **how), ledger.name)
    try:
        await reader.ready()
        yield reader
    finally:
        await reader.close()


async def records(ledger: LiveLedger, broker: str) -> list[Record]:
    """Return the records that the relay would send, by position from 1."""
    relay = ledger.relay(broker)
    return [
        relay._record(event, b"1") for event in (await ledger.reader.page(ledger.name, 0)).events
    ]


def gaps(ledger: LiveLedger) -> float:
    return REGISTRY.get_sample_value("rlg_feed_gaps_total", {"ledger": ledger.name}) or 0


def with_header(record: Record, name: str, raw: bytes | None) -> Record:
    kept = tuple(pair for pair in record.headers if pair[0] != name)
    return replace(record, headers=kept if raw is None else ((name, raw), *kept))


async def test_records_that_never_came_are_read_from_the_ledger(
    broker: str, ledger: LiveLedger, producer: KafkaProducer
) -> None:
    async with reading(broker, ledger) as reader:
        await ledger.append(9)
        r = await records(ledger, broker)
        await producer.deliver([r[0], r[1], r[5]])  # 3, 4, 5 are missing
        assert await reader.take(6) == list(range(1, 10))
        assert gaps(ledger) == 1


async def test_repeated_records_are_dropped(
    broker: str, ledger: LiveLedger, producer: KafkaProducer
) -> None:
    async with reading(broker, ledger) as reader:
        await ledger.append(3)
        r = await records(ledger, broker)
        pages = ledger.pages_read
        await producer.deliver([r[0], r[1], r[0], r[1], r[0], r[2], r[1]])
        assert await reader.take(3) == [1, 2, 3]
        assert (gaps(ledger), ledger.pages_read) == (0, pages)
        await ledger.append(1)
        await producer.deliver((await records(ledger, broker))[2:])
        assert await reader.take(4) == [1, 2, 3, 4]


async def test_records_of_other_ledgers_are_passed_over(
    broker: str, ledger: LiveLedger, producer: KafkaProducer
) -> None:
    async with reading(broker, ledger) as reader:
        await ledger.append(2)
        r = await records(ledger, broker)
        other = with_header(r[0], topics.HEADER_LEDGER, b"another")
        strange = with_header(other, topics.HEADER_EPOCH, b"7")
        await producer.deliver([other, r[0], strange, other, r[1], other])
        assert await reader.take(2) == [1, 2]
        assert gaps(ledger) == 0


GARBLED: dict[str, Callable[[Record], Record]] = {
    "no value": lambda r: replace(r, value=None),
    "not JSON": lambda r: replace(r, value=b"\xff{"),
    "not an event": lambda r: replace(r, value=b'{"position": 2}'),
    "deeply nested": lambda r: replace(r, value=b"[" * 100_000),
    "other position": lambda r: with_header(r, topics.HEADER_POSITION, b"1000000"),
    "no position": lambda r: with_header(r, topics.HEADER_POSITION, None),
    "position zero": lambda r: with_header(r, topics.HEADER_POSITION, b"0"),
    "no ledger": lambda r: with_header(r, topics.HEADER_LEDGER, None),
    "no epoch": lambda r: with_header(r, topics.HEADER_EPOCH, b"one"),
    "other commitment": lambda r: with_header(r, topics.HEADER_COMMITMENT, b"00"),
}


@pytest.mark.parametrize("how", [h for h in GARBLED if h != "other position"])
async def test_a_garbled_record_is_a_gap(
    broker: str, ledger: LiveLedger, producer: KafkaProducer, how: str
) -> None:
    async with reading(broker, ledger) as reader:
        await ledger.append(4)
        r = await records(ledger, broker)
        await producer.deliver([r[0], GARBLED[how](r[1]), r[2], r[3]])
        assert await reader.take(4) == [1, 2, 3, 4]
        assert gaps(ledger) == 1


async def test_kafka_ahead_of_the_ledger_stops_the_reader(
    broker: str, ledger: LiveLedger, producer: KafkaProducer
) -> None:
    async with reading(broker, ledger) as reader:
        await ledger.append(2)
        r = await records(ledger, broker)
        await producer.deliver([r[0], GARBLED["other position"](r[1])])
        with pytest.raises(FeedBroken, match="shows position 1000000, and the ledger ends at 2"):
            await reader.take(3)
        assert reader.positions == [1]


async def test_another_epoch_stops_the_reader(
    broker: str, ledger: LiveLedger, producer: KafkaProducer
) -> None:
    async with reading(broker, ledger) as reader:
        await ledger.append(1)
        [record] = await records(ledger, broker)
        await producer.deliver([with_header(record, topics.HEADER_EPOCH, b"2")])
        with pytest.raises(FeedBroken, match="in epoch 2, and we follow epoch 1"):
            await reader.take(1)


async def test_a_reader_that_starts_again_follows_the_epoch_that_the_ledger_tells(
    broker: str, ledger: LiveLedger, producer: KafkaProducer
) -> None:
    async def second(_: str) -> int:
        return 2

    async with reading(broker, ledger, epoch_of=second) as reader:
        await ledger.append(1)
        [record] = await records(ledger, broker)
        await producer.deliver([with_header(record, topics.HEADER_EPOCH, b"2")])
        assert await reader.take(1) == [1]


async def test_without_any_relay_the_ledger_is_asked_after_a_silence(
    broker: str, ledger: LiveLedger
) -> None:
    async with reading(broker, ledger, silence=0.3) as reader:
        await ledger.append(5)
        assert await reader.take(5, seconds=2) == [1, 2, 3, 4, 5]
        assert gaps(ledger) == 1


async def test_records_deleted_before_they_were_read_are_refilled(
    broker: str, ledger: LiveLedger
) -> None:
    await ledger.append(20)
    async with running(ledger.relay(broker).run()):
        async with reading(broker, ledger) as reader:
            assert await reader.take(20) == list(range(1, 21))
            await _delete_all(broker)
            await ledger.append(5)
            assert await reader.take(25) == list(range(1, 26))
        await _delete_all(broker)
        async with reading(broker, ledger) as reader:  # the topic is empty
            assert await reader.take(25) == list(range(1, 26))


async def _delete_all(broker: str) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await consumer.start()
    await admin.start()
    try:
        end = (await consumer.end_offsets([PLACE]))[PLACE]
        await admin.delete_records({PLACE: RecordsToDelete(before_offset=end)})
        assert (await consumer.beginning_offsets([PLACE]))[PLACE] == end
    finally:
        await consumer.stop()
        await admin.close()
