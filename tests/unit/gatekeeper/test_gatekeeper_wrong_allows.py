"""Ways in which a gate was talked into a yes: each was open once, and stays shut."""

from __future__ import annotations

import pytest

from contracts.event import format_time
from services.gatekeeper.judge import judge
from services.gatekeeper.people import People
from services.gatekeeper.policy import load, select
from services.gatekeeper.reading import Reader
from tests.unit.gatekeeper.guarded import FAY, HAL, KIM, OZ, ROSA, UMA, Guarded, document
from tests.unit.gatekeeper.memory import MemoryLedger
from tests.unit.gatekeeper.told import (
    CONSOLE,
    GATE,
    IMAGE,
    OTHER_IMAGE,
    OTHER_MANIFEST,
    RELEASE,
    SHA,
    START,
    Told,
    moment,
)

BOB, HEAD = "acme:bob", "e" * 40
SRE = "{id: sre, type: approvals, count: 1, roles: [sre]}"
TESTS = "{id: unit, type: evidence, kind: tests}"
SOAK = "{id: soak, type: soak, environment: staging, at_least: 24h}"
SETTLED = "{id: settled, type: late_scope, within: 3d}"
GLASS = "{roles: [incident-commander], count: 2, review_within: 48h}"


def test_an_alternative_for_low_risk_is_no_way_while_the_risk_is_not_known() -> None:
    light = "{id: light, type: approvals, count: 1, roles: [sre], when: {risk: [low]}}"
    heavy = "{id: heavy, type: approvals, count: 3, roles: [cab]}"
    either = f"{{id: either, type: any_of, rules: [{light}, {heavy}]}}"
    told = Guarded().role("sre", FAY).role("cab", OZ, UMA, ROSA).vote(FAY)
    assert told.rule(either).status == "pending"
    assert told.risk("low").rule(either).status == "pass"
    assert told.risk("high").rule(either).status == "pending"


def test_an_expression_about_the_risk_does_not_take_unknown_for_low() -> None:
    when = '{id: cab, type: approvals, count: 3, roles: [cab], when: {expr: "%s"}}'
    high = when % "release.risk == 'high'"
    assert Guarded().role("cab", OZ).rule(high).status == "pending"
    assert Guarded().role("cab", OZ).risk("low").rule(high).status == "not_applicable"
    guarded = when % "has(release.risk) && release.risk == 'high'"
    assert Guarded().role("cab", OZ).rule(guarded).status == "not_applicable"
    never = "{id: calm, type: cel, unmet: grave, expr: \"release.risk != 'critical'\"}"
    assert Guarded().rule(never).status == "pending"
    assert Guarded().risk("low").rule(never).status == "pass"
    assert Guarded().risk("critical").rule(never).status == "fail"


@pytest.mark.parametrize("named", [None, IMAGE])
def test_a_no_counts_by_whatever_name_it_calls_the_candidate(named: str | None) -> None:
    told = Guarded().role("sre", FAY, OZ).vote(FAY).vote(OZ, "rejected", target_digest=named)
    assert told.rule(SRE).reason == "oz rejected it"
    told = Guarded().role("sre", FAY, OZ).vote(FAY)
    assert told.vote(OZ, "rejected", target_digest=OTHER_IMAGE).rule(SRE).status == "pass"


def test_a_no_and_a_veto_count_by_any_account_of_a_holder() -> None:
    told = Guarded().role("sre", FAY, OZ).linked("corp:fay2", FAY).vote(OZ)
    assert told.vote("corp:fay2", "rejected").rule(SRE).status == "fail"
    veto = "{id: veto, type: veto, roles: [sre]}"
    assert told.vetoed("corp:fay2").rule(veto).status == "fail"


def test_who_wrote_a_commit_that_was_rebased_or_fast_forwarded_is_its_author_still() -> None:
    rebased = Guarded().role("sre", BOB).pushed(sha=SHA, author=BOB, committer="acme:bot")
    assert rebased.vote(BOB).rule(SRE).status == "pending"
    forwarded = Guarded().merged(author=KIM, sha=HEAD)
    forwarded.candidate(OTHER_MANIFEST, changes=[f"acme/pay@{HEAD}"])
    pushed = {"repo": "acme/pay", "ref": "refs/heads/main", "before": "0" * 40, "after": HEAD}
    commit = {"sha": HEAD, "committed_at": format_time(forwarded.clock), "author": BOB}
    forwarded.tell("change.pushed.v1", pushed | {"default_branch": True, "commits": [commit]})
    forwarded.role("sre", BOB).vote(BOB, target_digest=OTHER_MANIFEST)
    assert forwarded.rule(SRE).status == "pending"


async def test_who_pushed_to_the_branch_that_was_merged_is_looked_up() -> None:
    told = Guarded()
    pushed = {"repo": "acme/pay", "ref": "refs/heads/feature", "before": "0" * 40, "after": HEAD}
    commit = {"sha": HEAD, "committed_at": format_time(told.clock), "author": BOB}
    told.tell("change.pushed.v1", pushed | {"default_branch": False, "commits": [commit]})
    told.role("sre", BOB).vote(BOB).activated(document(SRE))
    found = await Reader(MemoryLedger(told), "main", ["guard"]).read(RELEASE, GATE, moment(told))
    assert BOB in {tie.who for tie in found.facts.ties if tie.kind == "author"}


def test_strangers_stay_strangers_once_the_last_role_has_ended() -> None:
    rule = SRE.replace("roles: [sre]", "roles: [sre], role_held: at_approval")
    told = Guarded().merged(author="ghost@nowhere.example").role("sre", FAY).vote(FAY)
    assert told.rule(rule).status == "error"
    assert told.revoked("sre", FAY).rule(rule).status == "error"


def test_one_person_with_linked_accounts_is_one_voice() -> None:
    two = SRE.replace("count: 1", "count: 2")
    told = Guarded().role("sre", "acme:alice", "corp:alice").linked("acme:alice", "acme:asmith")
    assert told.vote("acme:alice").vote("corp:alice").rule(two).status == "pending"
    people = People({"acme:alice": "acme:asmith", "mail:a.s": "corp:asmith"})
    assert people.same("corp:alice", "mail:a.s")
    assert people.key("corp:alice") == people.key("mail:a.s") != people.key("acme:bob")


def test_no_later_policy_takes_a_review_away() -> None:
    told = Guarded().role("incident-commander", FAY, OZ).role("sre", UMA)
    told.broke(FAY, OZ, release="pay-1.41", digest=OTHER_MANIFEST)
    more, others = GLASS.replace("2, ", "3, "), GLASS.replace("incident-commander", "duty")
    for glass in (GLASS, more, others, "null"):
        assert told.decide(document(TESTS, glass=glass), days=1).decision == "allow", glass
        late = told.decide(document(TESTS, glass=glass), days=3)
        assert (late.decision, late.rules[0].rule) == ("deny", "break-glass-reviewed"), glass
    assert told.reviewed(UMA, "pay-1.41").decide(document(TESTS), days=3).decision == "deny"
    told.role("incident-commander", ROSA).reviewed(ROSA, "pay-1.41")
    assert told.decide(document(TESTS), days=3).decision == "allow"


def test_a_review_is_owed_by_commanders_of_other_services_too() -> None:
    told = Guarded().role("incident-commander", FAY, OZ, scope="search")
    told.broke(FAY, OZ, release="search-9", digest=OTHER_MANIFEST)
    assert told.decide(document(TESTS), days=3).decision == "deny"
    assert told.broke(FAY, OZ).decide(document(SRE)).decision == "pending", "not for this service"


def test_people_who_break_the_glass_over_different_incidents_are_not_together() -> None:
    told = Guarded().role("incident-commander", FAY, OZ).broke(FAY)
    other = {"release_id": RELEASE, "gate": GATE, "principal": OZ, "incident_id": "inc-4"}
    said = other | {"reason": "search fails", "target_digest": told.facts().artifacts()[-1]}
    told.tell("breakglass.invoked.v1", said, OZ, CONSOLE)
    assert told.decide(document(SRE)).decision == "pending"
    assert told.broke(OZ).decide(document(SRE)).decision == "allow-by-break-glass"


def test_a_rollback_ends_what_ran_in_its_place() -> None:
    back = {"kind": "rollback", "artifact_digest": OTHER_IMAGE}
    assert Guarded().ran().rule(SOAK, hours=25).status == "pass"
    assert Guarded().ran().ran(**back).rule(SOAK, hours=25).status == "pending"
    assert Guarded().ran().ran("qa", **back).rule(SOAK, hours=25).status == "pass"
    again = Guarded().ran().ran(kind="rollback", artifact_digest=IMAGE)
    assert again.rule(SOAK, hours=25).status == "pass", "it is what was brought back"
    said = {"service": "pay", "environment": {"id": "staging", "tier": "other"}, "purl": "pkg:x/y"}
    told = Guarded().ran()
    told.tell("service.rolledback.v1", said | {"release_id": RELEASE})
    assert told.rule(SOAK, hours=25).status == "pending"


def test_a_deployment_that_was_rolled_back_stays_so() -> None:
    told = Guarded()
    told.tell("rollback.triggered.v1", {"deployment_id": "d9", "cause": "auto",
                                        "release_id": RELEASE})  # fmt: skip
    told.ran(deployment_id="d9")
    assert told.rule(SOAK, hours=25).status == "pending"


def test_the_pipeline_of_another_commit_says_nothing_of_what_was_built() -> None:
    other, ci = "7" * 40, "{id: ci, type: evidence, kind: pipeline, name: ci}"
    told = Guarded().merged(sha=other).packaged(SHA)
    told.candidate(OTHER_MANIFEST, changes=[f"acme/pay@{SHA}", f"acme/pay@{other}"])
    assert told.pipeline("failure").pipeline(sha=other).rule(ci).status == "fail"
    assert told.pipeline().rule(ci).status == "pass"


def test_late_scope_is_told_by_a_plan_too_and_by_its_own_window() -> None:
    told = Guarded()

    def scheduled(place: str, days: int) -> None:
        told.later(seconds=1)
        start, end = (format_time(moment(told, days=days, hours=h)) for h in (0, 2))
        window = {"window": {"start": start, "end": end}, "environments": [place]}
        told.tell("release.scheduled.v1", window | {"release_id": RELEASE})

    scheduled("production", 1)
    assert told.rule(SETTLED).status == "pass"
    plan = {"release_id": RELEASE, "name": "Pay", "service_ids": ["pay"], "owner": HAL}
    told.tell("release.planned.v1", plan | {"release_type": "minor", "ticket_ids": ["T-9"]})
    assert told.rule(SETTLED).reason.endswith("“another plan”")
    scheduled("staging", 30)
    assert told.rule(SETTLED).status == "fail", "staging has a window of its own"
    scheduled("production", 30)
    assert told.rule(SETTLED).status == "pass"


def test_a_check_in_one_environment_hides_none_in_another() -> None:
    smoke = "{id: smoke, type: evidence, kind: verification}"
    told = Guarded().ran("staging", deployment_id="d1").ran("dev", deployment_id="d2")

    def checked(deployment: str, outcome: str) -> None:
        said = {"deployment_id": deployment, "kind": "smoke", "outcome": outcome}
        told.tell("verification.finished.v1", said | {"release_id": RELEASE})

    checked("d1", "failure")
    checked("d2", "success")
    assert told.rule(smoke).status == "fail"
    checked("d1", "success")
    assert told.rule(smoke).status == "pass"


def test_expressions_see_each_persons_newest_vote_and_their_ties() -> None:
    two = "approvals.filter(a, a.approved && 'cab' in a.roles).size() >= 2"
    free = "approvals.exists(a, a.approved && !('author' in a.ties) && 'cab' in a.roles)"
    rule = '{id: two, type: cel, unmet: lacking, expr: "%s"}'
    told = Guarded().role("cab", FAY, KIM).vote(FAY).vote(FAY)
    assert told.rule(rule % two).status == "fail"
    assert told.rule(rule % free).status == "pass"
    assert told.vote(FAY, "rejected").rule(rule % free).status == "fail"
    assert told.vote(KIM).rule(rule % free).status == "fail"


def test_approvers_of_other_gates_and_authors_of_policies_can_be_kept_out() -> None:
    apart = SRE.replace("roles: [sre]", "roles: [sre], exclude: [approver, policy_author]")
    told = Guarded().role("sre", FAY, OZ, UMA).vote(FAY, gate="deploy:staging").vote(FAY)
    assert told.rule(SRE).status == "pass"
    assert "fay approved it at deploy:staging" in told.rule(apart).reason
    told.activated(document(SRE), author=OZ).vote(OZ)
    assert "oz wrote version 1 of the policy guard" in told.rule(apart).reason
    assert told.vote(UMA).rule(apart).status == "pass"


def test_who_committed_it_grants_no_exception() -> None:
    scan = ("{id: scan, type: evidence, kind: scan, max_critical: 0,"
            " waivable: {by: [security], max: 14d}}")  # fmt: skip
    told = Guarded().scan(critical=2).role("security", BOB, UMA)
    told.excepted(BOB, "scan", moment(told, days=3))
    assert told.rule(scan).status == "waived"
    assert told.pushed(author=KIM, committer=BOB).rule(scan).status == "fail"


def test_a_release_that_nobody_planned_is_not_free_of_dependencies() -> None:
    rule = document("{id: deps, type: dependencies}")
    assert Guarded().decide(rule).decision == "allow"
    facts = Told().merged().candidate().facts()
    assert judge(facts, select([load(rule)], facts), facts.newest or START).decision == "pending"
