"""GitHub: deployments and their statuses.

GitHub knows no release. What links a deployment to one is a **convention of ours** for the
`payload` that a workflow gives when it creates the deployment (an object, or JSON in a string):

| member | meaning | without it |
|---|---|---|
| `release_id` | the release that goes out | none: a deployment of no release |
| `service` | what is deployed | the repository, by the connection's map, else its name |
| `artifact_digest` | `sha256:…` of what is deployed | null: proves nothing about an artifact |
| `kind` | normal, rollback, hotfix, config | normal |
| `intent_id` | one intention over several tries | the deployment's id |
| `remediates` | the deployment that this one repairs (GitHub's number will do) | none |
| `permit_id` | the permit that it uses up | none: where permits are in use it is flagged |
| `planned` | whether it was meant beforehand | true for normal and config, else false |

A deployment's id is `github-<number>`. `deployment` created → deployment.queued. Statuses:
`in_progress` → started (the first one), `success`, `failure`, `error` → finished, at the status'
`created_at`: `updated_at` moves when a newer deployment makes an older one inactive. A final
status that repeats the first outcome is a duplicate; one that contradicts it is a conflict, to be
seen in the quarantine. `queued`, `pending`, `waiting`, `inactive` are not recorded.

Whether it is production: `production_environment` and the name, by `adapter.Scope.environment`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contracts.ijson import Json
from services.ledger.hooks.adapter import CannotMap, Fact, present
from services.ledger.hooks.github_hook import Hook, person
from services.ledger.hooks.reading import find, moment, need, prose

_FINAL: Mapping[str, str] = {"success": "success", "failure": "failure", "error": "failure"}
_UNPLANNED = frozenset({"rollback", "hotfix"})


def created(hook: Hook) -> list[Fact]:
    """Map a deployment that was asked for."""
    deployment = find(hook.payload, "deployment")
    data = _deployment(hook, need(deployment, "environment"))
    key = ("deployment", need(deployment, "id"), "queued")
    time = moment(need(deployment, "created_at"))
    return [hook.fact("deployment.queued.v1", key, data, time=time)]


def status_created(hook: Hook) -> list[Fact]:
    """Map a deployment's status, where it is its start or its end."""
    status, number = find(hook.payload, "deployment_status"), need(hook.payload, "deployment", "id")
    state, time = need(status, "state"), moment(need(status, "created_at"))
    if state != "in_progress" and state not in _FINAL:
        return []
    named = status if find(status, "environment") else find(hook.payload, "deployment")
    data = _deployment(hook, need(named, "environment"))
    data |= present(uri=find(status, "target_url") or find(status, "log_url") or None)
    if state == "in_progress":
        key, agree = ("deployment", number, "started"), frozenset[str]()
        said = _said(find(hook.payload, "deployment", "payload"))
        data |= present(permit_id=said.get("permit_id"))
        return [hook.fact("deployment.started.v1", key, data, time=time, agree=agree)]
    data |= present(outcome=_FINAL[state], description=prose(find(status, "description")))
    key, agree = ("deployment", number, "finished"), frozenset({"outcome"})
    return [hook.fact("deployment.finished.v1", key, data, time=time, agree=agree)]


def _deployment(hook: Hook, environment: str) -> dict[str, Json]:
    """Return what the three events have in common."""
    deployment = find(hook.payload, "deployment")
    said, number = _said(find(deployment, "payload")), need(deployment, "id")
    kind = said.get("kind", "normal")
    production = find(deployment, "production_environment")
    return {
        "deployment_id": f"github-{number}",
        "intent_id": str(said.get("intent_id", f"github-{number}")),
        "service": said.get("service", hook.service),
        "environment": hook.scope.environment(environment, production=production),
        "artifact_digest": said.get("artifact_digest"),
        "kind": kind,
        "planned": said.get("planned", str(kind) not in _UNPLANNED),
        "trigger": person(find(deployment, "creator")) or "github",
        "repo": hook.repo,
        "head_sha": need(deployment, "sha"),
    } | present(release_id=said.get("release_id"), remediates=_remediates(said.get("remediates")))


def _said(payload: Any) -> dict[str, Any]:
    """Return the convention's members. Other tools put their own text here; that is no error."""
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError):
            return {}
    known = (
        "release_id",
        "service",
        "artifact_digest",
        "kind",
        "intent_id",
        "remediates",
        "planned",
        "permit_id",
    )
    return {name: find(payload, name) for name in known if find(payload, name) is not None}


def _remediates(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise CannotMap("/deployment/payload/remediates is neither a number nor an id")
    return f"github-{value}" if str(value).isdecimal() else str(value)
