"""Linting: valid policies that will not do what was meant."""

from __future__ import annotations

from services.gatekeeper.linting import lint
from services.gatekeeper.policy import load
from tests.unit.gatekeeper.guarded import document

SIGN = "{id: %s, type: approvals, count: 1, roles: [%s], distinct_group: sign}"
GLASS = {"incident-commander": ["acme:ann", "acme:ben"]}


def said(
    *rules: str, head: str = "", by: dict[str, list[str]] | None = None
) -> list[tuple[str, str]]:
    policy = load(document(*rules, head=head))
    return [(each.rule, each.text) for each in lint(policy, GLASS if by is None else by)]


def test_a_policy_that_can_be_satisfied_has_nothing_odd() -> None:
    people = GLASS | {"sre": ["acme:fay"], "rm": ["acme:oz"]}
    assert said(SIGN % ("sre", "sre"), SIGN % ("rm", "rm"), by=people) == []


def test_more_people_than_hold_the_role() -> None:
    rule = "{id: cab, type: approvals, count: 3, roles: [cab]}"
    assert said(rule, by=GLASS | {"cab": ["acme:ann"]}) == [
        ("cab", "asks 3 of cab, and 1 person does")
    ]
    assert said(rule)[0][1] == "asks 3 of cab, and nobody holds it"


def test_one_person_cannot_be_two_in_a_group() -> None:
    people = GLASS | {"sre": ["acme:fay"], "rm": ["acme:fay"]}
    text = (
        "the group sign asks 2 different people, and 1 can be found among those who hold the roles"
    )
    assert said(SIGN % ("sre", "sre"), SIGN % ("rm", "rm"), by=people) == [("", text)]


def test_a_rule_that_is_never_asked() -> None:
    rule = "{id: t, type: evidence, kind: tests, when: {type: [hotfix]}}"
    found = said(rule, head="applies_to: {type: [major]}\n")
    assert found == [("t", "is never asked: it is for hotfix, and the policy for major")]


def test_a_verification_that_can_never_come() -> None:
    rule = "{id: v, type: evidence, kind: verification, name: %s}"
    assert said(rule % "smoke") == []
    assert said(rule % "rehearsal") == [
        ("v", "no verification is called rehearsal: there are smoke, synthetic and manual")
    ]


def test_nobody_can_object_waive_or_break_the_glass() -> None:
    veto = "{id: v, type: veto, roles: [sec]}"
    scan = "{id: s, type: evidence, kind: scan, max_high: 0, waivable: {by: [sec], max: 1d}}"
    found = said(veto, scan, by={"incident-commander": ["acme:ann"]})
    assert found == [
        ("v", "nobody holds sec, so nobody can object"),
        ("s", "nobody holds sec, so nobody can grant an exception"),
        ("", "nobody can break the glass: it takes 2 of incident-commander, and 1 person does"),
    ]


def test_a_condition_that_is_judged_by_the_minute_also_within_alternatives() -> None:
    timed = "{id: c, type: cel, unmet: early, expr: \"now > timestamp('2026-01-01T00:00:00Z')\"}"
    plain = "{id: d, type: cel, unmet: none, expr: \"release.id != ''\"}"
    found = said(f"{{id: any, type: any_of, rules: [{timed}, {plain}]}}")
    assert [rule for rule, _ in found] == ["c"]
    assert "judged again each minute" in found[0][1]
