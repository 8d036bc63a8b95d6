"""What was checked: tests, scans, pipelines, plans, verifications, analyses, gates, statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from contracts.event import RecordedEvent
from services.gatekeeper.facts import Facts
from services.gatekeeper.folds.handler import Handler
from services.gatekeeper.records import Evidence, Stamp

_Reading: TypeAlias = tuple[str, str, str, dict[str, float]]
"""Series, what it is about, outcome, metrics: the tail of `Evidence`."""
_Reader: TypeAlias = Callable[[dict[str, Any]], _Reading]
_OUTCOMES = {"pass": "success", "fail": "failure", "warn": "warning"}


def _checked(kind: str, read: _Reader) -> Handler:
    def handle(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
        facts.evidence.append(Evidence(stamp, kind, *read(event.data)))

    return handle


def _tests(data: dict[str, Any]) -> _Reading:
    metrics = dict(data["counts"])
    if data.get("coverage") is not None:
        metrics["coverage"] = data["coverage"]
    return data["suite"], data.get("artifact_digest") or "", data["outcome"], metrics


def _scan(data: dict[str, Any]) -> _Reading:
    reported = {severity: number for severity, number in data["counts"].items()
                if number is not None}  # fmt: skip
    return data["scanner"], data["digest"], "success", reported


def _gate(data: dict[str, Any]) -> _Reading:
    about = data["subject"].removeprefix("artifact:")
    return data["gate"], about, _OUTCOMES.get(data["outcome"], data["outcome"]), {}


def _statement(data: dict[str, Any]) -> _Reading:
    return data["predicate_type"], data["digest"], "success" if data["verified"] else "failure", {}


HANDLERS: dict[str, Handler] = {
    "testsuiterun.finished.v1": _checked("tests", _tests),
    "artifact.scanned.v2": _checked("scan", _scan),
    "pipelinerun.finished.v1": _checked(
        "pipeline", lambda d: (d["pipeline"], f"{d['repo']}@{d['commit_sha']}", d["outcome"], {})
    ),
    "release.plan_published.v1": _checked("plan", lambda d: (d["kind"], "", "success", {})),
    "verification.finished.v1": _checked(
        "verification", lambda d: (d["kind"], d["deployment_id"], d["outcome"], {})
    ),
    "analysis.finished.v1": _checked(
        "analysis", lambda d: (d["metric_set"], d["deployment_id"], d["outcome"], dict(d["values"]))
    ),
    "gate.evaluated.v1": _checked("gate", _gate),
    "attestation.recorded.v1": _checked("attestation", _statement),
}
"""By type without our prefix."""
