"""What people say about a release before it is built: scope, tickets, risk, window, plans."""

from __future__ import annotations

from datetime import datetime, timedelta

from contracts.event import format_time
from contracts.payloads.model import Window
from contracts.payloads.plan import (
    ReleasePlanned,
    ReleasePlanPublished,
    ReleaseRiskAssessed,
    ReleaseScheduled,
    ReleaseScopeChanged,
    TicketClosed,
    TicketCreated,
)
from demo.native import PLANNING, TRACKER, Pen, said_by
from demo.people import GRACE
from demo.steps import Facts
from demo.work import Change, Release

_SCORES = {"low": 12, "medium": 41, "high": 68}
_FACTORS = {
    "low": ("small diff", "no schema change"),
    "medium": ("touches shared code", "no schema change"),
    "high": ("touches the critical path", "schema change", "new dependency"),
}
_WORDS = {
    "major": "A new generation of {name}, with a data migration and a board decision.",
    "hotfix": "Repairs what the rolled-back release broke.",
}


def planned_at(release: Release) -> datetime:
    """Return when the release was first spoken of."""
    if release.arc == "hotfix":
        return release.candidate_at - timedelta(hours=2.5)
    return release.at - timedelta(days=8)


def planned(release: Release) -> list[Facts]:
    """Return the plan as its owner writes it, and the risk as a release manager sees it."""
    at, pen = planned_at(release), Pen(release.seed, PLANNING)
    tickets = [_ticket_created(release, change, at) for change in release.changes]
    return [
        said_by(
            release.service.owner.id,
            pen.fact(at, _plan(release)),
            *tickets,
            pen.fact(at + timedelta(minutes=9), _schedule(release)),
        ),
        said_by(GRACE.id, pen.fact(at + timedelta(minutes=21), _risk(release))),
    ]


def _plan(release: Release) -> ReleasePlanned:
    name = release.service.name
    words = _WORDS.get(release.type, "The weekly release of {name}.").format(name=name)
    return ReleasePlanned(
        release_id=release.id,
        name=f"{name.capitalize()} {release.version}",
        service_ids=[name],
        release_type=release.type,
        owner=release.service.owner.id,
        description=words,
        ticket_ids=[change.ticket for change in release.changes],
    )


def _schedule(release: Release) -> ReleaseScheduled:
    start = release.at - timedelta(hours=1)
    window = Window(
        start=format_time(start), end=format_time(start + timedelta(hours=4)), tz="Europe/Berlin"
    )
    return ReleaseScheduled(
        release_id=release.id, window=window, environments=["staging", "production"]
    )


def _risk(release: Release) -> ReleaseRiskAssessed:
    return ReleaseRiskAssessed(
        release_id=release.id,
        score=_SCORES[release.risk] + len(release.contents),
        tier=release.risk,
        method="acme-risk-3",
        factors=list(_FACTORS[release.risk]),
        assessor=GRACE.id,
    )


def documented(release: Release) -> Facts:
    """Return the plans for going out and for going back, and the last word on scope."""
    pen, at = Pen(release.seed, PLANNING), release.candidate_at - timedelta(minutes=20)
    kinds = ("rollout", "rollback", "comms") if release.arc == "major" else ("rollout", "rollback")
    pages = [
        ReleasePlanPublished(
            release_id=release.id,
            kind=kind,  # type: ignore[arg-type]  # a tuple of literals reads as strings
            doc_uri=f"{PLANNING}/{release.id}/{kind}.md",
            doc_sha256=release.seed.hex("plan", release.id, kind),
        )
        for kind in kinds
    ]
    scope = ReleaseScopeChanged(
        release_id=release.id,
        added=[change.ref for change in release.contents if change.merged_at],
        removed=[],
        reason="what was merged when the candidate was cut",
    )
    plans = [pen.fact(at, page, page.kind) for page in pages]
    return said_by(release.service.owner.id, *plans, pen.fact(at, scope))


def _ticket_created(release: Release, change: Change, at: datetime) -> dict[str, object]:
    ticket = TicketCreated(
        ticket_id=change.ticket,
        system="jira",
        ticket_type="bug" if release.arc == "hotfix" else "story",
        uri=f"{TRACKER}/browse/{change.ticket}",
        state="In Progress",
        release_id=release.id,
    )
    return Pen(release.seed, TRACKER).fact(at + timedelta(minutes=3), ticket, change.ticket)


def tickets_closed(release: Release, at: datetime) -> list[dict[str, object]]:
    """Return the end of every ticket of the release."""
    pen = Pen(release.seed, TRACKER)
    tickets = [
        TicketClosed(
            ticket_id=change.ticket,
            system="jira",
            ticket_type="bug" if release.arc == "hotfix" else "story",
            uri=f"{TRACKER}/browse/{change.ticket}",
            state="Done",
            resolution="Done",
            release_id=release.id,
        )
        for change in release.changes
    ]
    return [pen.fact(at, ticket, ticket.ticket_id) for ticket in tickets]
