"""The life of a release up to a guarded gate, in the catalogue's own types and shapes.

Pure. Every event goes through the catalogue's validation, so a story that the ledger would refuse
cannot be told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from contracts import catalogue, ijson
from contracts.event import OURS, Event, HistoryPage, RecordedEvent, format_time

POLICY = (Path(__file__).parent / "policies" / "twelve.yaml").read_text(encoding="utf-8")
GATE, START = "deploy:production", datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ROLES = {"qa": ("quin",), "cab": ("cleo", "carl", "cora"), "security": ("sam",),
         "release-manager": ("mia",), "sre": ("sue",)}  # fmt: skip
VOTERS = ("quin", "cleo", "carl", "sam", "mia")
SIZES = {40: (4, 4), 1000: (20, 468)}
"""Number of events → changes in the release (a candidate names 20 at most), runs of its checks."""
SHARED = ("role.assigned.v1", "freeze.declared.v2")
"""What is said once, however many releases there are."""
Said = tuple[str, dict[str, Any], str]
"""Type without our prefix, payload, and who says it."""


def digest(*words: object) -> str:
    """Return a digest of its own for each sequence of words."""
    return "sha256:" + hashlib.sha256(repr(words).encode()).hexdigest()


def told(release: str, changes: int, runs: int, start: datetime = START) -> Iterator[Said]:
    """Yield what is said from `start` on about a release that satisfies all twelve rules."""
    named = {"release_id": release}
    image, manifest = digest(release, "image"), digest(release, "manifest")
    shas = [digest(release, n)[7:47] for n in range(changes)]
    yield "release.planned.v1", named | {"name": "Pay", "service_ids": ["pay"],
        "release_type": "major", "owner": "acme:hal"}, "acme:hal"  # fmt: skip
    yield "release.risk_assessed.v1", named | {"score": 70, "tier": "high", "method": "matrix",
        "factors": [], "assessor": "acme:hal"}, "acme:hal"  # fmt: skip
    yield from _people()
    for number, sha in enumerate(shas):
        yield from _change(str(number), sha)
    for run in range(runs):
        yield from _checked(run, shas[run % changes], named | {"artifact_digest": image})
    yield "artifact.packaged.v1", {"purl": f"pkg:oci/pay@{image}", "digest": image,
        "commit_sha": shas[-1], "repo": "acme/pay"}, "key:ci"  # fmt: skip
    yield "release.candidate_created.v1", named | {"version": "2.0.0", "manifest_digest": manifest,
        "artifacts": [image],
        "change_ids": [f"acme/pay@{sha}" for sha in shas]}, "key:ci"  # fmt: skip
    for count in (1, 0):
        yield "artifact.scanned.v1", {"digest": image, "scanner": "trivy", "db_version": "1",
            "counts": {"critical": count, "high": 2}}, "key:ci"  # fmt: skip
    for kind in ("rollback", "comms"):
        yield "release.plan_published.v1", named | {"kind": kind, "doc_sha256": "f" * 64,
            "doc_uri": "https://wiki.example/1"}, "acme:hal"  # fmt: skip
    window = {"start": format_time(start + timedelta(days=4)), "tz": "UTC",
              "end": format_time(start + timedelta(days=5))}  # fmt: skip
    yield "release.scheduled.v1", named | {
        "window": window, "environments": ["production"]}, "acme:hal"  # fmt: skip
    frozen = [(start + timedelta(days=days)).strftime("%Y-%m-%dT00:00:00") for days in (293, 307)]
    yield "freeze.declared.v2", {"freeze_id": "year-end", "start": frozen[0], "end": frozen[1],
        "tz": "Europe/Berlin", "reason": "year end",
        "allowed_types": ["hotfix"]}, "acme:mia"  # fmt: skip
    yield "deployment.finished.v1", named | {"deployment_id": f"{release}-1", "intent_id": "1",
        "service": "pay", "artifact_digest": image, "environment": {"id": "staging",
        "tier": "other"}, "kind": "normal", "planned": True, "trigger": "ci",
        "outcome": "success"}, "key:ci"  # fmt: skip
    yield "approval.requested.v1", named | {"approval_id": "a1", "target": GATE, "kind": "cab",
        "required": {"count": 2, "roles": ["cab"]}}, "acme:hal"  # fmt: skip
    for name in VOTERS:
        yield "approval.decided.v1", named | {"approval_id": "a1", "gate": GATE, "roles": [],
            "principal": f"acme:{name}", "decision": "approved",
            "target_digest": manifest}, f"acme:{name}"  # fmt: skip


def _people() -> Iterator[Said]:
    for role, names in ROLES.items():
        for name in names:
            yield "role.assigned.v1", {"scope": "*", "role": role,
                "principal": f"acme:{name}"}, "acme:root"  # fmt: skip


def _change(number: str, sha: str) -> Iterator[Said]:
    change = {"repo": "acme/pay", "change_id": number, "head_sha": sha}
    yield "change.reviewed.v1", change | {"reviewer": "acme:rosa", "verdict": "approved"}, "key:ci"
    yield "change.merged.v1", change | {"merge_sha": sha, "target": "main", "commit_shas": [sha],
        "first_commit_at": None, "author": "acme:kim"}, "key:ci"  # fmt: skip


def _checked(run: int, sha: str, built: Mapping[str, Any]) -> Iterator[Said]:
    yield "pipelinerun.finished.v1", {"pipeline": "ci", "run_id": f"{run}", "attempt": 1,
        "outcome": "success", "commit_sha": sha, "repo": "acme/pay"}, "key:ci"  # fmt: skip
    yield "testsuiterun.finished.v1", {"suite": f"unit-{run % 20}", "run_id": f"{run}",
        "outcome": "success", "counts": {"passed": 412, "failed": 0}, "coverage": 81.4,
        **built}, "key:ci"  # fmt: skip


def event(said: Said, id_: str, at: datetime) -> Event:
    """Return the CloudEvent of what is said, checked against the catalogue."""
    name, data, _ = said
    attributes = {"specversion": "1.0", "id": id_, "source": "/bench", "type": OURS + name}
    return catalogue.parse(attributes | {"time": format_time(at), "data": data})


class Record:
    """What a ledger would hold if it had recorded nothing but what it is told here."""

    def __init__(self) -> None:
        self.head = 0
        self.held: dict[str, list[RecordedEvent]] = {}
        """By subject."""

    def take(self, said: Said, at: datetime) -> RecordedEvent:
        """Record what is said; return it with its position, versions and commitment."""
        self.head += 1
        one = event(said, f"e{self.head}", at)
        keys = catalogue.subjects_of(one)
        by_hand = said[2].startswith("acme:")
        recorded = RecordedEvent(
            position=self.head,
            versions={key: len(self.held.get(key, ())) + 1 for key in keys},
            recorded_at=format_time(at),
            principal=said[2],
            assurance="A3" if by_hand else "A2",
            via="service:projector" if by_hand else None,
            commitment=hashlib.sha256(ijson.dumps(one.as_json())).hexdigest(),
            event=one.as_json(),
        )
        for key in keys:
            self.held.setdefault(key, []).append(recorded)
        return recorded


def pages(release: str, changes: int, runs: int) -> list[HistoryPage]:
    """Return the histories that a ledger would hold if it had recorded nothing but the story."""
    record = Record()
    for number, said in enumerate(told(release, changes, runs), start=1):
        record.take(said, START + timedelta(seconds=number))
    return [
        HistoryPage(subject=key, version=len(events), events=events, head=record.head)
        for key, events in record.held.items()
    ]
