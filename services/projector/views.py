"""What the queries answer: the shapes of the JSON API and the input of the console's templates.

Times are RFC 3339 strings in UTC; durations are seconds; `position` is a ledger position.
A number that cannot be known is null and says why; zero means measured zero.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from contracts.decision import Decision
from services.projector.places import Cell, DeploymentRow
from services.projector.view import View

ReleaseState = Literal[
    "planned", "building", "waiting", "approved", "deploying", "deployed", "failed",
    "rolled_back", "completed", "cancelled", "rejected",
]  # fmt: skip


class Freshness(View):
    """How far the read models are behind the ledger. Behind 0 events is 0 seconds behind."""

    ledger: str
    position: int
    head: int
    events_behind: int
    seconds_behind: float
    """Age of the oldest event that is not applied yet."""
    updated_at: str | None = None
    parked: int = 0
    """Events that could not be folded and were put aside; they stand in the ledger."""


class ParkedSubject(View):
    """A subject of which nothing is folded any more, from one event on; empty: it names none."""

    subject: str
    position: int
    """The first event that could not be folded."""
    type: str
    error: str
    parked_at: str
    events: int
    """That one, and all later ones of its subject."""


class ProjectionView(View):
    """A projection of one ledger, and what stands still in it (the first 200)."""

    projection: str
    generation: int
    freshness: Freshness
    parked_subjects: int
    parked: list[ParkedSubject]


class ReleaseRow(View):
    """One release in a list."""

    release_id: str
    name: str
    release_type: str
    risk: str | None
    state: ReleaseState
    services: list[str]
    owner: str
    version: str | None
    gates_passed: int
    gates_total: int
    verdict: str | None
    """Of the newest decision."""
    summary: str | None
    planned_at: str
    state_since: str
    last_event_at: str
    last_position: int
    lead_time_seconds: float | None
    """Planned → first production success."""


class Facet(View):
    """One value to filter by, and how many releases have it."""

    value: str
    count: int


class ReleaseFilter(View):
    """What a list of releases is narrowed to. Empty means everything."""

    q: str = ""
    """Release id, name, version, commit, digest, ticket or person (a part is enough)."""
    state: str = ""
    service: str = ""
    risk: str = ""
    release_type: str = ""
    before: int | None = None
    """Keyset cursor: only releases whose last position is lower."""
    limit: int = Field(default=50, ge=1, le=200)


class ReleasePage(View):
    """Newest activity first. `next_before` continues; null at the end."""

    releases: list[ReleaseRow]
    next_before: int | None
    facets: dict[str, list[Facet]]
    """By filter name: state, service, risk, release_type."""
    total: int


class TimelineEntry(View):
    """One event of a release's life in words."""

    position: int
    type: str
    """Without our prefix, for example `approval.decided.v1`."""
    phase: Literal["plan", "build", "readiness", "deploy", "operate", "review", "other"]
    tone: Literal["good", "bad", "wait", "neutral"]
    title: str
    detail: str
    principal: str
    assurance: str
    occurred_at: str
    recorded_at: str
    subjects: list[str]
    uri: str | None = None
    """A link that the event carries, only http or https."""


class GateView(View):
    """A gate of a release: its newest decision, and how often it was judged."""

    gate: str
    environment: str
    decision_id: str
    position: int
    recorded_at: str
    decision: Decision
    judged: int


class ReleaseView(View):
    """Everything about one release."""

    row: ReleaseRow
    """`verdict` and `summary` are those of the gate that stands in the way, if any does."""
    description: str | None
    scheduled: dict[str, Any] | None
    """window and environments, as in release.scheduled."""
    risk_factors: list[str]
    risk_score: float | None
    gates: list[GateView]
    timeline: list[TimelineEntry]
    """Newest first."""
    deployments: list[DeploymentRow]
    artifacts: list[str]
    manifest_digest: str | None
    changes: list[dict[str, Any]]
    """{ref, title, author, merged_at, position}."""
    tickets: list[dict[str, Any]]
    """{ticket_id, state, uri, ticket_type}."""
    plans: list[dict[str, Any]]
    """{kind, doc_uri, doc_sha256, position}."""
    incidents: list[dict[str, Any]]
    exceptions: list[dict[str, Any]]
    parked_from: int | None = None
    """The position from which on nothing of it is folded, see `ParkedSubject`."""


class GateCard(View):
    """A gate that waits or refuses, for the first page."""

    release_id: str
    name: str
    services: list[str]
    release_type: str
    risk: str | None
    gate: str
    environment: str
    verdict: str
    summary: str
    who: list[str]
    """Principals who could unblock it."""
    roles: list[str]
    since: str
    position: int


class NowView(View):
    """The first page."""

    needs_you: list[GateCard]
    moving: list[ReleaseRow]
    blocked: list[GateCard]
    latest: list[ReleaseRow]
    """The latest outcomes, for when nothing needs you."""
    freezes: list[dict[str, Any]]
    """Active or coming: {freeze_id, reason, start, end, environments, allowed_types, position}."""
    exceptions: list[dict[str, Any]]
    """Open: {exception_id, control, scope, expires_at, reason, position}."""
    incidents: list[dict[str, Any]]
    """Open: {incident_id, service, environment, severity, started_at, summary, position}."""
    services: list[str]
    environments: list[str]
    """In order of tier."""
    matrix: list[Cell]
    recent: list[TimelineEntry] = Field(default_factory=list)
    """The newest events, whatever they are about; newest first."""
    quarantined: int | None = None
    events: int
    """Events applied; 0 means that nothing has come in yet."""
