"""The projection on a real PostgreSQL: rows and cursor move together, and a rebuild is the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.event import Page, RecordedEvent
from services.kit import database
from services.projector import tables
from services.projector.runner import Runner
from services.projector.store import Store
from services.projector.writing import Projection
from tests.unit.projector.recorded import Log, story

pytestmark = pytest.mark.postgres


class Memory:
    """A ledger and its feed, in memory."""

    def __init__(self, log: Log, size: int = 500) -> None:
        self.log = log
        self.size = size

    async def follow(self, ledger: str, after: int) -> AsyncIterator[list[RecordedEvent]]:
        while True:
            batch = self.log.events[after : after + self.size]
            yield batch
            after += len(batch)
            await asyncio.sleep(0 if batch else 0.02)

    async def page(self, ledger: str, after: int, **_: Any) -> Page:
        events = self.log.events[after : after + 1]
        return Page(events=events, head=len(self.log.events), scanned_to=after + len(events))


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = database.engine(database_url, "test")
    yield engine
    await engine.dispose()


async def project(engine: AsyncEngine, log: Log, size: int = 500, ledger: str = "main") -> Store:
    """Run until everything is applied, then stop."""
    memory, store = Memory(log, size), Store(engine, ledger)
    runner = Runner(Projection(engine, ledger), memory, memory)  # type: ignore[arg-type]  # all that it asks of a ledger
    task = asyncio.create_task(runner.run())
    try:
        done = await store.wait_for(len(log.events), 20)
        if task.done():
            await task
        assert done
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return store


async def everything(engine: AsyncEngine, ledger: str = "main") -> str:
    """Return all rows of all read models as text that can be compared."""
    async with engine.connect() as connection:
        found = {
            name: sorted(
                json.dumps({k: str(v) for k, v in row.items() if k != "ledger"}, sort_keys=True)
                for row in (await connection.execute(table.select())).mappings()
                if row["ledger"] == ledger
            )
            for name, table in tables.READ_MODELS.items()
        }
    return json.dumps(found, indent=1)


async def test_a_release_moves_to_production(engine: AsyncEngine) -> None:
    log = Log()
    release = story(log)
    store = await project(engine, log)

    view = await store.release(release)
    print(view.model_dump_json(indent=1))
    assert view.row.state == "deployed"
