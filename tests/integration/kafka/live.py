"""A real ledger for these tests: PostgreSQL, appender, reader, wake, without HTTP in front."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy import text

from contracts import catalogue
from contracts.event import Origin, Page, Receipt
from services.kit import clock
from services.kit.database import engine
from services.kit.kafka import KafkaProducer
from services.ledger.appender import Appender, Submission
from services.ledger.lease import Lease
from services.ledger.relay import Relay
from services.ledger.store import Reader
from services.ledger.wake import Wake, page_or_wait
from services.ledger.writer import Writer

ORIGIN = Origin(principal="key:test", assurance="A2")


def event(subject: str = "thing:one", **attributes: Any) -> dict[str, Any]:
    """Return the attributes of a foreign event."""
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "https://ci.example.org/",
        "type": "com.example.thing.happened",
        "subject": subject,
        "data": {"n": 1},
    } | attributes


class LiveLedger:
    """One ledger of a fresh name; also the part of `ports.Ledger` from which feeds read."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = f"t-{uuid.uuid4().hex[:12]}"
        self.engine = engine(url, "test")
        self.reader = Reader(self.engine)
        self.wake = Wake(self.reader)
        self.pages_read = 0

    async def open(self) -> None:
        await self.reader.open([self.name])
        self.row = self.reader.ledger(self.name)
        self.appender = Appender(Writer(self.url, self.row))

    async def append(self, count: int = 1, subject: str = "thing:one") -> list[Receipt]:
        """Append `count` events and return their receipts."""
        some = [Submission(catalogue.parse(event(subject)), ORIGIN) for _ in range(count)]
        outcomes = await self.appender.append_each(some)
        return [outcome.receipt.as_model() for outcome in outcomes if outcome.receipt]

    async def page(self, ledger: str, after: int, *, limit: int = 500, wait: float = 0) -> Page:
        """See `ports.Ledger.page`."""
        self.pages_read += 1
        window = await page_or_wait(self.reader, self.wake, ledger, after, limit, wait=wait)
        events = [recorded.as_model() for recorded in window.events]
        return Page(events=events, head=window.head, scanned_to=window.scanned_to)

    def relay(
        self, bootstrap: str, seconds: float = 1, producer: KafkaProducer | None = None
    ) -> Relay:
        """Return a relay of this ledger with a lease of its own."""
        producer = producer or KafkaProducer(bootstrap, f"test-{self.name}")
        lease = Lease(self.engine, self.row.id, seconds)
        return Relay(self.row, self.reader, self.wake, lease, producer)

    async def confirmed(self) -> int:
        """Return how far the ledger is relayed for sure."""
        return int(await self._value("SELECT confirmed FROM ledger.relay WHERE ledger_id = :id"))

    async def fencing(self) -> int:
        """Return the fencing token of the last claim."""
        return int(await self._value("SELECT fencing FROM ledger.relay WHERE ledger_id = :id"))

    async def _value(self, query: str) -> Any:
        async with self.engine.connect() as connection:
            return await connection.scalar(text(query), {"id": self.row.id}) or 0


@contextlib.asynccontextmanager
async def live_ledger(url: str) -> AsyncIterator[LiveLedger]:
    """Run a ledger for the time of the block."""
    ledger = LiveLedger(url)
    await ledger.open()
    try:
        async with running(ledger.appender.run(), ledger.wake.run()):
            yield ledger
    finally:
        await ledger.reader.close()


@contextlib.asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run tasks for the time of the block; one that fails by itself fails the test."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        failed = [t.exception() for t in tasks if t.done() and not t.cancelled()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for failure in filter(None, failed):
            raise failure


async def until(
    condition: Callable[[], Coroutine[Any, Any, bool]], seconds: float = 10, what: str = ""
) -> None:
    """Wait until a condition holds, or fail."""
    deadline = clock.monotonic() + seconds
    while not await condition():
        assert clock.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)


async def make_topic(bootstrap: str, name: str) -> None:
    """Make a topic of one partition, as its owners would."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()
