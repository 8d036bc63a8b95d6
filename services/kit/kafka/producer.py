"""Records out, in order, each acknowledged by all in-sync replicas."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from contracts.problem import Unavailable
from services.kit.kafka.record import REQUEST_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kit.kafka.record import Record

DELIVERY_SECONDS = 15
STOP_SECONDS = 5
BATCH_BYTES = 256 * 1024
LARGEST_BYTES = 2 * 1024 * 1024


class Undelivered(Unavailable):
    """A delivery failed. The first `acknowledged` records are safe; the rest may be or not."""

    def __init__(self, detail: str, acknowledged: int) -> None:
        super().__init__(detail)
        self.acknowledged = acknowledged


class KafkaProducer:
    """Delivers records in the order given, each acknowledged by all in-sync replicas.

    After any delivery error the aiokafka producer inside is thrown away, because it may have lost
    count of its sequence numbers for good (aiokafka#1017); the next call makes a new one.
    """

    def __init__(self, bootstrap: str, name: str) -> None:
        self._bootstrap = bootstrap
        self._name = name
        self._live: AIOKafkaProducer | None = None

    async def deliver(self, records: Sequence[Record]) -> None:
        """Return when every record is acknowledged, or raise `Undelivered`.

        Sends all before it waits for the first; with none to send it connects. At-least-once: after a failure a record that is not
        counted as acknowledged may be in the topic nevertheless.
        """
        sent: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(DELIVERY_SECONDS):
                producer = await self._started()
                for record in records:
                    sent.append(await _send(producer, record))  # noqa: PERF401 - keeps what was sent before a failure
            if sent:
                await asyncio.wait(sent, timeout=DELIVERY_SECONDS)
            failure = next((f.exception() for f in sent if f.done() and f.exception()), None)
        except Exception as error:  # noqa: BLE001 - aiokafka also asserts; whatever it is, nothing is certain
            failure = error
        acknowledged = _acknowledged(sent)
        if failure is not None or acknowledged < len(records):
            await self._throw_away(sent)
            detail = f"Kafka at {self._bootstrap} did not acknowledge: {type(failure).__name__}"
            raise Undelivered(f"{detail}: {failure}", acknowledged) from failure

    async def close(self) -> None:
        """Close the connections. The producer can be used again."""
        await self._throw_away([])

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
            await self._live.start()
        return self._live

    async def _throw_away(self, sent: Sequence[asyncio.Future[Any]]) -> None:
        for future in sent:
            future.add_done_callback(_look_at)
        producer, self._live = self._live, None
        if producer is None:
            return
        try:
            await asyncio.wait_for(producer.stop(), STOP_SECONDS)
        except (TimeoutError, KafkaError):  # it flushes first, and a dead broker takes nothing
            await producer.client.close()
            await producer._sender.close()  # noqa: SLF001 - else its task would stay for ever


async def _send(producer: AIOKafkaProducer, record: Record) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = await producer.send(
        record.topic,
        value=record.value,
        key=record.key,
        partition=record.partition,
        headers=list(record.headers),
    )
    return future


def _acknowledged(sent: Sequence[asyncio.Future[Any]]) -> int:
    good = [f.done() and not f.cancelled() and f.exception() is None for f in sent]
    return good.index(False) if False in good else len(good)


def _look_at(future: asyncio.Future[Any]) -> None:
    """Retrieve an exception that nobody else will, so that it is not logged as forgotten."""
    if not future.cancelled():
        future.exception()
