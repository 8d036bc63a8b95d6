"""Running it: alerts and incidents. An alert is a signal; an incident is a judgement."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.payloads.model import (
    DeploymentId,
    Environment,
    Identifier,
    IncidentId,
    Label,
    Payload,
    Prose,
    ServiceId,
    Timestamp,
    Uri,
)

Severity = Label


class AlertFired(Payload):
    """A monitoring rule began to hold."""

    composed = ("alert:{alert_key}",)

    alert_key: Identifier
    name: Label
    severity: Severity
    started_at: Timestamp
    service: ServiceId | None = None
    environment: Environment | None = None
    summary: Prose | None = None
    uri: Uri | None = None


class AlertResolved(AlertFired):
    """A monitoring rule ceased to hold."""

    ended_at: Timestamp


class IncidentDetected(Payload):
    """Users are hurt, or soon will be."""

    incident_id: IncidentId
    environment: Environment
    severity: Severity
    started_at: Timestamp
    service: ServiceId | None = None
    summary: Prose | None = None
    uri: Uri | None = None


class IncidentResolved(IncidentDetected):
    """It is over. Mitigated: users no longer hurt. Resolved: the cause is gone."""

    mitigated_at: Timestamp | None = None
    resolved_at: Timestamp


class IncidentAttributed(Payload):
    """Which deployment caused it, said by whom or by which rule; null: none did."""

    incident_id: IncidentId
    deployment_id: DeploymentId | None
    basis: Literal["explicit", "rule", "human"]
    rule_version: Label | None = None
    confidence: float | None = Field(default=None, ge=0, le=1)
