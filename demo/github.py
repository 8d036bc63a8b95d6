"""GitHub's webhooks: one function per delivery, in GitHub's shapes, with our values.

Shapes: GitHub Docs, "Webhook events and payloads". The webhook is the organisation's, so each
delivery names it.
"""

from __future__ import annotations

from datetime import datetime

from contracts.event import format_time
from demo.github_changes import commit_of_push, merge_members, pull_reference, pull_request
from demo.github_objects import (
    ZERO_SHA,
    Object,
    Repository,
    actions_bot,
    node_id,
    organisation,
    person,
    repository,
    repository_of_push,
    stamp,
)
from demo.github_packages import container
from demo.github_runs import app, check, deployment, run_identity, suite, workflow, workflow_run
from demo.people import Person
from demo.steps import Webhook
from demo.work import Change, Commit, Deployment, Release, Run


def _delivery(repo: Repository, kind: str, at: datetime, payload: Object, *key: object) -> Webhook:
    whole = {"repository": repository(repo, at), "organization": organisation(repo.seed)} | payload
    guid = repo.seed.guid("delivery", repo.name, kind, *key)
    return Webhook("github", kind, guid, format_time(at), whole)


def branch_pushed(change: Change, first: int, last: int) -> Webhook:
    """Return the push of commits `first` to `last` (exclusive) to the branch of a change."""
    commits = change.commits[first:last]
    before = change.commits[first - 1].sha if first else ZERO_SHA
    listed = [commit_of_push(change.repo, commit) for commit in commits]
    return _push(change.repo, change.author, change.branch, before, listed)


def main_pushed(change: Change) -> Webhook:
    """Return the push to `main` that merging a change causes."""
    repo, at = change.repo, change.merged_at or change.reviewed_at
    merge = Commit(change.merge_sha, change.merged_title, at, change.author)
    listed = [commit_of_push(repo, merge)]
    if not change.squash:
        listed = [commit_of_push(repo, c, distinct=False) for c in change.commits] + listed
    return _push(repo, change.reviewer, "main", change.base, listed)


def _push(
    repo: Repository, who: Person, branch: str, before: str, commits: list[Object]
) -> Webhook:
    at = datetime.fromisoformat(commits[-1]["timestamp"])
    after, ref = commits[-1]["id"], f"refs/heads/{branch}"
    payload = {
        "ref": ref,
        "before": before,
        "after": after,
        "repository": repository_of_push(repo, at),
        "pusher": {"name": who.login, "email": who.email},
        "sender": person(repo.seed, who),
        "created": before == ZERO_SHA,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "compare": f"{repo.web}/compare/{before[:12]}...{after[:12]}",
        "commits": commits,
        "head_commit": commits[-1],
    }
    return _delivery(repo, "push", at, payload, ref, after)


def pull_request_opened(change: Change) -> Webhook:
    """Return the delivery that a pull request was opened."""
    return _pull_request(change, "opened", change.opened_at, change.author)


def pull_request_merged(change: Change) -> Webhook:
    """Return the delivery that a pull request was closed by merging it."""
    return _pull_request(change, "closed", change.merged_at or change.reviewed_at, change.reviewer)


def _pull_request(change: Change, action: str, at: datetime, who: Person) -> Webhook:
    payload = {
        "action": action,
        "number": change.number,
        "pull_request": pull_request(change, at) | merge_members(change, at),
        "sender": person(change.repo.seed, who),
    }
    return _delivery(change.repo, "pull_request", at, payload, change.number, action)


def review_submitted(change: Change, state: str, at: datetime) -> Webhook:
    """Return the delivery of a review: `approved`, `changes_requested` or `commented`."""
    repo, who = change.repo, person(change.repo.seed, change.reviewer)
    number = repo.seed.number("review", repo.name, change.number, state)
    anchor = f"{repo.web}/pull/{change.number}#pullrequestreview-{number}"
    api = f"{repo.api}/pulls/{change.number}"
    links = {"html": {"href": anchor}, "pull_request": {"href": api}}
    review = {
        "id": number,
        "node_id": node_id("PRR", number),
        "user": who,
        "body": None if state == "approved" else "See the comment on the error path.",
        "commit_id": change.head,
        "submitted_at": stamp(at),
        "state": state,
        "html_url": anchor,
        "pull_request_url": api,
        "author_association": "MEMBER",
        "_links": links,
        "updated_at": stamp(at),
    }
    pull = pull_request(change, at)
    payload = {"action": "submitted", "review": review, "pull_request": pull, "sender": who}
    return _delivery(repo, "pull_request_review", at, payload, change.number, state)


def check_run_completed(run: Run, change: Change) -> Webhook:
    """Return the delivery that one check of a run on a branch is done."""
    repo, number = run.repo, run.repo.seed.number("check", run.id)
    api, pulls = f"{repo.api}/check-runs/{number}", [pull_reference(change)]
    job = check(run, number) | {
        "output": {
            "title": None,
            "summary": None,
            "text": None,
            "annotations_count": 0,
            "annotations_url": f"{api}/annotations",
        },
        "check_suite": suite(run, change, pulls),
        "app": app(repo),
        "pull_requests": pulls,
    }
    payload = {"action": "completed", "check_run": job, "sender": person(repo.seed, run.actor)}
    return _delivery(repo, "check_run", run.finished_at, payload, number)


def workflow_run_event(run: Run, action: str, change: Change | None = None) -> Webhook:
    """Return the delivery that a run is `in_progress` or `completed`."""
    done, pulls = action == "completed", [] if change is None else [pull_reference(change)]
    payload = {
        "action": action,
        "workflow_run": workflow_run(run, pulls, done=done),
        "workflow": workflow(run),
        "sender": person(run.repo.seed, run.actor),
    }
    at = run.finished_at if done else run.started_at
    return _delivery(run.repo, "workflow_run", at, payload, run.id, action)


def package_published(release: Release, at: datetime) -> Webhook:
    """Return the delivery that the image of a release can be pulled."""
    package, sender = container(release, at), actions_bot(release.seed)
    payload = {"action": "published", "registry_package": package, "sender": sender}
    return _delivery(release.service.repo, "registry_package", at, payload, release.id)


def deployment_created(of: Deployment, run: Run) -> Webhook:
    """Return the delivery that a deployment was asked for by a workflow."""
    payload = {
        "action": "created",
        "deployment": deployment(of, of.created_at),
        "workflow": workflow(run),
        "workflow_run": run_identity(run, [], done=False),
        "sender": actions_bot(of.release.seed),
    }
    return _delivery(run.repo, "deployment", of.created_at, payload, of.number)


def deployment_status(of: Deployment, run: Run, state: str) -> Webhook:
    """Return the delivery of a deployment's status: `in_progress`, `success` or `failure`."""
    begun = state == "in_progress"
    at = of.started_at if begun else of.finished_at
    job = check(run, run.repo.seed.number("check", run.id))
    if begun:
        job |= {"status": state, "conclusion": None, "completed_at": None}
    payload = {
        "action": "created",
        "deployment_status": _status(of, run, state, at),
        "deployment": deployment(of, at),
        "check_run": job,
        "workflow": workflow(run),
        "workflow_run": run_identity(run, [], done=False),
        "sender": actions_bot(of.release.seed),
    }
    return _delivery(run.repo, "deployment_status", at, payload, of.number, state)


def _status(of: Deployment, run: Run, state: str, at: datetime) -> Object:
    repo, number = run.repo, run.repo.seed.number("status", of.number, state)
    api = f"{repo.api}/deployments/{of.number}"
    log = f"{repo.web}/actions/runs/{run.id}/job/{repo.seed.number('job', run.id)}"
    site = f"https://{repo.name}.{of.environment.id}.acme.example"
    return {
        "url": f"{api}/statuses/{number}",
        "id": number,
        "node_id": node_id("DES", number),
        "state": state,
        "creator": actions_bot(repo.seed),
        "description": "",
        "environment": of.environment.id,
        "target_url": log,
        "created_at": stamp(at),
        "updated_at": stamp(at),
        "deployment_url": api,
        "repository_url": repo.api,
        "environment_url": site if state == "success" else "",
        "log_url": log,
        "performed_via_github_app": None,
    }
