"""Folding: histories in, facts out. One handler per type of the catalogue that any rule looks at.

Pure. Only types under our prefix are facts: the ledger has checked their payloads and who may
write them. Whatever else stands in a history may look as it likes and means nothing here. Fields
that are not known are tolerated; one that the catalogue requires and that is not there raises, so
that nothing is decided on a guess.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias

from contracts import ijson
from contracts.event import OURS, HistoryPage, RecordedEvent, parse_time
from services.gatekeeper.facts import (
    Approval,
    Candidate,
    Evidence,
    Facts,
    Holding,
    Stamp,
    Tie,
    is_person,
    short,
)

DECISION = OURS + "decision.recorded.v1"
_Handler: TypeAlias = Callable[[Facts, RecordedEvent, Stamp], None]
_Reading: TypeAlias = tuple[str, str, str, dict[str, float]]
"""Series, what it is about, outcome, metrics: the tail of `Evidence`."""
_Reader: TypeAlias = Callable[[dict[str, Any]], _Reading]


def fold(release: str, gate: str, pages: Iterable[HistoryPage]) -> Facts:
    """Fold histories into facts, by position; an event in several histories counts once."""
    facts = Facts(release, gate)
    events: dict[int, RecordedEvent] = {}
    for page in pages:
        facts.read_set[page.subject] = page.version
        events |= {event.position: event for event in page.events}
    entries: list[ijson.Json] = []
    for position, event in sorted(events.items()):
        stamp = Stamp(position, event.occurred_at, event.recorded)
        facts.newest = max(facts.newest or stamp.recorded_at, stamp.recorded_at)
        if event.type != DECISION:
            entries.append([position, event.commitment])
            _take(facts, event, stamp)
    facts.ties = [tie for tie in facts.ties if tie.sha not in facts.merges]
    facts.digest = "sha256:" + hashlib.sha256(ijson.dumps(entries)).hexdigest()
    return facts


def _take(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    name = event.type.removeprefix(OURS)
    if not event.type.startswith(OURS) or name not in _HANDLERS:
        return
    if event.redacted:
        # It may have been a no: what names several releases is taken to have been about this one.
        names = _names(event)
        if name in _OF_ARTIFACTS or not names or facts.release in names:
            facts.removed.append(event.position)
    elif name in _OF_ARTIFACTS or event.data.get("release_id") in {None, facts.release}:
        _HANDLERS[name](facts, event, stamp)


def _names(event: RecordedEvent) -> set[str]:
    """Return the releases that an event names: all that is left of a redacted one."""
    return {key.removeprefix("release:") for key in event.versions if key.startswith("release:")}


def _planned(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    facts.release_type, facts.services = data["release_type"], tuple(data["service_ids"])
    what = "is the owner of this release"
    facts.ties.append(Tie("requester", data["owner"], what, stamp.position))


def _risk(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    facts.risk = event.data["tier"]


def _candidate(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    facts.candidate = Candidate(
        stamp,
        data["version"],
        data["manifest_digest"],
        tuple(data["artifacts"]),
        tuple(data.get("change_ids") or ()),
    )


def _closed(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    facts.closed = (stamp.position, event.data.get("outcome", "cancelled"))


def _requested(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    gate = event.data["target"]
    facts.requests[gate] = event.data["approval_id"]
    if is_person(event.principal, event.via):
        what = "asked for this approval"
        facts.ties.append(Tie("requester", event.principal, what, stamp.position, gate))


def _decided(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    who, fault = data["principal"], None
    if event.principal != who:
        fault = f"it names {short(who)} but was sent by {event.principal}"
    elif not is_person(event.principal, event.via):
        fault = f"{event.principal} is not a person who was signed in"
    yes, comment = data["decision"] == "approved", data.get("comment") or ""
    approval = Approval(stamp, data["gate"], who, yes, data.get("target_digest"), comment, fault)
    facts.approvals.append(approval)


def _change(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    shas = [data[k] for k in ("merge_sha", "head_sha") if data.get(k)]
    facts.merges |= {data["merge_sha"]} if "merge_sha" in data else set()
    if data.get("author"):
        facts.ties.append(_author(data["author"], data["repo"], shas, stamp))


def _pushed(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    for commit in data["commits"]:
        if commit.get("author"):
            tie = _author(commit["author"], data["repo"], [data["after"]], stamp)
            facts.ties.append(replace(tie, sha=commit["sha"]))


def _author(who: str, repo: str, shas: list[str], stamp: Stamp) -> Tie:
    refs = tuple(f"{repo}@{sha}" for sha in shas)
    return Tie("author", who, f"wrote change {repo}@{shas[0][:7]}", stamp.position, refs=refs)


def _packaged(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    if repo := event.data.get("repo"):
        facts.sources[event.data["digest"]] = f"{repo}@{event.data['commit_sha']}"


def _deployment(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    id_, digest = event.data["deployment_id"], event.data.get("artifact_digest")
    facts.deployments[id_] = digest or facts.deployments.get(id_)


def _assigned(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    until = parse_time(data["valid_until"]) if data.get("valid_until") else None
    holding = Holding(stamp, data["role"], data["principal"], data["scope"], until)
    facts.holdings[holding.role, holding.principal, holding.scope] = holding


def _revoked(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    data = event.data
    for role, principal, scope in list(facts.holdings):
        if (role, principal) == (data["role"], data["principal"]) and data["scope"] in {"*", scope}:
            del facts.holdings[role, principal, scope]


def _checked(kind: str, read: _Reader) -> _Handler:
    def handle(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
        facts.evidence.append(Evidence(stamp, kind, *read(event.data)))

    return handle


def _tests(data: dict[str, Any]) -> _Reading:
    metrics = dict(data["counts"])
    if data.get("coverage") is not None:
        metrics["coverage"] = data["coverage"]
    return data["suite"], data.get("artifact_digest") or "", data["outcome"], metrics


def _reported(counts: dict[str, int | None]) -> dict[str, float]:
    return {severity: number for severity, number in counts.items() if number is not None}


_HANDLERS: dict[str, _Handler] = {
    "release.planned.v1": _planned,
    "release.risk_assessed.v1": _risk,
    "release.candidate_created.v1": _candidate,
    "release.completed.v1": _closed,
    "release.cancelled.v1": _closed,
    "approval.requested.v1": _requested,
    "approval.decided.v1": _decided,
    "change.created.v1": _change,
    "change.merged.v1": _change,
    "change.pushed.v1": _pushed,
    "artifact.packaged.v1": _packaged,
    "deployment.started.v1": _deployment,
    "deployment.finished.v1": _deployment,
    "role.assigned.v1": _assigned,
    "role.revoked.v1": _revoked,
    "testsuiterun.finished.v1": _checked("tests", _tests),
    "artifact.scanned.v2": _checked(
        "scan", lambda d: (d["scanner"], d["digest"], "success", _reported(d["counts"]))
    ),
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
}
_OF_ARTIFACTS = frozenset({"testsuiterun.finished.v1", "artifact.scanned.v2"})
"""Bound to an artifact, so they count for every release that ships it."""
