"""The decision: fails closed, explains itself, and is the same bytes for the same facts."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts import ijson
from contracts.decision import Decision
from contracts.event import parse_time
from services.gatekeeper.judge import judge
from services.gatekeeper.policy import Applied, NoPolicy, load, select
from tests.unit.gatekeeper.told import GATE, MANIFEST, OTHER_MANIFEST, RELEASE, START, Told, moment

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "decisions"
STANDARD = load((GOLDEN / "policy.yaml").read_text(), "standard.yaml")
QI, FAY, ROSA, SEC, CAB1, CAB2 = (f"acme:{n}" for n in ("qi", "fay", "rosa", "sec", "olu", "edith"))
ROLES = {"qa": (QI, FAY), "release-manager": (ROSA,), "security": (SEC,), "cab": (CAB1, CAB2, ROSA)}


def story(release_type: str = "minor", risk: str | None = "low") -> Told:
    """Everything that machines say is good, everybody holds their role, nobody has voted."""
    told = Told().planned(release_type)
    if risk is not None:
        told.risk(risk)
    told.merged().candidate().tests().scan().pipeline().plan()
    for role, people in ROLES.items():
        told.role(role, *people)
    return told


def decided(told: Told, gate: str = GATE, at: datetime | None = None) -> Decision:
    facts = told.facts(gate)
    return judge(facts, select([STANDARD], facts), at or moment(told))


def open_rules(decision: Decision) -> list[str]:
    return [r.rule for r in decision.rules if r.status not in {"pass", "not_applicable"}]


def test_a_minor_release_needs_its_release_manager() -> None:
    told = story()
    waiting = decided(told)
    assert (waiting.decision, open_rules(waiting)) == ("pending", ["release-manager"])
    assert waiting.summary == "Waiting: Release manager – 0 of 1 approval from release-manager."
    done = decided(told.vote(ROSA))
    assert done.decision == "allow"
    assert done.summary == "Allowed: all 4 rules are satisfied."
    assert done.artefact == MANIFEST
    assert done.next_change_at is not None


def test_a_major_release_goes_before_the_board_and_nobody_counts_twice() -> None:
    told = story("major").vote(ROSA).vote(CAB1)
    assert open_rules(decided(told)) == ["release-manager"]
    assert decided(told.vote(CAB2)).decision == "allow"


def test_high_risk_asks_security_and_so_does_a_risk_that_nobody_assessed() -> None:
    assert decided(story().vote(ROSA)).decision == "allow"
    assert open_rules(decided(story(risk="high").vote(ROSA))) == ["security"]
    unknown = decided(story(risk=None).vote(ROSA))
    assert open_rules(unknown) == ["security"]
    assert "asked because the risk has not been assessed" in unknown.summary


def test_a_hotfix_skips_some_steps() -> None:
    told = Told().planned("hotfix").risk().merged().candidate().scan()
    told.tests(coverage=None).role("release-manager", ROSA).vote(ROSA)
    assert decided(told).decision == "allow"


def test_staging_asks_for_tests_pipeline_and_qa() -> None:
    told = story()
    assert open_rules(decided(told, "deploy:staging")) == ["qa"]
    assert decided(told.vote(QI, gate="deploy:staging"), "deploy:staging").decision == "allow"
    assert decided(told).decision == "pending", "an approval for staging is none for production"


def test_a_failed_check_denies_whatever_else_is_good() -> None:
    denied = decided(story().vote(ROSA).scan(critical=2))
    assert denied.decision == "deny"
    assert denied.summary == (
        "Denied: No critical vulnerability – trivy has critical 2; at most 0 is allowed."
    )


def test_an_error_denies() -> None:
    assert decided(story().vote(ROSA).tests(coverage=None)).decision == "deny"


def test_no_policy_denies_and_says_why() -> None:
    denied = decided(story(), "deploy:moon")
    assert (denied.decision, denied.policy, denied.rules) == ("deny", None, [])
    assert denied.environment == "moon"
    assert denied.summary.startswith("Denied: no active policy covers the gate deploy:moon")


def test_nothing_that_applies_denies() -> None:
    text = (GOLDEN / "policy.yaml").read_text()
    only = load(text[: text.index("- id: deploy:production")].replace(
        "max_failed: 0}", "max_failed: 0, when: {type: [hotfix]}}").replace(
        "name: ci}", "name: ci, when: {type: [hotfix]}}").replace(
        "expires_after: 14d}", "expires_after: 14d, when: {type: [hotfix]}}"))  # fmt: skip
    facts = story().facts("deploy:staging")
    denied = judge(facts, select([only], facts), moment(story()))
    assert (denied.decision, {r.status for r in denied.rules}) == ("deny", {"not_applicable"})
    assert "no rule of the policy applies" in denied.summary


def test_a_release_that_has_ended_cannot_pass() -> None:
    told = story().vote(ROSA)
    told.tell("release.cancelled.v1", {"release_id": RELEASE, "reason": "dropped"})
    denied = decided(told)
    assert denied.decision == "deny"
    assert denied.summary == "Denied: The release is open – the release has ended: cancelled."


def test_facts_of_other_releases_on_the_same_artefact_are_theirs() -> None:
    told = story().vote(ROSA, release_id="other-1")
    told.tell("release.cancelled.v1", {"release_id": "other-1", "reason": "dropped"})
    assert decided(told).decision == "pending"


def test_a_decision_is_no_fact() -> None:
    told = story()
    first = decided(told)
    data = {"decision_id": "d", "release_id": RELEASE, "decision": first.model_dump(mode="json")}
    told.tell("decision.recorded.v1", data, by="service:gatekeeper")
    again = decided(told)
    assert again.facts_digest == first.facts_digest
    assert again.read_set[f"release:{RELEASE}"] == first.read_set[f"release:{RELEASE}"] + 1
    told.vote(ROSA)
    assert decided(told).facts_digest != first.facts_digest


VOTE = st.fixed_dictionaries(
    {
        "person": st.sampled_from([ROSA, SEC, CAB1, CAB2, "acme:hal", "acme:kim", "acme:nobody"]),
        "decision": st.sampled_from(["approved", "approved", "rejected"]),
        "target_digest": st.sampled_from([MANIFEST, MANIFEST, OTHER_MANIFEST, None]),
        "days_ago": st.integers(0, 20),
    }
)
A_VOTE = {"person": ROSA, "decision": "approved", "target_digest": MANIFEST, "days_ago": 0}
STORY = st.tuples(
    st.sampled_from(["major", "minor", "hotfix"]),
    st.sampled_from(["low", "high", None]),
    st.lists(VOTE, max_size=8),
)


def lived(release_type: str, risk: str | None, votes: list[dict[str, Any]]) -> Told:
    told = story(release_type, risk)
    for one in votes:
        vote = dict(one)
        at = START - timedelta(days=vote.pop("days_ago"))
        told.vote(vote.pop("person"), vote.pop("decision"), at=at, **vote)
    return told


@settings(max_examples=60)
@given(lives=STORY, extra=VOTE, board=st.booleans())
def test_another_approval_never_takes_an_allow_away(
    lives: tuple[Any, Any, Any], extra: dict[str, Any], *, board: bool
) -> None:
    told = lived(*lives)
    if board:
        told.vote(ROSA).vote(CAB1).vote(CAB2).vote(SEC)
    before = decided(told).decision
    vote = extra | {"decision": "approved"}
    at = START - timedelta(days=vote.pop("days_ago"))
    after = decided(told.vote(vote.pop("person"), vote.pop("decision"), at=at, **vote)).decision
    if before == "allow":
        assert after == "allow"
    if before == "pending":
        assert after != "deny"


@settings(max_examples=60)
@example(lives=("minor", "low", [A_VOTE]), share=1 - 2**-52)
@given(lives=STORY, share=st.floats(0, 1, exclude_max=True))
def test_time_alone_changes_nothing_before_the_instant_that_is_named(
    lives: tuple[Any, Any, Any], share: float
) -> None:
    told = lived(*lives)
    now = moment(told)
    first = decided(told, at=now)
    ends = parse_time(first.next_change_at) if first.next_change_at else now + timedelta(days=999)
    assert ends > now
    last = ends - timedelta(microseconds=1)  # the product of a share close to 1 is rounded up
    later = decided(told, at=min(now + (ends - now) * share, last))
    assert [r.status for r in later.rules] == [r.status for r in first.rules]


@settings(max_examples=30)
@given(lives=STORY, shuffled=st.randoms())
def test_the_same_facts_give_the_same_bytes(lives: tuple[Any, Any, Any], shuffled: Any) -> None:
    told = lived(*lives)
    first = ijson.dumps(decided(told).model_dump(mode="json"))
    versions = list(told.versions.items())
    shuffled.shuffle(versions)
    told.versions = dict(versions)
    assert ijson.dumps(decided(told).model_dump(mode="json")) == first


@pytest.mark.parametrize("name", ["allow-major", "pending-minor", "deny-scan", "deny-no-policy"])
def test_recorded_decisions_read_the_same_for_ever(name: str) -> None:
    """Change a golden file only together with ENGINE: `GOLDEN=write` writes them anew."""
    stories = {
        "allow-major": (story("major", "high").vote(ROSA).vote(CAB1).vote(CAB2).vote(SEC), GATE),
        "pending-minor": (story().vote("acme:hal").vote("acme:kim"), GATE),
        "deny-scan": (story().vote(ROSA, "rejected", comment="not yet").scan(critical=1), GATE),
        "deny-no-policy": (story(), "deploy:moon"),
    }
    told, gate = stories[name]
    facts = told.facts(gate)
    found = select([GOLDEN_POLICY], facts)
    assert isinstance(found, NoPolicy if name == "deny-no-policy" else Applied)
    decision = judge(facts, found, datetime(2026, 3, 2, tzinfo=UTC)).model_dump(mode="json")
    path = GOLDEN / f"{name}.json"
    if os.environ.get("GOLDEN") == "write":
        path.write_bytes(ijson.dumps(decision) + b"\n")
    assert path.read_bytes() == ijson.dumps(decision) + b"\n"


GOLDEN_POLICY = load((GOLDEN / "policy.yaml").read_text(), "policy.yaml")
"""A copy of its own, so that the starter policy may change without touching the past."""
