"""Checkpoints on Kafka: signed notes, newest last; a broker that is away holds up nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts import topics
from services.kit.settings import Shared
from services.kit.tlog import checkpoint
from services.kit.tlog.note import Ed25519Verifier
from services.ledger.sealing.service import Sealing
from services.ledger.sealing.where import Where
from services.ledger.settings import LedgerSettings
from tests.integration.ledger.conftest import Ledger, ledger, submission

__all__ = ["ledger"]
pytestmark = pytest.mark.kafka


async def test_every_reader_of_the_topic_sees_one_story(
    kafka: str, ledger: Ledger, tmp_path: Path
) -> None:
    shared = Shared(data=tmp_path, dev=True, kafka_bootstrap_servers=kafka)
    settings = LedgerSettings(seal_seconds=0.05)
    sealing = Sealing(shared, settings, lambda _: ledger.url)
    await sealing.prepare()
    running = [asyncio.ensure_future(work()) for work in sealing.tasks().values()]
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        await ledger.appender().append_all([submission() for _ in range(5)])
        await _sealed(Where(shared, settings), 5)
        consumer.assign([TopicPartition(topics.CHECKPOINTS, 0)])
        vkey = (Where(shared, settings).keys("main") / "sealer.vkey").read_text()
        verifier = Ed25519Verifier.parse(vkey)
        async with asyncio.timeout(20):
            async for record in consumer:
                if not (record.value or b"").startswith(verifier.name.encode()):
                    continue  # of another test: the broker is shared
                head, _ = checkpoint.open_note(record.value or b"", [verifier])
                assert record.key == b"main"
                if head.size == 5:
                    break
    finally:
        await consumer.stop()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _sealed(where: Where, size: int) -> None:
    async with asyncio.timeout(20):
        while f"\n{size}\n".encode() not in (where.shelf("main").read("checkpoint") or b""):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_without_a_broker_it_is_sealed_all_the_same(ledger: Ledger, tmp_path: Path) -> None:
    shared = Shared(data=tmp_path, dev=True, kafka_bootstrap_servers="127.0.0.1:1")
    settings = LedgerSettings(seal_seconds=0.05)
    sealing = Sealing(shared, settings, lambda _: ledger.url)
    await sealing.prepare()
    running = [asyncio.ensure_future(work()) for work in sealing.tasks().values()]
    try:
        await ledger.appender().append_all([submission() for _ in range(5)])
        await _sealed(Where(shared, settings), 5)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
