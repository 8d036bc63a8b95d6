"""Where a release's life goes otherwise: canary, failed attempt, rollback, late finding."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from contracts.payloads.deploy import (
    AnalysisFinished,
    FeatureFlagChanged,
    RollbackTriggered,
    RolloutProgressed,
    ServiceRolledBack,
)
from contracts.payloads.operate import IncidentAttributed
from demo import alertmanager, deliveries, evidence
from demo.alertmanager import Alert
from demo.native import BOT, DELIVERY, PAGER, PRODUCTION, Pen, said_by
from demo.people import EDITH
from demo.plans import tickets_closed
from demo.steps import Await, Facts, Step
from demo.work import Deployment, Release

_WEIGHTS = (5, 25, 50, 100)


def found_late(release: Release, at: datetime) -> Facts:
    """Return a second scan that knows more than the first."""
    return said_by(BOT, evidence.scanned(release, at + timedelta(hours=1), high=2))


def canary(of: Deployment) -> Facts:
    """Return the steps of a progressive rollout, each with the comparison that allowed it."""
    pen, chance = Pen(of.release.seed, DELIVERY), of.release.seed.random("canary", of.id)
    release, target, events = of.release.id, of.release.service.name, []
    for step, weight in enumerate(_WEIGHTS):
        at = of.started_at + timedelta(minutes=1 + 12 * step)
        progress = RolloutProgressed(
            deployment_id=of.id, target=target, step=step, weight=weight, release_id=release
        )
        events.append(pen.fact(at, progress, of.id, step))
        if weight < 100:
            values = {
                "error_ratio": round(chance.uniform(0.86, 1.02), 3),
                "latency_p99_ratio": round(chance.uniform(0.91, 1.04), 3),
            }
            analysis = AnalysisFinished(
                deployment_id=of.id,
                metric_set="golden-signals",
                outcome="success",
                window_seconds=600,
                values=values,
                release_id=release,
            )
            events.append(pen.fact(at + timedelta(minutes=11), analysis, of.id, step))
    return said_by(BOT, *events)


def stumbled(of: Deployment) -> list[Step]:
    """Return the attempt that failed before the one that succeeded, of the same intent."""
    if of.release.arc != "stumble":
        return []
    earlier = timedelta(minutes=52)
    first = replace(
        of,
        attempt=1,
        created_at=of.created_at - earlier,
        started_at=of.started_at - earlier,
        finished_at=of.finished_at - earlier + timedelta(minutes=5),
        outcome="failure",
    )
    return deliveries.deployed(first)


def afterwards(of: Deployment) -> list[Step]:
    """Return what followed in production within the day."""
    live = said_by(BOT, evidence.verified(of, of.finished_at + timedelta(minutes=3)))
    if of.release.arc == "relapse":
        return [live, *_relapsed(of)]
    done = said_by(BOT, *tickets_closed(of.release, of.finished_at + timedelta(hours=1)))
    if of.release.arc == "canary" and of.release.service.name == "web":
        return [live, done, _flag(of)]
    return [live, done]


def _flag(of: Deployment) -> Facts:
    pen = Pen(of.release.seed, DELIVERY)
    changes = [
        FeatureFlagChanged(
            flag="short-checkout",
            environment=PRODUCTION,
            old=old,
            new=new,
            targeting_digest=of.release.seed.digest("targeting", new),
            release_id=of.release.id,
        )
        for old, new in (("off", "10 %"), ("10 %", "on"))
    ]
    times = (of.finished_at + timedelta(hours=2), of.finished_at + timedelta(hours=26))
    owner = of.release.service.owner.id
    return said_by(owner, *(pen.fact(t, c, c.new) for t, c in zip(times, changes, strict=True)))


def alerts(of: Deployment) -> tuple[Alert, Alert]:
    """Return the two alerts of the bad release: first slow, then broken."""
    name, at = of.release.service.name, of.finished_at
    slow = Alert(
        name="LatencyHigh",
        service=name,
        severity="warning",
        summary=f"{name} answers slowly",
        description="The 99th percentile has been above 900 ms for 5 minutes.",
        starts_at=at + timedelta(minutes=17),
    )
    broken = Alert(
        name="ErrorRatioHigh",
        service=name,
        severity="critical",
        summary=f"{name} fails for many customers",
        description="6.8 % of requests have failed for 5 minutes; the objective allows 0.5 %.",
        starts_at=at + timedelta(minutes=26),
    )
    return slow, broken


def _relapsed(of: Deployment) -> list[Step]:
    seed, (slow, broken) = of.release.seed, alerts(of)
    incident = alertmanager.incident_id(seed, broken)
    back = _rollback(of)
    over = back.finished_at + timedelta(minutes=7)
    return [
        alertmanager.firing(seed, slow),
        alertmanager.firing(seed, broken),
        Await(f"incident:{incident}", "incident.detected.v1"),
        said_by(EDITH.id, _triggered(of, back)),
        *deliveries.deployed(back),
        said_by(BOT, _runs_again(back)),
        alertmanager.resolved(seed, broken, over),
        alertmanager.resolved(seed, slow, over + timedelta(minutes=4)),
        Await(f"incident:{incident}", "incident.resolved.v1"),
        said_by(EDITH.id, _attributed(of, incident, over + timedelta(hours=2))),
    ]


def _rollback(of: Deployment) -> Deployment:
    begun = of.finished_at + timedelta(minutes=38)
    return replace(
        of,
        kind="rollback",
        what=of.release.before,
        remediates=of.id,
        created_at=begun,
        started_at=begun + timedelta(seconds=25),
        finished_at=begun + timedelta(minutes=4),
    )


def _triggered(of: Deployment, back: Deployment) -> dict[str, object]:
    event = RollbackTriggered(
        deployment_id=of.id,
        cause="manual",
        rule="error ratio above 5 % after a deployment",
        to_digest=back.content.digest,
        release_id=of.release.id,
    )
    at = back.created_at - timedelta(minutes=2)
    return Pen(of.release.seed, PAGER).fact(at, event, of.id)


def _runs_again(back: Deployment) -> dict[str, object]:
    content = back.content
    event = ServiceRolledBack(
        service=content.service.name,
        environment=back.environment,
        purl=content.purl,
        digest=content.digest,
        release_id=content.id,
    )
    at = back.finished_at + timedelta(seconds=30)
    return Pen(content.seed, DELIVERY).fact(at, event, back.id)


def _attributed(of: Deployment, incident: str, at: datetime) -> dict[str, object]:
    event = IncidentAttributed(
        incident_id=incident, deployment_id=of.id, basis="human", confidence=0.95
    )
    return Pen(of.release.seed, PAGER).fact(at, event, of.id)
