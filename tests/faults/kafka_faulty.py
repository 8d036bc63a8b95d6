"""What goes wrong with one ledger inside a process, drawn from a seed: deliveries that fail,
holders who stand still until they are replaced, feeds that break. All else is the product's.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError

from contracts.event import RecordedEvent
from contracts.problem import Unavailable
from services.kit import database
from services.kit.kafka import KafkaFeed, KafkaProducer, Record
from services.kit.kafka.producer import _Sent
from services.ledger.lease import Claim, Lease
from services.projector.generations import FIRST
from tests.faults.kafka_parts import Place

LEASE = 2.0
"""Twice as long as an idle relay waits before it renews."""
STANDS_STILL = LEASE * 1.4
"""So long that somebody else has the lease, or the right to follow, when it goes on."""
_SEIZED = """
SELECT pg_terminate_backend(pid) FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND objsubid = 1
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND (classid::bigint << 32 | objid::bigint) = hashtextextended($1, 0)
"""


@dataclass(frozen=True)
class Crowd(Place):
    """What a process is told; `log` is a process's own, `notes` are everybody's."""

    ledgers: tuple[str, ...]
    seed: str
    notes: Path

    @property
    def port(self) -> int:
        """Where the ledgers are served."""
        return int(self.http.rpartition(":")[2])


class Mischief:
    """What goes wrong with one ledger in one process: each once, at a drawn occasion."""

    def __init__(self, place: Crowd, ledger: str, kinds: Sequence[str], who: str) -> None:
        number = place.ledgers.index(ledger)  # names are new each time, and draws must not be
        self.chance = random.Random(f"{place.seed}/{number}/{who}")
        self._due = {
            self.chance.randint(1, 5): self.chance.choice(kinds)
            for _ in range(self.chance.randint(1, 2))
        }
        self._occasion = 0
        self._note = (place.notes, ledger)

    def due(self, *kinds: str) -> str:
        """Count an occasion for these kinds; return what happens now, or nothing."""
        self._occasion += 1
        kind = self._due.get(self._occasion, "")
        if kind not in kinds:
            return ""
        self.note(kind)
        return kind

    def note(self, kind: str) -> None:
        """Write down that it happened."""
        path, ledger = self._note
        with path.open("a") as notes:
            notes.write(f"{ledger} {kind}\n")


class FaultyProducer(KafkaProducer):
    """Fails as aiokafka does: before, in the middle, or after the broker has it all."""

    KINDS = ("nothing sent", "half sent", "sent and not told", "relay stands still before it sends")

    def __init__(self, bootstrap: str, name: str, trouble: Mischief) -> None:
        super().__init__(bootstrap, name)
        self._trouble = trouble

    async def _send(self, records: Sequence[Record], sent: list[_Sent]) -> None:
        nothing, half, untold, still = self.KINDS
        kind = self._trouble.due(*self.KINDS) if records else ""
        if kind == nothing:
            raise KafkaConnectionError(kind)
        if kind == still:
            await asyncio.sleep(STANDS_STILL)
        await super()._send(records[: len(records) // 2] if kind == half else records, sent)
        if kind == half:
            raise KafkaConnectionError(kind)
        if kind == untold:
            lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            lost.set_exception(RequestTimedOutError(kind))
            await asyncio.wait({sent[-1].outcome})  # the broker has it
            sent[-1] = _Sent(lost, sent[-1].records)


class FaultyLease(Lease):
    """Stands still between what Kafka has acknowledged and what it confirms."""

    KINDS = ("relay stands still before it confirms",)

    def __init__(self, engine: database.Engine, ledger_id: int, trouble: Mischief) -> None:
        super().__init__(engine, ledger_id, LEASE)
        self._trouble = trouble

    async def confirm(self, claim: Claim, position: int) -> bool:
        if self._trouble.due(*self.KINDS):
            await asyncio.sleep(STANDS_STILL)
        return await super().confirm(claim, position)


class FaultyFeed:
    """Breaks, or stands still with events in its hand; what it gives is always right."""

    KINDS = ("feed breaks", "consumer stands still", "projector loses its right, and stands still")

    def __init__(self, feed: KafkaFeed, trouble: Mischief, database_url: str) -> None:
        self._feed = feed
        self._trouble = trouble
        self._database_url = database_url

    async def follow(self, ledger: str, after: int) -> AsyncIterator[list[RecordedEvent]]:
        breaks, _, loses = self.KINDS
        inner: Any = self._feed.follow(ledger, after)
        async with contextlib.aclosing(inner) as batches:
            async for batch in batches:
                kind = self._trouble.due(*self.KINDS) if batch else ""
                if kind == breaks:
                    raise Unavailable(kind)
                if kind == loses:
                    await self._seize(ledger)
                if kind:
                    await asyncio.sleep(STANDS_STILL)
                yield batch

    async def _seize(self, ledger: str) -> None:
        """End the session that holds the right to follow; another process takes it."""
        sql = await asyncpg.connect(self._database_url)
        try:
            await sql.execute(_SEIZED, f"projector/{FIRST.cursor}/{ledger}")
        finally:
            await sql.close()
