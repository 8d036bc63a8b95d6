"""The overlay: what is laid over can be taken back, and what others do is followed."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit import clock
from services.ledger import overlay as laying
from services.ledger.decision import decide
from services.ledger.model import EMPTY, NOBODY, Head, Known, Plan, Request, Snapshot
from services.ledger.overlay import Overlay
from tests.unit.ledger.test_decision import Log, item, requests


def known(overlay: Overlay) -> object:
    """Return all that an overlay knows, for comparing."""
    subjects = (dict(overlay._versions), dict(overlay._ids))
    return (overlay.head, *subjects, dict(overlay._recent))


def learnt(log: Log, *some: Request) -> Overlay:
    overlay = Overlay()
    assert overlay.learn(log.snapshot(some)) == "taken"
    return overlay


def test_a_batch_is_decided_over_the_effects_of_the_one_in_flight() -> None:
    first, second = Request((item(1),), {"a:1": 0}), Request((item(2),), {"a:1": 1})
    overlay = learnt(Log(), first, second)
    decide(overlay, [first])
    ahead = decide(overlay, [second, Request((item(1),))])
    assert [v[0].kind for v in ahead.verdicts] == ["appended", "duplicate"]
    assert ahead.expected.position == 1
    assert ahead.effects.versions == [2]


@given(st.lists(st.lists(requests, max_size=4), min_size=1, max_size=4))
@settings(max_examples=200)
def test_undoing_the_youngest_first_leaves_no_trace(batches: list[list[Request]]) -> None:
    overlay = learnt(Log(), *(request for batch in batches for request in batch))
    states, flying = [], []
    for batch in batches:
        states.append(known(overlay))
        flying.append(decide(overlay, batch).effects)
    while flying:
        overlay.undo(flying.pop())
        assert known(overlay) == states.pop()
    assert not any(overlay._versions.values())
    assert not any(overlay._ids.values())


@given(st.lists(st.lists(requests, max_size=4), min_size=1, max_size=5), st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.large_base_example])
def test_batches_in_flight_that_land_or_fail_equal_batches_one_by_one(
    batches: list[list[Request]], data: st.DataObject
) -> None:
    """Two in flight; when the older fails, both are taken back and decided again, in order."""
    log, plain = Log(), Log()
    overlay = learnt(log, *(request for batch in batches for request in batch))
    waiting, flying = list(batches), list[tuple[list[Request], Plan]]()
    while waiting or flying:
        if waiting and len(flying) < 2:
            batch = waiting.pop(0)
            flying.append((batch, decide(overlay, batch)))
        elif data.draw(st.integers(0, 4)):
            batch, plan = flying.pop(0)
            log.store(plan)
            overlay.confirm(plan.effects, clock.now())
        else:
            for _, plan in reversed(flying):
                overlay.undo(plan.effects)
            waiting = [batch for batch, _ in flying] + waiting
            flying.clear()
    for batch in batches:
        plain.store(plain.plan(*batch))
    assert [one.key for one in log.events] == [one.key for one in plain.events]
    assert log.subjects == plain.subjects


def test_the_head_of_others_is_followed_with_the_versions_of_the_tail() -> None:
    log = Log()
    ask = Request((item(9),))
    overlay = learnt(log, ask)
    log.store(log.plan(Request((item(1, subjects=["a:1", "b:1"]),))))
    assert overlay.learn(log.snapshot([], overlay.head)) == "taken"
    assert overlay.head == log.head
    assert overlay.version("a:1") == 1
    assert overlay.unknown_subjects([Request((item(3, subjects=["b:1"]),))]) == ["b:1"]


def test_nothing_of_others_is_taken_in_while_something_is_in_flight() -> None:
    log, ours = Log(), Request((item(1),))
    overlay = learnt(log, ours)
    flying = decide(overlay, [ours])
    # Not stored yet: the head is the one that the batch in flight expects.
    assert overlay.learn(log.snapshot([ours], EMPTY)) == "taken"
    log.store(log.plan(Request((item(2),))))
    assert overlay.learn(log.snapshot([ours], EMPTY)) == "landing"
    overlay.undo(flying.effects)
    assert overlay.learn(log.snapshot([ours], EMPTY)) == "taken"
    assert overlay.head == log.head


def test_a_batch_of_ours_that_is_stored_already_is_no_foreign_head() -> None:
    log, ours = Log(), Request((item(1),))
    overlay = learnt(log, ours)
    plan = decide(overlay, [ours])
    log.store(plan)
    assert overlay.learn(log.snapshot([ours], overlay.head)) == "taken"


def test_a_log_that_does_not_go_on_from_what_we_know_makes_us_forget() -> None:
    overlay = Overlay()
    ours = {"a:1": Known(64, 5)}
    first = Snapshot(Head(9, b"x"), continues=True, subjects=ours, stored={}, tail=None)
    assert overlay.learn(first) == "taken"
    other = Snapshot(Head(7, b"y"), continues=False, subjects={}, stored={}, tail=None)
    assert overlay.learn(other) == "forgot"
    assert overlay.head == Head(7, b"y")
    assert overlay.unknown_subjects([Request((item(1),))]) == ["a:1"]


def test_what_is_known_is_bounded_and_what_is_in_flight_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(laying, "MAX_SUBJECTS", 10)
    monkeypatch.setattr(laying, "MAX_RECENT", 4)
    overlay = Overlay()
    keys = {f"s:{n}": NOBODY for n in range(20)}
    there = Snapshot(EMPTY, continues=True, subjects=keys, stored={}, tail=None)
    assert overlay.learn(there) == "taken"
    flying = (1, 3, 17, 18, 19)
    plan = decide(overlay, [Request((item(n, subjects=[f"s:{n}"]),)) for n in flying])
    overlay.trim()
    ask = [Request((item(n, subjects=[f"s:{n}"]),)) for n in range(20)]
    assert sorted(overlay.unknown_subjects(ask)) == ["s:0", "s:2", "s:4"]
    assert [overlay.version(f"s:{n}") for n in flying] == [1] * 5
    assert all(overlay.stored(one.key) for one in plan.items)
    overlay.undo(plan.effects)
    overlay.trim()
    assert len(overlay.unknown_subjects(ask)) == 8
