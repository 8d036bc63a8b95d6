"""Planning and governance: what will be released, why, when, at which risk."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.payloads.model import (
    ChangeRef,
    Digest,
    EnvironmentId,
    Identifier,
    IncidentId,
    Label,
    Payload,
    Principal,
    Prose,
    ReleaseId,
    ServiceId,
    Sha256Hex,
    TicketId,
    Timestamp,
    Uri,
    Window,
)

ReleaseType = Literal["major", "minor", "patch", "hotfix", "config"]


class ReleasePlanned(Payload):
    """A release exists from here on."""

    release_id: ReleaseId
    name: Label
    service_ids: list[ServiceId] = Field(min_length=1, max_length=20)
    release_type: ReleaseType
    owner: Principal
    description: Prose | None = None
    ticket_ids: list[TicketId] = Field(default_factory=list, max_length=20)
    depends_on: list[Identifier] = Field(default_factory=list, max_length=20)
    """Releases that must be out first."""
    labels: list[Identifier] = Field(default_factory=list, max_length=20)
    incident_id: IncidentId | None = None
    """The incident that a hotfix repairs."""


class ReleaseScopeChanged(Payload):
    """Changes or tickets came in or went out."""

    release_id: ReleaseId
    added: list[Label] = Field(max_length=200)
    removed: list[Label] = Field(max_length=200)
    reason: Prose


class ReleaseScheduled(Payload):
    """The window in which it shall go out."""

    release_id: ReleaseId
    window: Window
    environments: list[EnvironmentId] = Field(min_length=1, max_length=20)


class ReleaseRiskAssessed(Payload):
    """How risky, by which method, said by whom. `tier` decides which policy applies."""

    release_id: ReleaseId
    score: float = Field(ge=0, le=100)
    tier: Literal["low", "medium", "high", "critical"]
    method: Label
    factors: list[Label] = Field(max_length=50)
    assessor: Principal


class ReleasePlanPublished(Payload):
    """A rollout, rollback, test or communication plan, bound by its digest."""

    release_id: ReleaseId
    kind: Literal["rollout", "rollback", "test", "comms"]
    doc_uri: Uri
    doc_sha256: Sha256Hex


class ReleaseCandidateCreated(Payload):
    """What exactly would go out. Approvals bind to `manifest_digest`."""

    release_id: ReleaseId
    version: Identifier
    manifest_digest: Digest
    artifacts: list[Digest] = Field(min_length=1, max_length=20)
    change_ids: list[ChangeRef] = Field(default_factory=list, max_length=20)


class ReleaseCompleted(Payload):
    """Every planned environment runs it and post-release validation is done."""

    release_id: ReleaseId
    outcome: Literal["success", "partial", "failure"]
    reason: Prose = ""


class ReleaseCancelled(Payload):
    """It will not go out."""

    release_id: ReleaseId
    outcome: Literal["cancelled", "rejected", "superseded"] = "cancelled"
    reason: Prose


class RoleAssigned(Payload):
    """A person holds a role within a scope (`*`, a service, a team) until told otherwise."""

    composed = ("role:{role}",)

    scope: Label
    role: Identifier
    principal: Principal
    valid_until: Timestamp | None = None


class RoleRevoked(Payload):
    """A person no longer holds a role."""

    composed = ("role:{role}",)

    scope: Label
    role: Identifier
    principal: Principal


class TicketCreated(Payload):
    """Work was asked for. An ITIL change is a ticket with `ticket_type` change_request."""

    ticket_id: TicketId
    system: Label
    ticket_type: Label
    uri: Uri
    state: Label
    release_id: ReleaseId | None = None


class TicketClosed(Payload):
    """The work is done or dropped."""

    ticket_id: TicketId
    system: Label
    ticket_type: Label
    uri: Uri
    state: Label
    resolution: Label
    release_id: ReleaseId | None = None
