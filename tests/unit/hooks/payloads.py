"""Payloads with the members of GitHub's and Alertmanager's own that the adapters read."""

from __future__ import annotations

import json
from typing import Any

from contracts.ijson import Json
from services.ledger.hooks import github
from services.ledger.hooks.adapter import Mapped, Scope

A, B, M = "a" * 40, "b" * 40, "c" * 40
DIGEST = "sha256:" + "d" * 64
REPOSITORY = {"full_name": "acme/pay", "name": "pay", "default_branch": "main"}
ALICE = {"id": 101, "login": "alice"}


def message(**members: Any) -> dict[str, Any]:
    return {"repository": REPOSITORY, "sender": ALICE} | members


def push(**members: Any) -> dict[str, Any]:
    commits = [{"id": B, "timestamp": "2026-03-01T12:00:00+02:00", "author": {"name": "Alice"}}]
    sent = {"ref": "refs/heads/main", "before": A, "after": B, "forced": False, "commits": commits,
            "repository": REPOSITORY | {"pushed_at": 1772359260}}  # fmt: skip
    return message() | sent | members


def pull(action: str, **members: Any) -> dict[str, Any]:
    request = {
        "id": 9, "number": 7, "title": "Pay faster", "user": ALICE,
        "created_at": "2026-03-01T09:00:00Z", "updated_at": "2026-03-01T11:00:00Z",
        "merged": False, "merged_at": None, "merge_commit_sha": M,
        "head": {"ref": "faster", "sha": A}, "base": {"ref": "main", "sha": B},
    }  # fmt: skip
    return message(action=action, pull_request=request | members)


def review(**members: Any) -> dict[str, Any]:
    given = {"id": 5, "user": {"id": 102}, "state": "approved", "commit_id": A,
             "submitted_at": "2026-03-01T10:00:00Z"}  # fmt: skip
    return message(action="submitted", review=given | members, pull_request={"number": 7})


def workflow_run(action: str, **members: Any) -> dict[str, Any]:
    run = {"id": 11, "name": "build", "run_attempt": 2, "head_sha": A, "conclusion": None,
           "run_started_at": "2026-03-01T10:00:00Z", "updated_at": "2026-03-01T10:05:00Z",
           "html_url": "https://github.example/acme/pay/runs/11"}  # fmt: skip
    return message(action=action, workflow_run=run | members)


def check_run(action: str, **members: Any) -> dict[str, Any]:
    run = {"id": 12, "name": "lint", "head_sha": A, "status": "completed",
           "conclusion": "success", "started_at": "2026-03-01T10:00:00Z",
           "completed_at": "2026-03-01T10:01:00Z"}  # fmt: skip
    return message(action=action, check_run=run | members)


def package(**version: Any) -> dict[str, Any]:
    known = {"id": 21, "version": DIGEST, "created_at": "2026-03-01T10:10:00Z",
             "container_metadata": {"manifest": {"digest": DIGEST}}}  # fmt: skip
    sent = {"name": "Pay", "ecosystem": "docker", "package_type": "CONTAINER",
            "html_url": "https://github.example/p", "package_version": known | version}  # fmt: skip
    return message(action="published", registry_package=sent)


def release(**members: Any) -> dict[str, Any]:
    sent = {"id": 31, "tag_name": "v1.42", "target_commitish": B, "prerelease": False,
            "author": ALICE, "published_at": "2026-03-01T12:30:00Z"}  # fmt: skip
    return message(action="published", release=sent | members)


def deployment(payload: Any = None, **members: Any) -> dict[str, Any]:
    sent = {"id": 41, "sha": B, "environment": "production", "creator": ALICE,
            "created_at": "2026-03-01T13:00:00Z", "updated_at": "2026-03-02T00:00:00Z",
            "payload": {} if payload is None else payload}  # fmt: skip
    return message(action="created", deployment=sent | members)


def status(state: str, payload: Any = None, **members: Any) -> dict[str, Any]:
    sent = {"id": 51, "state": state, "environment": "production", "description": "",
            "target_url": "", "created_at": "2026-03-01T13:05:00Z",
            "updated_at": "2026-03-02T00:00:00Z"}  # fmt: skip
    return deployment(payload) | {"deployment_status": sent | members}


def deployment_review(action: str, title: str, **members: Any) -> dict[str, Any]:
    job = {"environment": "production"}
    team = {"type": "Team", "reviewer": {"id": 61}}
    sent = {"workflow_run": {"id": 11, "run_attempt": 1, "display_title": title},
            "environment": "production", "since": "2026-03-01T12:50:00Z",
            "reviewers": [team, {"type": "User", "reviewer": {"id": 102}}],
            "workflow_job_runs": [job, job], "approver": {"id": 102}, "comment": "go"}  # fmt: skip
    return message(action=action) | sent | members


def alert(**members: Any) -> dict[str, Any]:
    labels = {"alertname": "Errors", "severity": "critical", "service": "pay",
              "environment": "production"}  # fmt: skip
    sent = {"status": "firing", "labels": labels, "annotations": {"summary": "5 % errors"},
            "startsAt": "2026-03-01T14:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example/g", "fingerprint": "f1"}  # fmt: skip
    return sent | members


def notification(*alerts: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"version": "4", "status": "firing", "alerts": list(alerts)} | members


def map_github(event: str, payload: Any, scope: Scope | None = None) -> Mapped:
    raw = json.dumps(payload).encode()
    return github.map_delivery({"x-github-event": event}, raw, scope or Scope("github"))


def only(mapped: Mapped) -> dict[str, Json]:
    """The one event of a delivery."""
    (fact,) = mapped.facts
    return fact.event
