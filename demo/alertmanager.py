"""Alertmanager's webhook, version 4 (Alertmanager documentation, "webhook_config")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.event import format_time
from demo.derive import Seed
from demo.steps import Webhook

NEVER = "0001-01-01T00:00:00Z"
"""What Alertmanager sends as `endsAt` while an alert is firing: Go's zero time."""
EXTERNAL = "https://alertmanager.acme.example"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of one rule about one service."""

    name: str
    service: str
    severity: str
    summary: str
    description: str
    starts_at: datetime

    @property
    def labels(self) -> dict[str, str]:
        """The labels that identify the alert."""
        return {
            "alertname": self.name,
            "cluster": "eu-central",
            "environment": "production",
            "job": self.service,
            "namespace": self.service,
            "prometheus": "monitoring/main",
            "service": self.service,
            "severity": self.severity,
        }

    @property
    def annotations(self) -> dict[str, str]:
        """The words for people."""
        return {
            "description": self.description,
            "runbook_url": f"https://runbooks.acme.example/{self.service}/{self.name}",
            "summary": self.summary,
        }


def fingerprint(seed: Seed, alert: Alert) -> str:
    """Return what tells the alert's label set from others: 16 hex digits."""
    return seed.hex("fingerprint", alert.name, alert.service)[:16]


def incident_id(seed: Seed, alert: Alert) -> str:
    """Return the id that the ledger's adapter gives to the incident of a critical alert."""
    return f"am-{fingerprint(seed, alert)}-{int(alert.starts_at.timestamp())}"


def firing(seed: Seed, alert: Alert) -> Webhook:
    """Return the delivery that says: it began."""
    return _delivery(seed, alert, "firing", None)


def resolved(seed: Seed, alert: Alert, ends_at: datetime) -> Webhook:
    """Return the delivery that says: it is over."""
    return _delivery(seed, alert, "resolved", ends_at)


def _delivery(seed: Seed, alert: Alert, status: str, ends_at: datetime | None) -> Webhook:
    starts = format_time(alert.starts_at)
    ends = NEVER if ends_at is None else format_time(ends_at)
    return Webhook(
        connection="alertmanager",
        kind=status,
        delivery=seed.guid("alert", alert.name, alert.service, starts, status),
        at=starts if ends_at is None else ends,
        payload=_payload(alert, status) | {"alerts": [_alert(seed, alert, status, starts, ends)]},
    )


def _payload(alert: Alert, status: str) -> dict[str, Any]:
    group = {"alertname": alert.name, "service": alert.service}
    inner = ", ".join(f'{name}="{value}"' for name, value in group.items())
    return {
        "version": "4",
        "groupKey": f'{{}}/{{team="{alert.service}"}}:{{{inner}}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "release-ledger",
        "groupLabels": group,
        "commonLabels": alert.labels,
        "commonAnnotations": alert.annotations,
        "externalURL": EXTERNAL,
    }


def _alert(seed: Seed, alert: Alert, status: str, starts: str, ends: str) -> dict[str, Any]:
    query = f"service%3Aerror_ratio%3Arate5m%7Bservice%3D%22{alert.service}%22%7D"
    return {
        "status": status,
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": starts,
        "endsAt": ends,
        "generatorURL": f"https://prometheus.acme.example/graph?g0.expr={query}&g0.tab=1",
        "fingerprint": fingerprint(seed, alert),
    }
