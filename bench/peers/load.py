"""The load of a peer: the same events by as many callers, their bytes made before the clock starts.

So a peer pays for storing alone; the ledger's own cells also make every event. That is in the
peers' favour, like their empty stores.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

from bench import meters
from bench.cells import Bench, Figures
from bench.meters import Counters, Window, metered
from bench.workload import EXPECTING
from services.kit import clock, database

CALLERS = 32


@dataclass(frozen=True, slots=True)
class Fact:
    """One event as a peer stores it."""

    type: str
    release: str
    """The subject on which callers have expectations; no two callers share one."""
    subjects: tuple[str, ...]
    body: bytes
    """As the ledger stores it, about 1.2 kB."""


@dataclass
class Sender:
    """One closed-loop caller of a peer."""

    facts: Sequence[Fact]
    chance: random.Random
    places: dict[str, int] = field(default_factory=dict)
    """What the peer answered last about each release: a version or a position."""
    sent: int = 0

    def next(self) -> tuple[Fact, bool]:
        """Return an event, and whether it has an expectation."""
        fact = self.chance.choice(self.facts)
        return fact, fact.release in self.places and self.chance.random() < EXPECTING

    def learn(self, fact: Fact, place: int) -> None:
        """Take down an answer."""
        self.places[fact.release] = place
        self.sent += 1


Send: TypeAlias = Callable[[Sender, Fact, bool], int]
"""Store one event, durably, and return its place. It may block: each caller has a thread."""
SendAsync: TypeAlias = Callable[[Sender, Fact, bool], Awaitable[int]]


def senders(bench: Bench) -> list[Sender]:
    """Return the callers of a peer."""
    seed = bench.chance.randrange(2**32)
    facts = [
        [_fact(bench.ready[event.data["run_id"]].subjects, bench, event.data) for event in own]
        for own in bench.events[:CALLERS]
    ]
    return [Sender(own, random.Random(f"{seed}/{n}")) for n, own in enumerate(facts)]


def _fact(subjects: tuple[str, ...], bench: Bench, data: Mapping[str, str]) -> Fact:
    item = bench.ready[data["run_id"]]
    return Fact(item.type, f"release:{data['release_id']}", subjects, item.body)


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
