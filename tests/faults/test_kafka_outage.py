"""The product in its three processes, with a broker that comes late and goes away again.

KAFKA_OUTAGE: for how many seconds it is away in the middle (default 8; 30 for a long one).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.event import Event, Page, RecordedEvent
from contracts.problem import Unavailable
from deploy.embedded import EmbeddedKafka, default_cache_dir
from services.kit import clock, database
from services.kit.remote import Client, HttpLedger
from services.projector.runner import Runner
from services.projector.writing import Projection
from tests.faults.kafka_world import World, events, onlooker
from tests.integration.kafka.live import running
from tests.story.served import Shape, apart, free_port

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]
OUTAGE = float(os.environ.get("KAFKA_OUTAGE", "8"))
REFILLS_WITHIN = 7.0
"""The silence after which a feed asks the ledger, and a little."""


class Product:
    """The three processes and the broker that they are told of."""

    def __init__(self, shape: Shape, broker: EmbeddedKafka, here: World) -> None:
        self.shape = shape
        self.broker = broker
        self.here = here
        self._client = Client(shape.ledger, "demo-key")
        self._some = events(random.Random("outage"), 40)

    async def append(self, count: int) -> None:
        """Append by HTTP, one request."""
        batch, self._some = self._some[:count], self._some[count:]
        receipts = await HttpLedger(self._client).append(
            "main", [Event.model_validate(event) for event in batch]
        )
        assert len(receipts) == count

    async def readyz(self, service: str) -> tuple[int, dict[str, Any]]:
        async with httpx2.AsyncClient() as http:
            answer = await http.get(f"{getattr(self.shape, service)}/readyz", timeout=10)
        return answer.status_code, answer.json()

    async def names(self, *words: str) -> None:
        """Wait until /readyz says one of these of Kafka; the ledger stays ready all the time."""
        said = ""
        try:
            async with asyncio.timeout(12):
                while not any(word in said for word in words):
                    status, answer = await self.readyz("ledger")
                    assert status == 200, answer
                    said = str(answer["degraded"].get("kafka"))
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"/readyz says of Kafka: {said}") from None

    async def well_again(self) -> None:
        async with asyncio.timeout(30):
            while "kafka" in (await self.readyz("ledger"))[1]["degraded"]:  # noqa: ASYNC110 - it is asked
                await asyncio.sleep(0.2)

    async def close(self) -> None:
        await self._client.close()


@pytest.fixture
async def product(database_url: str, work_dir: Path, tmp_path: Path) -> AsyncIterator[Product]:
    """Start the services; the broker is not there yet."""
    broker = EmbeddedKafka(
        work_dir / "late-kafka", default_cache_dir(os.environ), print, port=free_port()
    )
    shape = await asyncio.to_thread(
        apart, "outage", tmp_path, database_url, broker.bootstrap_servers
    )
    try:
        kafka = broker.bootstrap_servers
        async with onlooker(database_url, kafka, shape.ledger, "main") as here:
            made = Product(shape, broker, here)
            yield made
            await made.close()
    finally:
        await asyncio.to_thread(shape.stop)
        await broker.stop()


async def test_a_broker_that_comes_late_and_goes_away_again(product: Product) -> None:
    here, broker = product.here, product.broker
    # It is not there at the start: the ledger takes events and says what is missing.
    await product.append(60)
    await product.names(broker.bootstrap_servers)
    assert await here.head() >= 60
    assert await here.cursor() == 0, "a projector that starts waits for the broker, so we say"
    # It comes: everything catches up alone.
    await broker.start()
    await here.relayed(40)
    await here.projected(40)
    await product.well_again()
    # It goes away: appends go on, and the projector asks the ledger itself.
    before = await here.head()
    await broker.stop()
    gone = clock.monotonic()
    await product.append(50)
    await product.names(broker.bootstrap_servers, "has not moved")
    await here.projected(OUTAGE + REFILLS_WITHIN, to=before + 50)
    await product.append(50)
    assert await here.ledger.confirmed() == before
    status, _ = await product.readyz("projector")
    assert status == 200
    await asyncio.sleep(max(0, gone + OUTAGE - clock.monotonic()))
    # It comes back: nothing has to be repaired.
    await broker.start()
    await here.judge()
    await product.well_again()
    await product.append(5)
    await here.projected(3)
    await here.judge()


class Nothing:
    """A ledger with an event that waits, and a feed whose broker is away."""

    async def page(self, _ledger: str, after: int, **_: Any) -> Page:
        return Page(events=[], head=after + 1, scanned_to=after)

    async def follow(self, _ledger: str, after: int) -> AsyncIterator[list[RecordedEvent]]:
        await asyncio.sleep(0.2)  # as long as it takes to find nobody there
        if after >= 0:
            raise Unavailable("Kafka does not answer")
        yield []


async def test_a_projector_whose_feed_cannot_be_opened_says_so(database_url: str) -> None:
    engine = database.engine(database_url, "test")
    nothing: Any = Nothing()
    it = Runner(Projection(engine, "main"), nothing, nothing, stall=2)

    async def as_background() -> None:
        while True:
            with contextlib.suppress(ExceptionGroup):
                await it.run()
            await asyncio.sleep(0.3)

    try:
        async with running(as_background()):
            await asyncio.sleep(4)  # twice as long as it may stand still, four times the warning
            said = [await it.stalled() for _ in range(3)]
    finally:
        await engine.dispose()
    assert all(said), said
