"""The webhooks of one release, in the order in which GitHub would send them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from demo import github
from demo.boards import PRODUCTION_GATE
from demo.native import BOT
from demo.steps import Await, Permit, Step, Webhook
from demo.work import Change, Commit, Deployment, Release, Run

_SLOT = {("staging", 1): 0, ("production", 1): 1, ("production", 2): 2}


def development(release: Release) -> list[Webhook]:
    """Return pushes, pull requests, reviews and checks, as they came."""
    hooks = [hook for change in release.changes for hook in _change(release, change)]
    return sorted(hooks, key=lambda hook: hook.at)


def _change(release: Release, change: Change) -> list[Webhook]:
    half = (len(change.commits) + 1) // 2
    pushes = [github.branch_pushed(change, 0, half)]
    if half < len(change.commits):
        pushes.append(github.branch_pushed(change, half, len(change.commits)))
    run = _checked(change)
    hooks = [
        *pushes,
        github.pull_request_opened(change),
        github.check_run_completed(run, change),
        github.workflow_run_event(run, "completed", change),
    ]
    if change.merged_at is None:
        return hooks
    if release.arc != "hotfix" and len(change.commits) > 2:
        hooks.append(github.review_submitted(change, "commented", _halfway(change)))
    hooks.append(github.review_submitted(change, "approved", change.reviewed_at))
    merged = (github.pull_request_merged(change), github.main_pushed(change))
    return [*hooks, *merged, github.workflow_run_event(_checked_on_main(change), "completed")]


def _halfway(change: Change) -> datetime:
    return change.opened_at + (change.reviewed_at - change.opened_at) / 2


def _checked(change: Change) -> Run:
    started = change.opened_at + timedelta(seconds=20)
    return Run(
        repo=change.repo,
        workflow="ci",
        trigger="pull_request",
        number=1200 + change.number,
        commit=change.commits[-1],
        branch=change.branch,
        actor=change.author,
        started_at=started,
        finished_at=started + timedelta(minutes=4, seconds=change.number % 60),
    )


def _checked_on_main(change: Change) -> Run:
    merged = change.merged_at or change.reviewed_at
    started = merged + timedelta(seconds=12)
    return Run(
        repo=change.repo,
        workflow="ci",
        trigger="push",
        number=2200 + change.number,
        commit=_merge(change),
        branch="main",
        actor=change.reviewer,
        started_at=started,
        finished_at=started + timedelta(minutes=5, seconds=change.number % 40),
    )


def _merge(change: Change) -> Commit:
    at = change.merged_at or change.reviewed_at
    return Commit(change.merge_sha, change.merged_title, at, change.author)


def built(release: Release) -> list[Step]:
    """Return the run that builds the release, its image in the registry, and a pause.

    The gates look at who wrote what and whether the pipeline was green: both have to be mapped.
    """
    change = release.changes[-1]
    merged = change.merged_at or change.reviewed_at
    started = merged + timedelta(seconds=35)
    run = Run(
        repo=change.repo,
        workflow="release",
        trigger="push",
        number=300 + release.ordinal,
        commit=_merge(change),
        branch="main",
        actor=change.reviewer,
        started_at=started,
        finished_at=started + timedelta(minutes=9),
    )
    return [
        github.workflow_run_event(run, "in_progress"),
        github.package_published(release, started + timedelta(minutes=8)),
        github.workflow_run_event(run, "completed"),
        *(Await(f"change:{each.ref}", "change.merged.v1") for each in release.changes),
        Await(f"change:{change.ref}", "pipelinerun.finished.v1", count=2),
    ]


def started(of: Deployment) -> list[Step]:
    """Return the deliveries that a deployment was asked for and began.

    One to production uses a permit; whoever rolls back in a hurry has none.
    """
    run, begun = _deploying(of), github.deployment_status(of, _deploying(of), "in_progress")
    permit: list[Step] = []
    if of.environment.tier == "production" and of.kind != "rollback":
        permit = [Permit(of.release.id, PRODUCTION_GATE, BOT, of.id, of.attempt)]
        begun = replace(begun, permit=of.id)
    return [
        github.deployment_created(of, run),
        *permit,
        begun,
        Await(f"deployment:{of.id}", "deployment.started.v1"),
    ]


def finished(of: Deployment) -> list[Step]:
    """Return the delivery that it came to its end."""
    return [
        github.deployment_status(of, _deploying(of), of.outcome),
        Await(f"deployment:{of.id}", "deployment.finished.v1"),
    ]


def deployed(of: Deployment) -> list[Step]:
    """Return a whole deployment."""
    return [*started(of)[:-1], *finished(of)]


def _deploying(of: Deployment) -> Run:
    content = of.content
    change, release = content.changes[-1], of.release
    slot = 3 if of.kind == "rollback" else _SLOT[of.environment.id, of.attempt]
    return Run(
        repo=release.service.repo,
        workflow="deploy",
        trigger="workflow_dispatch",
        number=100 + release.ordinal * 4 + slot,
        commit=_merge(change),
        branch="main",
        actor=change.reviewer,
        started_at=of.created_at - timedelta(seconds=15),
        finished_at=of.finished_at + timedelta(seconds=10),
        conclusion=of.outcome,
    )
