"""Drafts run in a child process: the same answers, and a bound on time and memory."""

from __future__ import annotations

import asyncio
import time

import pytest

from contracts.problem import Invalid, Unavailable
from services.gatekeeper import trying
from services.gatekeeper.activating import activate
from services.gatekeeper.backtesting import Remembered, backtest
from services.gatekeeper.deciding import Decider
from services.gatekeeper.points import Points
from services.gatekeeper.policy import load
from services.gatekeeper.policy_shapes import table
from services.gatekeeper.trying import MIB, Checked, Trials
from tests.unit.gatekeeper.guarded import FAY, OZ, Guarded, document
from tests.unit.gatekeeper.memory import MemoryLedger
from tests.unit.gatekeeper.told import GATE, RELEASE

ONE = "{id: sre, type: approvals, count: 1, roles: [sre]}"
TWO = "{id: sre, type: approvals, count: 2, roles: [sre], expires_after: 30m}"
TEST = f"tests:\n- {{name: t, gate: {GATE!r}, expect: {{verdict: deny, rules: {{c: fail}}}}}}\n"


def bomb(expr: str) -> str:
    return document(f"{{id: c, type: cel, unmet: never, expr: '{expr}'}}") + TEST


def doubled(times: int) -> str:
    """A short expression that makes a list of 2 ** times items: 256 MiB of them at 22."""
    return "[[0]]" + ".map(a, a + a)" * times + ".exists(a, a.size() == 1)"


async def checked(text: str, **bounds: int) -> list[str] | str:
    """Return the faults of a text, or the words in which it was given up."""
    try:
        return (await Trials(MemoryLedger(Guarded()), "main", **bounds).check(text)).faults
    except Invalid as problem:
        return problem.detail


async def test_a_draft_is_judged_as_it_would_be_in_process() -> None:
    told = Guarded().role("sre", FAY, OZ)
    ledger = MemoryLedger(told)
    decider = Decider(ledger, "main", ["guard"])
    await activate(decider, {"guard": document(ONE)})
    for person in (FAY, OZ):
        await decider.decide(RELEASE, GATE)
        told.vote(person)
    await decider.decide(RELEASE, GATE)
    last = len(told.events)
    points = [event for event in told.events if event.type.endswith("decision.recorded.v1")]

    async def find() -> Points:
        return Points(1, last, points)

    there = await Trials(ledger, "main").backtest(document(TWO), find)
    here = await backtest(Remembered(told.events), "main", load(document(TWO)), 1, last)
    ref = load(document(TWO)).ref
    assert there == table(here, ref.name, ref.digest, 1, last)
    assert (there.decisions, there.changed) == (3, 2)


async def test_memory_is_bounded_and_its_bound_is_what_ends_it() -> None:
    """Either the engine gives up, and the rule is an error, or the process does."""
    assert await checked(bomb(doubled(22)), memory=2048 * MIB) == []
    small = await checked(bomb(doubled(22)), memory=192 * MIB)
    if isinstance(small, str):
        assert small == "the policy came to no answer within 30 s and 192 MiB"
    else:
        assert ["it is error: no answer: ran out of memory" in one for one in small] == [True]


async def test_time_is_bounded_and_its_bound_is_what_ends_it() -> None:
    start = time.monotonic()
    said = await checked(bomb(doubled(27)), seconds=3, memory=16 * 1024 * MIB)
    assert said == "the policy came to no answer within 3 s and 16384 MiB"
    assert time.monotonic() - start < 30


async def test_of_many_drafts_at_once_some_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "MOST_WAITING", 1)
    trials = Trials(MemoryLedger(Guarded()), "main")
    asked = [trials.check(document(ONE)) for _ in range(5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [one.faults for one in answers[:3] if isinstance(one, Checked)] == [[], [], []]
    assert [type(one) for one in answers[3:]] == [Unavailable, Unavailable]


@pytest.mark.parametrize("text", ["\0", "[" * 90_000, "a: &x [*x]", "- " * 40_000, "? " * 40_000])
async def test_text_that_is_hard_to_read_is_refused_in_words(text: str) -> None:
    start = time.monotonic()
    faults = await checked(text)
    assert isinstance(faults, list), faults
    assert faults
    assert faults[0].startswith("policy.yaml:")
    assert time.monotonic() - start < 30
