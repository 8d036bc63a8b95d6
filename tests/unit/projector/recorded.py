"""Recorded events for tests: valid by the catalogue, numbered as a ledger would."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import catalogue, upcasting
from contracts.event import OURS, RecordedEvent, format_time
from contracts.payloads.earlier import next_major
from services.projector import readmodels
from services.projector.readmodels.fact import Fact
from services.projector.readmodels.rows import KEYS, Key, Row, Rows

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""A Monday."""
PRODUCTION = {"id": "production", "tier": "production"}
STAGING = {"id": "staging", "tier": "staging"}


def sha(number: int) -> str:
    """Return a commit id."""
    return f"{number:040x}"


def digest(number: int) -> str:
    """Return an artifact's digest."""
    return f"sha256:{number:064x}"


def moment(hours: float) -> str:
    """Return the time so many hours after the start."""
    return format_time(START + timedelta(hours=hours))


class Log:
    """A ledger in memory: `add` appends one event."""

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self._versions: Counter[str] = Counter()

    def add(self, kind: str, at: float, /, **data: Any) -> RecordedEvent:
        """Append an event of our own, `at` hours after the start."""
        type_ = f"{OURS}{kind}.v1"
        if type_ not in catalogue.CATALOGUE:
            type_ = next_major(type_)
        return self.append({"type": type_, "time": moment(at), "data": data})

    def append(self, attributes: dict[str, Any], principal: str = "dev:ada") -> RecordedEvent:
        """Append any event; it must be valid."""
        position = len(self.events) + 1
        whole = {"specversion": "1.0", "id": str(position), "source": "/test", **attributes}
        subjects = catalogue.subjects_of(catalogue.parse(whole))
        self._versions.update(subjects)
        recorded = RecordedEvent(
            position=position,
            versions={subject: self._versions[subject] for subject in subjects},
            recorded_at=format_time(START + timedelta(days=100, seconds=position)),
            principal=principal,
            assurance="A2",
            commitment="0" * 64,
            event=whole,
        )
        self.events.append(recorded)
        return recorded


def deployment(number: str, **more: Any) -> dict[str, Any]:
    """Return the payload that deployment events share."""
    return {
        "deployment_id": number,
        "intent_id": f"intent-{number}",
        "service": "pay",
        "environment": PRODUCTION,
        "artifact_digest": None,
        "kind": "normal",
        "planned": True,
        "trigger": "push",
    } | more


def decision(release: str, verdict: str, **more: Any) -> dict[str, Any]:
    """Return a decision document with one rule."""
    status = {"allow": "pass", "deny": "fail", "pending": "pending"}[verdict]
    rule = {
        "rule": "approvals", "title": "Two approvals", "type": "approvals", "stage": "approve",
        "status": status, "reason": "because", "required": "2", "found": "1",
        "who": [] if status == "pass" else ["dev:grace"],
        "roles": [] if status == "pass" else ["release-manager"],
    }  # fmt: skip
    return {
        "decision": verdict, "release": release, "gate": "production", "environment": "production",
        "artefact": None, "as_of": moment(0), "policy": None, "summary": f"It is {verdict}.",
        "rules": [rule], "read_set": {}, "facts_digest": "sha256:0", "engine": "1", **more,
    }  # fmt: skip


def story(log: Log, number: int = 1, service: str = "pay", at: float = 0) -> str:
    """Tell the life of a release from its first commit to production; return its id."""
    release, repo = f"{service}-{number}", f"acme/{service}"
    work, merge, artifact = sha(number * 10), sha(number * 10 + 1), digest(number * 10)
    log.add("change.pushed", at, repo=repo, ref="refs/heads/topic", before=sha(1), after=work,
            default_branch=False,
            commits=[{"sha": work, "committed_at": moment(at - 1), "author": "ada"}])  # fmt: skip
    log.add("change.created", at + 1, repo=repo, change_id=str(number), head_sha=work,
            source_ref="topic", title="Pay by card", author="dev:ada")  # fmt: skip
    log.add("change.reviewed", at + 2, repo=repo, change_id=str(number), head_sha=work,
            reviewer="dev:grace", verdict="approved")  # fmt: skip
    log.add("change.merged", at + 3, repo=repo, change_id=str(number), head_sha=work,
            merge_sha=merge, target="main", commit_shas=[], first_commit_at=None,
            source_ref="topic")  # fmt: skip
    log.add("change.pushed", at + 3, repo=repo, ref="refs/heads/main", before=sha(1), after=merge,
            default_branch=True,
            commits=[{"sha": merge, "committed_at": moment(at + 3)}])  # fmt: skip
    log.add("pipelinerun.finished", at + 4, pipeline="ci", run_id=f"{release}-ci", attempt=1,
            outcome="success", commit_sha=merge, repo=repo)  # fmt: skip
    log.add("artifact.packaged", at + 4, purl="pkg:oci/x", digest=artifact, commit_sha=merge,
            repo=repo)  # fmt: skip
    log.add("release.planned", at + 5, release_id=release, name=f"Release {number}",
            service_ids=[service], release_type="minor", owner="dev:ada",
            ticket_ids=[f"T-{number}"])  # fmt: skip
    log.add("release.risk_assessed", at + 5, release_id=release, score=20, tier="low",
            method="m", factors=["small"], assessor="dev:ada")  # fmt: skip
    log.add("release.candidate_created", at + 6, release_id=release, version=f"1.{number}",
            manifest_digest=artifact, artifacts=[artifact])  # fmt: skip
    log.add("approval.requested", at + 6, approval_id=f"a-{release}", release_id=release,
            target="deploy:production", kind="owner",
            required={"count": 1, "roles": ["release-manager"]})  # fmt: skip
    log.add("decision.recorded", at + 6, decision_id=f"d1-{release}", release_id=release,
            decision=decision(release, "pending"))  # fmt: skip
    log.add("approval.decided", at + 7, approval_id=f"a-{release}", release_id=release,
            gate="production", principal="dev:grace", decision="approved",
            roles=["release-manager"], target_digest=artifact)  # fmt: skip
    log.add("decision.recorded", at + 7, decision_id=f"d2-{release}", release_id=release,
            decision=decision(release, "allow"))  # fmt: skip
    parts = deployment(f"{release}-prod", service=service, artifact_digest=artifact, repo=repo)
    log.add("deployment.started", at + 8, **parts)
    log.add("deployment.finished", at + 9, **parts, outcome="success")
    return release


def fold(events: list[RecordedEvent], sizes: list[int] | None = None) -> dict[str, list[Row]]:
    """Fold in batches of these sizes (the last one again and again), as the runner does."""
    held: dict[Key, Row] = {}
    logs: dict[str, list[Row]] = {}
    left, pending = list(events), list(sizes or [len(events) or 1])
    while left:
        size = pending.pop(0) if len(pending) > 1 else pending[0]
        batch, left = left[:size], left[size:]
        for name, rows in _batch(batch, held).items():
            if name in KEYS:
                held |= {(name, tuple(row[c] for c in KEYS[name])): row for row in rows}
            else:
                logs.setdefault(name, []).extend(rows)
    for (name, _), row in sorted(held.items(), key=str):
        logs.setdefault(name, []).append(row)
    return logs


def _batch(events: list[RecordedEvent], held: dict[Key, Row]) -> dict[str, list[Row]]:
    rows, facts = Rows(), [Fact(upcasting.read(event)) for event in events]
    while wanted := {key for fact in facts for key in readmodels.keys(fact, rows)}:
        found = [(key[0], deepcopy(held[key])) for key in wanted if key in held]
        rows.load(wanted, found)
    for fact in facts:
        readmodels.apply(fact, rows)
    return rows.changes()
