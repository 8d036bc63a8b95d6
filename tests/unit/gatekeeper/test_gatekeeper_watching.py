"""What the feed says about gates, and what is news beside the newest decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts.decision import Decision
from contracts.event import OURS, RecordedEvent
from services.gatekeeper import policy
from services.gatekeeper.deciding import Judged
from services.gatekeeper.judge import judge
from services.gatekeeper.timers import is_news
from services.gatekeeper.watching import seen
from tests.unit.gatekeeper.told import (
    GATE,
    IMAGE,
    MANIFEST,
    OTHER_IMAGE,
    OTHER_MANIFEST,
    RELEASE,
    Told,
    moment,
)

HEAD = "apiVersion: release-ledger/v1\nkind: ReleasePolicy\n"
KEY = (RELEASE, GATE)


def rules(*lines: str) -> str:
    """Return a policy of these rules."""
    return (
        f"{HEAD}metadata: {{name: p, version: 1, owner: me}}\ndefaults: {{exclude: []}}\n"
        f"gates:\n- id: {GATE}\n  stages:\n  - id: s\n    rules:\n"
        + "".join(f"    - {line}\n" for line in lines)
    )


BOSS = "{id: boss, type: approvals, count: 1, roles: [boss], expires_after: 1h}"
SOAK = "{id: soak, type: soak, environment: staging, at_least: 24h}"


def at(told: Told, text: str, as_of: datetime) -> Judged:
    """Judge as of an instant by everything told."""
    facts = told.facts()
    applied = policy.select([policy.load(text, "p")], facts)
    return Judged(judge(facts, applied, as_of), facts, applied)


def record(told: Told, decision: Decision) -> RecordedEvent:
    data = {"decision_id": f"d{len(told.events)}", "release_id": decision.release}
    return told.tell("decision.recorded.v1", data | {"decision": decision.model_dump(mode="json")})


@pytest.fixture
def told() -> Told:
    return Told().planned().candidate(changes=()).role("boss", "acme:rosa", "acme:hal")


def test_a_gate_is_asked_about_from_its_first_decision_and_what_it_rests_on_is_watched(
    told: Told,
) -> None:
    assert seen(told.events).newest == {}
    told.vote("acme:rosa")
    decision = at(told, rules(BOSS), moment(told)).decision
    first, last = record(told, decision), record(told, decision)
    newest = seen(told.events).newest[KEY]
    assert first.position < newest.position == last.position
    assert set(newest.read) == set(decision.read_set)
    assert decision.next_change_at is not None
    assert newest.fires_at == datetime.fromisoformat(decision.next_change_at)


def test_a_gate_of_no_policy_is_not_watched_unless_one_will_take_its_turn(told: Told) -> None:
    facts = told.facts("deploy:moon")
    applied = policy.select([policy.load(rules(BOSS), "p")], facts)
    assert isinstance(applied, policy.NoPolicy)
    never = record(told, judge(facts, applied, moment(told)))
    assert seen([never]) == seen([])
    turn = moment(told, hours=1)
    soon = record(told, judge(facts, replace(applied, until=turn), moment(told)))
    assert seen([soon]).newest[RELEASE, "deploy:moon"].fires_at == turn


def test_every_event_moves_what_it_names_but_decisions_and_permits(told: Told) -> None:
    assert seen(told.events).moved[f"release:{RELEASE}"] == 2
    last = len(told.events)
    record(told, at(told, rules(BOSS), moment(told)).decision)
    permit = {"permit_id": "p1", "decision_id": "d1", "release_id": RELEASE, "gate": GATE}
    permit |= {"environment": "production", "target_digest": MANIFEST}
    told.tell("permit.issued.v1", permit | {"not_after": "2026-03-01T10:00:00Z"})
    assert seen(told.events[last:]).moved == {}
    told.scan()
    assert seen(told.events[last:]).moved == {f"artifact:{IMAGE}": len(told.events)}


@pytest.mark.parametrize(
    ("type_", "more"),
    [("release.completed.v1", {"outcome": "success"}), ("release.cancelled.v1", {"reason": "no"})],
)
def test_nobody_watches_an_ended_release(told: Told, type_: str, more: dict[str, Any]) -> None:
    record(told, at(told, rules(BOSS), moment(told)).decision)
    told.tell(type_, {"release_id": RELEASE} | more)
    found = seen(told.events)
    assert (found.ended, found.newest) == ({RELEASE}, {})
    late = record(told, at(told, rules(BOSS), moment(told)).decision)
    assert seen([late]).newest == {}, "the decision says itself that the release has ended"


def test_a_decision_whose_content_was_removed_tells_nothing(told: Told) -> None:
    event = record(told, at(told, rules(BOSS), moment(told)).decision)
    bare = event.model_copy(update={"redacted": True, "event": {"type": event.type}})
    assert seen([bare]) == seen([])
    assert event.type == f"{OURS}decision.recorded.v1"


def test_a_new_status_is_news_and_the_same_answer_is_none(told: Told) -> None:
    text, told_at = rules(BOSS), moment(told)
    pending = at(told, text, told_at).decision
    assert not is_news(pending, at(told, text, told_at + timedelta(days=3)))
    told.tests()
    assert not is_news(pending, at(told, text, moment(told)))
    told.vote("acme:rosa")
    assert is_news(pending, at(told, text, moment(told)))


def test_another_candidate_is_news_though_it_waits_for_the_same(told: Told) -> None:
    text = rules(BOSS.replace("}", ", bind: []}"))
    pending = at(told, text, moment(told)).decision
    told.candidate(OTHER_MANIFEST, OTHER_IMAGE, changes=())
    again = at(told, text, moment(told))
    assert [r.reason for r in again.decision.rules] == [r.reason for r in pending.rules]
    assert is_news(pending, again)


def test_a_new_reason_is_news_also_under_the_same_status(told: Told) -> None:
    text = rules(BOSS.replace("count: 1", "count: 2"))
    none = at(told, text, moment(told)).decision
    one = at(told.vote("acme:rosa"), text, moment(told))
    assert (none.decision, one.decision.decision) == ("pending", "pending")
    assert is_news(none, one)
    expired = at(told, text, moment(told, hours=2))
    assert expired.decision.rules[0].status == one.decision.rules[0].status
    assert is_news(one.decision, expired), "time has changed the reason"


def test_that_time_goes_by_is_no_news_until_it_may_change_the_answer(told: Told) -> None:
    finished: dict[str, Any] = {"deployment_id": "d1", "intent_id": "d1", "service": "pay"}
    finished |= {"release_id": RELEASE, "artifact_digest": IMAGE, "outcome": "success"}
    finished |= {"environment": {"id": "staging", "tier": "testing"}, "kind": "normal"}
    finished |= {"planned": True, "trigger": "ci"}
    told.tell("deployment.finished.v1", finished)
    text = rules(SOAK)
    early = at(told, text, moment(told, hours=2)).decision
    later, ripe = at(told, text, moment(told, hours=9)), at(told, text, moment(told, hours=25))
    assert (early.decision, later.decision.decision) == ("pending", "pending")
    assert early.rules[0].reason != later.decision.rules[0].reason, "spans of time differ"
    assert not is_news(early, later)
    assert is_news(early, ripe)
