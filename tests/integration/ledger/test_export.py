"""An export of a whole ledger: short pages, flat memory, no transaction that grows old."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import cast

import asyncpg
import httpx2
import pytest

from services.kit.identity import Keyring, demo_key
from services.kit.service import new_app
from services.ledger import api
from services.ledger.appender import Appender
from services.ledger.sealing.published import Published
from services.ledger.wake import Wake
from tests.integration.ledger.bulk import fill
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.running.served import EVENTS, listening_at

pytestmark = pytest.mark.postgres
COUNT = 30_000
BODY_BYTES = 1000
EVERY = 500
"""Memory is looked at once in so many events."""
AGES = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 AS age,
       count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle
  FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE '%ledger reader'
"""


async def export(ledger: Ledger, appender: Appender) -> AsyncIterator[int]:
    """Yield the positions of `GET …/events` as NDJSON, from a real server, line by line."""
    app = new_app("ledger", "A ledger to export from.")
    wake, keys = Wake(ledger.reader), Keyring([demo_key()])
    api.add_routes(app, api.Desk(ledger.reader, wake, lambda _: appender, keys, Published({})))
    headers = {"accept": "application/x-ndjson", "authorization": "Bearer demo-key"}
    async with (
        listening_at(app) as port,
        httpx2.AsyncClient(headers=headers, timeout=60) as client,
        client.stream("GET", f"http://127.0.0.1:{port}{EVENTS}") as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        async for line in answer.aiter_lines():
            yield cast("int", json.loads(line)["position"])


async def test_an_export_beside_appends_is_whole_flat_and_never_holds_a_transaction(
    ledger: Ledger,
) -> None:
    await fill(ledger.sql, ledger.reader.ledger("main").id, COUNT, BODY_BYTES)
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
        async for position in export(ledger, appender):
            seen += 1
            assert position == seen
            if seen % EVERY == 0:
                memory.append(tracemalloc.get_traced_memory()[0])
        peak = tracemalloc.get_traced_memory()[1]
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
    assert peak < COUNT * BODY_BYTES / 3, "much of the export was in memory at once"
    # After a first fifth everything that stays (plans, caches) is there.
    fifth = len(memory) // 5
    assert max(memory[fifth:]) - max(memory[:fifth]) < 2 * 2**20, memory
