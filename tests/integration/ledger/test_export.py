"""An export of a whole ledger: short pages, flat memory, no transaction that grows old."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.ledger.store import Window
from tests.integration.ledger.bulk import fill
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.test_reads import positions

pytestmark = pytest.mark.postgres
COUNT = 50_000
PAGE = 500
AGES = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 AS age,
       count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle
  FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE '%ledger reader'
"""


async def export(ledger: Ledger) -> AsyncIterator[Window]:
    """Page by page up to the head of the first page, as NDJSON is given out."""
    window = await ledger.reader.page("main", 0, PAGE)
    until = window.head
    while True:
        yield window
        if window.scanned_to >= until:
            return
        window = await ledger.reader.page("main", window.scanned_to, PAGE)


async def test_an_export_beside_appends_is_whole_flat_and_never_holds_a_transaction(
    ledger: Ledger,
) -> None:
    await fill(ledger.sql, ledger.reader.ledger("main").id, COUNT)
    appender, watcher = ledger.appender(), await asyncpg.connect(ledger.url)
    ages, idle, done = [], 0, False

    async def watch() -> None:
        nonlocal idle
        while not done:
            row = await watcher.fetchrow(AGES)
            ages.append(row["age"])
            idle += row["idle"]
            await asyncio.sleep(0.01)

    async def write() -> int:
        n = 0
        while not done:
            n += len(await appender.append_each([submission() for _ in range(10)]))
        return n

    watching, written = asyncio.create_task(watch()), asyncio.create_task(write())
    seen = 0
    memory: list[int] = []
    tracemalloc.start()
    try:
        async for window in export(ledger):
            assert positions(window) == list(range(seen + 1, seen + 1 + len(window.events)))
            seen += len(window.events)
            memory.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        done = True
    await watching
    assert await written > 0
    await watcher.close()
    assert seen >= COUNT
    assert len(ages) > 20
    assert max(ages) < 1, "a transaction lived longer than a page"
    assert idle == 0
    # After a first fifth everything that stays (plans, caches) is there.
    fifth = len(memory) // 5
    assert max(memory[fifth:]) - max(memory[:fifth]) < 2 * 2**20, memory
