"""GitHub: changes, runs, packages and releases.

- push to a branch → change.pushed. Tags and deletions say nothing about a change: not recorded.
  `create` neither: it carries no commit, and the push that goes with it does.
- pull_request opened, reopened → change.created; closed and merged → change.merged. GitHub says
  neither the commits nor when the first was made: `commit_shas` is empty, `first_commit_at` null.
- pull_request_review submitted, dismissed → change.reviewed.
- workflow_run, check_run → pipelinerun.started and .finished, once per run and attempt.
- registry_package published → artifact.published.
- release published → the foreign type `com.github.release.published`: a tag with notes is no
  release of ours (which is planned, assessed and judged) and no word of the catalogue means it.
  It stands in the history of its service and, where GitHub gives the commit, of that change.
"""

from __future__ import annotations

import re
from typing import Any

from contracts.ijson import Json
from services.ledger.hooks import git_people
from services.ledger.hooks.adapter import CannotMap, Fact, identifier, present
from services.ledger.hooks.github_hook import Hook, is_null_sha, is_sha, outcome, person
from services.ledger.hooks.reading import each, find, moment, need, prose

_BRANCH = "refs/heads/"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CONTAINERS = frozenset({"container", "docker"})
_FIRST_WINS: frozenset[str] = frozenset()
_SAME_OUTCOME = frozenset({"outcome"})


def pushed(hook: Hook) -> list[Fact]:
    """Map a push. `ref` is the branch's short name, as in a pull request's `source_ref`."""
    ref, after = need(hook.payload, "ref"), need(hook.payload, "after")
    if not ref.startswith(_BRANCH) or is_null_sha(after):
        return []
    branch, before = ref.removeprefix(_BRANCH), need(hook.payload, "before")
    pushed_at = find(hook.payload, "repository", "pushed_at")
    data = present(
        repo=hook.repo,
        ref=branch,
        before=before,
        after=after,
        default_branch=branch == find(hook.payload, "repository", "default_branch"),
        forced=find(hook.payload, "forced") is True,
        commits=[_commit(hook, c) for c in each(hook.payload, "commits")],
        pusher=person(find(hook.payload, "sender")),
    )
    time = moment(pushed_at) or moment(find(hook.payload, "head_commit", "timestamp"))
    return [hook.fact("change.pushed.v1", ("push", ref, before, after, time), data, time=time)]


def _commit(hook: Hook, commit: Any) -> dict[str, Json]:
    """Name its people where the connection wants that: GitHub gives addresses here, and no id."""
    data = present(sha=need(commit, "id"), committed_at=moment(find(commit, "timestamp")))
    return data | (git_people.people(commit) if hook.scope.commit_people else {})


def opened(hook: Hook) -> list[Fact]:
    """Map a pull request that was opened or opened again."""
    pull, action = find(hook.payload, "pull_request"), need(hook.payload, "action")
    time = moment(need(pull, "created_at" if action == "opened" else "updated_at"))
    key = ("pull_request", need(pull, "id"), action, None if action == "opened" else time)
    return [hook.fact("change.created.v1", key, _pull(hook, pull), time=time)]


def closed(hook: Hook) -> list[Fact]:
    """Map a pull request that was merged; one that was dropped is not recorded."""
    pull = find(hook.payload, "pull_request")
    if find(pull, "merged") is not True:
        return []
    merged: dict[str, Json] = {
        "merge_sha": need(pull, "merge_commit_sha"),
        "commit_shas": [],
        "first_commit_at": None,
    }
    key = ("pull_request", need(pull, "id"), "merged")
    time = moment(need(pull, "merged_at"))
    return [hook.fact("change.merged.v1", key, _pull(hook, pull) | merged, time=time)]


def _pull(hook: Hook, pull: Any) -> dict[str, Json]:
    return present(
        repo=hook.repo,
        change_id=f"{hook.repo}#{need(pull, 'number')}",
        head_sha=need(pull, "head", "sha"),
        source_ref=need(pull, "head", "ref"),
        target=need(pull, "base", "ref"),
        author=person(find(pull, "user")),
        title=prose(find(pull, "title")),
    )


def reviewed(hook: Hook) -> list[Fact]:
    """Map a review of a pull request, bound to the commit that was looked at."""
    review, action = find(hook.payload, "review"), need(hook.payload, "action")
    reviewer = person(find(review, "user"))
    if reviewer is None:
        raise CannotMap("/review/user is missing")
    data: dict[str, Json] = {
        "repo": hook.repo,
        "change_id": f"{hook.repo}#{need(hook.payload, 'pull_request', 'number')}",
        "head_sha": need(review, "commit_id"),
        "reviewer": reviewer,
        "verdict": need(review, "state").lower(),
    }
    time = moment(find(review, "submitted_at")) if action == "submitted" else None
    key = ("pull_request_review", need(review, "id"), action)
    return [hook.fact("change.reviewed.v1", key, data, time=time)]


def workflow_run(hook: Hook) -> list[Fact]:
    """Map a workflow run. It has no field for its end; with `completed`, `updated_at` is that."""
    run = find(hook.payload, "workflow_run")
    done = need(hook.payload, "action") == "completed"
    name = prose(find(run, "name")) or need(hook.payload, "workflow", "name")
    time = find(run, "updated_at") if done else find(run, "run_started_at")
    attempt = find(run, "run_attempt") or 1
    return [_run(hook, run, (f"github-run-{need(run, 'id')}", name, attempt, moment(time), done))]


def check_run(hook: Hook) -> list[Fact]:
    """Map a check; one that is only queued has not started."""
    run = find(hook.payload, "check_run")
    done = need(hook.payload, "action") == "completed"
    if not done and find(run, "status") != "in_progress":
        return []
    time = moment(find(run, "completed_at" if done else "started_at"))
    return [_run(hook, run, (f"github-check-{need(run, 'id')}", need(run, "name"), 1, time, done))]


def _run(hook: Hook, run: Any, about: tuple[str, str, int, str | None, bool]) -> Fact:
    run_id, name, attempt, time, done = about
    data = present(
        pipeline=name,
        run_id=run_id,
        attempt=attempt,
        commit_sha=need(run, "head_sha"),
        repo=hook.repo,
        uri=find(run, "html_url"),
    )
    if not done:
        key = (run_id, attempt, "started")
        return hook.fact("pipelinerun.started.v1", key, data, time=time, agree=_FIRST_WINS)
    data["outcome"] = outcome(need(run, "conclusion"))
    key = (run_id, attempt, "finished")
    return hook.fact("pipelinerun.finished.v1", key, data, time=time, agree=_SAME_OUTCOME)


def package_published(hook: Hook) -> list[Fact]:
    """Map a published package version; only a container's digest names what was published."""
    package = find(hook.payload, "registry_package") or find(hook.payload, "package")
    version = find(package, "package_version")
    digest, purl = _digest(version), _purl(package)
    data = present(purl=purl, digest=digest, repository=hook.repo, uri=find(package, "html_url"))
    time = moment(find(version, "created_at"))
    subject = f"artifact:{digest or purl}"
    key = ("package", need(version, "id"), digest or purl)
    return [hook.fact("artifact.published.v1", key, data, time=time, subject=subject)]


def _digest(version: Any) -> str | None:
    """Return the manifest's digest; the version of a container package is its digest, too."""
    claims = (find(version, "container_metadata", "manifest", "digest"), find(version, "version"))
    return next((c for c in claims if isinstance(c, str) and _DIGEST.fullmatch(c)), None)


def _purl(package: Any) -> str:
    kinds = {str(find(package, name)).lower() for name in ("ecosystem", "package_type")}
    kind = "oci" if kinds & _CONTAINERS else need(package, "package_type").lower()
    name, version = need(package, "name"), need(package, "package_version", "version")
    return identifier(f"pkg:{kind}/{name.lower()}@{version}")


def release_published(hook: Hook) -> list[Fact]:
    """Map a published GitHub release as a foreign fact; see the head of this file."""
    release = find(hook.payload, "release")
    target = find(release, "target_commitish")
    data = present(
        repo=hook.repo,
        tag=need(release, "tag_name"),
        target=target,
        prerelease=find(release, "prerelease") is True,
        author=person(find(release, "author")),
        uri=find(release, "html_url"),
    )
    return [
        hook.foreign_fact(
            "com.github.release.published",
            ("release", need(release, "id"), "published"),
            data,
            time=moment(find(release, "published_at")),
            subject=f"service:{hook.service}",
            subjects=[f"change:{hook.repo}@{target}"] if is_sha(target) else None,
        )
    ]
