"""Deployments, and what runs where: one row for each (deployment, service), one for each place.

What stood in a place before is written beside each success at the time it happens, so that no
figure has to guess it later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.projector.readmodels import links, permits
from services.projector.readmodels.fact import Fact, web
from services.projector.readmodels.rows import Key, Row, Rows

_STATES = {"deployment.queued": "queued", "deployment.started": "started"}
_OUTCOMES = frozenset({"success", "failure", "cancelled", "superseded", "partial"})
_MOMENTS = {
    "deployment.queued": "queued_at",
    "deployment.started": "started_at",
    "deployment.finished": "finished_at",
}


def keys(fact: Fact, _: Rows) -> Iterator[Key]:
    """Declare the deployment, its place, and every service that is named."""
    for service in fact.named("service"):
        yield "service", (service,)
    if fact.noun == "deployment":
        service = fact.text("service") or ""
        yield "deployment", (fact.text("deployment_id") or "", service)
        yield "cell", (service, fact.environment[0])


def apply(fact: Fact, rows: Rows) -> None:
    """Move the deployment and its place. Runs after `releases`."""
    for named in fact.named("service"):
        _meet(named, fact, rows)
    deployment, service = fact.text("deployment_id"), fact.text("service")
    if fact.name in _MOMENTS and deployment and service and fact.environment[0]:
        release = next(iter(links.concerned(fact, rows)), None)
        held = rows.get("deployment", deployment, service)
        row = _moved(held or _new(fact), fact, release) | _built_from(fact, rows)
        row = row | permits.standing(row, held, fact, rows)
        cell = rows.get("cell", service, fact.environment[0])
        if row["state"] == "success" and row["position"] == fact.position:
            row = row | _before(cell)
        rows.put("deployment", row)
        rows.put("cell", _cell(cell, row, fact, rows))


def _meet(service: str, fact: Fact, rows: Rows) -> None:
    row = rows.get("service", service)
    if row is None or fact.at < row["first_at"]:
        rows.put("service", {"service": service, "first_at": fact.at})


def _moved(row: Row, fact: Fact, release: str | None) -> Row:
    said = {
        name: fact.text(name) or row[name]
        for name in ("intent_id", "artifact_digest", "repo", "head_sha", "remediates")
    }
    uri = web(fact.text("uri")) or row["uri"]
    moved = row | said | {"release_id": release or row["release_id"], "uri": uri}
    moved[_MOMENTS[fact.name]] = fact.at
    if row["finished_at"] is None:  # what comes late does not bring a finished deployment back
        moved |= {"state": _state(fact), "position": fact.position}
    return moved


def _new(fact: Fact) -> Row:
    environment, tier = fact.environment
    return {
        "deployment_id": fact.text("deployment_id"), "service": fact.text("service"),
        "environment": environment, "tier": tier, "kind": fact.text("kind") or "normal",
        "planned": fact.data.get("planned") is not False, "state": "queued", "release_id": None,
        "intent_id": None, "artifact_digest": None, "repo": None, "head_sha": None,
        "remediates": None, "queued_at": None, "started_at": None, "finished_at": None,
        "position": fact.position, "uri": None,
        "first": False, "previous_digest": None, "previous_sha": None,
        "permit_id": None, "unauthorised": None,
    }  # fmt: skip


def _state(fact: Fact) -> str:
    if fact.name != "deployment.finished":
        return _STATES[fact.name]
    outcome = fact.text("outcome")
    return outcome if outcome in _OUTCOMES else "failure"


def _built_from(fact: Fact, rows: Rows) -> dict[str, Any]:
    """Take the commit that the artifact was built from, where the sender names none."""
    artifact = f"artifact:{fact.text('artifact_digest')}"
    if fact.text("head_sha") or artifact not in fact.subjects:
        return {}
    link = rows.get("link", artifact)
    commits = [key for key in link["also"] if key.startswith("change:")] if link else []
    if not commits:
        return {}
    repo, _, sha = commits[-1].removeprefix("change:").rpartition("@")
    return {"repo": repo, "head_sha": sha}


def _before(cell: Row | None) -> dict[str, Any]:
    succeeded = cell is not None and cell["succeeded"]
    return {
        "first": not succeeded,
        "previous_digest": cell["digest"] if cell and succeeded else None,
        "previous_sha": cell["head_sha"] if cell and succeeded else None,
    }


def _cell(cell: Row | None, row: Row, fact: Fact, rows: Rows) -> Row:
    if row["position"] != fact.position and cell is not None:
        return cell
    if cell is not None and cell["succeeded"] and row["state"] != "success":
        return cell | {"state": row["state"]}
    release = rows.get("release", row["release_id"]) if row["release_id"] else None
    return {
        "service": row["service"],
        "environment": row["environment"],
        "tier": row["tier"],
        "release_id": row["release_id"],
        "version": release["version"] if release else None,
        "deployment_id": row["deployment_id"],
        "state": row["state"],
        "at": fact.at,
        "digest": row["artifact_digest"],
        "head_sha": row["head_sha"],
        "succeeded": row["state"] == "success",
        "position": fact.position,
        "unauthorised": row["unauthorised"],
    }
