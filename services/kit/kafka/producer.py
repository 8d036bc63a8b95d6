"""Records out, in order, each acknowledged by all in-sync replicas."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import groupby, takewhile
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from contracts.problem import Unavailable
from services.kit.kafka.record import ANSWER_SECONDS, REQUEST_MS, ends_well, to_the_end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence

    from contracts.record import Record

BATCH_BYTES = 768 * 1024
"""A broker counts a batch as one message: well below what the topics take (`topics`)."""
LARGEST_BYTES = 2 * 1024 * 1024


class Undelivered(Unavailable):
    """A delivery failed. The first `acknowledged` records are safe; the rest may be or not."""

    def __init__(self, detail: str, acknowledged: int) -> None:
        super().__init__(detail)
        self.acknowledged = acknowledged


@dataclass(frozen=True, slots=True)
class _Sent:
    """A batch that was handed over: what becomes of it, and how many records it has."""

    outcome: asyncio.Future[Any]
    records: int


@dataclass(slots=True)
class Flight:
    """Records that are on their way."""

    sent: list[_Sent] = field(default_factory=list)
    failure: Exception | None = None
    """Why not all of them have left."""


class KafkaProducer:
    """Delivers records in the order given, each acknowledged by all in-sync replicas.

    After any delivery error the aiokafka producer inside is thrown away, because it may have lost
    count of its sequence numbers for good (aiokafka#1017); the next call makes a new one.
    """

    def __init__(self, bootstrap: str, name: str) -> None:
        self._bootstrap = bootstrap
        self._name = name
        self._live: AIOKafkaProducer | None = None
        self._grounded: Exception | None = None
        """Why no flight begins."""
        self._counted = False
        """Whether a broker has acknowledged a record of the producer inside."""

    async def deliver(self, records: Sequence[Record]) -> None:
        """Return when every record is acknowledged, or raise `Undelivered`.

        Sends all before it waits for the first; with none to send it connects. At-least-once: after
        a failure, records that are not counted as acknowledged may be in the topic nevertheless.
        """
        await self.land(await self.begin(records))

    async def begin(self, records: Sequence[Record]) -> Flight:
        """Hand records over and do not wait for what becomes of them: `land` says so.

        Only the first record of a new producer is waited for. Several flights may be in the air;
        they land in the order in which they began. Once one has not got off whole none begins until
        it has landed: a later one would overtake it.
        """
        flight = Flight(failure=self._grounded)
        if flight.failure is not None:
            return flight
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._send(records, flight.sent)
        except Exception as error:  # noqa: BLE001 - aiokafka also asserts: nothing is certain now
            flight.failure = self._grounded = error
        return flight

    async def land(self, flight: Flight) -> None:
        """Return when all of a flight is acknowledged, or raise `Undelivered`.

        After that every later flight is lost, too: what is not acknowledged has to begin again.
        """
        if flight.sent:
            await asyncio.wait([each.outcome for each in flight.sent], timeout=ANSWER_SECONDS)
        outcomes = [(_outcome(each.outcome), each.records) for each in flight.sent]
        failure = flight.failure or next((why for why, _ in outcomes if why), None)
        if failure is not None:
            await self.close()
            detail = f"Kafka at {self._bootstrap} did not acknowledge: {failure!r}"
            raise Undelivered(detail, _before_first_failure(outcomes)) from failure

    async def close(self) -> None:
        """Flush what can be flushed and disconnect. The next delivery makes a new producer."""
        producer, self._live, self._grounded = self._live, None, None
        self._counted = False
        if producer is None:
            return
        if not await ends_well(
            producer.stop()
        ):  # it flushes first, and a dead broker takes nothing
            await _abandon(producer)

    async def _send(self, records: Sequence[Record], sent: list[_Sent]) -> None:
        """Hand the records over; `sent` grows as far as that goes."""
        producer = await self._started()
        if records and not self._counted:
            await self._put(producer, records[:1], sent)
            await self._first(sent[-1].outcome)
            records = records[1:]
        await self._put(producer, records, sent)

    async def _put(
        self, producer: AIOKafkaProducer, records: Iterable[Record], sent: list[_Sent]
    ) -> None:
        """Send what goes to a partition in batches made here: far cheaper than one by one.

        Where the key decides on the partition aiokafka has to be asked for each record.
        """

        async def leave(outcome: Awaitable[asyncio.Future[Any]], count: int) -> None:
            future = await outcome
            # Some outcomes nobody will ask for: they must not be logged as forgotten.
            future.add_done_callback(_outcome)
            sent.append(_Sent(future, count))

        for (topic, partition), some in groupby(records, lambda each: (each.topic, each.partition)):
            batch = producer.create_batch()
            for record in some:
                what = {"key": record.key, "value": record.value, "headers": list(record.headers)}
                if partition is None:
                    await leave(producer.send(topic, **what), 1)
                elif batch.append(timestamp=None, **what) is None:  # it is full
                    full, batch = batch, producer.create_batch()
                    batch.append(timestamp=None, **what)
                    count = full.record_count()
                    await leave(producer.send_batch(full, topic, partition=partition), count)
            if count := batch.record_count():
                await leave(producer.send_batch(batch, topic, partition=partition), count)

    async def _first(self, future: asyncio.Future[Any]) -> None:
        """Let the first record of a new producer land alone.

        A broker takes any sequence number as a producer's first: had the first batch been given up
        (no leader), the next one would be taken nevertheless, and stand before it. From here on it
        is refused.
        """
        await asyncio.wait({future})
        future.result()
        self._counted = True

    async def _started(self) -> AIOKafkaProducer:
        if self._live is None:
            self._live = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                client_id=f"release-ledger-{self._name}",
                acks="all",
                enable_idempotence=True,
                request_timeout_ms=REQUEST_MS,
                max_batch_size=BATCH_BYTES,
                max_request_size=LARGEST_BYTES,
            )
            await to_the_end(self._live.start())
        return self._live


async def _abandon(producer: AIOKafkaProducer) -> None:
    """End what `stop` could not: else its tasks would wait for a broker that hangs, for ever."""
    for good_bye in (producer.client.close(), producer._sender.close()):  # noqa: SLF001 - no public way
        await ends_well(good_bye, 1)
    producer._message_accumulator.fail_all(KafkaConnectionError("abandoned"))  # noqa: SLF001


def _outcome(future: asyncio.Future[Any]) -> BaseException | None:
    """Return None for an acknowledged record, else why it is not."""
    if not future.done():
        return TimeoutError(f"no answer within {ANSWER_SECONDS} s")
    return asyncio.CancelledError() if future.cancelled() else future.exception()


def _before_first_failure(outcomes: Iterable[tuple[BaseException | None, int]]) -> int:
    """Count the records of the batches before the first one that is not acknowledged."""
    return sum(records for _, records in takewhile(lambda each: each[0] is None, outcomes))
