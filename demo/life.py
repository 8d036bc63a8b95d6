"""One release from plan to retro: the steps that every release takes, and where arcs part."""

from __future__ import annotations

from datetime import datetime, timedelta

from demo import arcs, boards, deliveries, evidence, plans, reviews
from demo.boards import PRODUCTION_GATE, QUALITY_GATE, STAGING_GATE
from demo.native import BOT, PRODUCTION, STAGING
from demo.people import MARA
from demo.steps import Ask, Step, Thread, Vote
from demo.work import Deployment, Release


def of(release: Release, now: datetime) -> Thread:
    """Return everything that happened to a release up to `now`, in order."""
    begun: list[Step] = [*plans.planned(release), *deliveries.development(release)]
    if release.arc == "building":
        return (*begun, evidence.rehearsed(release, now - timedelta(minutes=25)))
    return (
        *begun,
        *deliveries.built(release),
        plans.documented(release),
        evidence.packaged(release),
        boards.allowed(release, QUALITY_GATE),
        *_staging(release),
        *_gate(release),
        *_production(release, now),
    )


def _between(release: Release, share: float) -> datetime:
    """Return a moment between the candidate (0) and production (1)."""
    return release.candidate_at + (release.at - release.candidate_at) * share


def _staging(release: Release) -> list[Step]:
    at = _between(release, 0.12)
    deployment = _deployment(release, STAGING.id, at)
    return [
        boards.requested(release, STAGING_GATE, _between(release, 0.02)),
        *boards.votes(release, STAGING_GATE, boards.of_staging(release)),
        boards.allowed(release, STAGING_GATE),
        boards.closed(release, STAGING_GATE, _between(release, 0.08)),
        *deliveries.deployed(deployment),
        evidence.staged(deployment),
    ]


def _gate(release: Release) -> list[Step]:
    """Return the gate of production: everybody says yes, or one no, or one is still missing."""
    questions, at = boards.of_production(release), _between(release, 0.4)
    asked = boards.requested(release, PRODUCTION_GATE, at)
    if release.arc == "waiting":
        answered = tuple(q for q in questions if q.role != "release-manager")
        votes = boards.votes(release, PRODUCTION_GATE, answered)
        return [asked, *votes, Ask(release.id, PRODUCTION_GATE, BOT, ("pending",))]
    if release.arc == "rejected":
        reason = "A new finding in the image parser is reachable from outside; update it first."
        no = Vote(release.id, PRODUCTION_GATE, MARA.id, "rejected", reason)
        refused = Ask(release.id, PRODUCTION_GATE, BOT, ("deny", "pending"))
        return [asked, arcs.found_late(release, at), no, refused]
    votes = boards.votes(release, PRODUCTION_GATE, questions)
    return [asked, *boards.sat(release), *votes, boards.allowed(release, PRODUCTION_GATE)]


def _production(release: Release, now: datetime) -> list[Step]:
    if release.arc == "waiting":
        return []
    closed = boards.closed(release, PRODUCTION_GATE, _between(release, 0.7))
    if release.arc == "rejected":
        return [closed, reviews.refused(release, _between(release, 0.75))]
    deployment = _deployment(release, PRODUCTION.id, release.at)
    return [
        closed,
        *arcs.stumbled(deployment),
        *_deployed(deployment),
        *arcs.afterwards(deployment),
        *reviews.held(deployment, now),
    ]


def _deployed(deployment: Deployment) -> list[Step]:
    if deployment.release.arc in {"canary", "major"}:
        canary = arcs.canary(deployment)
        return [*deliveries.started(deployment), canary, *deliveries.finished(deployment)]
    return deliveries.deployed(deployment)


def _deployment(release: Release, environment: str, finished_at: datetime) -> Deployment:
    slow = environment == "production" and release.arc in {"canary", "major"}
    started = finished_at - timedelta(minutes=48 if slow else 3 + release.ordinal % 4)
    return Deployment(
        release=release,
        environment=PRODUCTION if environment == "production" else STAGING,
        attempt=2 if release.arc == "stumble" and environment == "production" else 1,
        created_at=started - timedelta(seconds=40),
        started_at=started,
        finished_at=finished_at,
        kind=release.kind,
        remediates=_deployment(release.repairs, PRODUCTION.id, release.repairs.at).id
        if release.repairs and environment == "production"
        else None,
    )
