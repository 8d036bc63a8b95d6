"""Change control: exceptions, freezes, identities, delegations, permits, broken glass."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.payloads.model import (
    DelegationId,
    Digest,
    EnvironmentId,
    ExceptionId,
    FreezeId,
    Identifier,
    IncidentId,
    Label,
    LocalDate,
    LocalTime,
    Payload,
    PermitId,
    Principal,
    Prose,
    ReleaseId,
    ServiceId,
    TicketId,
    Timestamp,
)


class ExceptionGranted(Payload):
    """A control may be left out for one release, service, version or artefact, until a day.

    `control` is the id of a policy's rule. What the control found stays visible underneath.
    """

    composed = ("control:{control}",)

    exception_id: ExceptionId
    control: Identifier
    reason: Prose
    impact: Prose
    approver: Principal
    owner: Principal
    expires_at: Timestamp
    compensating: list[Prose] = Field(max_length=20)
    scope: Label | None = None
    """In words, for people."""
    gate: Label | None = None
    release_id: ReleaseId | None = None
    service: ServiceId | None = None
    version: Identifier | None = None
    """Of `service`; null: all."""
    artifact_digest: Digest | None = None
    ticket_id: TicketId | None = None


class ExceptionRevoked(Payload):
    """An exception ends before its day."""

    exception_id: ExceptionId
    reason: Prose
    revoked_by: Principal


class FreezeDeclared(Payload):
    """No deployments within a scope during a window, once or again and again.

    `start` and `end` are local times of the zone `tz`, without an offset. `rrule` is the subset of
    RFC 5545 that services/gatekeeper/calendars.py names. Policies ask for calendars by name.
    """

    composed = ("calendar:{calendar}",)

    freeze_id: FreezeId
    calendar: Identifier = "main"
    environments: list[EnvironmentId] = Field(default_factory=list, max_length=20)
    """Empty: all of them. `services` likewise."""
    services: list[ServiceId] = Field(default_factory=list, max_length=20)
    start: LocalTime
    end: LocalTime
    tz: Label
    rrule: Label | None = None
    exdates: list[LocalDate] = Field(default_factory=list, max_length=200)
    """Days on which no window begins, though the rule says so."""
    reason: Prose
    allowed_types: list[Label] = Field(max_length=20)


class FreezeLifted(Payload):
    """A freeze ends before its window does."""

    freeze_id: FreezeId
    reason: Prose


class IdentityLinked(Payload):
    """An account (a login, an address) is a person's. Four eyes are counted in people."""

    composed = ("identity:{identity}", "identity:{principal}")

    identity: Identifier
    principal: Identifier
    basis: Label
    """How it is known, for example `sso` or `signed commit`."""


class IdentityUnlinked(Payload):
    """An account is not, or not any more, a person's."""

    composed = ("identity:{identity}", "identity:{principal}")

    identity: Identifier
    principal: Identifier
    reason: Prose


class DelegationGranted(Payload):
    """A holder of a role lets one other person approve in their place, at one gate, for a while.

    A newer one of the same person, role and gate takes its place.
    """

    composed = ("role:{role}",)

    delegation_id: DelegationId
    role: Identifier
    gate: Label
    delegator: Principal
    delegate: Principal
    until: Timestamp
    reason: Prose = Field(min_length=1)


class DelegationRevoked(Payload):
    """A delegation ends before its day: its delegator takes it back, or its delegate gives it."""

    composed = ("role:{role}",)

    delegation_id: DelegationId
    role: Identifier
    principal: Principal
    reason: Prose


class BreakGlassInvoked(Payload):
    """A person asks to pass a gate without its rules. It takes as many as the policy says."""

    composed = ("breakglass:{gate}",)

    release_id: ReleaseId
    gate: Identifier
    principal: Principal
    incident_id: IncidentId
    reason: Prose = Field(min_length=1)
    target_digest: Digest


class BreakGlassReviewed(Payload):
    """What came of passing a gate without its rules was looked at afterwards."""

    composed = ("breakglass:{gate}",)

    release_id: ReleaseId
    gate: Identifier
    reviewer: Principal
    outcome: Literal["justified", "not_justified"]
    findings: Prose


class PermitIssued(Payload):
    """One deployment of one artefact at one gate may begin before `not_after`, once.

    It rests on the decision `decision_id`, and says nothing any more once that one is overtaken.
    """

    permit_id: PermitId
    decision_id: Identifier
    release_id: ReleaseId
    gate: Label
    environment: Label
    target_digest: Digest
    not_after: Timestamp
