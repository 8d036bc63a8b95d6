"""Break-glass: people pass a gate without its rules, together, and answer for it afterwards. Pure.

An invocation counts for the candidate that it names while its person holds one of the roles. Who
is tied to the release may take part: what is asked is that nobody does it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.event import format_time
from services.gatekeeper.facts import Facts
from services.gatekeeper.people import short
from services.gatekeeper.records import Invocation
from services.gatekeeper.rules import words
from services.gatekeeper.rules.answer import Answer
from services.gatekeeper.schema import BreakGlass

TITLE = "Break-glass reviewed"
FEW = 2
"""People who together may have passed a gate without rules, by a policy that was active then."""


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
    asked = [
        one for one in _asked(facts, *key) if facts.did_hold(one.principal, policy.roles, one.stamp)
    ]
    for broken in reversed(_broken(policy, facts, asked, policy.count, policy.lasts)):
        if as_of < broken.lapses_at and not _reviewed(policy, facts, broken):
            return broken
    return None


def overdue(policy: BreakGlass, facts: Facts, as_of: datetime) -> Answer | None:
    """Return an answer when some release may have passed this gate without rules and nobody has
    looked at it yet; None: nothing is to be looked at. It fails once one is overdue.

    No later policy takes that away: whoever was let ask counts, whatever is asked of them by now.
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
    few = min(policy.count, FEW)
    every = [
        broken
        for key in keys
        for broken in _broken(policy, facts, _asked(facts, *key), few, timedelta.max)
    ]
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


def _asked(facts: Facts, release: str, digest: str) -> list[Invocation]:
    mine = (release, digest, None)
    return [one for one in facts.invocations if (one.release, one.digest, one.fault) == mine]


def _broken(
    policy: BreakGlass, facts: Facts, asked: list[Invocation], count: int, lasts: timedelta
) -> list[Broken]:
    """Return each time that so many people asked for it within `lasts`, over one incident."""
    found: list[Broken] = []
    asking: dict[str, dict[str, Invocation]] = {}
    for one in asked:
        mine = asking.setdefault(one.incident, {})
        since = one.stamp.recorded_at
        mine = {who: i for who, i in mine.items() if since - i.stamp.recorded_at < lasts}
        mine.setdefault(facts.people.key(one.principal), one)
        if len(mine) == count:
            found.append(_together(policy, list(mine.values())))
            mine = {}
        asking[one.incident] = mine
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
