"""Approvals: so many different people of these roles say yes, and none of them says no.

Pure. A vote counts while all of this holds: it is bound to the candidate that is judged, its person
holds one of the roles (`role_held`: when they voted, now, or both), is not tied to the release, and
it is not older than the rule allows. Rejections count even from people who are tied to the release.
The newest vote of a person wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from contracts.decision import NotCounted, RuleResult, Status
from contracts.event import format_time
from services.gatekeeper.facts import Facts
from services.gatekeeper.people import short
from services.gatekeeper.records import Approval
from services.gatekeeper.rules import four_eyes, words
from services.gatekeeper.rules.matching import assign
from services.gatekeeper.rules.schema import Approvals


@dataclass(slots=True)
class _Ballot:
    """What one rule makes of the votes, before people are shared out between rules."""

    stage: str
    rule: Approvals
    yes: dict[str, Approval] = field(default_factory=dict)
    """By person, in order of position."""
    no: list[Approval] = field(default_factory=list)
    void: list[NotCounted] = field(default_factory=list)
    ends: dict[int, list[datetime]] = field(default_factory=dict)
    """Position of a vote → the instants at which it ceases to count."""
    free: list[str] = field(default_factory=list)
    """Principals who could still vote yes."""
    seated: list[str] = field(default_factory=list)
    """Logins that count for this rule, once people are shared out."""
    spent: dict[str, str] = field(default_factory=dict)
    """Login → the other rule of the group that it counts for."""


def judge(
    rules: Sequence[tuple[str, Approvals]], facts: Facts, as_of: datetime
) -> dict[str, RuleResult]:
    """Judge all approval rules of a gate together, because they may share people; by rule id.

    Each comes with the id of its stage.
    """
    known = set(facts.holders((role for _, rule in rules for role in rule.roles), as_of))
    ballots = [_count(_Ballot(stage, rule), facts, as_of, known) for stage, rule in rules]
    _share_out(ballots)
    return {b.rule.id: _result(b, facts) for b in ballots}


def _count(ballot: _Ballot, facts: Facts, as_of: datetime, known: set[str]) -> _Ballot:
    """Count the votes. `known` hold some role of the gate: it is no news that it is another."""
    rule = ballot.rule
    holders = facts.holders(rule.roles, as_of)
    for vote in _votes(facts, rule):
        held_by = facts.held if vote.approved else facts.objectors
        held = vote.principal in held_by(rule.roles, vote.stamp)
        if vote.principal in known and vote.principal not in holders and not held:
            continue
        reason = _why_void(vote, ballot, facts, as_of)
        if reason is None:
            reason = _without_role(vote, rule, holders, held=held)
        if reason is not None:
            ballot.void.append(NotCounted(position=vote.stamp.position, reason=reason))
            continue
        until = holders.get(vote.principal) if rule.role_held != "at_approval" else None
        _take(ballot, vote, facts.people.key(vote.principal), until)
    ballot.free = [
        person for person in holders
        if facts.people.key(person) not in ballot.yes
        and four_eyes.tied(person, rule, facts) is None
    ]  # fmt: skip
    return ballot


def _without_role(
    vote: Approval, rule: Approvals, holders: Mapping[str, object], *, held: bool
) -> str | None:
    who, roles = short(vote.principal), words.either(rule.roles)
    if not vote.approved:  # a no counts either way
        return None if held or vote.principal in holders else f"{who} does not hold {roles}"
    if rule.role_held != "at_approval" and vote.principal not in holders:
        return f"{who} does not hold {roles}" + (" any more" if held else "")
    if rule.role_held != "at_judging" and not held:
        return f"{who} did not hold {roles} at the time"
    return None


def _votes(facts: Facts, rule: Approvals) -> list[Approval]:
    """Return the newest vote of each person about what is judged, and all votes that are void."""
    newest: dict[str, Approval] = {}
    others: list[Approval] = []
    for vote in facts.approvals:
        if vote.gate != facts.gate:
            continue
        if vote.fault is not None or _unbound(vote, rule, facts):
            others.append(vote)
            continue
        known = newest.get(vote.principal)
        fresher = (
            known is None or vote.approved != known.approved or vote.stamp.at >= known.stamp.at
        )
        if fresher or not vote.approved:
            newest[vote.principal] = vote
    return sorted([*newest.values(), *others], key=lambda vote: vote.stamp.position)


def _why_void(vote: Approval, ballot: _Ballot, facts: Facts, as_of: datetime) -> str | None:
    who, rule = short(vote.principal), ballot.rule
    if vote.fault is not None:
        return vote.fault
    if (unbound := _unbound(vote, rule, facts)) is not None:
        return unbound
    if not vote.approved:
        return None
    if (tie := four_eyes.tied(vote.principal, rule, facts)) is not None:
        verb = "give" if "approval" in tie.what else "approve"
        return f"{who} {tie.what} and may not {verb} it"
    if rule.expires_after is not None and vote.stamp.at + rule.expires_after <= as_of:
        return f"the approval of {who} expired after {words.span(rule.expires_after)}"
    return None


def _unbound(vote: Approval, rule: Approvals, facts: Facts) -> str | None:
    if not rule.bind:
        return None
    if vote.digest is None:
        return f"{short(vote.principal)} did not say which candidate"
    if facts.candidate is None or vote.digest != facts.candidate.digest:
        return f"{short(vote.principal)} voted on another candidate, {words.brief(vote.digest)}"
    return None


def _take(ballot: _Ballot, vote: Approval, person: str, until: datetime | None) -> None:
    ends = [] if until is None else [until]
    if not vote.approved:
        ballot.no.append(vote)
    else:
        ballot.yes.setdefault(person, vote)
        if ballot.rule.expires_after is not None:
            ends.append(vote.stamp.at + ballot.rule.expires_after)
    ballot.ends[vote.stamp.position] = ends


def _share_out(ballots: Iterable[_Ballot]) -> None:
    """Seat people. A rule without a group shares with nobody."""
    groups: dict[str, list[_Ballot]] = {}
    for ballot in ballots:
        ballot.seated = list(ballot.yes)
        if ballot.rule.distinct_group is not None:
            groups.setdefault(ballot.rule.distinct_group, []).append(ballot)
    for group in groups.values():
        wanted = {b.rule.id: b.rule.count for b in group}
        seats = assign(wanted, {b.rule.id: list(b.yes) for b in group})
        spent = {person: rule for rule, people in seats.items() for person in people}
        for ballot in group:
            ballot.seated, ballot.spent = seats[ballot.rule.id], spent


def _result(ballot: _Ballot, facts: Facts) -> RuleResult:
    rule, mine = ballot.rule, [ballot.yes[person] for person in ballot.seated]
    void = sorted([*ballot.void, *_elsewhere(ballot)], key=lambda n: n.position)
    status, reason, satisfy = _verdict(ballot, mine, facts)
    if status == "pending" and void:
        reason += "; not counted: " + "; ".join(words.unique(n.reason for n in void))
    used = sorted([*mine, *ballot.no], key=lambda vote: vote.stamp.position)
    ends = [end for vote in used for end in ballot.ends[vote.stamp.position]]
    return RuleResult(
        rule=rule.id,
        title=rule.title or f"Approval by {words.either(rule.roles)}",
        type=rule.type,
        stage=ballot.stage,
        status=status,
        reason=reason,
        required=f"{rule.count} of {words.either(rule.roles)}",
        found=_found(mine, ballot.no),
        evidence=[vote.stamp.position for vote in used],
        not_counted=void,
        satisfy=satisfy,
        who=_who(status, ballot),
        roles=[] if status == "pass" else list(rule.roles),
        next_change_at=format_time(min(ends)) if ends else None,
    )


def _elsewhere(ballot: _Ballot) -> list[NotCounted]:
    if len(ballot.seated) >= ballot.rule.count:
        return []
    return [
        NotCounted(
            position=vote.stamp.position,
            reason=f"{short(vote.principal)} already counts for {ballot.spent[person]}",
        )
        for person, vote in ballot.yes.items()
        if ballot.spent.get(person, ballot.rule.id) != ballot.rule.id
    ]


def _verdict(ballot: _Ballot, mine: list[Approval], facts: Facts) -> tuple[Status, str, str | None]:
    """Return status, reason, and what would satisfy the rule."""
    rule, roles = ballot.rule, words.either(ballot.rule.roles)
    if (unproved := four_eyes.unproved(rule, facts)) is not None:
        said, satisfy = unproved
        return "error", f"nobody recorded {said}, so four eyes cannot be proved", satisfy
    if ballot.no:
        said = words.both([_no(vote) for vote in ballot.no])
        return "fail", said, f"a new candidate, or an approval by {_names(ballot.no)} after all"
    have = f"{len(mine)} of {words.count(rule.count, 'approval')} from {roles}"
    have += f": {_names(mine)}" if mine else ""
    if len(mine) >= rule.count:
        return "pass", have, None
    if facts.candidate is None:
        return "pending", f"{have}; there is no candidate yet to approve", "a release candidate"
    target = f" of candidate {facts.candidate.version} ({words.brief(facts.candidate.digest)})"
    more = words.count(rule.count - len(mine), "more approval")
    return "pending", have, f"{more} from {roles}{target if rule.bind else ''}"


def _no(vote: Approval) -> str:
    return f"{short(vote.principal)} rejected it" + (
        f": {words.quoted(vote.comment)}" if vote.comment else ""
    )


def _names(votes: Iterable[Approval]) -> str:
    return words.both([short(vote.principal) for vote in votes])


def _found(yes: list[Approval], no: list[Approval]) -> str:
    parts = [f"approved by {_names(yes)}"] if yes else []
    parts += [f"rejected by {_names(no)}"] if no else []
    return "; ".join(parts) or "none"


def _who(status: Status, ballot: _Ballot) -> list[str]:
    if status == "fail":
        return [vote.principal for vote in ballot.no]
    return sorted(ballot.free) if status == "pending" else []
