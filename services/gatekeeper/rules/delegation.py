"""Delegation: somebody votes in the place of a holder of a role. Pure.

It is the delegator's voice: their role is asked, and theirs alone, so what was delegated cannot be
passed on. It ends with that role, at its instant, when it is revoked, and when the delegator speaks
in person. `role_held` says when all that is looked at: as the vote was given, as it is judged, or
both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from services.gatekeeper.facts import Facts
from services.gatekeeper.people import short
from services.gatekeeper.records import Approval, Delegation
from services.gatekeeper.rules import words
from services.gatekeeper.rules.schema import Approvals


@dataclass(frozen=True, slots=True)
class Lent:
    """What a vote in somebody's place rests on. `why` it does not count; None: it may."""

    why: str | None
    positions: list[int] = field(default_factory=list)
    ends: list[datetime] = field(default_factory=list)


def lent(vote: Approval, rule: Approvals, facts: Facts, as_of: datetime) -> Lent | None:
    """Return what a vote in somebody's place rests on; None: it is another rule's business."""
    given = [
        d for d in facts.delegations
        if (d.delegator, d.delegate, d.gate) == (vote.behalf, vote.principal, facts.gate)
    ]  # fmt: skip
    fitting = [d for d in given if d.role in rule.roles]
    if not fitting:
        whose, who = short(vote.behalf or ""), short(vote.principal)
        why = f"{whose} delegated {words.either(rule.roles)} to {who} at no time"
        return None if given else Lent(why)
    found = [
        _of_role([d for d in fitting if d.role == role], vote, rule, facts, as_of)
        for role in words.unique(d.role for d in fitting)
    ]
    return next((each for each in found if each.why is None), found[-1])


def standing(facts: Facts, as_of: datetime) -> list[Delegation]:
    """Return the delegations at this gate that are in force."""
    return [
        d for d in facts.delegations
        if d.gate == facts.gate and d.ended is None and d.until > as_of
        and _rightful(d, facts) and d.delegator in facts.holders([d.role], as_of)
    ]  # fmt: skip


def one_voice(votes: Iterable[Approval], facts: Facts) -> dict[str, str]:
    """Return who is one person with whom for counting: each delegate with whom they speak for.

    Keys as of `People.key`; who is not named is alone. Two delegates of one person are one voice.
    """
    voice: dict[str, str] = {}
    for vote in votes:
        if vote.behalf is not None:
            one, other = (facts.people.key(who) for who in (vote.principal, vote.behalf))
            old, new = voice.get(one, one), voice.get(other, other)
            voice |= {one: new, other: new}
            voice = {key: new if known == old else known for key, known in voice.items()}
    return voice


def _rightful(given: Delegation, facts: Facts) -> bool:
    return given.fault is None and facts.did_hold(given.delegator, [given.role], given.stamp)


def _of_role(
    given: list[Delegation], vote: Approval, rule: Approvals, facts: Facts, as_of: datetime
) -> Lent:
    """Judge the delegations of one role from one person to another."""
    good, last = [d for d in given if _rightful(d, facts)], given[-1]
    role, whose, who = last.role, short(last.delegator), short(last.delegate)
    if not good:
        why = last.fault or f"{whose} did not hold {role} when delegating it to {who}"
        return Lent(why)
    begun = [d for d in good if d.at(vote.stamp)]
    holders = facts.holders([role], as_of)
    current = [d for d in good if d.ended is None and d.until > as_of]
    then = bool(begun) and facts.did_hold(last.delegator, [role], vote.stamp)
    now = bool(current) and last.delegator in holders
    asked = {"at_approval": then, "at_judging": now, "both": then and now}
    counts = asked[rule.role_held or "both"] if vote.approved else then or now
    if not counts:
        return Lent(_lapsed(good[-1], begun=bool(begun), current=bool(current)))
    used = (current or begun)[-1]
    ends: list[datetime] = []
    if rule.role_held != "at_approval" and now:
        until = holders[last.delegator]
        ends = [used.until, *([until] if until else [])]
    return Lent(None, [used.stamp.position], ends)


def _lapsed(given: Delegation, *, begun: bool, current: bool) -> str:
    whose, who, role = short(given.delegator), short(given.delegate), given.role
    if not current:
        return f"the delegation of {role} from {whose} to {who} has ended"
    if not begun:
        return f"{who} voted before {whose} delegated {role}"
    return f"{whose}, for whom {who} voted, does not hold {role}"
