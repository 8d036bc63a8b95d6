"""Abstentions, and people who speak in the place of others, each as a story."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event import format_time
from tests.unit.gatekeeper.guarded import FAY, HAL, KIM, OZ, ROSA, UMA, document
from tests.unit.gatekeeper.seated import Seated
from tests.unit.gatekeeper.told import MANIFEST, OTHER_IMAGE, OTHER_MANIFEST, START

SRE = "{id: sre, type: approvals, count: 1, roles: [sre]}"
TWO = "{id: sre, type: approvals, count: 2, roles: [sre]}"
GROUP = "{id: %s, type: approvals, count: 1, roles: [%s], distinct_group: sign}"
SOON = START + timedelta(days=2)


def lent(until: timedelta = timedelta(days=2)) -> Seated:
    """Fay holds sre and lets Oz speak for her."""
    told = Seated().role("sre", FAY)
    return told.delegated(FAY, OZ, told.clock + until, delegation_id="d1")


def for_fay(told: Seated, who: str = OZ, decision: str = "approved", **changed: str) -> Seated:
    told.vote(who, decision, on_behalf_of=FAY, **changed)
    return told


def test_who_abstains_is_shown_and_counts_for_nothing() -> None:
    told = Seated().role("sre", FAY, OZ).abstained(FAY)
    found = told.rule(SRE)
    assert (found.status, found.reason) == (
        "pending",
        "0 of 1 approval from sre; not counted: fay abstained",
    )
    assert told.vote(OZ).rule(SRE).status == "pass", "it stands in nobody's way"


def test_who_abstains_takes_back_what_they_had_said() -> None:
    told = Seated().role("sre", FAY).vote(FAY).abstained(FAY)
    reasons = [void.reason for void in told.rule(SRE).not_counted]
    assert reasons == ["fay abstained since", "fay abstained"]
    found = told.vote(FAY).rule(SRE)
    assert (found.status, [void.reason for void in found.not_counted]) == (
        "pass",
        ["fay abstained since"],
    ), "and may say it anew"


def test_nobody_abstains_for_somebody_else() -> None:
    told = Seated().role("sre", FAY).vote(FAY)
    told.tell("approval.abstained.v1", {"approval_id": "a1", "release_id": "pay-1.42",
              "gate": "deploy:production", "principal": FAY, "target_digest": MANIFEST},
              OZ, "service:projector")  # fmt: skip
    assert told.rule(SRE).status == "pass"


def test_a_delegate_speaks_in_the_place_of_whoever_holds_the_role() -> None:
    told = lent()
    assert told.rule(SRE).who == [FAY, OZ]
    found = for_fay(told).rule(SRE)
    assert (found.status, found.reason) == ("pass", "1 of 1 approval from sre: oz for fay")
    types = [told.events[place - 1].type.split(".", 2)[2] for place in found.evidence]
    assert types == ["delegation.granted.v1", "approval.decided.v1"]


def test_a_delegates_no_is_a_no() -> None:
    found = for_fay(lent(), decision="rejected", comment="not yet").rule(SRE)
    assert (found.status, found.reason) == ("fail", "oz for fay rejected it: “not yet”")


def test_without_saying_for_whom_a_delegate_has_no_voice() -> None:
    assert "oz does not hold sre" in lent().vote(OZ).rule(SRE).reason


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (lambda: Seated().role("sre", FAY), "fay delegated sre to oz at no time"),
        (lambda: lent().undelegated(FAY, "d1"), "the delegation of sre from fay to oz has ended"),
        (lambda: lent().undelegated(OZ, "d1"), "the delegation of sre from fay to oz has ended"),
        (lambda: lent().revoked("sre", FAY), "fay, for whom oz voted, does not hold sre"),
        (
            lambda: lent().delegated(FAY, UMA, SOON),
            "the delegation of sre from fay to oz has ended",
        ),
        (
            lambda: Seated().role("sre", FAY).delegated(FAY, OZ, SOON, by=UMA),
            "it names fay but was sent by acme:uma",
        ),
        (
            lambda: Seated().delegated(FAY, OZ, SOON).role("sre", FAY),
            "fay did not hold sre when delegating it to oz",
        ),
        (
            lambda: Seated().role("sre", FAY).delegated(FAY, OZ, SOON, gate="deploy:staging"),
            "fay delegated sre to oz at no time",
        ),
        (
            lambda: Seated().role("sre", FAY).delegated(FAY, OZ, SOON, role="qa"),
            "0 of 1 approval from sre",
        ),
        (lambda: lent(timedelta(minutes=1)), "the delegation of sre from fay to oz has ended"),
    ],
    ids=["none", "revoked", "given-back", "role-gone", "to-another", "in-her-name", "too-early",
         "other-gate", "other-role", "lapsed"],
)  # fmt: skip
def test_a_delegation_that_does_not_hold_gives_no_voice(
    told: Callable[[], Seated], reason: str
) -> None:
    found = for_fay(told()).rule(SRE)
    assert (found.status, reason in found.reason) == ("pending", True), found.reason


def test_a_revocation_by_somebody_else_ends_nothing() -> None:
    assert for_fay(lent().undelegated(UMA, "d1")).rule(SRE).status == "pass"


def test_what_was_delegated_cannot_be_passed_on() -> None:
    told = lent().delegated(OZ, UMA, SOON).vote(UMA, on_behalf_of=OZ)
    found = told.rule(SRE)
    assert found.status == "pending"
    assert "oz did not hold sre when delegating it to uma" in found.reason


def test_it_ends_with_its_instant_and_with_the_delegators_role_and_says_when() -> None:
    told = for_fay(lent(timedelta(days=1)))
    ends = next(e.data["until"] for e in told.events if "until" in e.data)
    assert told.rule(SRE).next_change_at == ends
    assert told.rule(SRE, days=1).status == "pending"
    kept = SRE.replace("count: 1", "count: 1, role_held: at_approval")
    assert told.rule(kept, days=1).status == "pass", "it held as she spoke"
    told = Seated()
    first = told.clock + timedelta(hours=5)
    told.role("sre", FAY, until=first).delegated(FAY, OZ, SOON)
    assert for_fay(told).rule(SRE).next_change_at == format_time(first)


def test_one_voice_never_two() -> None:
    told = for_fay(lent())
    assert told.vote(FAY).rule(TWO).reason == (
        "1 of 2 approvals from sre: fay; not counted: fay has spoken in person"
    )
    told = for_fay(lent().role("sre", OZ))
    assert told.vote(OZ).rule(TWO).status == "pending", "his own voice, or hers"


def test_the_delegators_own_no_stands_against_the_delegates_yes() -> None:
    told = for_fay(Seated().role("sre", FAY).delegated(FAY, OZ, SOON).vote(FAY, "rejected"))
    assert told.rule(SRE).status == "fail"
    told = for_fay(lent().abstained(FAY))
    assert told.rule(SRE).status == "pending", "who abstains has spoken too"
    assert for_fay(lent().vote(FAY).withdrew(FAY)).rule(SRE).status == "pass"


def test_a_no_of_ones_own_outlives_a_yes_for_somebody_else_and_the_other_way_round() -> None:
    manager = "{id: rm, type: approvals, count: 1, roles: [rm]}"
    told = Seated().role("sre", FAY, OZ).role("rm", UMA).delegated(UMA, OZ, SOON, role="rm")
    told.vote(FAY).vote(OZ, "rejected").vote(OZ, on_behalf_of=UMA)
    assert (told.rule(SRE).status, told.rule(manager).status) == ("fail", "pass")
    told = Seated().role("sre", FAY, OZ).role("rm", UMA).delegated(UMA, OZ, SOON, role="rm")
    told.vote(OZ, "rejected", on_behalf_of=UMA).vote(OZ)
    assert (told.rule(SRE).status, told.rule(manager).status) == ("pass", "fail")


def test_what_somebody_said_of_another_candidate_does_not_silence_their_delegate() -> None:
    told = lent().vote(FAY).candidate(OTHER_MANIFEST, OTHER_IMAGE)
    assert for_fay(told, target_digest=OTHER_MANIFEST).rule(SRE).status == "pass"


def test_two_delegates_of_one_person_are_one_voice_within_a_group() -> None:
    text = document(GROUP % ("a", "sre"), GROUP % ("b", "rm"))
    told = Seated().role("sre", FAY).role("rm", FAY)
    told.delegated(FAY, OZ, SOON).delegated(FAY, UMA, SOON, role="rm")
    told.vote(OZ, on_behalf_of=FAY).vote(UMA, on_behalf_of=FAY)
    decision = told.decide(text)
    assert [rule.status for rule in decision.rules] == ["pass", "pending"]
    assert told.role("rm", ROSA).vote(ROSA).decide(text).decision == "allow"


@pytest.mark.parametrize(("delegator", "delegate"), [(HAL, OZ), (FAY, HAL), (KIM, OZ), (FAY, KIM)])
def test_four_eyes_are_those_of_both(delegator: str, delegate: str) -> None:
    told = Seated().role("sre", delegator)
    told.delegated(delegator, delegate, SOON).vote(delegate, on_behalf_of=delegator)
    found = told.rule(SRE)
    assert found.status == "pending"
    assert "may not approve it" in found.reason
    assert found.who == ([] if delegator in {HAL, KIM} else [FAY])


PEOPLE = [FAY, OZ, UMA, ROSA]
SAYING = st.tuples(st.sampled_from(PEOPLE), st.none() | st.sampled_from(PEOPLE))


@given(
    st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)), max_size=4),
    st.lists(SAYING, max_size=6),
    st.integers(0, 3),
)
def test_no_more_voices_than_people_who_hold_the_role_or_have_spoken(
    given_: list[tuple[str, str]], sayings: list[tuple[str, str | None]], holders: int
) -> None:
    """Whatever is delegated to whomever, each voice is a holder's, and each is another person's."""
    told = Seated().role("sre", *PEOPLE[:holders])
    for who, to in given_:
        told.delegated(who, to, SOON)
    for who, place in sayings:
        told.vote(who, on_behalf_of=place)
    voices = len({who for who, _ in sayings})
    for count in range(1, 5):
        text = f"{{id: sre, type: approvals, count: {count}, roles: [sre]}}"
        if told.rule(text).status == "pass":
            assert count <= min(holders, voices)


def test_what_a_key_says_of_a_delegation_takes_no_id_and_ends_none() -> None:
    told = Seated().role("sre", FAY, ROSA)
    told.delegated(FAY, OZ, SOON, delegation_id="d1", by="key:ci", via=None)
    told.delegated(ROSA, UMA, SOON, delegation_id="d1")
    told.delegated(FAY, KIM, SOON, delegation_id="d2").undelegated(FAY, "d1")
    found = [(d.id, d.delegator, d.fault is None, d.ended) for d in told.facts().delegations]
    assert found == [
        ("d1", FAY, False, None), ("d1", ROSA, True, None), ("d2", FAY, True, None),
    ]  # fmt: skip
