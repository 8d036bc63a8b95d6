"""Batches that rest on each other, and processes that append against each other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from contracts.problem import Unavailable
from services.kit import clock
from services.ledger import settling
from services.ledger.appender import Appender, Submission
from services.ledger.model import EventKey, Head, Outcome, Plan, Snapshot
from services.ledger.pipeline import OVERLAP_EVENTS
from services.ledger.planning import LOOK_FIRST_BATCHES, PROBED_EVENTS
from services.ledger.settling import LOCK_FIRST_BATCHES
from services.ledger.writer import Answer, Rejected, Uncertain, Writer
from tests.integration.ledger.conftest import Ledger, submission

pytestmark = pytest.mark.postgres
HELD = "org.example.held"
LOOP_SECONDS = 2.0
CALLERS = 8


class Holding(Writer):
    """Holds every batch with an event of the type `HELD` until `go`; then it meets its `fate`."""

    def __init__(self, ledger: Ledger, fate: Exception | None) -> None:
        super().__init__(ledger.url, ledger.reader.ledger("main"))
        self.fate = fate
        self.held, self.go, self.confirmed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def append(self, lane: int, plan: Plan, *, probe: bool = False) -> Answer:
        if any(item.type == HELD for item in plan.items):
            self.held.set()
            await self.go.wait()
            if self.fate is not None:
                raise self.fate
        return await super().append(lane, plan, probe=probe)

    async def confirm(self, lane: int) -> Answer:
        """All that a batch does which is nothing but a conflict."""
        answer = await super().confirm(lane)
        self.confirmed.set()
        return answer


def group(count: int, **attributes: str) -> list[Submission]:
    return [submission("s:1", **attributes) for _ in range(count)]


async def _begun(
    appender: Appender, writer: Holding
) -> tuple[asyncio.Task[list[Outcome]], asyncio.Task[list[Outcome]]]:
    """Put a batch on its way, and behind it one that is a conflict only if the first lands."""
    await appender.append_each([submission("s:1")])
    first = asyncio.create_task(
        appender.append_group(group(OVERLAP_EVENTS, type=HELD), {"s:1": 1, "t:1": 0})
    )
    await writer.held.wait()
    second = asyncio.create_task(appender.append_group(group(OVERLAP_EVENTS), {"s:1": 1}))
    await writer.confirmed.wait()  # it overlaps: decided and done, while the first is held
    await asyncio.sleep(0.1)
    early = first.done(), second.done()
    assert early == (False, False)
    return first, second


def _kinds(outcomes: Sequence[Outcome]) -> set[str]:
    return {outcome.kind for outcome in outcomes}


@pytest.mark.parametrize("end", ["lands", "is refused", "meets another head"])
async def test_a_conflict_waits_for_the_batch_that_it_rests_on(ledger: Ledger, end: str) -> None:
    writer = Holding(ledger, Rejected("a bad row", "22000") if end == "is refused" else None)
    first, second = await _begun(ledger.appender(writer), writer)
    if end == "meets another head":  # and then its expectation fails
        await ledger.appender().append_each([submission("t:1")])
    writer.go.set()
    expected = {
        "lands": ("appended", "conflict", 1 + OVERLAP_EVENTS),
        "is refused": ("refused", "appended", 1 + OVERLAP_EVENTS),
        "meets another head": ("conflict", "appended", 2 + OVERLAP_EVENTS),
    }[end]
    assert (_kinds(await first), _kinds(await second)) == ({expected[0]}, {expected[1]})
    assert await ledger.check() == expected[2]


async def test_a_conflict_with_a_batch_of_unknown_outcome_is_unknown_too(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "GIVE_UP_SECONDS", 0.3)
    writer = Holding(ledger, Uncertain("the server does not answer"))
    calls = await _begun(ledger.appender(writer), writer)
    writer.go.set()
    for call in calls:
        with pytest.raises(Unavailable, match=settling.UNKNOWN):
            await call
    assert await ledger.check() == 1


async def test_two_appenders_in_closed_loops_share_a_ledger_and_none_starves(
    ledger: Ledger,
) -> None:
    """Two appenders know as little of each other as two processes do."""
    until = clock.monotonic() + LOOP_SECONDS

    async def caller(appender: Appender, name: str) -> int:
        stored = 0
        while clock.monotonic() < until:
            (outcome,) = await appender.append_each([submission(f"of:{name}", "s:1")])
            assert outcome.kind == "appended"
            stored += 1
        return stored

    async def together(appender: Appender, name: str) -> int:
        callers = (caller(appender, f"{name}-{n}") for n in range(CALLERS))
        return sum(await asyncio.gather(*callers))

    one, two = ledger.appender(), ledger.appender()
    shares = await asyncio.gather(together(one, "one"), together(two, "two"))
    assert await ledger.check() == sum(shares)
    assert sum(shares) > 10 * CALLERS
    assert min(shares) >= 0.3 * sum(shares), shares


async def test_a_process_that_is_alone_again_stops_locking_first(ledger: Ledger) -> None:
    one, two = ledger.appender(), ledger.appender()
    settler = one._pipeline._settler
    for appender in (one, two, one):
        await appender.append_each([submission()])
    contended = [settler.contended]
    for _ in range(LOCK_FIRST_BATCHES):
        await one.append_each([submission()])
        contended.append(settler.contended)
    assert contended == [True] * LOCK_FIRST_BATCHES + [False]
    assert await ledger.check() == 3 + LOCK_FIRST_BATCHES


class Looking(Writer):
    """Counts how often it looks before a batch is decided."""

    looks = 0

    async def load(
        self, lane: int, known: Head, subjects: Sequence[str], ids: Sequence[EventKey]
    ) -> Snapshot:
        self.looks += 1
        return await super().load(lane, known, subjects, ids)


async def test_large_batches_ask_first_only_after_an_id_was_there_already(ledger: Ledger) -> None:
    old, large = group(PROBED_EVENTS * 2), PROBED_EVENTS + 1
    await ledger.appender().append_group(old)
    writer = Looking(ledger.url, ledger.reader.ledger("main"))
    appender = ledger.appender(writer)
    await appender.append_each([submission("s:1")])
    assert writer.looks == 1  # for the subject
    await appender.append_group(group(large))
    assert writer.looks == 1  # append_v1 looks for the ids itself
    assert _kinds(await appender.append_group(old)) == {"duplicate"}
    assert writer.looks == 2  # as it found one
    for _ in range(LOOK_FIRST_BATCHES):
        await appender.append_group(group(large))
    assert writer.looks == 2 + LOOK_FIRST_BATCHES
    await appender.append_group(group(large))
    assert writer.looks == 2 + LOOK_FIRST_BATCHES
    assert await ledger.check() == len(old) + 1 + large * (LOOK_FIRST_BATCHES + 2)
