"""Metrics: the closed list. A metric that is not here does not exist; docs/operations.md has the
same table, and a test holds the two together. Labels are bounded: route templates, never paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric: its name, kind, labels and meaning."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str


CATALOGUE = (
    Spec("rlg_http_request_seconds", "histogram", ("service", "method", "route", "status"),
         "time to answer a request, by route template"),
    Spec("rlg_task_restarts_total", "counter", ("service", "task"),
         "background tasks that failed and were started again"),
    Spec("rlg_ledger_append_total", "counter", ("ledger", "outcome"),
         "items by outcome: appended, duplicate, conflict, id_conflict, refused"),
    Spec("rlg_ledger_append_seconds", "histogram", ("ledger",),
         "time from the queue to the committed answer, of the slowest request in each batch"),
    Spec("rlg_ledger_batch_events", "histogram", ("ledger",), "events per committed batch"),
    Spec("rlg_ledger_moved_total", "counter", ("ledger",),
         "batches that found the head moved by another process and were decided again"),
    Spec("rlg_ledger_head", "gauge", ("ledger",), "last position"),
    Spec("rlg_ledger_queue_items", "gauge", ("ledger",), "items that wait for a batch"),
    Spec("rlg_seal_seconds", "histogram", ("ledger",),
         "time to seal a batch: leaves, tree, files, cosignatures, checkpoint"),
    Spec("rlg_witness_failures_total", "counter", ("ledger", "witness"),
         "checkpoints that a witness did not cosign"),
    Spec("rlg_anchor_failures_total", "counter", ("ledger",),
         "time-stamps that the authority did not give, or gave wrongly"),
    Spec("rlg_anchored_size", "gauge", ("ledger",), "events under the newest time-stamp"),
    Spec("rlg_sealed_size", "gauge", ("ledger",), "events under the published checkpoint"),
    Spec("rlg_hook_deliveries_total", "counter", ("connection", "fate"),
         "webhook deliveries by fate: stored, duplicate, unsigned, mapped, unmapped, quarantined"),
    Spec("rlg_hook_waiting", "gauge", (), "webhook deliveries stored and not yet mapped"),
    Spec("rlg_quarantine_open", "gauge", (), "deliveries in quarantine"),
    Spec("rlg_relay_position", "gauge", ("ledger",), "last position confirmed by Kafka"),
    Spec("rlg_relay_rebuilds_total", "counter", ("ledger",),
         "producers thrown away after a delivery error"),
    Spec("rlg_ingest_records_total", "counter", ("fate",), "Kafka records taken in, by fate"),
    Spec("rlg_projection_position", "gauge", ("projection", "ledger"), "cursor of a projection"),
    Spec("rlg_projection_lag_events", "gauge", ("projection", "ledger"),
         "events between a projection's cursor and the head"),
    Spec("rlg_projection_batch_seconds", "histogram", ("projection",),
         "time to fold and commit one batch"),
    Spec("rlg_projection_parked_subjects", "gauge", ("projection", "ledger"),
         "subjects of which nothing is folded any more"),
    Spec("rlg_projection_parked_total", "counter", ("projection",),
         "events that could not be folded and were put aside"),
    Spec("rlg_feed_gaps_total", "counter", ("ledger",),
         "gaps in the Kafka feed that were refilled from the ledger"),
    Spec("rlg_decisions_total", "counter", ("gate", "verdict"), "decisions recorded"),
    Spec("rlg_decision_seconds", "histogram", ("gate",), "time to read, judge and record"),
    Spec("rlg_gate_timer_lateness_seconds", "histogram", ("cause",),
         "from when a gate was to be judged again to when it was, because of time or of an event"),
    Spec("rlg_gate_rejudged_total", "counter", ("cause", "outcome"),
         "gates judged again by outcome: recorded, unchanged, ended, failed"),
    Spec("rlg_gate_feed_position", "gauge", ("ledger",), "position up to which gates are watched"),
)  # fmt: skip


def _make(spec: Spec) -> Counter | Gauge | Histogram:
    if spec.kind == "histogram":
        buckets = _SECONDS if spec.name.endswith("_seconds") else _COUNTS
        return Histogram(spec.name, spec.meaning, spec.labels, buckets=buckets, registry=REGISTRY)
    if spec.kind == "counter":
        return Counter(spec.name, spec.meaning, spec.labels, registry=REGISTRY)
    return Gauge(spec.name, spec.meaning, spec.labels, registry=REGISTRY)


_METRICS = {spec.name: _make(spec) for spec in CATALOGUE}


def child(name: str, **labels: str) -> Any:
    """Return a metric with its labels bound, for paths where looking them up costs too much."""
    return _labelled(name, labels)


def count(name: str, amount: float = 1, **labels: str) -> None:
    """Add to a counter."""
    metric = _labelled(name, labels)
    metric.inc(amount)  # type: ignore[union-attr]


def gauge(name: str, value: float, **labels: str) -> None:
    """Set a gauge."""
    _labelled(name, labels).set(value)  # type: ignore[union-attr]


def observe(name: str, value: float, **labels: str) -> None:
    """Record one observation in a histogram."""
    _labelled(name, labels).observe(value)  # type: ignore[union-attr]


def render() -> bytes:
    """Return all metrics in the Prometheus text format."""
    return generate_latest(REGISTRY)


def _labelled(name: str, labels: dict[str, str]) -> Counter | Gauge | Histogram:
    metric = _METRICS[name]
    return metric.labels(**labels) if labels else metric
