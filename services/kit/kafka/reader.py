"""Records in: as a member of a consumer group, or as a listener at the end of one partition."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.record import Record
from services.kit.kafka.record import (
    ANSWER_SECONDS,
    REQUEST_MS,
    answering,
    ends_well,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiokafka import ConsumerRecord

_TOPIC_PAUSE = 0.1
_LOOK_MS = 10_000
JOIN_SECONDS = 40.0
"""A join waits until the group has given up a member that was killed: the session timeout, 10 s."""


class KafkaGroup:
    """Reads some topics as a member of a consumer group; offsets are committed by hand.

    At-least-once: what was read and not committed is read again after a restart or a rebalance.
    """

    def __init__(self, bootstrap: str, topics: Sequence[str], group: str) -> None:
        self._bootstrap = bootstrap
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=int(JOIN_SECONDS * 1000),
            metadata_max_age_ms=_LOOK_MS,  # so soon a topic is read that was made after the start
        )
        # By name a topic that is missing would keep the group from reading the others.
        self._consumer.subscribe(pattern=f"^(?:{'|'.join(map(re.escape, topics))})$")

    async def __aenter__(self) -> Self:
        """Connect and join the group."""
        try:
            async with answering(self._bootstrap, JOIN_SECONDS):
                await self._consumer.start()
        except BaseException:
            await _stop(self._consumer)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave the group."""
        await _stop(self._consumer)

    async def read(self, limit: int, seconds: float) -> list[Record]:
        """Return up to `limit` records in the order of each partition, or none after `seconds`."""
        async with answering(self._bootstrap, seconds + ANSWER_SECONDS):
            found = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=limit)
        return [_record(raw) for batch in found.values() for raw in batch]

    async def commit(self, records: Sequence[Record]) -> None:
        """Say that these records, and all before them in their partitions, are done with."""
        ends = {TopicPartition(r.topic, r.partition): r.offset + 1 for r in records}
        async with answering(self._bootstrap):
            await self._consumer.commit(ends)


class Tail:
    """Listens at the end of one partition, outside any group. Keeps no offset anywhere."""

    def __init__(self, bootstrap: str, consumer: AIOKafkaConsumer) -> None:
        self._bootstrap = bootstrap
        self._consumer = consumer

    async def read(self, limit: int, seconds: float) -> list[Record]:
        """Return the next records in order, as soon as there are some; none after `seconds`."""
        async with answering(self._bootstrap, seconds + ANSWER_SECONDS):
            found = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=limit)
        return [_record(raw) for batch in found.values() for raw in batch]


@contextlib.asynccontextmanager
async def tail(bootstrap: str, topic: str, partition: int) -> AsyncIterator[Tail]:
    """Open a `Tail` that gives whatever is written after this call returns the context.

    A topic that is not there yet is waited for, as long as for any answer of the broker.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        # Only when the broker has lost our offset: its oldest record leaves the least to refill.
        auto_offset_reset="earliest",
        request_timeout_ms=REQUEST_MS,
    )
    place = TopicPartition(topic, partition)
    try:
        async with answering(bootstrap):
            await consumer.start()
            while topic not in await consumer.topics():  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(_TOPIC_PAUSE)
            consumer.assign([place])
            consumer.seek(place, (await consumer.end_offsets([place]))[place])
        yield Tail(bootstrap, consumer)
    finally:
        await _stop(consumer)


def _record(raw: ConsumerRecord) -> Record:
    return Record(raw.topic, raw.value, raw.key, tuple(raw.headers), raw.partition, raw.offset)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and disconnect; from a broker that does not answer, disconnect."""
    if not await ends_well(consumer.stop()):
        await ends_well(_cut(consumer))


async def _cut(consumer: AIOKafkaConsumer) -> None:
    """End what `stop` could not: its tasks would go on for ever."""
    if consumer._fetcher is not None:  # noqa: SLF001 - there is no public way
        await ends_well(consumer._fetcher.close(), 1)  # noqa: SLF001
    await ends_well(consumer._client.close(), 1)  # noqa: SLF001
    if consumer._group_id is not None and consumer._coordinator is not None:  # noqa: SLF001
        coordinator = consumer._coordinator  # noqa: SLF001
        await ends_well(coordinator._stop_heartbeat_task(), 1)  # noqa: SLF001
        await ends_well(coordinator._stop_commit_offsets_refresh_task(), 1)  # noqa: SLF001
