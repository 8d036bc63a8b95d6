"""A release's life told in short sentences, as the ledger would give it out.

`Told` keeps recorded events in memory with the positions, versions and commitments that a ledger
would give them. The changes of a sentence are fields to set; None leaves a field out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from contracts import catalogue, ijson, upcasting
from contracts.event import OURS, Event, HistoryPage, RecordedEvent, format_time, parse_time
from services.gatekeeper.facts import Facts
from services.gatekeeper.folding import fold

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
RELEASE, GATE = "pay-1.42", "deploy:production"
IMAGE, OTHER_IMAGE = "sha256:" + "a" * 64, "sha256:" + "b" * 64
MANIFEST, OTHER_MANIFEST = "sha256:" + "c" * 64, "sha256:" + "d" * 64
SHA = "9fceb02d" * 5
CHANGE = f"acme/pay@{SHA}"
CONSOLE = "service:projector"
Data = dict[str, Any]


class Told:
    """A ledger's content. Each sentence is an event one minute after the one before."""

    def __init__(self, start: datetime = START) -> None:
        self.events: list[RecordedEvent] = []
        self.versions: dict[str, int] = {}
        self.clock = start

    def tell(
        self,
        name: str,
        data: Mapping[str, Any],
        by: str = "key:ci",
        via: str | None = None,
        at: datetime | None = None,
    ) -> RecordedEvent:
        """Record one event of ours, recorded now, that happened at `at` (default: now)."""
        self.clock += timedelta(minutes=1)
        position = len(self.events) + 1
        attributes = {
            "specversion": "1.0",
            "id": f"e{position}",
            "source": "/tests",
            "type": OURS + name,
            "time": format_time(at or self.clock),
            "data": dict(data),
        }
        return self.record(catalogue.parse(attributes), by, via)

    def foreign(self, type_: str, subject: str, data: Any, by: str = "key:ci") -> RecordedEvent:
        """Record an event of somebody else's type, whose payload nobody checks."""
        self.clock += timedelta(minutes=1)
        attributes = {
            "specversion": "1.0",
            "id": f"e{len(self.events) + 1}",
            "source": "/elsewhere",
            "type": type_,
            "subject": subject,
            "data": data,
        }
        return self.record(catalogue.parse(attributes), by, None)

    def record(self, event: Event, by: str, via: str | None) -> RecordedEvent:
        """Record any event at the clock's time."""
        keys = catalogue.subjects_of(event)
        self.versions |= {key: self.versions.get(key, 0) + 1 for key in keys}
        recorded = RecordedEvent(
            position=len(self.events) + 1,
            versions={key: self.versions[key] for key in keys},
            recorded_at=format_time(self.clock),
            principal=by,
            assurance="A3" if via else "A2",
            via=via,
            commitment=hashlib.sha256(ijson.dumps(event.as_json())).hexdigest(),
            event=event.as_json(),
        )
        self.events.append(recorded)
        return recorded

    def planned(self, release_type: str = "minor", owner: str = "acme:hal") -> Self:
        data: Data = {"release_id": RELEASE, "name": "Pay", "service_ids": ["pay"]}
        self.tell("release.planned.v1", data | {"release_type": release_type, "owner": owner})
        return self

    def risk(self, tier: str = "low") -> Self:
        data: Data = {
            "release_id": RELEASE,
            "score": 10,
            "tier": tier,
            "method": "m",
            "factors": [],
        }
        self.tell("release.risk_assessed.v1", data | {"assessor": "acme:rosa"})
        return self

    def merged(self, author: str | None = "acme:kim", sha: str = SHA) -> Self:
        data: Data = {
            "repo": "acme/pay",
            "change_id": "7",
            "head_sha": "e" * 40,
            "merge_sha": sha,
        }
        data |= {"target": "main"}
        more = {"commit_shas": [sha], "first_commit_at": None, "author": author}
        self.tell("change.merged.v1", data | more)
        return self

    def candidate(
        self, manifest: str = MANIFEST, image: str = IMAGE, changes: Sequence[str] = (CHANGE,)
    ) -> Self:
        data: Data = {
            "release_id": RELEASE,
            "version": "1.42.0",
            "manifest_digest": manifest,
        }
        self.tell(
            "release.candidate_created.v1",
            data | {"artifacts": [image], "change_ids": list(changes)},
        )
        return self

    def tests(self, **changed: Any) -> Self:
        at = changed.pop("at", None)
        counts = {"passed": changed.pop("passed", 412), "failed": changed.pop("failed", 0)}
        data: Data = {
            "suite": "unit",
            "run_id": "1",
            "outcome": "success",
            "counts": counts,
        }
        data |= {"coverage": 81.4, "artifact_digest": IMAGE, "release_id": RELEASE}
        told = {k: v for k, v in (data | changed).items() if v is not None}
        self.tell("testsuiterun.finished.v1", told, at=at)
        return self

    def scan(self, critical: int = 0, high: int = 0, digest: str = IMAGE) -> Self:
        counts = {"critical": critical, "high": high}
        data: Data = {
            "digest": digest,
            "scanner": "trivy",
            "db_version": "1",
            "counts": counts,
        }
        self.tell("artifact.scanned.v1", data)
        return self

    def pipeline(self, outcome: str = "success", sha: str = SHA) -> Self:
        data: Data = {"pipeline": "ci", "run_id": "9", "attempt": 1, "outcome": outcome}
        self.tell("pipelinerun.finished.v1", data | {"commit_sha": sha, "repo": "acme/pay"})
        return self

    def packaged(self, sha: str, image: str = IMAGE) -> Self:
        data: Data = {"purl": f"pkg:oci/pay@{image}", "digest": image, "commit_sha": sha}
        self.tell("artifact.packaged.v1", data | {"repo": "acme/pay"})
        return self

    def plan(self, kind: str = "rollback") -> Self:
        data: Data = {
            "release_id": RELEASE,
            "kind": kind,
            "doc_uri": "https://wiki.example/1",
        }
        self.tell("release.plan_published.v1", data | {"doc_sha256": "f" * 64})
        return self

    def role(
        self, role: str, *people: str, scope: str = "*", until: datetime | None = None
    ) -> Self:
        for person in people:
            data = {"scope": scope, "role": role, "principal": person}
            data |= {} if until is None else {"valid_until": format_time(until)}
            self.tell("role.assigned.v1", data)
        return self

    def linked(self, identity: str, person: str) -> Self:
        data = {"identity": identity, "principal": person, "basis": "sso"}
        self.tell("identity.linked.v1", data)
        return self

    def revoked(self, role: str, person: str, scope: str = "*") -> Self:
        self.tell("role.revoked.v1", {"scope": scope, "role": role, "principal": person})
        return self

    def vote(self, person: str, decision: str = "approved", **changed: Any) -> Self:
        by, via = changed.pop("by", person), changed.pop("via", CONSOLE)
        at = changed.pop("at", None)
        data: Data = {
            "approval_id": "a1",
            "release_id": RELEASE,
            "gate": GATE,
            "principal": person,
        }
        data |= {"decision": decision, "roles": [], "target_digest": MANIFEST}
        told = {k: v for k, v in (data | changed).items() if v is not None}
        self.tell("approval.decided.v1", told, by, via, at)
        return self

    def asked(self, by: str, gate: str = GATE) -> Self:
        data: Data = {
            "approval_id": "a1",
            "release_id": RELEASE,
            "target": gate,
            "kind": "qa",
        }
        data |= {"required": {"count": 1, "roles": ["qa"]}}
        self.tell("approval.requested.v1", data, by, CONSOLE)
        return self

    def page(self, subject: str, upto: int | None = None) -> HistoryPage:
        """Return a subject's history as of a position."""
        head = len(self.events) if upto is None else upto
        events = [e for e in self.events if subject in e.versions and e.position <= head]
        return HistoryPage(subject=subject, version=len(events), events=events, head=head)

    def pages(self) -> list[HistoryPage]:
        """Return all histories, as the newest majors tell them."""
        return [upcasting.history(self.page(subject)) for subject in self.versions]

    def facts(self, gate: str = GATE) -> Facts:
        """Return what the gatekeeper would know after reading everything."""
        return fold(RELEASE, gate, self.pages())


def moment(told: Told, **later: float) -> datetime:
    """Return a time after the newest event."""
    return parse_time(told.events[-1].recorded_at) + timedelta(**later)
