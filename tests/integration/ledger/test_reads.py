"""Pages, histories, long polls, and a reader that only moves forward (I1, I6)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from contracts.problem import NotFound, Unavailable
from services.kit import clock, database
from services.ledger import store
from services.ledger.store import Reader
from services.ledger.wake import Wake, page_or_wait
from tests.integration.ledger.conftest import Ledger, submission

pytestmark = pytest.mark.postgres


def positions(window: store.Window | store.HistoryWindow) -> list[int]:
    return [event.position for event in window.events]


async def test_pages_follow_each_other(ledger: Ledger) -> None:
    await ledger.appender().append_each([submission() for _ in range(7)])
    found, after = [], 0
    while True:
        window = await ledger.reader.page("main", after, 3)
        assert window.head == 7
        if not window.events:
            break
        found += positions(window)
        after = window.scanned_to
    assert found == list(range(1, 8))
    beyond = await ledger.reader.page("main", 99, 3)
    assert (beyond.events, beyond.scanned_to) == ([], 99)


async def test_filters_say_how_far_they_looked(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SCAN", 10)
    some = [
        submission("s:1" if n % 4 == 0 else "s:2", type="org.example.rare" if n == 14 else "t.t")
        for n in range(1, 25)
    ]
    await ledger.appender().append_each(some)
    reader = ledger.reader
    first = await reader.page("main", 0, type_="org.example.rare")
    assert (first.events, first.scanned_to, first.head) == ([], 10, 24)
    second = await reader.page("main", 10, type_="org.example.rare")
    assert (positions(second), second.scanned_to) == ([14], 20)
    subject = await reader.page("main", 5, 2, subject_="s:1")
    assert (positions(subject), subject.scanned_to) == ([8, 12], 12)
    last = await reader.page("main", 12, subject_="s:1")
    assert (positions(last), last.scanned_to) == ([16, 20, 24], 24)
    assert (await reader.page("main", 0, subject_="s:none")).scanned_to == 24
    both = await reader.page("main", 10, subject_="s:1", type_="org.example.rare")
    assert both.events == []


async def test_a_page_ends_early_when_it_gets_too_big(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE_BYTES", 3_000)
    await ledger.appender().append_each([submission(data="x" * n) for n in (900, 900, 900, 9_000)])
    reader = ledger.reader
    first = await reader.page("main", 0)
    assert (positions(first), first.scanned_to) == ([1, 2], 2)
    assert positions(await reader.page("main", 3)) == [4]


async def test_a_history_as_of_a_position_and_as_of_a_time(ledger: Ledger) -> None:
    appender, reader = ledger.appender(), ledger.reader
    moments = []
    for n in range(5):
        await appender.append_each([submission("s:1"), submission("s:2", f"other:{n}")])
        moments.append((await reader.at("main", 2 * n + 1)).recorded_at)
    whole = await reader.history("main", "s:1")
    assert (positions(whole), whole.version, whole.head) == ([1, 3, 5, 7, 9], 5, 10)
    assert [event.versions["s:1"] for event in whole.events] == [1, 2, 3, 4, 5]
    part = await reader.history("main", "s:1", after_version=1, as_of=6, limit=1)
    assert (positions(part), part.version) == ([3], 3)
    for n, moment in enumerate(moments):
        assert (await reader.history("main", "s:1", as_of=moment)).version == n + 1
        before = await reader.history("main", "s:1", as_of=moment - timedelta(microseconds=1))
        assert before.version == n
    for as_of in (0, moments[0] - timedelta(days=1)):
        none = await reader.history("main", "s:1", as_of=as_of)
        assert (none.events, none.version) == ([], 0)
    nobody = await reader.history("main", "s:nobody", as_of=clock.now())
    assert (nobody.events, nobody.version, nobody.head) == ([], 0, 10)


async def test_what_is_not_there(ledger: Ledger) -> None:
    reader = ledger.reader
    assert await reader.head("main") == (0, "")
    for missing in (
        reader.at("main", 1),
        reader.by_id("main", "/s", "x"),
        reader.head("nope"),
        reader.page("nope", 0),
    ):
        with pytest.raises(NotFound):
            await missing


async def test_ledgers_are_apart(ledger: Ledger) -> None:
    await ledger.reader.open(["other", "main"])
    await ledger.appender().append_each([submission("s:1", id="x")])
    assert [row.name for row in ledger.reader.ledgers] == ["main", "other"]
    assert (await ledger.reader.page("other", 0)).events == []
    assert (await ledger.reader.history("other", "s:1")).version == 0
    with pytest.raises(NotFound):
        await ledger.reader.by_id("other", "/test", "x")


async def test_ledgers_made_at_the_same_time_get_numbers_of_their_own(ledger: Ledger) -> None:
    names = [f"l{n}" for n in range(8)]
    await asyncio.gather(*(ledger.reader.open([name, "same"]) for name in names))
    ids = [row.id for row in ledger.reader.ledgers]
    assert len(set(ids)) == len(ids) == 10


async def test_a_database_that_is_away_is_unavailable() -> None:
    reader = Reader(database.engine("postgresql://nobody@/x?host=/nowhere", "test"))
    with pytest.raises(Unavailable):
        await reader.open(["main"])


async def test_a_long_poll_is_woken_by_an_append(ledger: Ledger) -> None:
    wake = Wake(ledger.reader)
    task = asyncio.create_task(wake.run())
    await asyncio.sleep(0.1)
    poll = asyncio.create_task(page_or_wait(ledger.reader, wake, "main", 0, 10, wait=20))
    await asyncio.sleep(0.1)
    started = clock.monotonic()
    await ledger.appender().append_each([submission()])
    assert positions(await poll) == [1]
    assert clock.monotonic() - started < 0.6  # the notification, not the poll behind it
    started = clock.monotonic()
    empty = await page_or_wait(ledger.reader, wake, "main", 1, 10, wait=0.3)
    assert (empty.events, empty.scanned_to) == ([], 1)
    assert clock.monotonic() - started >= 0.3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_reader_that_only_moves_forward_misses_nothing(ledger: Ledger) -> None:
    appenders = [ledger.appender(), ledger.appender()]
    seen: list[int] = []

    async def tail() -> None:
        while len(seen) < 400:
            window = await ledger.reader.page("main", seen[-1] if seen else 0, 50)
            assert window.head >= window.scanned_to
            seen.extend(positions(window))

    async def append(n: int) -> None:
        for _ in range(10):
            await appenders[n % 2].append_each([submission(f"s:{n}")])

    await asyncio.gather(tail(), *(append(n) for n in range(40)))
    assert seen == list(range(1, 401))
