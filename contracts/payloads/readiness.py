"""Readiness and change control: gates, approvals, exceptions, freezes, policies, decisions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.decision import Decision
from contracts.payloads.model import (
    ApprovalId,
    Day,
    Digest,
    Environment,
    ExceptionId,
    FreezeId,
    Identifier,
    Label,
    Payload,
    PolicyId,
    Principal,
    Prose,
    ReleaseId,
    ServiceId,
    Sha256Hex,
    Strict,
    TicketId,
    Timestamp,
    Window,
)

ApprovalKind = Literal["cab", "security", "qa", "owner", "environment"]


class GateEvaluated(Payload):
    """A gate outside of us (a quality gate, a policy engine) gave its result."""

    gate: Label
    subject: Label
    outcome: Literal["pass", "fail", "warn", "error"]
    policy_id: PolicyId
    policy_version: Label
    policy_sha256: Sha256Hex | None = None
    inputs: list[Label] = Field(max_length=200)
    reasons: list[Prose] = Field(max_length=200)
    release_id: ReleaseId | None = None


class Required(Strict):
    """How many approvals, from holders of which roles."""

    count: int = Field(ge=1, le=20)
    roles: list[Identifier] = Field(min_length=1, max_length=20)


class ApprovalRequested(Payload):
    """People are asked. `target` is the gate's question, for example `deploy:production`."""

    approval_id: ApprovalId
    release_id: ReleaseId
    target: Label
    kind: ApprovalKind
    required: Required
    environment: Environment | None = None
    expires_at: Timestamp | None = None


class ApprovalDecided(Payload):
    """A person said yes or no. An approval that is not bound to content is not evidence:
    `target_digest` is the manifest that was approved; `statement_sha256` digests what was shown.
    """

    approval_id: ApprovalId
    release_id: ReleaseId
    gate: Label
    principal: Principal
    decision: Literal["approved", "rejected"]
    roles: list[Identifier] = Field(max_length=20)
    comment: Prose | None = None
    on_behalf_of: Principal | None = None
    target_digest: Digest | None = None
    statement_sha256: Sha256Hex | None = None


class ApprovalClosed(Payload):
    """The question is answered or has lapsed."""

    approval_id: ApprovalId
    release_id: ReleaseId
    status: Literal["approved", "rejected", "cancelled", "expired"]


class ExceptionGranted(Payload):
    """A control may be left out, within a scope, until a day, for a reason."""

    exception_id: ExceptionId
    control: Label
    scope: Label
    reason: Prose
    approver: Principal
    expires_at: Timestamp
    compensating: list[Prose] = Field(max_length=20)
    release_id: ReleaseId | None = None
    ticket_id: TicketId | None = None


class ExceptionRevoked(Payload):
    """An exception ends before its day."""

    exception_id: ExceptionId
    reason: Prose
    revoked_by: Principal


class FreezeDeclared(Payload):
    """No deployments within a scope during a window, but for the allowed release types."""

    freeze_id: FreezeId
    scope: list[Environment] = Field(min_length=1, max_length=20)
    """Where. The id `*` stands for every environment."""
    window: Window
    """The window, or the first one where there is `rrule`."""
    reason: Prose
    allowed_types: list[Label] = Field(max_length=20)
    service_ids: list[ServiceId] = Field(default_factory=list, max_length=50)
    """Whose deployments; none: everybody's."""
    rrule: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """How the window recurs at its zone's time of day: an RFC 5545 recurrence of FREQ (YEARLY,
    MONTHLY, WEEKLY, DAILY), INTERVAL, COUNT, UNTIL, BYMONTH, BYMONTHDAY and BYDAY."""
    exdates: list[Day] = Field(default_factory=list, max_length=200)
    """Local dates on which no window begins, though the recurrence says so."""


class FreezeLifted(Payload):
    """A freeze ends before its window does."""

    freeze_id: FreezeId
    reason: Prose


class PolicyActivated(Payload):
    """From here on this text judges. `content` is the whole YAML document."""

    policy_id: PolicyId
    version: int = Field(ge=1)
    content_sha256: Sha256Hex
    content: str = Field(min_length=1, max_length=100_000)
    author: Principal


class DecisionRecorded(Payload):
    """The gatekeeper's verdict, whole; see contracts/decision.py."""

    composed = ("decision:{decision_id}",)

    decision_id: Identifier
    release_id: ReleaseId
    decision: Decision
