"""A ledger and its feed in memory, and how to project it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.event import Page, RecordedEvent
from services.kit import database
from services.projector import generations, tables
from services.projector.generations import FIRST, Generation
from services.projector.runner import Runner
from services.projector.store import Store
from services.projector.writing import Projection
from tests.unit.projector.recorded import Log


class Memory:
    """Gives a log out as a ledger and as a feed would, in batches of `size`."""

    def __init__(self, log: Log, size: int = 500) -> None:
        self.log = log
        self.size = size

    async def follow(self, _ledger: str, after: int) -> AsyncIterator[list[RecordedEvent]]:
        while True:
            batch = self.log.events[after : after + self.size]
            yield batch
            after += len(batch)
            await asyncio.sleep(0 if batch else 0.02)

    async def page(self, _ledger: str, after: int, limit: int = 500, **_: Any) -> Page:
        events = self.log.events[after : after + limit]
        return Page(events=events, head=len(self.log.events), scanned_to=after + len(events))


def runner(
    engine: AsyncEngine, memory: Memory, ledger: str = "main", generation: Generation = FIRST,
    **how: Any,
) -> Runner:  # fmt: skip
    return Runner(Projection(engine, ledger, generation), memory, memory, **how)  # type: ignore[arg-type]  # all that a runner asks of a ledger


@contextlib.asynccontextmanager
async def running(it: Runner) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(it.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def project(engine: AsyncEngine, log: Log, size: int = 500, ledger: str = "main") -> Store:
    """Run until everything is applied, then stop."""
    store = Store(engine, ledger)
    async with running(runner(engine, Memory(log, size), ledger)) as task:
        done = await store.wait_for(len(log.events), 20)
        if task.done():
            await task
        assert done
    return store


async def everything(engine: AsyncEngine, ledger: str = "main") -> str:
    """Return all rows of all live read models as text that can be compared."""
    async with engine.connect() as connection:
        slot = (await generations.live(connection, ledger)).slot
        await connection.execution_options(**tables.at(slot))
        found = {
            name: sorted(
                json.dumps({k: str(v) for k, v in row.items() if k != "ledger"}, sort_keys=True)
                for row in (await connection.execute(table.select())).mappings()
                if row["ledger"] == ledger
            )
            for name, table in tables.READ_MODELS.items()
        }
    return json.dumps(found, indent=1)


async def parked(engine: AsyncEngine, ledger: str = "main") -> list[dict[str, Any]]:
    """Return what is parked in the live generation, in order."""
    async with engine.connect() as connection:
        slot = (await generations.live(connection, ledger)).slot
        await connection.execution_options(**tables.at(slot))
        found = await connection.execute(tables.parked.select().order_by("position"))
        return [dict(row) for row in found.mappings() if row["ledger"] == ledger]


@contextlib.asynccontextmanager
async def engine_at(url: str) -> AsyncIterator[AsyncEngine]:
    """Lend an engine on a database."""
    engine = database.engine(url, "test")
    try:
        yield engine
    finally:
        await engine.dispose()
