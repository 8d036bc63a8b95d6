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
    key = (facts.release, facts.candidate.digest)
    for broken in reversed(_broken(policy, facts, *key)):
        if as_of < broken.lapses_at and not _reviewed(policy, facts, broken):
            return broken
    return None


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
    keys = dict.fromkeys((one.release, one.digest) for one in facts.invocations)
    every = [broken for key in keys for broken in _broken(policy, facts, *key)]
    return [broken for broken in every if not _reviewed(policy, facts, broken)]


def _reviewed(policy: BreakGlass, facts: Facts, broken: Broken) -> bool:
    """Say whether somebody of the roles, who took no part, has looked at it since."""
    part = [one.principal for one in facts.invocations if one.release == broken.release]
    return any(
        review.release == broken.release
        and review.stamp.position > max(broken.positions)
        and facts.did_hold(review.reviewer, policy.reviewers, review.stamp)
        and not any(facts.people.same(review.reviewer, person) for person in part)
        for review in facts.reviews
    )


def _broken(policy: BreakGlass, facts: Facts, release: str, digest: str) -> list[Broken]:
    """Return each time that enough people asked for a candidate within `lasts`, in order."""
    found: list[Broken] = []
    asking: dict[str, Invocation] = {}
    for one in facts.invocations:
        mine = (one.release, one.digest, one.fault) == (release, digest, None)
        if not mine or not facts.did_hold(one.principal, policy.roles, one.stamp):
            continue
        kept = one.stamp.recorded_at - policy.lasts
        asking = {who: i for who, i in asking.items() if i.stamp.recorded_at > kept}
        asking.setdefault(facts.people.key(one.principal), one)
        if len(asking) == policy.count:
            found.append(_together(policy, list(asking.values())))
            asking = {}
    return found


def _together(policy: BreakGlass, asked: list[Invocation]) -> Broken:
    last = max(one.stamp.recorded_at for one in asked)
    return Broken(
        asked[0].release,
        tuple(one.principal for one in asked),
        tuple(one.stamp.position for one in asked),
        asked[0].incident,
        last + policy.review_within,
        last + policy.lasts,
    )


def said(broken: Broken) -> str:
    """Return it as a sentence."""
    names = words.both([short(person) for person in broken.people])
    return f"{names} passed it without its rules for {broken.incident}"
