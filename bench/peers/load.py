"""The load of a peer: the same events by as many callers, made by the same functions.

A peer stores the very bytes that the ledger would store, and its caller makes them as the ledger
does (validation, JSON, salt, hash): so the ratios are about storing. A `_ready` cell has its bytes
made before the clock starts, and the ledger's cell beside it has not.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from bench import meters
from bench.cells import Bench, Figures
from bench.meters import Counters, Window, metered
from bench.workload import EXPECTING, ORIGIN
from contracts.event import Event
from services.kit import clock, database
from services.ledger import body
from services.ledger.model import Submission

CALLERS = 32


@dataclass(frozen=True, slots=True)
class Fact:
    """One event as a peer stores it."""

    id: uuid.UUID
    type: str
    release: str
    """The subject on which callers have expectations; no two callers share one."""
    subjects: tuple[str, ...]
    body: bytes
    """As the ledger stores it, about 1.2 kB."""


@dataclass
class Sender:
    """One closed-loop caller of a peer."""

    events: Sequence[Event]
    chance: random.Random
    ready: Mapping[str, Fact] | None = None
    """By run, when the bytes are made beforehand."""
    places: dict[str, int] = field(default_factory=dict)
    """What the peer answered last about each release: a version or a position."""
    sent: int = 0

    def next(self) -> tuple[Fact, bool]:
        """Return an event, and whether it has an expectation."""
        event = self.chance.choice(self.events)
        if self.ready is None:
            fact = made(event.model_copy(update={"id": str(uuid.uuid4())}))
        else:
            fact = replace(self.ready[event.data["run_id"]], id=uuid.uuid4())
        return fact, fact.release in self.places and self.chance.random() < EXPECTING

    def learn(self, fact: Fact, place: int) -> None:
        """Take down an answer."""
        self.places[fact.release] = place
        self.sent += 1


def made(event: Event) -> Fact:
    """Make an event ready to be stored, as the ledger does."""
    item = body.make(Submission(event, ORIGIN))
    release = f"release:{event.data['release_id']}"
    return Fact(item.uuid, item.type, release, item.subjects, item.body)


Send: TypeAlias = Callable[[Sender, Fact, bool], int]
"""Store one event, durably, and return its place. It may block: each caller has a thread."""
SendAsync: TypeAlias = Callable[[Sender, Fact, bool], Awaitable[int]]


def senders(bench: Bench, *, ready: bool = False) -> list[Sender]:
    """Return the callers of a peer."""
    seed = bench.chance.randrange(2**32)
    return [
        Sender(
            own,
            random.Random(f"{seed}/{number}"),
            {event.data["run_id"]: made(event) for event in own} if ready else None,
        )
        for number, own in enumerate(bench.events[:CALLERS])
    ]


async def in_threads(
    send: Send, some: Sequence[Sender], seconds: float, sources: Sequence[Counters]
) -> Figures:
    """Measure a blocking client: a thread a caller, all in this process."""
    window = Window.after_warming(seconds)

    def work(sender: Sender) -> None:
        while (began := clock.monotonic()) < window.ends:
            fact, expecting = sender.next()
            sender.learn(fact, send(sender, fact, expecting))
            window.note(began)

    with ThreadPoolExecutor(len(some)) as threads:
        loop = asyncio.get_running_loop()
        tasks = [loop.run_in_executor(threads, work, sender) for sender in some]
        return await _measured(window, sources, asyncio.gather(*tasks))


async def in_tasks(
    send: SendAsync, some: Sequence[Sender], seconds: float, sources: Sequence[Counters]
) -> Figures:
    """Measure an asynchronous client: a task a caller."""
    window = Window.after_warming(seconds)

    async def work(sender: Sender) -> None:
        while (began := clock.monotonic()) < window.ends:
            fact, expecting = sender.next()
            sender.learn(fact, await send(sender, fact, expecting))
            window.note(began)

    return await _measured(window, sources, asyncio.gather(*map(work, some)))


async def _measured(
    window: Window, sources: Sequence[Counters], work: Awaitable[object]
) -> Figures:
    meters.forget_peak()
    figures = await metered(window, sources, work)
    return figures | {"peak_mb": meters.peak_mb()}


async def count_is(url: str, table: str, expected: int) -> None:
    """Check that all that was sent is stored."""
    connection = await database.connection(url, "bench check")
    try:
        found = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - our own names
    finally:
        await connection.close()
    assert found == expected, (table, found, expected)
