"""The Alertmanager adapter, webhook format version 4. Pure.

Each alert → alert.fired or alert.resolved, once per (fingerprint, startsAt, status): Alertmanager
repeats notifications, replicas double them, and annotations change from one to the next, so the
first delivery wins. An alert is a signal; it becomes an incident only by rule: its `severity`
label is in the connection's `incident_severities` and it has an environment.
Labels read: alertname, severity, service (or app, or job), environment (or env), whose tier is the
connection's, or guessed by the name (`adapter.Scope.environment`).
`truncatedAlerts` > 0 means that the sender left alerts out: a loss, shown in the quarantine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from contracts.event import OURS, parse_time
from contracts.ijson import Json
from services.ledger.hooks.adapter import (
    CannotMap,
    Fact,
    Mapped,
    Scope,
    identifier,
    natural_id,
    present,
)
from services.ledger.hooks.reading import find, json_object, moment, need, prose


def map_delivery(_headers: Mapping[str, str], raw: bytes, scope: Scope) -> Mapped:
    """See `adapter.Adapter`."""
    message = json_object(raw)
    if find(message, "version") != "4" or not isinstance(find(message, "alerts"), list):
        raise CannotMap("not an Alertmanager notification of version 4")
    facts: list[Fact] = []
    unread: list[str] = []
    for alert in message["alerts"]:
        try:
            facts += _Alert(alert, message, scope).facts()
        except CannotMap as error:
            unread.append(str(error))
    left_out = find(message, "truncatedAlerts")
    loss = f"truncated: the sender left out {left_out} alerts" if left_out else None
    return Mapped(tuple(facts), tuple(unread), loss)


@dataclass(frozen=True)
class _Alert:
    """One alert of a notification."""

    alert: Any
    message: dict[str, Any]
    scope: Scope

    def facts(self) -> list[Fact]:
        signal = self._fact("alert.resolved.v1" if self.over else "alert.fired.v1", self._signal())
        if self.environment is None or self.severity not in self.scope.incident_severities:
            return [signal]
        type_ = "incident.resolved.v1" if self.over else "incident.detected.v1"
        return [signal, self._fact(type_, self._incident())]

    @cached_property
    def over(self) -> bool:
        """The alert's own status; older senders have only the notification's."""
        return need({**self.message, **_object(self.alert)}, "status") == "resolved"

    @cached_property
    def started_at(self) -> str:
        started = moment(need(self.alert, "startsAt"))
        if started is None:
            raise CannotMap("/alerts/startsAt is the zero time")
        return started

    @cached_property
    def ended_at(self) -> str | None:
        return moment(find(self.alert, "endsAt"))

    @cached_property
    def key(self) -> str:
        """The fingerprint; where an old sender has none, a digest of the labels stands in."""
        labels = json.dumps(find(self.alert, "labels"), sort_keys=True).encode()
        return str(find(self.alert, "fingerprint") or hashlib.sha256(labels).hexdigest()[:16])

    @cached_property
    def severity(self) -> str:
        return self._label("severity") or "unspecified"

    @cached_property
    def environment(self) -> dict[str, Json] | None:
        name = self._label("environment", "env")
        return self.scope.environment(name) if name else None

    def _label(self, *names: str) -> str | None:
        labels = (find(self.alert, "labels", name) for name in names)
        return next((label for label in labels if isinstance(label, str) and label), None)

    def _common(self) -> dict[str, Json]:
        service = self._label("service", "app", "job")
        notes = find(self.alert, "annotations")
        return present(
            severity=self.severity,
            started_at=self.started_at,
            service=self.scope.service(service) if service else None,
            environment=self.environment,
            summary=prose(find(notes, "summary")) or prose(find(notes, "description")),
            uri=find(self.alert, "generatorURL") or None,
        )

    def _signal(self) -> dict[str, Json]:
        data = self._common() | present(
            alert_key=identifier(self.key), name=need(self.alert, "labels", "alertname")
        )
        return data | present(ended_at=self.ended_at) if self.over else data

    def _incident(self) -> dict[str, Json]:
        epoch = int(parse_time(self.started_at).timestamp())
        data = self._common() | present(incident_id=f"am-{identifier(self.key)}-{epoch}")
        return data | present(resolved_at=self.ended_at) if self.over else data

    def _fact(self, type_: str, data: dict[str, Json]) -> Fact:
        time = self.ended_at if self.over else self.started_at
        id_ = natural_id(self.scope.connection, "alertmanager", type_, self.key, self.started_at)
        event: dict[str, Json] = {
            "specversion": "1.0",
            "id": id_,
            "source": f"/hooks/{self.scope.connection}/alertmanager",
            "type": OURS + type_,
            "datacontenttype": "application/json",
            "data": data,
        }
        return Fact(event | present(time=time), agree=frozenset())


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
