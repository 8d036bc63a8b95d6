"""The relay on a real log and a real broker: order, no loss, one at a time, whatever breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from contracts import topics
from contracts.event import RecordedEvent
from contracts.problem import Unavailable
from services.kit.kafka import Flight, KafkaProducer, Record, Undelivered
from services.kit.metrics import REGISTRY
from services.ledger.epoch import begin
from services.ledger.fence import Fence
from services.ledger.lease import Lease
from services.ledger.relay import Relay
from tests.integration.kafka.live import LiveLedger, running, until

pytestmark = pytest.mark.kafka
PLACE = TopicPartition(topics.EVENTS, 0)
DEAD = "127.0.0.1:9"


class Topic:
    """Everything of one ledger that gets to the events topic from now on."""

    def __init__(self, consumer: AIOKafkaConsumer, ledger: str) -> None:
        self._consumer = consumer
        self._ledger = ledger
        self.positions: list[int] = []
        self.last: dict[str, bytes] = {}

    async def read(self, until_position: int, seconds: float = 10) -> list[int]:
        """Return all positions as they stand in the topic, repetitions included."""
        async with asyncio.timeout(seconds):
            while until_position not in self.positions:
                self._take(await self._consumer.getone())
        return self.positions

    async def more(self, seconds: float) -> list[int]:
        for record in (await self._consumer.getmany(timeout_ms=int(seconds * 1000))).get(PLACE, []):
            self._take(record)
        return self.positions

    def _take(self, record: object) -> None:
        headers = dict(record.headers)  # type: ignore[attr-defined]
        if headers[topics.HEADER_LEDGER].decode() != self._ledger:
            return
        self.positions.append(int(headers[topics.HEADER_POSITION]))
        self.last = headers | {"key": record.key, "value": record.value}  # type: ignore[attr-defined]


@pytest.fixture
async def topic(broker: str, ledger: LiveLedger) -> AsyncIterator[Topic]:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker)
    await consumer.start()
    consumer.assign([PLACE])
    consumer.seek(PLACE, (await consumer.end_offsets([PLACE]))[PLACE])
    yield Topic(consumer, ledger.name)
    await consumer.stop()


def first_occurrences(positions: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(positions))


async def test_every_event_in_order_with_its_headers(
    broker: str, ledger: LiveLedger, topic: Topic
) -> None:
    await ledger.append(300)
    relay = ledger.relay(broker)
    assert await relay.check() == "has not started"
    async with running(relay.run()):
        await topic.read(300)
        await ledger.append(1)
        assert await topic.read(301) == list(range(1, 302))
        await until(lambda: _confirmed(ledger, 301), what="confirmed")
        assert await relay.check() is None
    stored = (await ledger.page(ledger.name, 300)).events[0]
    assert RecordedEvent.model_validate_json(topic.last.pop("value")) == stored
    assert {name: raw.decode() for name, raw in topic.last.items()} == {
        "key": ledger.name,
        "ledger": ledger.name,
        "position": "301",
        "epoch": "1",
        "commitment": stored.commitment,
        "content-type": "application/json",
    }


async def test_a_killed_relay_is_continued_by_the_next(
    broker: str, ledger: LiveLedger, topic: Topic
) -> None:
    for _ in range(6):
        await ledger.append(200)
        task = asyncio.create_task(ledger.relay(broker).run())
        await asyncio.sleep(0.06)  # somewhere between the claim and the last confirmation
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with running(ledger.relay(broker).run()):
        await topic.read(1200)
    assert first_occurrences(topic.positions) == list(range(1, 1201))


class Breaking(KafkaProducer):
    """Fails every other delivery in the middle: some records acknowledged, some sent, some lost."""

    calls = 0

    async def begin(self, records: Sequence[Record]) -> Flight:
        large = len(records) >= 6 and self._grounded is None
        self.calls += large
        if not large or self.calls % 2 == 0:
            return await super().begin(records)
        third = len(records) // 3
        flight = await super().begin(records[:third])
        silent = await super().begin(records[third : 2 * third])  # in the topic, nobody says so
        await asyncio.wait([each.outcome for each in (*flight.sent, *silent.sent)])
        flight.failure = self._grounded = ConnectionError("the connection was cut")
        return flight


async def test_a_failed_delivery_is_repeated_from_what_was_acknowledged(
    broker: str, ledger: LiveLedger, topic: Topic
) -> None:
    relay = ledger.relay(broker, producer=Breaking(broker, "breaking"))
    async with running(relay.run()):
        await ledger.append(600)
        await topic.read(600)
    assert first_occurrences(topic.positions) == list(range(1, 601))
    assert len(topic.positions) > 600  # the failure did repeat some
    labels = {"ledger": ledger.name}
    assert (REGISTRY.get_sample_value("rlg_relay_rebuilds_total", labels) or 0) >= 1


LEASE = 4.0
"""Seconds; a machine that stalls for a shorter while does not lose it."""


async def test_of_two_relays_one_works_and_the_other_takes_over(
    broker: str, ledger: LiveLedger, topic: Topic
) -> None:
    async with running(ledger.relay(broker, LEASE).run()) as first:
        await ledger.append(50)
        await topic.read(50)
        second = ledger.relay(broker, LEASE)
        async with running(second.run()):
            await ledger.append(50)
            await topic.read(100)
            await asyncio.sleep(LEASE + 0.5)  # longer than the lease: it is renewed
            assert await topic.more(0.1) == list(range(1, 101))  # nothing is sent twice
            assert await ledger.fencing() == 1
            assert await second.check() is None
            first[0].cancel()
            await ledger.append(50)
            await topic.read(150)
            assert await ledger.fencing() == 2
    assert first_occurrences(topic.positions) == list(range(1, 151))


async def test_a_holder_that_wakes_up_late_confirms_nothing(
    broker: str, ledger: LiveLedger
) -> None:
    late = Lease(ledger.engine, ledger.row.id, seconds=0.1)
    claim = await late.claim()
    assert claim is not None
    assert await late.confirm(claim, 5)
    assert await Lease(ledger.engine, ledger.row.id).claim() is None
    await asyncio.sleep(0.15)
    taken = await Lease(ledger.engine, ledger.row.id).claim()
    assert taken is not None
    assert (taken.fencing, taken.confirmed) == (claim.fencing + 1, 5)
    assert not await late.confirm(claim, 9)
    await late.release(claim.fencing)
    assert await Lease(ledger.engine, ledger.row.id).claim() is None  # nor did it let go
    assert await ledger.confirmed() == 5


@pytest.mark.parametrize("change", ["confirmed = confirmed - 1", "fencing = fencing - 1"])
async def test_nobody_can_step_back(ledger: LiveLedger, change: str) -> None:
    lease = Lease(ledger.engine, ledger.row.id)
    claim = await lease.claim()
    assert claim is not None
    assert await lease.confirm(claim, 5)
    assert not await lease.confirm(claim, 4)
    await lease.release(claim.fencing)
    await Lease(ledger.engine, ledger.row.id).claim()
    with pytest.raises(IntegrityError, match="would step back"):
        async with ledger.engine.begin() as connection:
            await connection.execute(text(f"UPDATE ledger.relay SET {change}"))  # noqa: S608


async def test_a_new_epoch_ends_the_lease_of_the_former(ledger: LiveLedger) -> None:
    lease = Lease(ledger.engine, ledger.row.id)
    claim = await lease.claim()
    assert claim is not None
    assert claim.epoch == 1
    await begin(ledger.url, ledger.name, "a failover")
    assert not await lease.confirm(claim, 5)
    await lease.release(claim.fencing)
    again = await lease.claim()
    assert again is not None
    assert (again.epoch, again.confirmed) == (2, 0)


async def test_a_process_that_met_a_later_epoch_relays_nothing_of_an_earlier(
    broker: str, ledger: LiveLedger
) -> None:
    producer = KafkaProducer(broker, "stale")
    relay = Relay(
        ledger.row,
        ledger.reader,
        ledger.wake,
        Lease(ledger.engine, ledger.row.id),
        producer,
        fence=Fence({ledger.name: 2}),
    )
    with pytest.raises(Unavailable, match="epoch 1, and epoch 2 has begun"):
        await relay.run()


async def test_without_a_broker_the_relay_says_so_and_goes_on_trying(ledger: LiveLedger) -> None:
    relay = ledger.relay(DEAD)
    async with running(relay.run()) as tasks:
        await ledger.append(1)

        async def troubled() -> bool:
            return "did not acknowledge" in (await relay.check() or "")

        await until(troubled, what="trouble")
        await asyncio.sleep(0.5)
        assert not tasks[0].done()
    assert await ledger.confirmed() == 0


async def test_a_producer_tells_what_is_safe_and_is_made_again(
    broker: str, ledger: LiveLedger, topic: Topic, producer: KafkaProducer
) -> None:
    headers = ((topics.HEADER_LEDGER, ledger.name.encode()),)
    some = [
        Record(topics.EVENTS, b"{}", headers=(*headers, (topics.HEADER_POSITION, b"%d" % n)))
        for n in range(1, 6)
    ]
    huge = Record(topics.EVENTS, b"x" * 1_500_000, key=b"k", headers=headers)
    await producer.deliver(some[:2])
    with pytest.raises(Undelivered) as failure:
        await producer.deliver([*some[2:4], huge, some[4]])
    assert failure.value.acknowledged == 2
    assert producer._live is None
    await producer.deliver([some[4]])
    assert first_occurrences(await topic.read(5)) == [1, 2, 3, 4, 5]


async def _confirmed(ledger: LiveLedger, position: int) -> bool:
    return await ledger.confirmed() == position
