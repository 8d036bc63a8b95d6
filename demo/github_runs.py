"""The objects inside GitHub's webhooks that say what ran: workflows, runs, deployments."""

from __future__ import annotations

from datetime import datetime

from demo.github_changes import head_commit
from demo.github_objects import (
    WEB,
    Object,
    Repository,
    account,
    actions_bot,
    node_id,
    person,
    small_repository,
    stamp,
)
from demo.work import Change, Deployment, Run


def workflow(run: Run) -> Object:
    """Return the workflow of a run."""
    repo, name = run.repo, run.workflow
    number = repo.seed.number("workflow", repo.name, name) % 10**8
    path = f".github/workflows/{name}.yml"
    return {
        "id": number,
        "node_id": node_id("W", number),
        "name": name,
        "path": path,
        "state": "active",
        "created_at": "2022-02-01T09:00:00.000Z",
        "updated_at": "2024-06-11T13:20:00.000Z",
        "url": f"{repo.api}/actions/workflows/{number}",
        "html_url": f"{repo.web}/blob/main/{path}",
        "badge_url": f"{repo.web}/workflows/{name}/badge.svg",
    }


def run_identity(run: Run, pulls: list[Object], *, done: bool) -> Object:
    """Return the members of a run that both `workflow_run` and deployments have."""
    repo, api = run.repo, f"{run.repo.api}/actions/runs/{run.id}"
    return {
        "id": run.id,
        "name": run.workflow,
        "node_id": node_id("WFR", run.id),
        "head_branch": run.branch,
        "head_sha": run.commit.sha,
        "path": f".github/workflows/{run.workflow}.yml",
        "display_title": run.commit.message.splitlines()[0],
        "run_number": run.number,
        "event": run.trigger,
        "status": "completed" if done else "in_progress",
        "conclusion": run.conclusion if done else None,
        "workflow_id": workflow(run)["id"],
        "check_suite_id": run.suite,
        "check_suite_node_id": node_id("CS", run.suite),
        "url": api,
        "html_url": f"{repo.web}/actions/runs/{run.id}",
        "pull_requests": pulls,
        "created_at": stamp(run.started_at),
        "updated_at": stamp(run.finished_at if done else run.started_at),
        "actor": person(repo.seed, run.actor),
        "run_attempt": 1,
        "referenced_workflows": [],
        "run_started_at": stamp(run.started_at),
        "triggering_actor": person(repo.seed, run.actor),
    }


def workflow_run(run: Run, pulls: list[Object], *, done: bool) -> Object:
    """Return a whole run."""
    api, repo = f"{run.repo.api}/actions/runs/{run.id}", run.repo
    return run_identity(run, pulls, done=done) | {
        "jobs_url": f"{api}/jobs",
        "logs_url": f"{api}/logs",
        "check_suite_url": f"{repo.api}/check-suites/{run.suite}",
        "artifacts_url": f"{api}/artifacts",
        "cancel_url": f"{api}/cancel",
        "rerun_url": f"{api}/rerun",
        "previous_attempt_url": None,
        "workflow_url": f"{repo.api}/actions/workflows/{workflow(run)['id']}",
        "head_commit": head_commit(run.commit, repo.seed.sha("tree", run.commit.sha)),
        "repository": small_repository(repo),
        "head_repository": small_repository(repo),
    }


def check(run: Run, number: int) -> Object:
    """Return the one job of a run as a check: what `check_run` and deployments share."""
    repo, job = run.repo, run.repo.seed.number("job", run.id)
    page = f"{repo.web}/actions/runs/{run.id}/job/{job}"
    return {
        "id": number,
        "name": {"ci": "test", "release": "build", "deploy": "deploy"}[run.workflow],
        "node_id": node_id("CR", number),
        "head_sha": run.commit.sha,
        "external_id": run.repo.seed.guid("external", number),
        "url": f"{repo.api}/check-runs/{number}",
        "html_url": page,
        "details_url": page,
        "status": "completed",
        "conclusion": run.conclusion,
        "started_at": stamp(run.started_at),
        "completed_at": stamp(run.finished_at),
    }


def suite(run: Run, change: Change, pulls: list[Object]) -> Object:
    """Return the check suite of a run on the branch of a change."""
    return {
        "id": run.suite,
        "node_id": node_id("CS", run.suite),
        "head_branch": run.branch,
        "head_sha": run.commit.sha,
        "status": "completed",
        "conclusion": run.conclusion,
        "url": f"{run.repo.api}/check-suites/{run.suite}",
        "before": change.base,
        "after": run.commit.sha,
        "pull_requests": pulls,
        "app": app(run.repo),
        "created_at": stamp(run.started_at),
        "updated_at": stamp(run.finished_at),
    }


def deployment(of: Deployment, updated_at: datetime) -> Object:
    """Return a deployment. `payload` is ours: what the deploying workflow knows of the release."""
    repo, seed = of.release.service.repo, of.release.seed
    api = f"{repo.api}/deployments/{of.number}"
    return {
        "url": api,
        "id": of.number,
        "node_id": node_id("DE", of.number),
        "task": "deploy",
        "original_environment": of.environment.id,
        "environment": of.environment.id,
        "description": f"{of.kind} deployment of {of.content.id}",
        "created_at": stamp(of.created_at),
        "updated_at": stamp(updated_at),
        "statuses_url": f"{api}/statuses",
        "repository_url": repo.api,
        "creator": actions_bot(seed),
        "sha": of.content.sha,
        "ref": "main" if of.kind != "rollback" else f"v{of.content.version}",
        "payload": linkage(of),
        "transient_environment": False,
        "production_environment": of.environment.tier == "production",
        "performed_via_github_app": None,
    }


def linkage(of: Deployment) -> Object:
    """Return what binds a deployment to its release and artifact, for the ledger's adapter."""
    known = {
        "release_id": of.content.id,
        "service": of.release.service.name,
        "artifact_digest": of.content.digest,
        "kind": of.kind,
        "intent_id": of.intent,
        "planned": of.kind == "normal",
    }
    return known if of.remediates is None else known | {"remediates": of.remediates}


def app(repo: Repository) -> Object:
    """Return GitHub Actions as an app, as check runs name it."""
    return {
        "id": 15368,
        "node_id": node_id("A", 15368),
        "slug": "github-actions",
        "owner": account(repo.seed, "github", "Organization"),
        "name": "GitHub Actions",
        "description": "Automate your workflow from idea to production",
        "external_url": "https://help.github.com/en/actions",
        "html_url": f"{WEB}/apps/github-actions",
        "client_id": "Iv1.0a1b2c3d4e5f6a7b",
        "created_at": "2018-07-30T09:30:17Z",
        "updated_at": "2024-04-10T20:33:16Z",
        "permissions": {"checks": "write", "contents": "read", "deployments": "write"},
        "events": ["check_run", "deployment", "push", "workflow_run"],
    }
