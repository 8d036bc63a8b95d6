"""The product's own appender, in process, as the ledger service puts it together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager

from bench import workload
from bench.driving import Design
from bench.rivals import Prepared
from bench.workload import Call
from contracts.event import Event
from services.kit import database
from services.ledger.appender import Appender
from services.ledger.model import Outcome, Submission
from services.ledger.store import Reader
from services.ledger.writer import Writer

LEDGER = "main"
_PRELOAD = 64


class Ours:
    """The appender as callers in the same process see it."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender

    async def append(self, calls: Sequence[Call]) -> Sequence[Mapping[str, int]]:
        """See `Design`."""
        submissions = [call.submission for call in calls]
        if len(calls) == 1 and calls[0].expect:
            outcomes = await self._appender.append_group(submissions, calls[0].expect)
        else:
            outcomes = await self._appender.append_each(submissions)
        return [_versions(call, one) for call, one in zip(calls, outcomes, strict=True)]


def _versions(call: Call, outcome: Outcome) -> Mapping[str, int]:
    assert outcome.kind == ("duplicate" if call.again else "appended"), outcome
    assert outcome.receipt is not None
    return outcome.receipt.versions


@asynccontextmanager
async def appender(
    url: str, writer: type[Writer] = Writer
) -> AsyncIterator[tuple[Appender, Reader]]:
    """Open a ledger's appender, and a reader beside it, for the time of the block."""
    reader = Reader(database.engine(url, "bench courier", 1, role="rlg_courier"))
    try:
        await reader.open([LEDGER])
        made = Appender(writer(url, reader.ledger(LEDGER)))
        async with working(made.run()):
            yield made, reader
    finally:
        await reader.close()


@asynccontextmanager
async def ours(url: str, writer: type[Writer] = Writer) -> AsyncIterator[Design]:
    """Open the appender as a design."""
    async with appender(url, writer) as (made, _):
        yield Ours(made)


@asynccontextmanager
async def working(work: Awaitable[None]) -> AsyncIterator[None]:
    """Run `work` beside the block; if it fails, so does the block."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_awaited(work))
        yield
        task.cancel()


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def prepare(url: str, events: list[list[Event]]) -> Prepared:
    """Append every event of the load once, so that each of its subjects is known."""
    submissions: list[Submission] = workload.first_submissions(events)
    async with appender(url) as (made, _):
        for start in range(0, len(submissions), _PRELOAD):
            await made.append_each(submissions[start : start + _PRELOAD])
    return await known(url)


async def known(url: str) -> Prepared:
    """Return what a ledger of the size of the load holds."""
    connection = await database.connection(url, "bench prepare")
    try:
        await connection.execute("VACUUM ANALYZE")
        rows = await connection.fetch(
            "SELECT s.key, s.subject_id, max(h.version) AS version FROM ledger.subject s"
            " JOIN ledger.history h USING (ledger_id, subject_id) GROUP BY 1, 2"
        )
        head = await connection.fetchrow(
            "SELECT ledger_id, position FROM ledger.event ORDER BY position DESC LIMIT 1"
        )
    finally:
        await connection.close()
    assert head is not None
    ids = {row["key"]: row["subject_id"] for row in rows}
    versions = {row["key"]: row["version"] for row in rows}
    return Prepared(head["ledger_id"], head["position"], ids, versions)
