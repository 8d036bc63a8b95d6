"""Boards decide in sessions: quorum, majority, recusal, minutes, each as a story."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event import format_time, parse_time
from services.gatekeeper.policy import PolicyFaultsError, load
from services.gatekeeper.rules.quorum import Majority, carried, needed
from tests.unit.gatekeeper.guarded import FAY, HAL, KIM, OZ, ROSA, UMA, document
from tests.unit.gatekeeper.seated import SESSION, Seated
from tests.unit.gatekeeper.told import OTHER_IMAGE, OTHER_MANIFEST, RELEASE

BOARD = "{id: cab, type: board, board: cab, members: [cab], quorum: 2, valid_for: 14d}"
YES, NO, NEITHER = "approved", "rejected", "abstained"


SRE_OF_SCOPE = "{id: sre, type: approvals, count: 1, roles: [sre], bind: [scope]}"


def board(**members: str) -> str:
    """Return the rule with other members than it has; None leaves one out."""
    said = {"quorum": "2", "valid_for": "14d"} | members
    more = ", ".join(f"{key}: {value}" for key, value in said.items())
    return f"{{id: cab, type: board, board: cab, members: [cab], {more}}}"


def seated() -> Seated:
    """Four members, none of whom has to do with the release."""
    return Seated().role("cab", FAY, OZ, UMA, ROSA)


def test_a_board_approves_in_a_session_that_was_closed() -> None:
    told = seated().opened(FAY).came(FAY, OZ).says(FAY).says(OZ)
    waiting = told.rule(BOARD)
    assert (waiting.status, waiting.reason) == (
        "pending",
        "session cab-12 of the board cab is open",
    )
    found = told.closed(FAY).rule(BOARD)
    assert found.status == "pass"
    assert found.reason == (
        "session cab-12 approved it: 2 for, 0 against, 0 abstained;"
        " 2 of 4 members took part, 2 needed"
    )
    assert found.title == "Decision of the board cab"
    types = [told.events[place - 1].type.split(".", 2)[2] for place in found.evidence]
    assert types == ["board.opened.v1", "board.voted.v1", "board.voted.v1", "board.closed.v1"]


def test_before_any_session_it_says_what_is_needed_and_of_whom() -> None:
    found = seated().rule(BOARD)
    assert found.reason == "no session of the board cab has had it on its agenda"
    assert found.satisfy is not None
    assert found.satisfy.startswith("a session of the board cab that approves candidate 1.42.0")
    assert (found.who, found.roles) == ([FAY, OZ, ROSA, UMA], ["cab"])
    assert found.required == "a quorum of 2 and a simple majority of the board cab"


@pytest.mark.parametrize(
    ("majority", "votes", "right"),
    [
        ("simple", [YES, YES, NO], "pass"),
        ("simple", [YES, NO], "fail"),  # a tie denies
        ("simple", [YES, NEITHER, NEITHER], "pass"),  # they make the quorum, and no majority
        ("simple", [NEITHER, NEITHER], "fail"),
        ("two-thirds", [YES, YES, NO], "pass"),
        ("two-thirds", [YES, NO, NEITHER], "fail"),
        ("unanimous", [YES, YES, NEITHER], "pass"),
        ("unanimous", [YES, YES, YES, NO], "fail"),
    ],
)
def test_the_majority_is_of_votes_for_and_against(
    majority: str, votes: list[str], right: str
) -> None:
    told = seated().sat(FAY, **dict(zip(("fay", "oz", "uma", "rosa"), votes, strict=False)))
    assert told.rule(board(majority=majority)).status == right


def test_a_board_that_says_no_says_why() -> None:
    told = seated().opened(FAY).came(FAY, OZ).says(FAY).says(OZ, NO, reason="no rehearsal")
    found = told.closed(FAY).rule(BOARD)
    assert found.status == "fail"
    assert found.reason == (
        "the board cab did not approve it in session cab-12: 1 for, 1 against, 0 abstained;"
        " oz: “no rehearsal”"
    )
    assert told.sat(FAY, "cab-13", fay=YES, oz=YES).rule(BOARD).status == "pass", "it may again"


@pytest.mark.parametrize(
    ("quorum", "there", "right"),
    [("3", 2, "pending"), ("3", 3, "pass"), ("50%", 2, "pass"), ("51%", 2, "pending")],
)
def test_a_session_without_its_quorum_decides_nothing(quorum: str, there: int, right: str) -> None:
    names = ("fay", "oz", "uma", "rosa")[:there]
    found = seated().sat(FAY, **dict.fromkeys(names, YES)).rule(board(quorum=quorum))
    assert found.status == right
    if right == "pending":
        assert found.reason == ("session cab-12 had no quorum: 2 of 4 members took part, 3 needed")


def test_who_is_there_and_says_nothing_counts_for_the_quorum() -> None:
    told = seated().opened(FAY).came(FAY, OZ, UMA).says(FAY).went(UMA).closed(FAY)
    assert told.rule(board(quorum="2")).status == "pass"
    assert told.rule(board(quorum="3")).status == "pending", "uma had left before anything was said"


def test_who_voted_and_left_has_taken_part() -> None:
    told = seated().opened(FAY).came(FAY, OZ).says(FAY).says(OZ).went(OZ).closed(FAY)
    assert told.rule(BOARD).status == "pass"


def test_who_is_recused_counts_for_neither() -> None:
    told = seated().opened(FAY).came(FAY, OZ, UMA).says(FAY).says(OZ, NO).says(UMA).recused(OZ)
    found = told.closed(FAY).rule(BOARD)
    assert (found.status, found.found) == ("pass", "2 for, 0 against, 0 abstained")
    assert [void.reason for void in found.not_counted] == ["oz takes no part in this item"]
    assert told.rule(board(quorum="3")).status == "pending"
    assert told.rule(board(quorum="75%")).status == "pending", "a share is of all, recused or not"


def test_nobody_is_recused_by_somebody_else_and_nobody_once_it_is_closed() -> None:
    told = seated().opened(FAY).came(FAY, OZ).says(FAY).says(OZ).recused(OZ, by=FAY).closed(FAY)
    assert told.rule(BOARD).status == "pass"
    assert told.recused(OZ).rule(BOARD).status == "pass", "the minutes stand"


def test_the_releases_own_people_count_for_neither() -> None:
    told = seated().role("cab", HAL).opened(FAY).came(FAY, HAL).says(FAY).says(HAL).closed(FAY)
    found = told.rule(BOARD)
    assert found.status == "pending"
    assert "hal is the owner of this release and may not vote on it" in found.reason
    assert HAL not in found.who


def test_an_author_under_another_account_is_found_out() -> None:
    told = seated().sat(FAY, fay=YES, oz=YES)
    assert told.rule(BOARD).status == "pass"
    told.linked("dev@acme.example", OZ).pushed(author=KIM, co_authors=["dev@acme.example"])
    found = told.rule(BOARD)
    assert found.status == "pending"
    assert "oz is co-author of change acme/pay@9fceb02 and may not vote on it" in found.reason


def test_one_person_with_two_accounts_is_one_member() -> None:
    told = Seated().role("cab", FAY, "acme:fay2", OZ).linked("acme:fay2", FAY)
    told.opened(FAY).came(FAY, "acme:fay2").says(FAY).says("acme:fay2").closed(FAY)
    found = told.rule(BOARD)
    assert found.reason.startswith("session cab-12 had no quorum: 1 of 2 members took part")


def test_a_second_vote_of_a_person_takes_the_place_of_the_first() -> None:
    told = seated().opened(FAY).came(FAY, OZ).says(FAY).says(OZ, NO).says(OZ).closed(FAY)
    assert told.rule(BOARD).found == "2 for, 0 against, 0 abstained"


@pytest.mark.parametrize(
    ("astray", "reason"),
    [
        (lambda t: t.says(UMA), "uma voted without being at session cab-12"),
        (lambda t: t.came(UMA).went(UMA).says(UMA), "uma voted without being at session cab-12"),
        (lambda t: t.came(KIM).says(KIM), "kim wrote change acme/pay@9fceb02"),
        (lambda t: t.came("acme:eve").says("acme:eve"), "eve does not hold cab"),
        (lambda t: t.came(UMA).says(UMA, by=OZ), "it names uma but was sent by acme:oz"),
        (
            lambda t: t.came(UMA).says(UMA, target_digest=OTHER_MANIFEST),
            "uma voted on another candidate, sha256:dddddddddddd…",
        ),
        (
            lambda t: t.says(UMA, id_="cab-99"),
            "uma voted in session cab-99, which does not have it on its agenda",
        ),
    ],
    ids=["absent", "left", "author", "no-member", "in-her-name", "another-candidate", "no-session"],
)
def test_votes_that_do_not_count_say_why(astray: Callable[[Seated], Any], reason: str) -> None:
    told = seated().opened(FAY).came(FAY, OZ).says(FAY)
    astray(told)
    found = told.went(UMA).closed(FAY).rule(board(quorum="3"))
    assert (found.status, found.found) == ("pending", "2 of 4 members took part")
    assert any(void.reason.startswith(reason) for void in found.not_counted)
    assert reason in found.reason


def test_nothing_that_comes_after_the_close_changes_it() -> None:
    told = seated().sat(FAY, fay=YES, oz=YES)
    told.came(UMA, ROSA).says(UMA, NO).says(ROSA, NO).says(FAY, NO).closed(FAY, minutes="Other.")
    found = told.rule(BOARD)
    assert (found.status, found.found) == ("pass", "2 for, 0 against, 0 abstained")
    assert {void.reason for void in found.not_counted} == {
        f"{name} voted after session cab-12 was closed" for name in ("uma", "rosa", "fay")
    }


def test_only_the_chair_closes_and_only_a_member_opens() -> None:
    told = seated().opened(FAY).came(FAY, OZ).says(FAY).says(OZ).closed(OZ)
    told.closed(FAY, by=OZ)
    assert told.rule(BOARD).reason == "session cab-12 of the board cab is open"
    told = seated().sat(KIM, fay=YES, oz=YES)
    found = told.rule(BOARD)
    assert found.status == "pending"
    assert "kim, who opened session cab-12, did not hold cab" in found.reason


def test_a_session_id_is_opened_once() -> None:
    told = seated().sat(FAY, fay=YES, oz=YES).opened(UMA).came(UMA)
    assert told.rule(BOARD).status == "pass"


@pytest.mark.parametrize("opened", [{"board": "other"}, {"release": "pay-9"}])
def test_a_session_of_another_board_or_about_another_release_decides_nothing(
    opened: dict[str, str],
) -> None:
    told = seated().opened(FAY, **opened).came(FAY, OZ).says(FAY).says(OZ).closed(FAY)
    assert told.rule(BOARD).reason.startswith("no session of the board cab has had it")


def test_a_rebuilt_candidate_goes_before_the_board_again_unless_the_rule_says_otherwise() -> None:
    told = seated().sat(FAY, fay=YES, oz=YES).candidate(OTHER_MANIFEST, OTHER_IMAGE)
    found = told.rule(BOARD)
    assert found.status == "pending"
    assert found.reason.startswith(
        "session cab-12 approved it: 2 for, 0 against, 0 abstained; but the candidate has changed "
        "since, so a new session is needed; not counted: fay voted on another candidate"
    )
    assert told.rule(board(bind="[]")).status == "pass"


@pytest.mark.parametrize(
    ("votes", "status", "said"),
    [
        ({"fay": YES, "oz": YES, "uma": YES, "rosa": NO}, "fail",
         "session cab-12 approved it: 3 for, 1 against, 0 abstained; but the scope has changed"),
        ({"fay": YES, "oz": YES, "uma": NEITHER}, "pending",
         "session cab-12 approved it: 2 for, 0 against, 1 abstained; but the scope has changed"),
        ({"fay": YES, "oz": NO, "uma": NO}, "fail",
         "the board cab did not approve it in session cab-12: 0 for, 2 against"),
        ({"fay": NEITHER, "oz": NEITHER}, "pending",
         "session cab-12 of the board cab was closed without a vote on it"),
    ],
)  # fmt: skip
def test_what_the_board_had_approved_before_the_scope_changed_is_told(
    votes: dict[str, str], status: str, said: str
) -> None:
    told = seated().sat(FAY, **votes)
    changed = {"release_id": RELEASE, "added": ["CHG-9"], "removed": [], "reason": "asked for"}
    told.tell("release.scope_changed.v1", changed)
    found = told.rule(BOARD)
    assert (found.status, found.reason[: len(said)]) == (status, said)
    assert told.sat(FAY, "cab-13", fay=YES, oz=YES).rule(BOARD).status == "pass"


@pytest.mark.parametrize("rule", [board(bind="[scope]"), SRE_OF_SCOPE])
def test_what_is_bound_to_the_scope_survives_a_rebuild_and_no_change_of_scope(rule: str) -> None:
    told = seated().role("sre", FAY).sat(FAY, fay=YES, oz=YES).vote(FAY)
    told.candidate(OTHER_MANIFEST, OTHER_IMAGE)
    assert told.rule(rule).status == "pass"
    changed = {"release_id": RELEASE, "added": ["CHG-9"], "removed": [], "reason": "asked for"}
    told.tell("release.scope_changed.v1", changed)
    found = told.rule(rule)
    assert (found.status, "the scope has changed since fay voted" in found.reason) == (
        "pending",
        True,
    )


def test_an_approval_of_the_board_expires_and_says_when() -> None:
    told = seated().sat(FAY, fay=YES, oz=YES)
    ends = told.clock + timedelta(days=14)
    assert told.rule(BOARD).next_change_at == format_time(ends)
    assert told.rule(BOARD, days=13).status == "pass"
    late = told.rule(BOARD, days=14)
    assert (late.status, late.reason) == (
        "pending",
        "the approval of session cab-12 expired after 14 days",
    )


def test_a_session_that_is_left_open_decides_nothing() -> None:
    rule = board(session_within="1h")
    told = seated().opened(FAY).came(FAY, OZ).says(FAY).says(OZ)
    opened = parse_time(told.events[-5].recorded_at)
    found = told.rule(rule)
    assert found.next_change_at == format_time(opened + timedelta(hours=1))
    assert "was not closed within 1 hour" in told.rule(rule, hours=1).reason
    assert told.later(hours=1).closed(FAY).rule(rule).status == "pending"
    assert told.rule(BOARD).status == "pass"


def test_a_member_who_lost_the_role_counts_as_the_rule_says() -> None:
    told = seated().sat(FAY, fay=YES, oz=YES, uma=NO).revoked("cab", OZ)
    found = told.rule(BOARD)
    assert (found.status, found.found) == ("fail", "1 for, 1 against, 0 abstained")
    assert told.rule(board(role_held="at_approval")).status == "pass"
    told.revoked("cab", UMA)
    assert told.rule(BOARD).found == "1 for, 1 against, 0 abstained", "a no stays"


def test_a_role_that_ends_takes_the_vote_along_and_says_when() -> None:
    told = Seated()
    ends = told.clock + timedelta(days=3)
    told.role("cab", FAY, OZ, until=ends).sat(FAY, fay=YES, oz=YES)
    assert told.rule(BOARD).next_change_at == format_time(ends)
    assert told.rule(BOARD, days=3).status == "pending"


def test_a_newer_session_overtakes_an_older_one_also_without_its_quorum() -> None:
    told = seated().sat(FAY, fay=YES, oz=YES)
    assert told.rule(BOARD).status == "pass"
    told.opened(FAY, "cab-13").came(FAY, id_="cab-13").says(FAY, NO, "cab-13")
    assert told.rule(BOARD).status == "pass", "an open one has said nothing yet"
    found = told.closed(FAY, "cab-13").rule(BOARD)
    assert (found.status, found.reason[:32]) == ("pending", "session cab-13 had no quorum: 1 ")


def test_a_session_that_did_not_come_to_it_overtakes_nothing() -> None:
    told = seated().sat(FAY, fay=YES, oz=YES).opened(FAY, "cab-13").closed(FAY, "cab-13")
    assert told.rule(BOARD).status == "pass"


def test_an_author_whom_nobody_knows_is_an_error_here_too() -> None:
    told = seated().sat(FAY, fay=YES, oz=YES).merged(author="github:ghost")
    assert told.rule(BOARD).status == "error"


def test_what_was_removed_of_a_session_might_have_been_a_no() -> None:
    told = seated().sat(FAY, fay=YES, oz=YES)
    place = next(i for i, e in enumerate(told.events) if e.type.endswith("board.attended.v1"))
    gone = {k: v for k, v in told.events[place].event.items() if k != "data"}
    told.events[place] = told.events[place].model_copy(update={"event": gone, "redacted": True})
    assert told.decide(document(BOARD)).decision == "deny"


@pytest.mark.parametrize("quorum", ["0", "101", "true", "'0%'", "'101%'", "'half'", "1.5"])
def test_a_quorum_is_a_number_or_a_share(quorum: str) -> None:
    with pytest.raises(PolicyFaultsError, match=r"cab\.quorum: is neither a number of members"):
        load(document(board(quorum=quorum)))


def test_a_fault_is_found_where_the_type_is_also_the_name_of_a_key() -> None:
    with pytest.raises(PolicyFaultsError) as caught:
        load(document(BOARD.replace("board: cab", "board: CAB")))
    (fault,) = caught.value.faults
    assert fault.startswith("policy.yaml:10:30 cab.board: ")


def test_a_board_can_be_one_of_several_ways() -> None:
    sre = "{id: sre, type: approvals, count: 1, roles: [sre]}"
    either = f"{{id: either, type: any_of, rules: [{BOARD}, {sre}]}}"
    told = seated().role("sre", UMA)
    assert told.rule(either).status == "pending"
    assert told.vote(UMA).rule(either).status == "pass"
    assert seated().sat(FAY, fay=YES, oz=YES).rule(either).status == "pass"


COUNTS: dict[Majority, Callable[[int, int], bool]] = {
    "simple": lambda yes, no: Fraction(yes, max(1, yes + no)) > Fraction(1, 2),
    "two-thirds": lambda yes, no: Fraction(yes, max(1, yes + no)) >= Fraction(2, 3),
    "unanimous": lambda yes, no: yes + no > 0 and Fraction(yes, yes + no) == 1,
}


@given(st.sampled_from(sorted(COUNTS)), st.lists(st.booleans(), max_size=40))
def test_majorities_are_what_arithmetic_says(majority: Majority, votes: list[bool]) -> None:
    yes, no = votes.count(True), votes.count(False)
    assert carried(majority, yes, no) == COUNTS[majority](yes, no)
    assert not carried(majority, no, no), "a tie never carries"


@given(st.integers(1, 100), st.integers(0, 60))
def test_a_share_is_the_least_number_that_is_enough(share: int, members: int) -> None:
    enough = [n for n in range(1, 101) if Fraction(n) >= Fraction(share * members, 100)]
    assert needed(f"{share}%", members) == min(enough)


WAY = "{id: either, type: any_of, rules: [%s, {id: sre, type: approvals, count: 1, roles: [sre]}]}"
DEED = st.tuples(
    st.sampled_from([FAY, OZ, UMA, ROSA, HAL]),
    st.sampled_from(["came", "went", YES, NO, NEITHER, "recused", "elsewhere"]),
)


@given(st.lists(DEED, max_size=14), st.integers(1, 4), st.sampled_from(sorted(COUNTS)))
def test_a_session_comes_to_what_counting_by_hand_says(
    deeds: list[tuple[str, str]], quorum: int, majority: Majority
) -> None:
    """HAL, who holds the role too, owns the release. FAY chairs and says nothing for it."""
    told = seated().role("cab", HAL).opened(FAY)
    there: set[str] = set()
    votes: dict[str, str] = {}
    whatever: dict[str, str] = {}  # said of this candidate or of another one
    recused = {HAL}
    for who, deed in deeds:
        if deed in {"came", "went"}:
            (told.came if deed == "came" else told.went)(who)
            (there.add if deed == "came" else there.discard)(who)
        elif deed == "recused":
            told.recused(who)
            recused.add(who)
        elif deed == "elsewhere":
            told.says(who, target_digest=OTHER_MANIFEST)
            whatever |= {who: YES} if who in there else {}
        else:
            told.says(who, deed)
            votes |= {who: deed} if who in there else {}
            whatever |= {who: deed} if who in there else {}

    def carries(said: dict[str, str]) -> bool:
        valid = [vote for who, vote in said.items() if who not in recused]
        enough = len((there | set(said)) - recused) >= quorum
        return enough and COUNTS[majority](valid.count(YES), valid.count(NO))

    enough = len((there | set(votes)) - recused) >= quorum
    expected = "pending" if not votes or not enough else "pass" if carries(votes) else "fail"
    valid = [vote for who, vote in votes.items() if who not in recused]
    if expected == "fail" and carries(whatever) and valid.count(NO) <= valid.count(YES):
        expected = "pending"  # they were for a candidate that is another one by now
    found = told.closed(FAY).rule(board(quorum=str(quorum), majority=majority))
    assert (found.status, SESSION in found.reason) == (expected, True)


def lived(deeds: list[tuple[str, str]], told: Seated) -> Seated:
    """Tell a session in which all this happened."""
    told.opened(FAY)
    for who, deed in deeds:
        if deed in {"came", "went"}:
            (told.came if deed == "came" else told.went)(who)
        elif deed == "recused":
            told.recused(who)
        else:
            told.says(who, YES if deed == "elsewhere" else deed)
    return told


@given(st.lists(DEED, max_size=10), st.sampled_from(["ghost", "nobody", "removed"]), st.booleans())
def test_no_error_ever_becomes_an_allow(
    deeds: list[tuple[str, str]],
    fault: str,
    closed: bool,  # noqa: FBT001 - drawn
) -> None:
    told = lived(deeds, seated().role("sre", UMA).vote(UMA))
    if closed:
        told.closed(FAY)
    if fault == "ghost":
        told.merged(author="github:ghost")
    elif fault == "nobody":
        told.candidate(changes=["acme/pay@" + "7" * 40])
    else:
        event = told.events[-1]
        gone = {k: v for k, v in event.event.items() if k != "data"}
        told.events[-1] = event.model_copy(update={"event": gone, "redacted": True})
    for rule in (BOARD, WAY % BOARD):
        decision = told.decide(document(rule, glass="null"))
        assert {each.status for each in decision.rules} & {"error"}
        assert decision.decision == "deny"


@given(
    st.lists(DEED, max_size=10),
    st.lists(st.integers(1, 40), min_size=4, max_size=4),
    st.floats(0, 1, exclude_max=True),
)
def test_time_alone_changes_nothing_before_the_instant_that_is_named(
    deeds: list[tuple[str, str]], days: list[int], share: float
) -> None:
    told = Seated()
    for who, until in zip((FAY, OZ, UMA, ROSA), days, strict=True):
        told.role("cab", who, until=told.clock + timedelta(days=until))
    lived(deeds, told).closed(FAY)
    text = document(board(session_within="2h"), glass="null")
    first = told.decide(text)
    if first.next_change_at is None:
        return
    ahead = (parse_time(first.next_change_at) - told.clock).total_seconds()
    assert ahead > 0
    later = told.decide(text, seconds=min(ahead * share, ahead - 0.001))
    assert [each.status for each in later.rules] == [each.status for each in first.rules]
