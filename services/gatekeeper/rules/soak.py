"""Soak: every artefact has been in an earlier environment for so long, and did not fail. Pure.

Time counts from the later of the two clocks of the first success after the last failure: a claim
that it ran for days already proves nothing. Whether another release took its place there meanwhile
is not asked.
"""

from __future__ import annotations

from datetime import datetime

from services.gatekeeper.facts import Facts
from services.gatekeeper.records import Deployment
from services.gatekeeper.rules import words
from services.gatekeeper.rules.answer import Answer
from services.gatekeeper.rules.schema import Soak

_TELLING = frozenset({"success", "failure", "partial"})


def title(rule: Soak) -> str:
    """Return what the rule is called where nobody named it."""
    return f"Soak in {rule.environment}"


def judge(rule: Soak, facts: Facts, as_of: datetime) -> Answer:
    """Judge one soak rule."""
    need = f"{words.span(rule.at_least)} in {rule.environment}"
    if facts.candidate is None:
        return Answer("pending", "there is no candidate yet", need, "nothing", satisfy=need)
    since = {digest: _since(digest, rule, facts) for digest in facts.candidate.artifacts}
    missing = [words.brief(digest) for digest, first in since.items() if first is None]
    if missing:
        reason = f"{words.both(missing)} does not run well in {rule.environment}"
        satisfy = f"a deployment to {rule.environment} that succeeds, then {need}"
        return Answer("pending", reason, need, f"not in {rule.environment}", satisfy=satisfy)
    found = [first for first in since.values() if first is not None]
    begun = max(_begun(first) for first in found)
    ready, positions = begun + rule.at_least, [first.stamp.position for first in found]
    if ready > as_of:
        reason = f"in {rule.environment} for {words.span(as_of - begun)}, needs {need}"
        have = words.span(as_of - begun)
        return Answer("pending", reason, need, have, positions, satisfy="time", changes=[ready])
    have = f"in {rule.environment} for {words.span(as_of - begun)}"
    return Answer("pass", have, need, have, positions)


def _since(digest: str, rule: Soak, facts: Facts) -> Deployment | None:
    """Return the earliest success of an artefact since it last failed there."""
    first: Deployment | None = None  # by our clock: a stamp of the future is outdone by a later one
    shipped = {digest, facts.candidate.digest if facts.candidate else digest}
    for one in sorted(facts.deployments.values(), key=lambda d: d.stamp.position):
        if one.environment != rule.environment or one.digest not in shipped:
            continue
        if one.state == "success":
            first = min(first or one, one, key=_begun)
        elif one.state in _TELLING:
            first = None
    return first


def _begun(one: Deployment) -> datetime:
    return max(one.stamp.occurred_at, one.stamp.recorded_at)
