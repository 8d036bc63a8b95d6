"""What a read costs in PostgreSQL: keys and no scans, at any size, planned while empty or full."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from contracts.leaf import event_uuid
from services.ledger import queries, store
from services.ledger.databases import HOT
from tests.integration.ledger.bulk import COUNT, RARE, START, fill
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.test_reads import positions

pytestmark = pytest.mark.postgres
MOMENT = datetime.fromisoformat(START) + timedelta(seconds=57)


@pytest.fixture
async def full(ledger: Ledger) -> Ledger:
    """A ledger of 20 000 events."""
    await fill(ledger.sql, ledger.reader.ledger("main").id, COUNT)
    return ledger


@pytest.fixture
async def hot(ledger: Ledger) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection that plans as the reader's connections do."""
    connection = await asyncpg.connect(ledger.url, server_settings=HOT)
    yield connection
    await connection.close()


SHARED = "'shared:7'"
ASKED = {
    # name: (statement, values after the ledger, most pages of 8 kB that it may touch)
    "head": (queries.HEAD, "", 10),
    "after": (queries.AFTER, "100, 8388608, 15000", 1_300),
    "by type": (queries.AFTER_BY_TYPE, f"100, 8388608, 5000, '{RARE}', 25000", 900),
    "by subject": (queries.AFTER_BY_SUBJECT, f"100, 8388608, 9000, {SHARED}", 300),
    "by both": (queries.AFTER_BY_BOTH, f"100, 8388608, 9000, 'all:1', '{RARE}', 2000", 8_000),
    "many": (queries.MANY, "'{1,700,19999}'::bigint[]", 60),
    "by id": (queries.BY_ID, f"'{event_uuid('x')}'::uuid, '/bulk'", 20),
    "history": (queries.HISTORY, f"100, 8388608, {SHARED}, 0", 350),
    "history, end": (queries.HISTORY, "100, 8388608, 'all:1', 19900", 1_700),
    "as of a position": (queries.HISTORY_AT, "100, 8388608, 'all:1', 0, 9000", 1_700),
    "several": (
        queries.HISTORIES_AT,
        "100, 8388608, '{shared:7,all:1,never:1}'::text[], 9000",
        2_050,
    ),
    "as of a time": (queries.HISTORY_AS_OF, f"100, 8388608, 'all:1', 0, '{MOMENT}'", 1_700),
}


async def explain(connection: asyncpg.Connection[Any], name: str) -> dict[str, Any]:
    """Return the plan as it ran, for one connection's life: it is made at the first time."""
    _, values, _ = ASKED[name]
    arguments = ", ".join(filter(None, ["1::smallint", values]))
    found = await connection.fetchval(
        f'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE "{name}"({arguments})'
    )
    plan: dict[str, Any] = json.loads(found)[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


def is_by_key(plan: dict[str, Any]) -> bool:
    """No table is scanned, and no index from end to end."""
    for node in nodes(plan):
        kind = node["Node Type"]
        if kind == "Seq Scan" or ("Index" in kind and "Index Cond" not in node):
            return False
    return True


@pytest.mark.parametrize("planned", ["empty", "full"])
async def test_every_read_goes_by_keys_and_touches_few_pages(
    ledger: Ledger, hot: asyncpg.Connection[Any], planned: str
) -> None:
    async def prepare() -> None:
        for name, (statement, _, _) in ASKED.items():
            await hot.execute(f'PREPARE "{name}" AS {statement}')
            await explain(hot, name)

    if planned == "empty":
        await prepare()
    await fill(ledger.sql, ledger.reader.ledger("main").id, COUNT, analyze=planned == "full")
    if planned == "full":
        await prepare()
    for name, (_, _, most) in ASKED.items():
        plan = await explain(hot, name)
        touched = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        assert is_by_key(plan), f"{name} scans: {json.dumps(plan)}"
        assert touched <= most, f"{name} touches {touched} pages"


async def test_what_the_bulk_of_events_is_like_for_a_reader(full: Ledger) -> None:
    reader = full.reader
    assert await full.check() == COUNT
    window = await reader.page("main", 15_000, 1000)
    assert positions(window) == list(range(15_001, 16_001))
    assert window.events[6].versions == {"own:15007": 1, "shared:7": 16, "all:1": 15_007}
    (outcome,) = await full.appender().append_each([submission("all:1", "shared:7")])
    assert outcome.receipt is not None
    assert outcome.receipt.versions == {"all:1": COUNT + 1, "shared:7": 21}


async def test_a_rare_type_is_found_in_bounded_steps(full: Ledger) -> None:
    await full.appender().append_each([submission(type="org.example.last")])
    found, after, pages = [], 0, 0
    while after < COUNT + 1:
        window = await full.reader.page("main", after, type_="org.example.last")
        assert window.scanned_to - after <= store.SCAN
        after, pages = window.scanned_to, pages + 1
        found += positions(window)
    assert (found, pages) == ([COUNT + 1], 2)


async def test_both_filters_are_bounded_by_the_events_of_the_subject(full: Ledger) -> None:
    reader = full.reader
    window = await reader.page("main", 500, subject_="all:1", type_=RARE)
    assert (positions(window), window.scanned_to) == ([1000, 2000], 2500)
    window = await reader.page("main", 500, 1, subject_="all:1", type_=RARE)
    assert (positions(window), window.scanned_to) == ([1000], 1000)
    window = await reader.page("main", 500, subject_="shared:1000", type_=RARE)
    assert (positions(window), window.scanned_to) == (list(range(1000, 20_001, 1000)), COUNT)
    assert (await reader.page("main", 19_000, subject_="own:5", type_=RARE)).scanned_to == COUNT


async def test_a_time_that_many_events_share_takes_all_of_them_or_none(full: Ledger) -> None:
    reader, start = full.reader, datetime.fromisoformat(START)
    tick = timedelta(microseconds=1)
    for second in (0, 1, 57, 198, 199):  # positions 100·s+1 … 100·s+100 share the second s
        moment = start + timedelta(seconds=second)
        assert (await reader.history("main", "all:1", as_of=moment)).version == 100 * second + 100
        assert (await reader.history("main", "all:1", as_of=moment - tick)).version == 100 * second
    shared = await reader.history("main", "shared:7", as_of=start + timedelta(seconds=57))
    assert (positions(shared), shared.version) == ([7, 1007, 2007, 3007, 4007, 5007], 6)
    late = await reader.history("main", "own:20000", as_of=start + timedelta(seconds=198))
    assert (late.version, late.head) == (0, COUNT)
    end = await reader.history(
        "main", "all:1", as_of=start + timedelta(days=9), after_version=19_999
    )
    assert (positions(end), end.version) == ([COUNT], COUNT)


async def test_a_page_of_large_events_reads_only_the_bodies_that_fit(ledger: Ledger) -> None:
    await fill(ledger.sql, ledger.reader.ledger("main").id, 1000, 200_000)
    window = await ledger.reader.page("main", 0, 1000)
    assert sum(len(event.body) for event in window.events) <= store.PAGE_BYTES
    assert len(window.events) == window.scanned_to == 41
    plan = json.loads(
        await ledger.sql.fetchval(
            "EXPLAIN (ANALYZE, BUFFERS, SERIALIZE, FORMAT JSON) "
            + queries.AFTER.replace("$1", "1").replace("$2", "1000")
            .replace("$3", str(store.PAGE_BYTES)).replace("$4", "0")
        )
    )[0]  # fmt: skip
    whole = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    out = plan["Serialization"]
    assert out["Output Volume"] < 2 * 10**4  # kB
    assert whole + out["Shared Hit Blocks"] + out["Shared Read Blocks"] < 12_000


async def test_a_page_has_its_head_from_the_same_snapshot(ledger: Ledger) -> None:
    """Under appends: what a page says is the head is never behind its events, nor ahead of them."""
    appender = ledger.appender()
    reader = ledger.reader
    done = False

    async def watch() -> int:
        pages = 0
        while not done:
            last = await reader.head("main")
            window = await reader.page("main", max(0, last[0] - 2), 1000)
            assert window.head == window.scanned_to == (positions(window) or [0])[-1]
            history = await reader.history("main", "thing:1", after_version=max(0, last[0] - 2))
            assert history.head == history.version >= last[0]
            pages += 1
        return pages

    watching = asyncio.create_task(watch())
    for _ in range(100):
        await appender.append_each([submission() for _ in range(3)])
    done = True
    assert await watching > 20


async def test_several_histories_read_at_once_are_what_each_is_by_itself(full: Ledger) -> None:
    keys, reader = ["shared:7", "never:1", "all:1", "own:9001", "shared:7"], full.reader
    at_once = await reader.histories("main", keys, 9_000, 10)
    assert [window.version for window in at_once] == [9, 0, 9_000, 0, 9]
    assert at_once == [await reader.history("main", key, as_of=9_000, limit=10) for key in keys]
