"""An old snapshot that is held open elsewhere – a long export, pg_dump – slows no append (I9).

The cost of an old snapshot is dead row versions that nobody may remove. So the test counts what a
batch touches in PostgreSQL, and the processor time that its writers spend: the time on the clock of
a busy machine says more of its other guests. (The bench measures that, for ten minutes.)
"""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.kit import database
from services.ledger.store import Reader
from services.ledger.tables import LedgerRow
from tests.faults.doors import Engine
from tests.faults.schedule import Stage
from tests.faults.workload import FINE, Ask

pytestmark = [pytest.mark.postgres, pytest.mark.slow]
BATCHES = 16
ROUNDS = 4, 24  # at least, at most: what a neighbour adds to one round it does not add to all
TOUCHED = """
SELECT sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::bigint
  FROM pg_statio_user_tables WHERE schemaname = 'ledger'
"""
WRITERS = """
SELECT pid FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'release-ledger ledger writer%'
"""
DEAD = """
SELECT sum(n_dead_tup + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables
 WHERE schemaname = 'ledger' AND relname IN ('event', 'event_body', 'subject', 'history', 'ledger')
"""


def batch(tag: str) -> Ask:
    events: list[dict[str, Any]] = [
        {
            "specversion": "1.0", "id": f"{tag}-{n}", "source": "/a", "type": FINE,
            "subjects": f"s:{n % 20},s:{n % 7},s:all", "data": {"pad": "x" * 300},
        }
        for n in range(20)
    ]  # fmt: skip
    return Ask(events, None)


async def measured(stage: Stage, row: LedgerRow, tag: str) -> tuple[int, int]:
    """Append batches; return the writers' processor time in nanoseconds, and the pages touched."""
    sql = await asyncpg.connect(stage.url)
    before = await sql.fetchval(TOUCHED)
    engine = Engine(stage.url, row)
    await engine.ask(batch(f"{tag}-warm"))
    idle = await processor_time(sql)
    for n in range(BATCHES):
        await engine.ask(batch(f"{tag}-{n}"))
    spent = await processor_time(sql) - idle
    await engine.stop()
    async with asyncio.timeout(30):  # a backend hands in its last figures before it has ended
        while await sql.fetch(WRITERS):  # noqa: ASYNC110 - the server does it
            await asyncio.sleep(0.05)
    pages = await sql.fetchval(TOUCHED) - before
    await sql.close()
    return spent, pages


async def processor_time(sql: asyncpg.Connection[Any]) -> int:
    """Return the nanoseconds that the writers' server processes have run (proc(5), schedstat)."""
    pids = [row["pid"] for row in await sql.fetch(WRITERS)]
    return sum(map(_nanoseconds, pids))


def _nanoseconds(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def as_fast(free: list[tuple[int, int]], held: list[tuple[int, int]]) -> bool:
    """Say whether held rounds spent what free ones did: medians, for one may be lucky."""
    spent = [statistics.median(spent for spent, _ in some) for some in (free, held)]
    return spent[1] <= spent[0] / 0.8


def as_few(free: list[tuple[int, int]], held: list[tuple[int, int]]) -> bool:
    """Say whether held rounds touched the pages that free ones did."""
    pages = [statistics.median(pages for _, pages in some) for some in (free, held)]
    return pages[1] <= 1.2 * pages[0]


async def test_an_old_snapshot_held_elsewhere_slows_no_append(database_url: str) -> None:
    engine = database.engine(database_url, "faults", size=2)
    stage = Stage(database_url, Reader(engine))
    row = await stage.ledger()
    await measured(stage, row, "warm")
    holder = await asyncpg.connect(stage.url)
    free, held = [], []
    for n in range(ROUNDS[1]):  # in turn, so that both meet the same neighbours
        free.append(await measured(stage, row, f"free-{n}"))
        async with holder.transaction(isolation="repeatable_read", readonly=True):
            assert await holder.fetchval("SELECT count(*) FROM ledger.event") > 0
            held.append(await measured(stage, row, f"held-{n}"))
        if n + 1 >= ROUNDS[0] and as_fast(free, held) and as_few(free, held):
            break
    dead = await holder.fetchval(DEAD)
    await holder.close()
    await stage.reader.close()
    assert as_few(free, held), f"{len(held)} rounds: free {free}, held {held}"
    assert as_fast(free, held), f"{len(held)} rounds: free {free}, held {held}"
    assert dead == 0, "an append leaves row versions behind"
