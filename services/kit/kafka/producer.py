"""Records out, in order, each acknowledged by all in-sync replicas."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from contracts.problem import Unavailable
from services.kit.kafka.record import ANSWER_SECONDS, REQUEST_MS, ends_well, to_the_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.record import Record

BATCH_BYTES = 256 * 1024
LARGEST_BYTES = 2 * 1024 * 1024


class Undelivered(Unavailable):
    """A delivery failed. The first `acknowledged` records are safe; the rest may be or not."""

    def __init__(self, detail: str, acknowledged: int) -> None:
        super().__init__(detail)
        self.acknowledged = acknowledged


@dataclass(slots=True)
class Flight:
    """Records that are on their way."""

    sent: list[asyncio.Future[Any]] = field(default_factory=list)
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
            await asyncio.wait(flight.sent, timeout=ANSWER_SECONDS)
        outcomes = [_outcome(future) for future in flight.sent]
        failure = flight.failure or next(filter(None, outcomes), None)
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

    async def _send(self, records: Sequence[Record], sent: list[asyncio.Future[Any]]) -> None:
        """Hand the records over; `sent` grows as far as that goes."""
        producer = await self._started()
        for record in records:
            future = await producer.send(
                record.topic,
                value=record.value,
                key=record.key,
                partition=record.partition,
                headers=list(record.headers),
            )
            # Some outcomes nobody will ask for: they must not be logged as forgotten.
            future.add_done_callback(_outcome)
            sent.append(future)
            if not self._counted:
                await self._first(future)

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


def _before_first_failure(outcomes: Sequence[BaseException | None]) -> int:
    return next((n for n, outcome in enumerate(outcomes) if outcome is not None), len(outcomes))
