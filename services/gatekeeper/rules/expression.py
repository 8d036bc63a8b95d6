"""Expressions: the facts as CEL sees them, and the rule of last resort. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import get_args

from services.gatekeeper import cel, cel_facts
from services.gatekeeper.facts import Facts
from services.gatekeeper.rules import four_eyes, words
from services.gatekeeper.rules.answer import Answer
from services.gatekeeper.rules.binding import unbound
from services.gatekeeper.rules.schema import Binding, Cel

TITLE = "Condition"
EVERY = timedelta(minutes=1)
"""How often a text that names `now` is judged: nobody can tell when its answer changes."""


def judge(rule: Cel, facts: Facts, seen: cel_facts.CelFacts, as_of: datetime) -> Answer:
    """Judge one expression."""
    if unknown := blind(rule.expr, facts):
        said = words.both([f"release.{name} is not known yet" for name in unknown])
        return Answer("pending", said, rule.expr, "unknown", satisfy="a plan and an assessment")
    program = cel.compile(rule.expr, "rule")
    answer = cel.evaluate(program, seen, as_of)
    turns = [_minute(as_of)] if program.timed else []
    if "approvals" in rule.expr:  # only so can it see roles
        turns += _ends(facts, as_of)
    if isinstance(answer, cel.CelError):
        return Answer("error", f"no answer: {answer.text}", rule.expr, "no answer", changes=turns)
    positions = [facts.candidate.stamp.position] if facts.candidate else []
    if answer:
        return Answer("pass", f"{rule.expr} holds", rule.expr, "so", positions, changes=turns)
    return Answer("fail", rule.unmet, rule.expr, "not so", positions, changes=turns)


def blind(expr: str, facts: Facts) -> list[str]:
    """Return what an expression looks at and nobody has said yet: it cannot be told from an empty
    text. One that asks `has(release.risk)` provides for it.
    """
    unknown = {"risk": facts.risk is None, "type": facts.release_type is None}
    return [
        name
        for name, missing in unknown.items()
        if missing and f"release.{name}" in expr and f"has(release.{name})" not in expr
    ]


def seen(facts: Facts, as_of: datetime) -> cel_facts.CelFacts:
    """Return the facts that rules may look at: of votes that may count each person's newest."""
    held, bind = _held(facts, as_of), get_args(Binding)
    deployments = tuple(
        cel_facts.Deployment(d.stamp.at, d.id, d.environment, d.digest or "", d.state)
        for d in facts.deployments.values()
    )
    newest = {(v.gate, v.principal, v.behalf): v for v in facts.approvals if v.fault is None}
    approvals = tuple(
        cel_facts.Approval(
            v.stamp.at,
            v.principal,
            v.gate,
            v.approved,
            _roles(held, v.principal),
            unbound(v, bind, facts) is None,
            four_eyes.ties(v.principal, facts),
        )
        for v in sorted(newest.values(), key=lambda vote: vote.stamp.position)
    )
    evidence = tuple(
        cel_facts.Evidence(e.stamp.at, e.kind, e.series, e.about, e.outcome, e.metrics)
        for e in facts.evidence
    )
    return cel_facts.CelFacts(_release(facts), deployments, approvals, evidence)


def seen_first(facts: Facts) -> cel_facts.CelRelease:
    """Return what conditions may look at: the release."""
    return cel_facts.CelRelease(_release(facts))


def _release(facts: Facts) -> cel_facts.Release:
    candidate = facts.candidate
    return cel_facts.Release(
        id=facts.release,
        type=facts.release_type or "",
        risk=facts.risk or "",
        version=candidate.version if candidate else "",
        digest=candidate.digest if candidate else "",
        services=facts.services,
        labels=facts.labels,
        artifacts=candidate.artifacts if candidate else (),
        changes=facts.changes(),
        incident=facts.incident or "",
    )


def _held(facts: Facts, as_of: datetime) -> dict[str, dict[str, datetime | None]]:
    """Return who holds each role for every service of the release, and until when."""
    roles = sorted({held.role for held in facts.holdings})
    return {role: facts.holders([role], as_of) for role in roles}


def _roles(held: dict[str, dict[str, datetime | None]], who: str) -> tuple[str, ...]:
    return tuple(role for role, people in held.items() if who in people)


def _ends(facts: Facts, as_of: datetime) -> list[datetime]:
    """Return when those who have voted cease to hold a role."""
    voters = {vote.principal for vote in facts.approvals if vote.fault is None}
    ends = (people.get(who) for people in _held(facts, as_of).values() for who in sorted(voters))
    return [end for end in ends if end]


def _minute(as_of: datetime) -> datetime:
    return as_of.replace(second=0, microsecond=0) + EVERY
