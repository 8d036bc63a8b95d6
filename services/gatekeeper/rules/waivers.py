"""Waivers: an exception that somebody granted lets a rule pass; its finding stays visible. Pure.

It counts while all of this holds: it names the rule and covers this release, its granter held one
of the rule's roles then, is not tied to the release as its requester or an author, and it has not
ended: by what it says itself, or by the policy's limit from the day that it was granted.
"""

from __future__ import annotations

from datetime import datetime

from contracts.decision import NotCounted, RuleResult
from contracts.event import format_time
from services.gatekeeper.facts import Facts
from services.gatekeeper.people import short
from services.gatekeeper.records import Waiver
from services.gatekeeper.rules import words
from services.gatekeeper.rules.schema import Rule, Waivable

_TIED = frozenset({"requester", "author", "committer", "co_author"})


def waived(rule: Rule, found: RuleResult, facts: Facts, as_of: datetime) -> RuleResult:
    """Return the result with an exception applied to a rule that failed or waits.

    An error is not waived: nobody knows what would be let pass.
    """
    if rule.waivable is None or found.status not in {"fail", "pending"}:
        return found
    void: list[NotCounted] = []
    good: list[tuple[datetime, Waiver]] = []
    for waiver in facts.waivers.values():
        if waiver.control != rule.id or not covers(waiver, facts):
            continue
        ends = min(waiver.expires_at, waiver.stamp.recorded_at + rule.waivable.max)
        if why := _why_void(waiver, rule.waivable, facts, ends, as_of):
            said = f"exception {waiver.id}: {why}"
            void.append(NotCounted(position=waiver.stamp.position, reason=said))
        else:
            good.append((ends, waiver))
    if not good:
        return found.model_copy(update={"not_counted": [*found.not_counted, *void]})
    return _lifted(found, *max(good, key=lambda each: (each[0], each[1].stamp.position)))


def covers(waiver: Waiver, facts: Facts) -> bool:
    """Say whether an exception is about all of this release. One that names nothing covers nothing,
    and one for a part (a service, an artefact of several) does not cover the others.
    """
    candidate = facts.candidate
    version = candidate.version if candidate else None
    whole = (
        {candidate.digest, *(candidate.artifacts if len(candidate.artifacts) == 1 else ())}
        if candidate
        else set()
    )
    named = (waiver.release, waiver.service, waiver.digest)
    return (
        any(named)
        and waiver.gate in {None, facts.gate}
        and waiver.release in {None, facts.release}
        and (waiver.service is None or facts.services == (waiver.service,))
        and waiver.version in {None, version}
        and (waiver.digest is None or waiver.digest in whole)
    )


def _why_void(
    waiver: Waiver, rule: Waivable, facts: Facts, ends: datetime, as_of: datetime
) -> str | None:
    who = short(waiver.approver)
    if waiver.fault is not None:
        return waiver.fault
    if not facts.did_hold(waiver.approver, rule.by, waiver.stamp):
        return f"{who} did not hold {words.either(rule.by)}"
    tie = next(
        (t for t in facts.ties if t.kind in _TIED and facts.people.same(t.who, waiver.approver)),
        None,
    )
    if tie is not None:
        return f"{who} {tie.what} and may not grant it"
    if ends <= as_of:
        return f"it ended at {format_time(ends)[:16]}Z"
    return None


def _lifted(found: RuleResult, ends: datetime, waiver: Waiver) -> RuleResult:
    until = f"{format_time(ends)[:16]}Z"
    reason = f"waived by {short(waiver.approver)} until {until}: {words.quoted(waiver.reason)}"
    at = format_time(ends)
    changes = [at, *([found.next_change_at] if found.next_change_at else [])]
    return found.model_copy(
        update={
            "status": "waived",
            "reason": f"{reason}; underneath: {found.reason}",
            "evidence": sorted({*found.evidence, waiver.stamp.position}),
            "satisfy": None,
            "who": [],
            "roles": [],
            "next_change_at": min(changes),
        }
    )
