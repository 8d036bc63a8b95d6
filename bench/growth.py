"""growth: the appender on a small and on a large ledger, and beside an old snapshot.

`small` holds about 100,000 events, `large` --events. `held` and `free` are two equal ledgers that
took in the same steady load for --held-minutes; in the database of `held` a snapshot from before
that load stays open. Every cell appends with 128 callers to its ledger as the round finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bench import meters, workload
from bench.asked import Asked
from bench.cells import Figures, check, measured
from bench.driving import tidy
from bench.meters import Counters
from bench.ours import ours, prepare
from bench.preload import preload
from bench.report import Book, ratio_table
from bench.rivals import Prepared
from bench.roundtrip import paced
from bench.servers import Databases, databases
from bench.workload import Caller
from services.kit import clock, database

NAME = "growth"
CALLERS = 128
SMALL_EVENTS = 100_000
PRIOR_PER_SECOND = 500
CELLS = ("small", "large", "free", "held")
RATIOS = {"growth": ("large", "small"), "held_snapshot": ("held", "free")}
_FOR_HOURS = {"idle_in_transaction_session_timeout": "0", "statement_timeout": "0"}


@dataclass
class Grown:
    """A ledger of its own, with callers who go on where they were."""

    url: str
    head: int
    callers: list[Caller]

    async def measure(self, servers: Databases, seconds: float) -> Figures:
        """Append for a while, just after a checkpoint."""
        tidy()
        await servers.admin("CHECKPOINT")
        connection = await database.connection(self.url, "bench meters")
        sources: list[Counters] = [
            meters.own_cpu,
            meters.of_postgres(connection, servers.pid),
        ]
        try:
            async with ours(self.url) as design:
                return await measured(design, self.callers, seconds, sources)
        finally:
            connection.terminate()

    async def take_in(self, minutes: float) -> None:
        """Append at a steady pace, callers in turn."""
        turns = [asyncio.Lock() for _ in self.callers]
        async with ours(self.url) as design:

            async def post(number: int) -> None:
                caller = self.callers[number % CALLERS]
                async with turns[number % CALLERS]:
                    (call,) = caller.request(1)
                    (versions,) = await design.append([call])
                    caller.learn(call, versions)

            await paced(post, int(minutes * 60 * PRIOR_PER_SECOND), PRIOR_PER_SECOND)

    async def check(self) -> None:
        """Check that the whole ledger holds together."""
        await check(self.url, self.head + sum(caller.appended for caller in self.callers))


async def run(asked: Asked) -> str:
    """Measure all cells, print the tables and return the line of JSON."""
    book = Book(NAME, CELLS)
    async with databases() as servers, AsyncExitStack() as stack:
        events = workload.templates(CALLERS)
        known = await prepare(servers.template, events)
        sizes = {"small": SMALL_EVENTS, "large": asked.events, "free": 0, "held": 0}
        grown = {
            cell: await stack.enter_async_context(_grown(servers, known, size, asked))
            for cell, size in sizes.items()
        }
        async with _snapshot(grown["held"].url, asked.held_minutes):
            await asyncio.gather(*(grown[n].take_in(asked.held_minutes) for n in ("free", "held")))
            for cell in asked.order(CELLS):
                book.note(cell, await grown[cell].measure(servers, asked.seconds))
        for one in grown.values():
            await one.check()
        sizes_now = {f"{cell}_events": float(one.head) for cell, one in grown.items()}
    ratios = {name: book.ratio(*pair, "per_s") for name, pair in RATIOS.items()}
    print(book.table(), ratio_table(ratios), sep="\n\n")
    return book.line(ratios, book.figures() | sizes_now)


@asynccontextmanager
async def _grown(
    servers: Databases, known: Prepared, size: int, asked: Asked
) -> AsyncIterator[Grown]:
    async with servers.copy() as url:
        head = known.head
        if size:
            head = await preload(url, known.ledger_id, known.head, size)
        events = workload.templates(CALLERS)
        seed = asked.chance.randrange(2**32)
        yield Grown(url, head, workload.callers(events, known.versions, seed))


@asynccontextmanager
async def _snapshot(url: str, minutes: float) -> AsyncIterator[None]:
    """Hold a snapshot; at the end make sure that it was really held, and long enough."""
    connection = await database.connection(url, "bench snapshot", _FOR_HOURS)
    began = clock.monotonic()
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            seen = await connection.fetchval("SELECT count(*) FROM ledger.event")
            yield
            assert await connection.fetchval("SELECT count(*) FROM ledger.event") == seen
            assert clock.monotonic() - began >= minutes * 60
    finally:
        connection.terminate()
