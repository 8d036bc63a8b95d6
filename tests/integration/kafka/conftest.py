"""Fixtures of the Kafka tests: topics that exist, and a ledger of a fresh name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.kit.kafka import KafkaProducer, ensure_topics
from tests.integration.kafka.live import LiveLedger, live_ledger


@pytest.fixture
async def broker(kafka: str) -> str:
    await ensure_topics(kafka)
    return kafka


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[LiveLedger]:
    async with live_ledger(database_url) as opened:
        yield opened


@pytest.fixture
async def producer(broker: str) -> AsyncIterator[KafkaProducer]:
    made = KafkaProducer(broker, "test")
    yield made
    await made.close()
