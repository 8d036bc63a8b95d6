"""Approvals: so many different people of these roles say yes, and none of them says no.

Pure. A vote counts while all of this holds: it is bound to the candidate that is judged, its person
holds one of the roles (`role_held`: when they voted, now, or both), is not tied to the release, and
it is not older than the rule allows. Rejections count even from people who are tied to the release.
The newest vote of a person wins; an abstention is shown and counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from contracts.decision import NotCounted, RuleResult, Status
from contracts.event import format_time
from services.gatekeeper.facts import Facts
from services.gatekeeper.people import short
from services.gatekeeper.records import Approval
from services.gatekeeper.rules import delegation, four_eyes, words
from services.gatekeeper.rules.ballot import Ballot, free, share_out
from services.gatekeeper.rules.binding import unbound
from services.gatekeeper.rules.schema import Approvals


def judge(
    rules: Sequence[tuple[str, Approvals]], facts: Facts, as_of: datetime
) -> dict[str, RuleResult]:
    """Judge all approval rules of a gate together, because they may share people; by rule id.

    Each comes with the id of its stage.
    """
    known = set(facts.holders((role for _, rule in rules for role in rule.roles), as_of))
    ballots = [_count(Ballot(stage, rule), facts, as_of, known) for stage, rule in rules]
    share_out(ballots, facts)
    return {b.rule.id: _result(b, facts) for b in ballots}


def _count(ballot: Ballot, facts: Facts, as_of: datetime, known: set[str]) -> Ballot:
    """Count the votes. `known` hold some role of the gate: it is no news that it is another."""
    rule = ballot.rule
    holders = facts.holders(rule.roles, as_of)
    votes = _votes(facts, rule)
    in_person = {
        facts.people.key(vote.principal)
        for vote in votes if facts.delegations and _in_person(vote, rule, facts)
    }  # fmt: skip
    for vote in votes:
        if vote.behalf is not None:
            _for_another(vote, ballot, facts, as_of, in_person)
            continue
        did = facts.did_hold if vote.approved else facts.could_object
        held = did(vote.principal, rule.roles, vote.stamp)
        if vote.principal in known and vote.principal not in holders and not held:
            continue
        reason = _why_void(vote, ballot, facts, as_of)
        if reason is None:
            reason = _without_role(vote, rule, holders, held=held)
        if reason is not None:
            ballot.void.append(NotCounted(position=vote.stamp.position, reason=reason))
            continue
        until = holders.get(vote.principal) if rule.role_held != "at_approval" else None
        _take(ballot, vote, facts.people.key(vote.principal), [until] if until else [])
    ballot.free = free(ballot, facts, as_of, list(holders), in_person)
    return ballot


def _in_person(vote: Approval, rule: Approvals, facts: Facts) -> bool:
    spoken = vote.fault is None or vote.abstained
    return spoken and vote.behalf is None and unbound(vote, rule.bind, facts) is None


def _for_another(
    vote: Approval, ballot: Ballot, facts: Facts, as_of: datetime, in_person: set[str]
) -> None:
    """Count a vote in the place of whoever delegated their role."""
    lent = delegation.lent(vote, ballot.rule, facts, as_of)
    if lent is None:
        return
    whose = facts.people.key(vote.behalf or "")
    reason = _why_void(vote, ballot, facts, as_of) or lent.why
    if reason is None and whose in in_person:
        reason = f"{short(vote.behalf or '')} has spoken in person"
    if reason is not None:
        ballot.void.append(NotCounted(position=vote.stamp.position, reason=reason))
        return
    ballot.rests_on[vote.stamp.position] = lent.positions
    _take(ballot, vote, whose, lent.ends)


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
    """Return the newest vote of each person about what is judged, and all votes that are void.

    What somebody says for another takes the place of nothing that they say for themselves.
    """
    newest: dict[tuple[str, str | None], Approval] = {}
    others: list[Approval] = []
    for vote in facts.approvals:
        if vote.gate != facts.gate:
            continue
        if vote.fault is not None or unbound(vote, rule.bind, facts):
            others.append(vote)
            continue
        known = newest.get(who := (vote.principal, vote.behalf))
        fresher = (
            known is None or vote.approved != known.approved or vote.stamp.at >= known.stamp.at
        )
        if fresher or not vote.approved:
            newest[who] = vote
    others = [
        v for v in others if not (v.abstained and (v.principal, None) in newest)
    ]  # spoken since
    return sorted([*newest.values(), *others], key=lambda vote: vote.stamp.position)


def _why_void(vote: Approval, ballot: Ballot, facts: Facts, as_of: datetime) -> str | None:
    who, rule = short(vote.principal), ballot.rule
    if vote.fault is not None:
        return vote.fault
    if (elsewhere := unbound(vote, rule.bind, facts)) is not None:
        return elsewhere
    if not vote.approved:
        return None
    for person in (vote.principal, vote.behalf):
        if person and (tie := four_eyes.tied(person, rule, facts)) is not None:
            verb = "give" if "approval" in tie.what else "approve"
            told = who if person == vote.principal else f"{short(person)}, for whom {who} voted,"
            return f"{told} {tie.what} and may not {verb} it"
    if rule.expires_after is not None and vote.stamp.at + rule.expires_after <= as_of:
        return f"the approval of {who} expired after {words.span(rule.expires_after)}"
    return None


def _take(ballot: Ballot, vote: Approval, person: str, until: list[datetime]) -> None:
    ends = list(until)
    if not vote.approved:
        ballot.no.append(vote)
    else:
        ballot.yes.setdefault(person, vote)
        if ballot.rule.expires_after is not None:
            ends.append(vote.stamp.at + ballot.rule.expires_after)
    ballot.ends[vote.stamp.position] = ends


def _result(ballot: Ballot, facts: Facts) -> RuleResult:
    rule, mine = ballot.rule, ballot.mine()
    void = sorted([*ballot.void, *ballot.elsewhere()], key=lambda n: n.position)
    status, reason, satisfy = _verdict(ballot, mine, facts)
    if status == "pending" and void:
        reason += words.not_counted(n.reason for n in void)
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
        evidence=_evidence(ballot, used),
        not_counted=void,
        satisfy=satisfy,
        who=_who(status, ballot),
        roles=[] if status == "pass" else list(rule.roles),
        next_change_at=format_time(min(ends)) if ends else None,
    )


def _evidence(ballot: Ballot, used: list[Approval]) -> list[int]:
    places = [vote.stamp.position for vote in used]
    if not ballot.rests_on:
        return places
    return sorted({*places, *(p for place in places for p in ballot.rests_on.get(place, ()))})


def _verdict(ballot: Ballot, mine: list[Approval], facts: Facts) -> tuple[Status, str, str | None]:
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
    return (
        "pending",
        have,
        f"{more} from {roles}{target if 'artefact' in (rule.bind or ()) else ''}",
    )


def _no(vote: Approval) -> str:
    return f"{_name(vote)} rejected it" + (
        f": {words.quoted(vote.comment)}" if vote.comment else ""
    )


def _names(votes: Iterable[Approval]) -> str:
    return words.both([_name(vote) for vote in votes])


def _name(vote: Approval) -> str:
    behalf = f" for {short(vote.behalf)}" if vote.behalf else ""
    return short(vote.principal) + behalf


def _found(yes: list[Approval], no: list[Approval]) -> str:
    parts = [f"approved by {_names(yes)}"] if yes else []
    parts += [f"rejected by {_names(no)}"] if no else []
    return "; ".join(parts) or "none"


def _who(status: Status, ballot: Ballot) -> list[str]:
    if status == "fail":
        return [vote.principal for vote in ballot.no]
    return sorted(ballot.free) if status == "pending" else []
