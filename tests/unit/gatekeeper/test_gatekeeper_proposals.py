"""Proposals: who counts as standing behind a text, and what it still lacks."""

from __future__ import annotations

from typing import Any

import pytest

from services.gatekeeper.people import People
from services.gatekeeper.proposals import Governance, Proposal, fault, missing, proposed
from tests.unit.gatekeeper.told import CONSOLE, Told

ADA, BEA, CYD, EVE = (f"acme:{name}" for name in ("ada", "bea", "cyd", "eve"))
SHA = "a" * 64
APPROVERS = "by holders of gov who did not propose it"


class Life(Told):
    """What is said of one text."""

    def say(self, what: str, who: str, via: str | None = CONSOLE, **data: Any) -> Life:
        said = {"policy_id": "p", "content_sha256": SHA} | data
        self.tell(f"policy.{what}.v1", said, who, via)
        return self

    def propose(self, author: str = ADA, via: str | None = CONSOLE, **data: Any) -> Life:
        said = {"version": 2, "content": "text", "author": author, "reason": "why"} | data
        return self.say("proposed", author, via, **said)

    def backtest(self, first: int = 1, last: int = 9, covered: int = 0) -> Life:
        sums: dict[str, Any] = dict.fromkeys(("decisions", "changed", "failed", "blocked"), 0)
        sums |= {"first": first, "last": last, "covered": covered}
        return self.say("backtested", ADA, table_sha256=SHA, **sums)

    def approve(self, who: str, named: str | None = None, via: str | None = CONSOLE) -> Life:
        return self.say("approved", who, via, principal=named or who)

    def withdraw(self, who: str, named: str | None = None, via: str | None = CONSOLE) -> Life:
        return self.say("approval_withdrawn", who, via, principal=named or who, reason="misread")

    def one(self) -> Proposal:
        (found,) = proposed(self.page("proposal:p"), self.page("policy:p"))
        return found


def governed(*holders: str, count: int = 2, links: dict[str, str] | None = None) -> Governance:
    return Governance("gov", count, holders or (ADA, BEA, CYD), People(links or {}))


def test_two_people_and_a_backtest_are_enough() -> None:
    life = Life().propose()
    one = f"1 more approval {APPROVERS}"
    assert missing(life.one(), governed()) == ["a backtest", one]
    assert missing(life.backtest().one(), governed()) == [one]
    assert missing(life.approve(BEA).one(), governed()) == []
    assert missing(life.one(), governed(count=3)) == [one]
    assert missing(life.approve(CYD).one(), governed(count=3)) == []


def test_an_approval_that_was_taken_back_does_not_count_until_it_is_given_again() -> None:
    one = [f"1 more approval {APPROVERS}"]
    life = Life().propose().backtest().approve(BEA)
    assert missing(life.withdraw(CYD, named=BEA).one(), governed()) == []
    assert missing(life.withdraw(BEA, via=None).one(), governed()) == []
    assert missing(life.withdraw(BEA).one(), governed()) == one
    assert missing(life.withdraw(BEA).one(), governed()) == one
    assert missing(life.approve(BEA).one(), governed()) == []


@pytest.mark.parametrize(
    ("first", "last", "covered", "counts"),
    [(2, 9, 0, False), (1, 1, 0, False), (1, 2, 0, True), (2, 9, 1, True), (5, 4, 0, False)],
)
def test_a_backtest_covers_decisions_or_looks_at_all(
    first: int, last: int, covered: int, *, counts: bool
) -> None:
    life = Life().say("approved", BEA, principal=BEA).propose().approve(BEA)
    assert missing(life.one(), governed()) == ["a backtest"]
    assert missing(life.backtest(first, last, covered).one(), governed()) == (
        [] if counts else ["a backtest"]
    )


@pytest.mark.parametrize(
    ("who", "links", "why"),
    [
        (EVE, {}, "eve does not hold gov"),
        (ADA, {}, "ada proposed it, and somebody else approves"),
        ("sso:7", {"sso:7": ADA}, "7 proposed it, and somebody else approves"),
        ("other:ada", {}, "ada proposed it, and somebody else approves"),
    ],
)
def test_some_approvals_do_not_count(who: str, links: dict[str, str], why: str) -> None:
    life = Life().propose().backtest().approve(who)
    by = governed(ADA, BEA, "sso:7", "other:ada", links=links)
    assert fault(life.one(), who, by) == why
    assert missing(life.one(), by) == [f"1 more approval {APPROVERS}"]


def test_two_accounts_of_one_person_count_once() -> None:
    life = Life().propose("service:gatekeeper", None).backtest().approve(BEA).approve("sso:9")
    by = governed(BEA, "sso:9", links={"sso:9": BEA})
    assert missing(life.one(), by) == [f"1 more approval {APPROVERS}"]
    assert missing(life.approve(CYD).one(), governed(BEA, "sso:9", CYD, links={"sso:9": BEA})) == []


def test_a_text_from_a_file_has_no_author_and_takes_one_more() -> None:
    life = Life().propose("service:gatekeeper", None).backtest()
    assert missing(life.one(), governed()) == [f"2 more approvals {APPROVERS}"]


def test_nobody_speaks_in_anothers_name() -> None:
    life = Life().propose().backtest().approve(EVE, named=BEA).approve(CYD, via=None)
    assert life.one().approvals == {}
    forged = Life()
    forged.say("proposed", EVE, version=2, content="text", author=ADA, reason="why")
    assert not forged.one().is_person


def test_a_role_that_was_taken_away_takes_its_approval_along() -> None:
    life = Life().propose().backtest().approve(BEA)
    assert missing(life.one(), governed(ADA, CYD)) == [f"1 more approval {APPROVERS}"]


def test_what_is_said_of_a_text_that_nobody_proposed_is_about_nothing() -> None:
    life = Life().backtest().approve(BEA)
    assert proposed(life.page("proposal:p"), life.page("policy:p")) == []
    assert life.propose().one().backtests == []
