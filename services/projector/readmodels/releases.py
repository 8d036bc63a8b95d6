"""Releases: one row each, with the state in which it stands.

planned → building (a candidate, or work on its changes) → waiting (people or gates are asked) →
approved → deploying → deployed (every service runs it in production) → completed. Beside the way:
rejected, failed, rolled_back, cancelled. Only production moves a release past `approved`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.projector.readmodels import links
from services.projector.readmodels.fact import Fact, text
from services.projector.readmodels.permits import ALLOWED
from services.projector.readmodels.rows import Key, Row, Rows

OPEN = frozenset({"planned", "building", "waiting", "approved", "rejected", "failed"})
"""States in which gates and approvals decide what comes next."""
_UNDERWAY = OPEN | {"deploying", "rolled_back"}
_WORK = frozenset({"change", "pipelinerun", "artifact", "testsuiterun", "attestation"})
_TELLING = frozenset({"success", "failure", "partial"})
"""Outcomes that say something about the release; a cancelled attempt leaves it as it was."""
_CLOSING = frozenset({"release.completed", "release.cancelled"})
"""After these no gate of the release waits for anybody."""


def keys(fact: Fact, rows: Rows) -> Iterator[Key]:
    """Declare the release that runs where this deployment goes: a rollback takes it back."""
    if fact.noun == "deployment":
        cell = rows.known("cell", fact.text("service") or "", fact.environment[0])
        if cell and cell["release_id"]:
            yield "release", (cell["release_id"],)


def begin(fact: Fact, rows: Rows) -> None:
    """Make a row for each release that is named for the first time, planned or not."""
    for release in fact.named("release"):
        if rows.get("release", release) is None:
            rows.put("release", _new(release, fact))


def apply(fact: Fact, rows: Rows) -> None:
    """Move the releases that the event is about. Runs after `links`, before `deployments`."""
    for release in [] if _late(fact, rows) else links.concerned(fact, rows):
        row = rows.get("release", release)
        if row is not None:
            rows.put("release", _moved(row, fact))
    if fact.name == "deployment.finished" and _production(fact):
        _roll_back(fact, rows)


def _new(release: str, fact: Fact) -> Row:
    return {
        "release_id": release, "name": release, "release_type": "unknown", "risk": None,
        "state": "planned", "services": [], "owner": "", "version": None, "gates": {},
        "production": {}, "verdict": None, "summary": None, "planned_at": fact.at,
        "state_since": fact.at, "closed": False, "first_position": fact.position,
        "last_event_at": fact.at, "last_position": fact.position,
        "deployed_at": None, "description": None, "scheduled": None, "risk_factors": [],
        "risk_score": None, "manifest_digest": None, "artifacts": [], "plans": [],
        "people": [], "linked": [],
    }  # fmt: skip


def _moved(row: Row, fact: Fact) -> Row:
    seen = {
        "last_event_at": max(row["last_event_at"], fact.at),
        "last_position": fact.position,
        "people": _with(row["people"], fact.text("principal"), fact.event.principal),
    }
    moved = row | seen | _facts(row, fact)
    return _in_state(moved, _state(moved, fact), fact)


def _in_state(fresh: Row, state: str, fact: Fact) -> Row:
    """Set the state of a row that nobody else holds yet."""
    if state != fresh["state"]:
        fresh |= {"state": state, "state_since": fact.at}
    if fact.name in _CLOSING:
        fresh["closed"] = True
    return fresh


def _facts(row: Row, fact: Fact) -> dict[str, Any]:
    """Return the columns that the event sets, the state apart."""
    handler = _HANDLERS.get(fact.name)
    if handler is not None:
        return handler(row, fact)
    return _deployment(row, fact) if fact.noun == "deployment" and _production(fact) else {}


def _planned(row: Row, fact: Fact) -> dict[str, Any]:
    return {
        "name": fact.text("name") or row["name"],
        "release_type": fact.text("release_type") or row["release_type"],
        "services": fact.texts("service_ids") or row["services"],
        "owner": fact.text("owner") or row["owner"],
        "description": fact.text("description"),
        "planned_at": fact.at,
    }


def _candidate(_: Row, fact: Fact) -> dict[str, Any]:
    # What was decided about an earlier candidate says nothing about this one.
    return {
        "version": fact.text("version"),
        "manifest_digest": fact.text("manifest_digest"),
        "artifacts": fact.texts("artifacts"),
        "gates": {},
        "production": {},
        "verdict": None,
        "summary": None,
    }


def _risk(_: Row, fact: Fact) -> dict[str, Any]:
    score = fact.data.get("score")
    return {
        "risk": fact.text("tier"),
        "risk_factors": fact.texts("factors"),
        "risk_score": float(score) if isinstance(score, int | float) else None,
    }


def _scheduled(_: Row, fact: Fact) -> dict[str, Any]:
    window = {"window": fact.table("window"), "environments": fact.texts("environments")}
    return {"scheduled": window | {"position": fact.position}}


def _plan(row: Row, fact: Fact) -> dict[str, Any]:
    plan = {name: fact.text(name) for name in ("kind", "doc_uri", "doc_sha256")}
    return {"plans": [*row["plans"], plan | {"position": fact.position}]}


def _decided(row: Row, fact: Fact) -> dict[str, Any]:
    decision = fact.table("decision")
    gate = f"{text(decision.get('gate'))}\n{text(decision.get('environment'))}"
    verdict = text(decision.get("decision"))
    gates = row["gates"] | {gate: verdict}
    return {"gates": gates, "verdict": verdict, "summary": text(decision.get("summary"))}


def _deployment(row: Row, fact: Fact) -> dict[str, Any]:
    service = fact.text("service") or ""
    before = row["production"].get(service, {"last": None})
    outcome = fact.text("outcome") if fact.name == "deployment.finished" else None
    last = outcome if outcome in _TELLING else before["last"]
    now = {"last": last, "underway": fact.name != "deployment.finished"}
    return {
        "production": row["production"] | {service: now},
        "deployed_at": row["deployed_at"] or (fact.at if outcome == "success" else None),
    }


_HANDLERS = {
    "release.planned": _planned,
    "release.candidate_created": _candidate,
    "release.risk_assessed": _risk,
    "release.scheduled": _scheduled,
    "release.plan_published": _plan,
    "decision.recorded": _decided,
}


def _state(row: Row, fact: Fact) -> str:
    state = str(row["state"])
    if fact.name == "release.completed":
        return "failed" if fact.text("outcome") == "failure" else "completed"
    if fact.name == "release.cancelled":
        return "rejected" if fact.text("outcome") == "rejected" else "cancelled"
    if fact.name == "release.candidate_created" and state in _UNDERWAY:
        return "building"
    if fact.noun in _WORK and state == "planned":
        return "building"
    if fact.noun == "deployment" and state in _UNDERWAY | {"deployed"} and _production(fact):
        return _deploy_state(row, fact)
    return _gate_state(row, fact) if state in OPEN else state


def _gate_state(row: Row, fact: Fact) -> str:
    state = str(row["state"])
    if fact.name == "approval.requested":
        return "waiting"
    if fact.name == "approval.decided" and fact.text("decision") == "rejected":
        return "rejected"
    if fact.name == "decision.recorded":
        if _may_pass(row):
            return "approved"
        denied = "deny" in row["gates"].values()
        return "rejected" if state == "rejected" and denied else "waiting"
    return state


def _deploy_state(row: Row, fact: Fact) -> str:
    if fact.text("kind") == "rollback" and fact.name != "deployment.finished":
        return str(row["state"])
    production = row["production"]
    last = {production.get(s, {}).get("last") for s in row["services"] or production}
    if any(service["underway"] for service in production.values()):
        return "deploying"
    if last & {"failure", "partial"}:
        return "failed"
    if "success" in last:
        return "deploying" if None in last else "deployed"
    return "approved" if row["gates"] and _may_pass(row) else "building"


def _may_pass(row: Row) -> bool:
    return set(row["gates"].values()) <= ALLOWED


def _roll_back(fact: Fact, rows: Rows) -> None:
    """Take back what a rollback that succeeded repairs, or else what ran in that place."""
    if fact.text("kind") != "rollback" or fact.text("outcome") != "success":
        return
    cell = rows.get("cell", fact.text("service") or "", fact.environment[0])
    ran = [cell["release_id"]] if cell and cell["release_id"] else []
    repaired = links.of_repaired(fact, rows)
    for release in repaired or ran:
        row = rows.get("release", release)
        if row is not None:
            seen = {"last_event_at": max(row["last_event_at"], fact.at)}
            seen["last_position"] = fact.position
            rows.put("release", _in_state(row | seen, "rolled_back", fact))


def _late(fact: Fact, rows: Rows) -> bool:
    """Say whether this is the start of a deployment whose end is known already."""
    if fact.name not in {"deployment.queued", "deployment.started"}:
        return False
    row = rows.get("deployment", fact.text("deployment_id") or "", fact.text("service") or "")
    return row is not None and row["finished_at"] is not None


def _production(fact: Fact) -> bool:
    return fact.environment[1] == "production"


def _with(people: list[str], *more: str | None) -> list[str]:
    return list(dict.fromkeys([*people, *(each for each in more if each)]))
