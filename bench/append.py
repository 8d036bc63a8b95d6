"""append: the ledger's appender beside a raw insert of the same rows and a locked transaction.

Closed loop, in process, no HTTP; a call is one event. A round measures every cell once, each on a
fresh copy of the same prepared database. `raw` and `locked` make their rows as the appender does
(validation, JSON, salt, hash); `ready` is `raw` with rows that were made beforehand. Sending an id
again means nothing to `raw`, so there it is a new one.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias
from uuid import UUID

from bench import workload
from bench.report import Book, latencies, shuffled
from bench.rivals import CONNECTIONS, SETTINGS, Locked, Prepared, Raw
from bench.servers import Databases, databases
from bench.workload import SUBJECTS, Call, Caller
from contracts.event import Event
from services.kit import clock, database
from services.ledger import body
from services.ledger.appender import Appender
from services.ledger.model import Item, Submission
from services.ledger.store import Reader
from services.ledger.writer import Writer

NAME = "append"
CALLERS = (1, 16, 128)
CELLS = (*(f"{kind}_{n}" for kind in ("append", "raw") for n in CALLERS), "ready_128", "locked_128")
WARM_SECONDS = 0.3
"""Before the clock starts: connections open, statements are planned."""
_PRELOAD = 64


class Design(Protocol):
    """One way to append."""

    async def append(self, call: Call, /) -> Mapping[str, int]:
        """Store an event durably and return the versions of its subjects."""


Opened: TypeAlias = AbstractAsyncContextManager[Design]


class Ours:
    """The appender as callers in the same process see it."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender

    async def append(self, call: Call) -> Mapping[str, int]:
        """See `Design`."""
        if call.expect:
            (outcome,) = await self._appender.append_group([call.submission], call.expect)
        else:
            (outcome,) = await self._appender.append_each([call.submission])
        assert outcome.kind == ("duplicate" if call.again else "appended"), outcome
        assert outcome.receipt is not None
        return outcome.receipt.versions


@dataclass(frozen=True)
class Bench:
    """What all cells share."""

    servers: Databases
    prepared: Prepared
    events: list[list[Event]]
    ready: Mapping[str, Item]
    """Rows by run, made beforehand."""
    chance: random.Random

    async def measure(self, cell: str, seconds: float) -> dict[str, float]:
        """Measure one cell on a database of its own and check what it has stored."""
        kind, _, number = cell.partition("_")
        again = workload.AGAIN if kind in {"append", "locked"} else 0
        events = self.events[: int(number)]
        some = workload.callers(events, self.prepared.versions, self.chance.randrange(2**32), again)
        gc.collect()  # nobody pays for what the cell before has left
        async with self.servers.copy() as url:
            async with self._opened(kind, url) as design:
                figures = await drive(design, some, seconds)
            await self._check(url, sum(caller.appended for caller in some))
        return figures

    def _opened(self, kind: str, url: str) -> Opened:
        opens: dict[str, Callable[[str], Opened]] = {
            "append": _ours,
            "raw": lambda at: _raw(at, self.prepared, body.make),
            "ready": lambda at: _raw(at, self.prepared, self._made_before),
            "locked": lambda at: _locked(at, self.prepared),
        }
        return opens[kind](url)

    def _made_before(self, submission: Submission) -> Item:
        event = submission.event
        return replace(self.ready[event.data["run_id"]], uuid=UUID(event.id), event_id=event.id)

    async def _check(self, url: str, appended: int) -> None:
        """No gap, nothing missing: a fast answer that is wrong is no answer."""
        connection = await database.connection(url, "bench check")
        try:
            row = await connection.fetchrow(
                "SELECT max(position) AS head, count(*) AS events,"
                " (SELECT count(*) FROM ledger.event_body) AS bodies,"
                " (SELECT count(*) FROM ledger.history) AS histories FROM ledger.event"
            )
        finally:
            await connection.close()
        expected = self.prepared.head + appended
        assert row is not None
        assert tuple(row) == (expected, expected, expected, expected * SUBJECTS), (row, expected)


async def drive(design: Design, callers: list[Caller], seconds: float) -> dict[str, float]:
    """Let the callers run and return per_s, p50_ms and p99_ms of the time after the warm-up."""
    starts = clock.monotonic() + WARM_SECONDS
    ends = starts + seconds
    took: list[float] = []

    async def work(caller: Caller) -> None:
        while (began := clock.monotonic()) < ends:
            call = caller.next()
            caller.learn(call, await design.append(call))
            if starts <= (done := clock.monotonic()) <= ends:
                took.append(done - began)

    async with asyncio.TaskGroup() as tasks:
        for caller in callers:
            tasks.create_task(work(caller))
    return {"per_s": len(took) / seconds} | latencies(took)


async def run(seconds: float, rounds: int, chance: random.Random) -> str:
    """Measure all cells, print the table and return the line of JSON."""
    book = Book(NAME, CELLS)
    async with databases() as servers:
        bench = await _prepare(servers, chance)
        gc.freeze()  # the load's own thousands of objects are no part of what is measured
        for cell in shuffled(CELLS, rounds, chance):
            book.note(cell, await bench.measure(cell, seconds))
    print(book.table())
    ratios = {f"vs_raw_{n}": book.ratio(f"append_{n}", f"raw_{n}", "per_s") for n in CALLERS}
    ratios["vs_ready_128"] = book.ratio("append_128", "ready_128", "per_s")
    ratios["vs_locked_128"] = book.ratio("append_128", "locked_128", "per_s")
    return book.line(ratios, book.figures())


async def _prepare(servers: Databases, chance: random.Random) -> Bench:
    """Fill the template so that every subject of the load is known."""
    events = workload.templates(max(CALLERS))
    submissions = workload.first_submissions(events)
    made = {one.event.data["run_id"]: body.make(one) for one in submissions}
    async with _appender(servers.template) as appender:
        for start in range(0, len(submissions), _PRELOAD):
            await appender.append_each(submissions[start : start + _PRELOAD])
    return Bench(servers, await _known(servers.template), events, made, chance)


async def _known(url: str) -> Prepared:
    connection = await database.connection(url, "bench prepare")
    try:
        await connection.execute("VACUUM ANALYZE")
        rows = await connection.fetch(
            "SELECT s.key, s.subject_id, max(h.version) AS version FROM ledger.subject s"
            " JOIN ledger.history h USING (ledger_id, subject_id) GROUP BY 1, 2"
        )
        head = await connection.fetchrow("SELECT ledger_id, position FROM ledger.event"
                                         " ORDER BY position DESC LIMIT 1")  # fmt: skip
    finally:
        await connection.close()
    assert head is not None
    ids = {row["key"]: row["subject_id"] for row in rows}
    versions = {row["key"]: row["version"] for row in rows}
    return Prepared(head["ledger_id"], head["position"], ids, versions)


@asynccontextmanager
async def _working(work: Awaitable[None]) -> AsyncIterator[None]:
    """Run `work` beside the block; if it fails, so does the block."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_awaited(work))
        yield
        task.cancel()


async def _awaited(work: Awaitable[None]) -> None:
    await work


@asynccontextmanager
async def _appender(url: str) -> AsyncIterator[Appender]:
    reader = Reader(database.engine(url, "bench"))
    await reader.open(["main"])
    appender = Appender(Writer(url, reader.ledger("main")))
    try:
        async with _working(appender.run()):
            yield appender
    finally:
        await reader.close()


@asynccontextmanager
async def _ours(url: str) -> AsyncIterator[Design]:
    async with _appender(url) as appender:
        yield Ours(appender)


@asynccontextmanager
async def _raw(
    url: str, prepared: Prepared, make: Callable[[Submission], Item]
) -> AsyncIterator[Design]:
    connection = await database.connection(url, "bench raw", SETTINGS)
    try:
        raw = Raw(connection, prepared, make)
        async with _working(raw.run()):
            yield raw
    finally:
        connection.terminate()


@asynccontextmanager
async def _locked(url: str, prepared: Prepared) -> AsyncIterator[Design]:
    async with AsyncExitStack() as stack:
        connections = []
        for _ in range(CONNECTIONS):
            connections.append(await database.connection(url, "bench locked", SETTINGS))
            stack.push_async_callback(connections[-1].close)
        yield Locked(connections, prepared)
