"""Staging, deployment and validation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.payloads.model import (
    ChangeRef,
    DeploymentId,
    Digest,
    Environment,
    GitSha,
    Identifier,
    Label,
    Payload,
    PermitId,
    Prose,
    ReleaseId,
    ServiceId,
    Timestamp,
    Uri,
)

DeploymentKind = Literal["normal", "rollback", "hotfix", "config"]
DeploymentOutcome = Literal["success", "failure", "cancelled", "superseded", "partial"]


class Deployment(Payload):
    """What all deployment events say. `intent_id` folds retries of one intention together.

    `artifact_digest` is null where the sender did not say what it deployed: a fact is a fact,
    but such a deployment proves nothing about an artifact.
    """

    deployment_id: DeploymentId
    intent_id: Identifier
    service: ServiceId
    environment: Environment
    artifact_digest: Digest | None
    kind: DeploymentKind
    planned: bool
    trigger: Label
    release_id: ReleaseId | None = None
    repo: Identifier | None = None
    head_sha: GitSha | None = None
    uri: Uri | None = None
    remediates: DeploymentId | None = None
    """The failed deployment that a rollback or hotfix repairs."""


class DeploymentQueued(Deployment):
    """Asked for, not begun."""


class DeploymentStarted(Deployment):
    """It began to change the environment.

    Appended with the expectation {permit: 1}, it uses the permit up: a second one is refused.
    """

    permit_id: PermitId | None = None


class DeploymentFinished(Deployment):
    """It came to its end."""

    outcome: DeploymentOutcome
    base_sha: GitSha | None = None
    change_ids: list[ChangeRef] = Field(default_factory=list, max_length=50)
    description: Prose | None = None


class ServiceDeployed(Payload):
    """A service runs an artifact in an environment (a state, not an act)."""

    service: ServiceId
    environment: Environment
    purl: Label
    digest: Digest | None = None
    release_id: ReleaseId | None = None


class ServiceRolledBack(ServiceDeployed):
    """A service runs an earlier artifact again."""


class RolloutProgressed(Payload):
    """A progressive rollout reached a step; `weight` is percent of traffic."""

    deployment_id: DeploymentId
    target: Label
    step: int = Field(ge=0)
    weight: float = Field(ge=0, le=100)
    release_id: ReleaseId | None = None


class AnalysisFinished(Payload):
    """A canary's metrics were compared."""

    deployment_id: DeploymentId
    metric_set: Label
    outcome: Literal["success", "failure", "inconclusive"]
    window_seconds: int = Field(ge=0)
    values: dict[str, float]
    release_id: ReleaseId | None = None


class VerificationFinished(Payload):
    """Somebody or something looked at the running release."""

    deployment_id: DeploymentId
    kind: Literal["smoke", "synthetic", "manual"]
    outcome: Literal["success", "failure"]
    release_id: ReleaseId | None = None


class FeatureFlagChanged(Payload):
    """A flag changed in an environment."""

    composed = ("flag:{flag}",)

    flag: Identifier
    environment: Environment
    old: Label
    new: Label
    targeting_digest: Label | None = None
    release_id: ReleaseId | None = None


class RollbackTriggered(Payload):
    """Going back was decided."""

    deployment_id: DeploymentId
    cause: Literal["auto", "manual"]
    rule: Label | None = None
    to_digest: Digest | None = None
    release_id: ReleaseId | None = None
    triggered_at: Timestamp | None = None
