"""The physical limit of a Kafka feed: one record through the same broker and back, nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.workload import report
from services.kit import clock

TOPIC = "bench.roundtrip"
_ANSWER_SECONDS = 30


class Roundtrip:
    """A producer and a consumer of one partition."""

    def __init__(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self._producer = producer
        self._consumer = consumer

    async def measure(self, seconds: float, per_second: float) -> list[float]:
        """Send records at a steady pace; return the seconds from each send to its arrival."""
        value = json.dumps(report("pay-1", "run-1", "test")).encode()
        count = max(1, int(seconds * per_second))
        sent: dict[bytes, float] = {}

        async def send(number: int) -> None:
            key = f"{number}".encode()
            sent[key] = clock.monotonic()
            await self._producer.send_and_wait(TOPIC, value, key=key, partition=0)

        arrived = asyncio.create_task(self._arrivals(count))
        try:
            await paced(send, count, per_second)
            async with asyncio.timeout(_ANSWER_SECONDS):
                seen = await arrived
        finally:
            arrived.cancel()
        return [seen[key] - began for key, began in sent.items()]

    async def _arrivals(self, count: int) -> dict[bytes, float]:
        seen: dict[bytes, float] = {}
        while len(seen) < count:
            for records in (await self._consumer.getmany(timeout_ms=1000)).values():
                now = clock.monotonic()
                seen |= {record.key: now for record in records}
        return seen


async def paced(
    act: Callable[[int], Coroutine[Any, Any, None]], count: int, per_second: float
) -> None:
    """Start `act(n)` at n ÷ per_second, whether those before have ended or not: an open loop."""
    starts = clock.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            await asyncio.sleep(max(0.0, starts + number / per_second - clock.monotonic()))
            tasks.create_task(act(number))


@asynccontextmanager
async def roundtrip(bootstrap: str) -> AsyncIterator[Roundtrip]:
    """Make the topic and connect, with the settings of the product's own clients."""
    await _make_topic(bootstrap)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False
    )
    try:
        await producer.start()
        await consumer.start()
        place = TopicPartition(TOPIC, 0)
        consumer.assign([place])
        await consumer.seek_to_end(place)
        yield Roundtrip(producer, consumer)
    finally:
        await consumer.stop()
        await producer.stop()


async def _make_topic(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    finally:
        await admin.close()
