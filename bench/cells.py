"""What one cell of `append` is: a database of its own, a design, a load, and a check afterwards."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias
from uuid import UUID

from bench import meters, workload
from bench.driving import Design, drive, tidy
from bench.meters import Counters, Window, metered
from bench.rivals import Prepared
from bench.servers import Databases
from bench.workload import SUBJECTS, Caller
from contracts.event import Event
from services.kit import database
from services.ledger.model import Item, Submission

Figures: TypeAlias = dict[str, float]
SLOW_COMMIT = {"commit_delay": "3000", "commit_siblings": "0"}
"""3 ms more a flush, to imitate the network storage that most databases stand on."""


_CHECK_SECONDS = 600  # a large ledger is counted, too


class MissingPeer(Exception):
    """A peer that this machine has not; the message says what is missing."""


@dataclass(frozen=True)
class Bench:
    """What all cells share."""

    servers: Databases
    prepared: Prepared
    events: list[list[Event]]
    """Of each caller."""
    ready: Mapping[str, Item]
    """Rows by run, made beforehand."""
    chance: random.Random

    def callers(self, count: int, again: float = workload.AGAIN) -> list[Caller]:
        """Return so many fresh callers."""
        seed = self.chance.randrange(2**32)
        return workload.callers(self.events[:count], self.prepared.versions, seed, again)

    def made_before(self, submission: Submission) -> Item:
        """Return the row of an event, made beforehand, under the event's own id."""
        event = submission.event
        return replace(self.ready[event.data["run_id"]], uuid=UUID(event.id), event_id=event.id)

    @asynccontextmanager
    async def counters(self, url: str) -> AsyncIterator[list[Counters]]:
        """Lend the counters of this process and of a database."""
        connection = await database.connection(url, "bench meters")
        try:
            yield [meters.own_cpu, meters.of_postgres(connection, self.servers.pid)]
        finally:
            connection.terminate()


Measure: TypeAlias = Callable[[Bench, float], Awaitable[Figures]]
"""Measure one cell for so many seconds."""
Opens: TypeAlias = Callable[[Bench, str], AbstractAsyncContextManager[Design]]


def ledger(
    opens: Opens,
    callers: int,
    *,
    size: int = 1,
    again: float = workload.AGAIN,
    settings: Mapping[str, str] | None = None,
) -> Measure:
    """Return a cell on a copy of the prepared ledger: so many callers, requests of `size`."""

    async def measure(bench: Bench, seconds: float) -> Figures:
        some = bench.callers(callers, again)
        tidy()
        async with bench.servers.copy(settings) as url, bench.counters(url) as sources:
            async with opens(bench, url) as design:
                figures = await measured(design, some, seconds, sources, size)
            await check(url, bench.prepared.head + sum(caller.appended for caller in some))
        return figures

    return measure


async def measured(
    design: Design,
    callers: Sequence[Caller],
    seconds: float,
    sources: Sequence[Counters],
    size: int = 1,
) -> Figures:
    """Drive a design and return all figures of it, with the peak memory of this process."""
    workload.stock_up(callers, seconds + meters.WARM_SECONDS)
    tidy()
    window = Window.after_warming(seconds)
    meters.forget_peak()
    figures = await metered(window, sources, drive(design, callers, window, size))
    return figures | {"peak_mb": meters.peak_mb()}


async def check(url: str, expected: int) -> None:
    """No gap, nothing missing: a fast answer that is wrong is no answer."""
    connection = await database.connection(url, "bench check", {"statement_timeout": "0"})
    try:
        row = await connection.fetchrow(
            "SELECT max(position) AS head, count(*) AS events,"
            " (SELECT count(*) FROM ledger.event_body) AS bodies,"
            " (SELECT count(*) FROM ledger.history) AS histories FROM ledger.event",
            timeout=_CHECK_SECONDS,
        )
    finally:
        await connection.close()
    assert row is not None
    assert tuple(row) == (expected, expected, expected, expected * SUBJECTS), (row, expected)
