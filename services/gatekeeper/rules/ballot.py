"""Ballots: the votes that count for a rule, and how people are shared out between rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from contracts.decision import NotCounted
from services.gatekeeper.facts import Facts
from services.gatekeeper.people import short
from services.gatekeeper.records import Approval
from services.gatekeeper.rules import four_eyes, words
from services.gatekeeper.rules.delegation import one_voice, standing
from services.gatekeeper.rules.matching import assign
from services.gatekeeper.rules.schema import Approvals


@dataclass(slots=True)
class Ballot:
    """What one rule makes of the votes, before people are shared out between rules."""

    stage: str
    rule: Approvals
    yes: dict[str, Approval] = field(default_factory=dict)
    """By person, in order of position."""
    no: list[Approval] = field(default_factory=list)
    void: list[NotCounted] = field(default_factory=list)
    ends: dict[int, list[datetime]] = field(default_factory=dict)
    """Position of a vote → the instants at which it ceases to count."""
    rests_on: dict[int, list[int]] = field(default_factory=dict)
    """Position of a vote → those of the delegations that it needs."""
    free: list[str] = field(default_factory=list)
    """Principals who could still vote yes."""
    seated: list[str] = field(default_factory=list)
    """Logins that count for this rule, once people are shared out."""
    spent: dict[str, str] = field(default_factory=dict)
    """Login → the other rule of the group that it counts for."""

    def mine(self) -> list[Approval]:
        """Return the approvals that count."""
        return [self.yes[person] for person in self.seated]

    def elsewhere(self) -> list[NotCounted]:
        """Return the approvals that were needed for other rules, where people lack here."""
        if len(self.seated) >= self.rule.count:
            return []
        return [
            NotCounted(
                position=vote.stamp.position,
                reason=f"{short(vote.principal)} already counts for {self.spent[person]}",
            )
            for person, vote in self.yes.items()
            if self.spent.get(person, self.rule.id) != self.rule.id
        ]


def free(
    ballot: Ballot, facts: Facts, as_of: datetime, holders: list[str], silent: set[str]
) -> list[str]:
    """Return who could still say yes: holders of the roles, and those who may speak for them.

    `silent`: people whose delegates are, because they have spoken in person.
    """
    rule, people = ballot.rule, facts.people
    delegates = [
        given.delegate
        for given in standing(facts, as_of)
        if given.role in rule.roles
        and four_eyes.tied(given.delegator, rule, facts) is None
        and people.key(given.delegator) not in {*silent, *ballot.yes}
    ]
    return words.unique(
        person
        for person in (*holders, *delegates)
        if people.key(person) not in ballot.yes and four_eyes.tied(person, rule, facts) is None
    )


def share_out(ballots: Iterable[Ballot], facts: Facts) -> None:
    """Seat people. A rule without a group shares with nobody."""
    groups: dict[str, list[Ballot]] = {}
    for ballot in ballots:
        if ballot.rule.distinct_group is None:
            _one_voice([ballot], facts)
            ballot.seated = list(ballot.yes)
        else:
            groups.setdefault(ballot.rule.distinct_group, []).append(ballot)
    for group in groups.values():
        _one_voice(group, facts)
        wanted = {b.rule.id: b.rule.count for b in group}
        seats = assign(wanted, {b.rule.id: list(b.yes) for b in group})
        spent = {person: rule for rule, people in seats.items() for person in people}
        for ballot in group:
            ballot.seated, ballot.spent = seats[ballot.rule.id], spent


def _one_voice(group: list[Ballot], facts: Facts) -> None:
    """Let whoever speaks for somebody be one with them, so that neither counts beside the other."""
    if not facts.delegations:
        return
    voices = one_voice((vote for ballot in group for vote in ballot.yes.values()), facts)
    for ballot in group:
        merged: dict[str, Approval] = {}
        for person, vote in ballot.yes.items():
            merged.setdefault(voices.get(person, person), vote)
        ballot.yes = merged
