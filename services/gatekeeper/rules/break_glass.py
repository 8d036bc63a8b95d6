"""Break-glass: people pass a gate without its rules, together, and answer for it afterwards. Pure.

An invocation counts for the candidate that it names while its person holds one of the roles. Who
is tied to the release may take part: what is asked is that nobody does it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from contracts.event import format_time
from services.gatekeeper.facts import Facts
from services.gatekeeper.people import short
from services.gatekeeper.records import Invocation
from services.gatekeeper.rules import words
from services.gatekeeper.rules.answer import Answer
from services.gatekeeper.schema import BreakGlass

TITLE = "Break-glass reviewed"


@dataclass(frozen=True, slots=True)
class Broken:
    """A release that may pass without rules, and when that falls due for review."""

    release: str
    people: tuple[str, ...]
    positions: tuple[int, ...]
    incident: str
    due_at: datetime
    lapses_at: datetime


def invoked(policy: BreakGlass, facts: Facts, as_of: datetime) -> Broken | None:
    """Return how this candidate may pass without rules; None: too few people say so, or it was
    reviewed or has lapsed since.
    """
    if facts.candidate is None:
        return None
    digest = facts.candidate.digest
    mine = [i for i in facts.invocations if i.release == facts.release and i.digest == digest]
    broken = _broken(policy, facts, mine)
    if broken is None or broken.lapses_at <= as_of or _reviewed(policy, facts, broken, mine):
        return None
    return broken


def overdue(policy: BreakGlass, facts: Facts, as_of: datetime) -> Answer | None:
    """Return an answer when some release passed this gate without rules and nobody has looked at
    it yet; None: nothing is to be looked at. It fails once one is overdue.
    """
    waiting = _unreviewed(policy, facts)
    if not waiting:
        return None
    due = min(each.due_at for each in waiting)
    late = [each for each in waiting if each.due_at <= as_of]
    shown = late or waiting
    names = words.both([each.release for each in shown])
    when = f"{format_time(due)[:16]}Z"
    verb = "was due" if late else "is due"
    return Answer(
        "fail" if late else "pass",
        f"{names} passed this gate without its rules; the review {verb} at {when}",
        f"reviews within {words.span(policy.review_within)}",
        "overdue" if late else f"due at {when}",
        [position for each in shown for position in each.positions],
        satisfy=f"a review of {names}" if late else None,
        roles=policy.reviewers if late else (),
        changes=[each.due_at for each in waiting if each.due_at > as_of],
    )


def _unreviewed(policy: BreakGlass, facts: Facts) -> list[Broken]:
    found: list[Broken] = []
    for release in dict.fromkeys(i.release for i in facts.invocations):
        mine = [i for i in facts.invocations if i.release == release]
        broken = _broken(policy, facts, mine)
        if broken is not None and not _reviewed(policy, facts, broken, mine):
            found.append(broken)
    return found


def _reviewed(policy: BreakGlass, facts: Facts, broken: Broken, mine: list[Invocation]) -> bool:
    """Say whether somebody of the roles, who took no part, has looked at it since."""
    part = [one.principal for one in mine]
    return any(
        review.release == broken.release
        and review.stamp.position > max(broken.positions)
        and review.reviewer in facts.held(policy.reviewers, review.stamp)
        and not any(facts.people.same(review.reviewer, person) for person in part)
        for review in facts.reviews
    )


def _broken(policy: BreakGlass, facts: Facts, mine: list[Invocation]) -> Broken | None:
    first: dict[str, Invocation] = {}
    for one in mine:
        if one.fault is None and one.principal in facts.held(policy.roles, one.stamp):
            first.setdefault(facts.people.key(one.principal), one)
    counted = list(first.values())[: policy.count]
    if len(counted) < policy.count:
        return None
    return Broken(
        counted[0].release,
        tuple(one.principal for one in counted),
        tuple(one.stamp.position for one in counted),
        counted[0].incident,
        counted[-1].stamp.recorded_at + policy.review_within,
        counted[-1].stamp.recorded_at + policy.lasts,
    )


def said(broken: Broken) -> str:
    """Return it as a sentence."""
    names = words.both([short(person) for person in broken.people])
    return f"{names} passed it without its rules for {broken.incident}"
