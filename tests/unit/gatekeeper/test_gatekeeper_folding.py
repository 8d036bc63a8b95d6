"""Only types under our prefix are facts; whatever else stands in a history means nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.event import OURS
from services.gatekeeper.facts import Facts
from services.gatekeeper.folds import HANDLERS
from services.gatekeeper.judge import judge
from services.gatekeeper.policy import select
from tests.unit.gatekeeper.test_gatekeeper_judge import STANDARD, story
from tests.unit.gatekeeper.told import RELEASE, Told, moment

HANDLED = sorted(HANDLERS)
SUBJECTS = [f"release:{RELEASE}", "role:release-manager", "policy:standard"]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = [
    "release_id", "principal", "role", "scope", "data", "artifacts", "change_ids", "gate", "digest",
    "deployment_id", "decision", "counts",
]  # fmt: skip
PAYLOAD = ODD | st.dictionaries(st.sampled_from(FIELDS), ODD | st.just(RELEASE))


def said(facts: Facts) -> dict[str, Any]:
    """Everything that a rule can look at: all but what was read."""
    reading = {"read_set", "digest", "newest"}
    return {
        name: getattr(facts, name)
        for name in Facts.__slots__
        if name not in reading and not name.startswith("_")
    }


def a_real_one(name: str) -> dict[str, Any]:
    """A payload that would be believed if its type were ours."""
    told = story().asked("acme:fay").vote("acme:rosa").packaged("9" * 40).pipeline()
    known = {event.type: event.data for event in told.revoked("qa", "acme:fay").events}
    return known.get(OURS + name, {"release_id": RELEASE, "reason": "dropped"})


@pytest.mark.parametrize("name", HANDLED)
def test_a_foreign_event_by_the_name_of_ours_changes_no_fact(name: str) -> None:
    before = said(story().facts())
    for data in (a_real_one(name), {}, {"release_id": ["x"]}, [1]):
        for subject in SUBJECTS:
            told = story()
            told.foreign(name, subject, data)
            assert said(told.facts()) == before


def test_those_payloads_would_be_believed_from_us() -> None:
    """Else the test above could not fail."""
    role = a_real_one("role.assigned.v1") | {"principal": "acme:eve"}
    told = story()
    told.foreign("role.assigned.v1", "role:release-manager", role)
    assert "acme:eve" not in {held.principal for held in told.facts().holdings}
    told.tell("role.assigned.v1", role)
    assert "acme:eve" in {held.principal for held in told.facts().holdings}


TYPES = st.sampled_from([*HANDLED, "com.example.build", "release", "x" + OURS + HANDLED[0]])


@settings(max_examples=60, deadline=timedelta(seconds=2))
@given(strangers=st.lists(st.tuples(TYPES, st.sampled_from(SUBJECTS), PAYLOAD), max_size=4))
def test_foreign_events_never_stop_or_sway_a_judgement(
    strangers: list[tuple[str, str, Any]],
) -> None:
    told: Told = story().vote("acme:rosa")
    for type_, subject, data in strangers:
        told.foreign(type_, subject, data)
    facts = told.facts()
    assert said(facts) == said(story().vote("acme:rosa").facts())
    decision = judge(facts, select([STANDARD], facts), moment(told))
    assert decision.decision == "allow"


def test_a_gate_stays_shut_when_what_was_removed_may_have_said_no() -> None:
    """Else a rejection could be redacted away."""
    told = story().asked("acme:fay").vote("acme:rosa", "rejected")
    position = told.events[-1].position
    left = {name: told.events[-1].event[name] for name in ("specversion", "source", "type")}
    gone = told.events[-1].model_copy(update={"redacted": True, "event": left})
    told.events[-1] = gone
    facts = told.facts()
    decision = judge(facts, select([STANDARD], facts), moment(told))
    assert decision.decision == "deny"
    assert f"position {position} was redacted" in decision.summary
    other = gone.model_copy(update={"versions": {"release:other": 1, "service:pay": 9}})
    told.events[-1] = other
    assert told.facts().removed == []
    # A no that names another release besides: it may have been about this one all the same.
    both = gone.versions | {"release:other": 1}
    told.events[-1] = gone.model_copy(update={"versions": both})
    assert told.facts().removed == [position]
