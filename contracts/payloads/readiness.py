"""Readiness: gates, approvals, vetoes, decisions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.decision import Decision
from contracts.payloads.model import (
    ApprovalId,
    Digest,
    Environment,
    Identifier,
    Label,
    Payload,
    PolicyId,
    Principal,
    Prose,
    ReleaseId,
    Sha256Hex,
    Strict,
    Timestamp,
    VetoId,
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
    `on_behalf_of`: whoever delegated a role to `principal`; it is their voice then.
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


class ApprovalAbstained(Payload):
    """A person who was asked says neither yes nor no; it takes the place of what they said."""

    approval_id: ApprovalId
    release_id: ReleaseId
    gate: Label
    principal: Principal
    reason: Prose | None = None
    target_digest: Digest
    statement_sha256: Sha256Hex | None = None


class ApprovalClosed(Payload):
    """The question is answered or has lapsed."""

    approval_id: ApprovalId
    release_id: ReleaseId
    status: Literal["approved", "rejected", "cancelled", "expired"]


class ApprovalWithdrawn(Payload):
    """A person takes back what they said last; it may be said anew."""

    approval_id: ApprovalId
    release_id: ReleaseId
    gate: Label
    principal: Principal
    reason: Prose


class VetoRaised(Payload):
    """Somebody stands in the way, at one gate or (null) at all of them, until it is lifted."""

    veto_id: VetoId
    release_id: ReleaseId
    gate: Label | None = None
    principal: Principal
    reason: Prose = Field(min_length=1)


class VetoLifted(Payload):
    """A veto ends: by who raised it, or by somebody of the role that it was raised by."""

    veto_id: VetoId
    release_id: ReleaseId
    principal: Principal
    reason: Prose


class DecisionRecorded(Payload):
    """The gatekeeper's verdict, whole; see contracts/decision.py."""

    composed = ("decision:{decision_id}",)

    decision_id: Identifier
    release_id: ReleaseId
    decision: Decision
