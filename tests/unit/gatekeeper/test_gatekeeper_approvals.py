"""Approvals: N of M by role, four eyes, bound to the candidate, nobody counted twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.decision import RuleResult
from services.gatekeeper.rules import approvals
from services.gatekeeper.rules.matching import assign
from services.gatekeeper.rules.schema import Approvals
from tests.unit.gatekeeper.told import OTHER_MANIFEST, SHA, START, Told, moment

QA, FAY, KIM, HAL = "acme:qi", "acme:fay", "acme:kim", "acme:hal"


def rule(id_: str = "qa", roles: tuple[str, ...] = ("qa",), **changed: Any) -> Approvals:
    values: dict[str, Any] = {"count": 1, "exclude": ["requester", "author"], "bind": ["artefact"]}
    return Approvals(id=id_, type="approvals", roles=list(roles), **(values | changed))


def judged(told: Told, *rules: Approvals, at: datetime | None = None) -> dict[str, RuleResult]:
    return approvals.judge([("sign-off", r) for r in rules], told.facts(), at or moment(told))


def story() -> Told:
    """Hal owns the release, Kim wrote the change; Qi and Fay are QA, Hal and Kim too."""
    told = Told().planned().merged(author="github:kim").candidate()
    told.linked("github:kim", KIM)
    return told.role("qa", QA, FAY, KIM, HAL)


def reasons(result: RuleResult) -> list[str]:
    return [entry.reason for entry in result.not_counted]


def test_one_of_qa_is_enough_and_is_named_with_its_position() -> None:
    told = story().vote(QA)
    result = judged(told, rule())["qa"]
    assert (result.status, result.reason) == ("pass", "1 of 1 approval from qa: qi")
    assert result.evidence == [told.events[-1].position]
    assert (result.satisfy, result.who, result.roles) == (None, [], [])


def test_what_is_missing_says_how_many_more_and_who_can() -> None:
    result = judged(story().vote(QA), rule(count=2))["qa"]
    assert result.status == "pending"
    assert result.reason == "1 of 2 approvals from qa: qi"
    assert result.satisfy == "1 more approval from qa of candidate 1.42.0 (sha256:cccccccccccc…)"
    assert (result.who, result.roles) == ([FAY], ["qa"])


def test_owner_requester_and_author_may_not_approve() -> None:
    told = story().asked(FAY).vote(HAL).vote(KIM).vote(FAY)
    result = judged(told, rule())["qa"]
    assert result.status == "pending"
    assert reasons(result) == [
        "hal is the owner of this release and may not approve it",
        "kim wrote change acme/pay@9fceb02 and may not approve it",
        "fay asked for this approval and may not give it",
    ]
    assert "not counted: hal is the owner of this release" in result.reason
    assert result.who == [QA]


def test_whoever_asked_for_another_gate_may_approve_this_one() -> None:
    told = story().asked(FAY, gate="deploy:staging").vote(FAY)
    assert judged(told, rule())["qa"].status == "pass"


def test_a_rule_may_allow_the_author_and_then_needs_no_known_author() -> None:
    told = Told().planned().candidate().role("qa", KIM).vote(KIM)
    assert judged(told, rule(exclude=[]))["qa"].status == "pass"


def test_a_change_whose_author_nobody_recorded_is_an_error() -> None:
    told = Told().planned().merged(author=None).candidate().role("qa", QA).vote(QA)
    result = judged(told, rule())["qa"]
    assert result.status == "error"
    assert "nobody recorded who wrote change acme/pay@9fceb02" in result.reason


def test_the_change_that_was_built_needs_an_author_whatever_the_candidate_names() -> None:
    told = story().packaged("1" * 40).vote(QA)
    result = judged(told, rule())["qa"]
    assert result.status == "error"
    assert "who wrote change acme/pay@1111111, so four eyes" in result.reason
    told.merged(author="acme:qi", sha="1" * 40)
    assert reasons(judged(told, rule())["qa"]) == [
        "qi wrote change acme/pay@1111111 and may not approve it"
    ]


def test_a_candidate_that_names_no_change_does_not_switch_four_eyes_off() -> None:
    told = Told().planned().merged(author="acme:qi").candidate(changes=()).role("qa", QA, FAY)
    result = judged(told.vote(QA), rule())["qa"]
    assert (result.status, result.satisfy) == (
        "error",
        "a release candidate that names its changes",
    )
    assert result.reason == (
        "nobody recorded which changes this candidate holds, so four eyes cannot be proved"
    )
    assert judged(told, rule(exclude=["requester"]))["qa"].status == "pass"
    told.packaged(SHA)
    result = judged(told, rule())["qa"]
    assert (result.status, result.who) == ("pending", [FAY])
    assert reasons(result) == ["qi wrote change acme/pay@9fceb02 and may not approve it"]


def test_pressing_the_merge_button_writes_nothing() -> None:
    told = story()
    sha = told.events[1].data["merge_sha"]
    commits = [
        {"sha": "e" * 40, "committed_at": "2026-03-01T08:00:00Z", "author": "ada"},
        {"sha": sha, "committed_at": "2026-03-01T08:30:00Z", "author": "qi"},
    ]
    push = {"repo": "acme/pay", "ref": "refs/heads/main", "before": "0" * 40, "after": sha}
    told.tell("change.pushed.v1", push | {"default_branch": True, "commits": commits})
    told.linked("ada", "acme:ada").role("qa", "acme:ada").vote("acme:ada")
    assert judged(told, rule())["qa"].status == "pending"
    assert judged(told.vote(QA), rule())["qa"].status == "pass"


def test_a_rejection_stops_the_gate_until_its_person_approves() -> None:
    told = story().vote(QA).vote(FAY, "rejected", comment="coverage  is\nthin")
    result = judged(told, rule())["qa"]
    assert (result.status, result.reason) == ("fail", "fay rejected it: “coverage is thin”")
    assert result.who == [FAY]
    assert judged(told.vote(FAY), rule(count=2))["qa"].status == "pass"


def test_the_owner_may_reject() -> None:
    assert judged(story().vote(QA).vote(HAL, "rejected"), rule())["qa"].status == "fail"


def test_withdrawing_an_approval_takes_it_back() -> None:
    told = story().vote(QA).vote(QA, "rejected", comment="wait")
    assert judged(told, rule())["qa"].status == "fail"


def test_a_vote_on_another_candidate_does_not_count_either_way() -> None:
    told = story().vote(QA, target_digest=OTHER_MANIFEST).vote(FAY, target_digest=None)
    told.vote(FAY, "rejected", target_digest=OTHER_MANIFEST)
    result = judged(told, rule())["qa"]
    assert result.status == "pending"
    assert reasons(result) == [
        "qi voted on another candidate, sha256:dddddddddddd…",
        "fay did not say which candidate",
        "fay voted on another candidate, sha256:dddddddddddd…",
    ]


def test_a_rebuild_voids_the_approvals_of_what_was_before() -> None:
    told = story().vote(QA).candidate(manifest=OTHER_MANIFEST)
    assert judged(told, rule())["qa"].status == "pending"


def test_without_a_candidate_there_is_nothing_to_approve() -> None:
    result = judged(Told().planned().role("qa", QA), rule())["qa"]
    assert result.status == "pending"
    assert "there is no candidate yet" in result.reason


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ({"by": "key:ci", "via": None}, "it names qi but was sent by key:ci"),
        ({"by": FAY}, "it names qi but was sent by acme:fay"),
        ({"via": None}, "acme:qi is not a person who was signed in"),
    ],
)
def test_nobody_approves_in_the_name_of_somebody_else(sent: dict[str, Any], why: str) -> None:
    result = judged(story().vote(QA, **sent), rule())["qa"]
    assert (result.status, reasons(result)) == ("pending", [why])


def test_a_key_cannot_approve_even_when_it_holds_the_role() -> None:
    told = story().role("qa", "key:ci").vote("key:ci")
    assert judged(told, rule())["qa"].status == "pending"


def test_an_approval_expires_at_its_instant_and_not_before() -> None:
    told = story().vote(QA)
    limit = rule(expires_after="72h")
    ends = moment(told) + timedelta(hours=72)
    before = judged(told, limit, at=ends - timedelta(microseconds=1))["qa"]
    assert (before.status, before.next_change_at) == ("pass", "2026-03-04T09:09:00.000000Z")
    after = judged(told, limit, at=ends)["qa"]
    assert (after.status, after.next_change_at) == ("pending", None)
    assert reasons(after) == ["the approval of qi expired after 3 days"]


def test_a_role_counts_while_it_is_held() -> None:
    until = START + timedelta(hours=1)
    told = Told().planned().merged().candidate().role("qa", QA, until=until).vote(QA)
    result = judged(told, rule())["qa"]
    assert (result.status, result.next_change_at) == ("pass", "2026-03-01T10:00:00.000000Z")
    assert judged(told, rule(), at=until)["qa"].status == "pending"
    again = told.role("qa", QA)
    assert judged(again, rule(), at=until)["qa"].status == "pass"
    gone = judged(again.revoked("qa", QA), rule())["qa"]
    assert reasons(gone) == ["qi does not hold qa any more"]


def test_a_role_must_cover_every_service_of_the_release() -> None:
    told = Told().planned().merged().candidate().role("qa", QA, scope="search").vote(QA)
    assert judged(told, rule())["qa"].status == "pending"
    told.role("qa", QA, scope="pay")
    assert reasons(judged(told, rule())["qa"]) == ["qi did not hold qa at the time"]
    assert judged(told.vote(QA), rule())["qa"].status == "pass"


def test_votes_for_other_roles_of_the_gate_are_no_news() -> None:
    told = story().role("rm", FAY).revoked("qa", FAY).vote(FAY).vote("acme:eve")
    result = judged(told, rule(), rule("rm", ("rm",)))["qa"]
    assert reasons(result) == ["eve does not hold qa"]


def test_clicking_twice_counts_once() -> None:
    result = judged(story().vote(QA).vote(QA), rule(count=2))["qa"]
    assert result.found == "approved by qi"


def test_an_approval_that_says_it_is_older_never_replaces_a_fresh_one() -> None:
    told = story().vote(QA)
    told.vote(QA, at=START - timedelta(days=30))
    assert judged(told, rule(expires_after="24h"))["qa"].status == "pass"


def test_one_person_with_two_roles_counts_for_the_one_that_lacks_people() -> None:
    both = (
        rule("sre", ("sre",), distinct_group="sign-off"),
        rule("rm", ("rm",), distinct_group="sign-off"),
    )
    told = story().role("sre", QA).role("rm", QA).vote(QA)
    first = judged(told, *both)
    assert (first["sre"].status, first["rm"].status) == ("pass", "pending")
    assert reasons(first["rm"]) == ["qi already counts for sre"]
    then = judged(told.role("sre", FAY).vote(FAY), *both)
    assert (then["sre"].found, then["rm"].found) == ("approved by fay", "approved by qi")


def test_one_login_at_two_issuers_is_one_person() -> None:
    told = story().role("qa", "github:qi").vote(QA).vote("github:qi")
    assert judged(told, rule(count=2))["qa"].status == "pending"


PEOPLE = "abcdef"
WANTED = st.lists(st.integers(1, 3), min_size=1, max_size=3)


@given(wanted=WANTED, data=st.data())
def test_people_are_shared_out_as_well_as_brute_force_can(wanted: list[int], data: Any) -> None:
    rules = {f"r{i}": count for i, count in enumerate(wanted)}
    able = {r: data.draw(st.lists(st.sampled_from(PEOPLE), unique=True)) for r in rules}
    found = assign(rules, able)
    people = [person for group in found.values() for person in group]
    assert len(people) == len(set(people))
    assert all(set(found[r]) <= set(able[r]) and len(found[r]) <= rules[r] for r in rules)
    seats = [r for r, count in rules.items() for _ in range(count)]
    seats += ["nowhere"] * max(0, len(PEOPLE) - len(seats))
    best = max(
        sum(
            seat in able and person in able[seat]
            for person, seat in zip(PEOPLE, order, strict=False)
        )
        for order in set(permutations(seats, len(PEOPLE)))
    )
    assert len(people) == best
