"""What a release is: its plan, its candidate, who worked on it, where it went. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from contracts.event import RecordedEvent, parse_time
from services.gatekeeper.facts import Facts
from services.gatekeeper.folds.handler import Handler
from services.gatekeeper.people import is_person
from services.gatekeeper.records import (
    Candidate,
    Deployment,
    ScopeChange,
    Stamp,
    Tie,
    TieKind,
)


def _planned(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    facts.release_type, facts.services = data["release_type"], tuple(data["service_ids"])
    facts.ever.update(facts.services)
    facts.labels = tuple(data.get("labels") or ())
    facts.depends_on = tuple(data.get("depends_on") or ())
    facts.incident = data.get("incident_id")
    lists = (facts.services, data.get("ticket_ids") or (), facts.labels, facts.depends_on)
    scope = (facts.release_type, facts.incident, *(tuple(sorted(each)) for each in lists))
    if facts.planned not in {(), scope}:
        facts.scope = stamp
        facts.scope_changes.append(ScopeChange(stamp, "another plan"))
    facts.planned = scope
    what = "is the owner of this release"
    facts.ties.append(Tie("requester", data["owner"], what, stamp.position))


def _risk(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    facts.risk = event.data["tier"]


def _scheduled(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    window, places = event.data["window"], event.data.get("environments")
    if not places:
        facts.windows.clear()
    span = parse_time(window["start"]), parse_time(window["end"])
    facts.windows |= dict.fromkeys(places or [""], span)


def _scope(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    facts.scope_changes.append(ScopeChange(stamp, event.data["reason"]))
    facts.scope = stamp


def _candidate(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    digest, artifacts = data["manifest_digest"], tuple(data["artifacts"])
    changes = tuple(data.get("change_ids") or ())
    if facts.contents.setdefault(digest, (artifacts, changes)) != (artifacts, changes):
        facts.doubts[stamp.position] = "the same manifest was announced with other contents before"
    facts.candidate = Candidate(stamp, data["version"], digest, artifacts, changes)


def _closed(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    facts.closed = (stamp.position, event.data.get("outcome", "cancelled"))


def _change(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    shas = [data[k] for k in ("merge_sha", "head_sha") if data.get(k)]
    if "merge_sha" in data:
        merge, head = data["merge_sha"], data["head_sha"]
        if data.get("author"):  # else whoever merged may be all that is known
            facts.merges[merge] = head
        commits = dict.fromkeys((head, *(data.get("commit_shas") or ())))
        facts.branch[f"{data['repo']}@{merge}"] = tuple(f"{data['repo']}@{c}" for c in commits)
    if data.get("author"):
        facts.ties.append(_wrote("author", data["author"], data["repo"], shas, stamp))


def _reviewed(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    what = f"reviewed change {data['repo']}@{data['head_sha'][:7]}"
    facts.ties.append(Tie("reviewer", data["reviewer"], what, stamp.position))


def _pushed(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    facts.pushes[data["after"]] = frozenset(commit["sha"] for commit in data["commits"])
    for commit in data["commits"]:
        sha, people = commit["sha"], list[tuple[TieKind, str]]()
        if commit.get("author"):
            people.append(("author", commit["author"]))
        if commit.get("committer"):
            people.append(("committer", commit["committer"]))
        people += [("co_author", who) for who in commit.get("co_authors") or ()]
        for kind, who in people:
            tie = _wrote(kind, who, data["repo"], [data["after"]], stamp)
            facts.ties.append(replace(tie, sha=sha))


_VERBS = {"author": "wrote", "committer": "committed", "co_author": "is co-author of"}


def _wrote(kind: TieKind, who: str, repo: str, shas: list[str], stamp: Stamp) -> Tie:
    refs = tuple(f"{repo}@{sha}" for sha in shas)
    what = f"{_VERBS[kind]} change {repo}@{shas[0][:7]}"
    return Tie(kind, who, what, stamp.position, refs=refs)


def _packaged(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    """Take what an artefact was built from: all that anybody says, so that nobody swaps authors."""
    if repo := event.data.get("repo"):
        built = facts.sources.setdefault(event.data["digest"], [])
        if (change := f"{repo}@{event.data['commit_sha']}") not in built:
            built.append(change)


def _deployment(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    id_, place = data["deployment_id"], data["environment"]["id"]
    if (data["kind"], data.get("outcome")) == ("rollback", "success"):
        _went_back(facts, data, data.get("artifact_digest"), stamp)
    known = facts.deployments.get(key := (id_, data["service"]))
    digest = data.get("artifact_digest") or (known.digest if known else None)
    gone = not facts.undone.isdisjoint({(id_, ""), (id_, data["service"])})
    state = "failure" if gone else data.get("outcome", "started")
    if known is None or state != "started":  # a late start does not take an end back
        facts.deployments[key] = Deployment(
            stamp, id_, data["service"], place, digest, state, data["kind"]
        )
    if is_person(event.principal, event.via):
        what = f"deployed it to {place}"
        facts.ties.append(Tie("deployer", event.principal, what, stamp.position))


def _rolled_back(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    _undo(facts, event.data["deployment_id"], stamp)


def _service_back(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    _went_back(facts, event.data, event.data.get("digest"), stamp)


def _went_back(facts: Facts, data: dict[str, Any], brought: str | None, stamp: Stamp) -> None:
    """Take a rollback that went well for a failure of what it repairs, and of all that ran in its
    place until then; but not of what it brings back.
    """
    if repaired := data.get("remediates"):
        _undo(facts, repaired, stamp)
    place = data["service"], data["environment"]["id"]
    for known in list(facts.deployments.values()):
        here = (known.service, known.environment) == place
        if here and (brought is None or brought != known.digest):
            _fail(facts, known, stamp)


def _undo(facts: Facts, deployment: str, stamp: Stamp) -> None:
    """Take a rollback for a failure of the deployment that it undoes, of all its services."""
    facts.undone.add((deployment, ""))
    for known in facts.shipped_by(deployment):
        _fail(facts, known, stamp)


def _fail(facts: Facts, known: Deployment, stamp: Stamp) -> None:
    facts.undone.add((known.id, known.service))
    failed = replace(known, stamp=stamp, state="failure")
    facts.deployments[known.id, known.service] = failed


HANDLERS: dict[str, Handler] = {
    "release.planned.v1": _planned,
    "release.risk_assessed.v1": _risk,
    "release.scheduled.v1": _scheduled,
    "release.scope_changed.v1": _scope,
    "release.candidate_created.v1": _candidate,
    "release.completed.v1": _closed,
    "release.cancelled.v1": _closed,
    "change.created.v1": _change,
    "change.merged.v1": _change,
    "change.reviewed.v1": _reviewed,
    "change.pushed.v1": _pushed,
    "artifact.packaged.v1": _packaged,
    "deployment.started.v1": _deployment,
    "deployment.finished.v1": _deployment,
    "rollback.triggered.v1": _rolled_back,
    "service.rolledback.v1": _service_back,
}
"""By type without our prefix."""
