"""The objects inside GitHub's webhooks that say what changed: commits and pull requests."""

from __future__ import annotations

from datetime import datetime

from demo.github_objects import (
    Object,
    Repository,
    account,
    node_id,
    person,
    repository,
    stamp,
)
from demo.work import Change, Commit


def commit_of_push(repo: Repository, commit: Commit, *, distinct: bool = True) -> Object:
    """Return a commit as `push` lists it."""
    who = {
        "name": commit.author.name,
        "email": commit.author.email,
        "username": commit.author.login,
    }
    seed = repo.seed
    return {
        "id": commit.sha,
        "tree_id": seed.sha("tree", commit.sha),
        "distinct": distinct,
        "message": commit.message,
        "timestamp": stamp(commit.at),
        "url": f"{repo.web}/commit/{commit.sha}",
        "author": who,
        "committer": who,
        "added": [],
        "removed": [],
        "modified": [f"internal/{seed.hex('file', commit.sha)[:6]}/handler.go"],
    }


def head_commit(commit: Commit, seed_tree: str) -> Object:
    """Return a commit as a workflow run has it."""
    who = {"name": commit.author.name, "email": commit.author.email}
    return {
        "id": commit.sha,
        "tree_id": seed_tree,
        "message": commit.message,
        "timestamp": stamp(commit.at),
        "author": who,
        "committer": who,
    }


def pull_reference(change: Change) -> Object:
    """Return a pull request as check suites and runs name it."""
    repo = change.repo
    at = {"id": repo.id, "url": repo.api, "name": repo.name}
    return {
        "url": f"{repo.api}/pulls/{change.number}",
        "id": pull_id(change),
        "number": change.number,
        "head": {"ref": change.branch, "sha": change.head, "repo": at},
        "base": {"ref": "main", "sha": change.base, "repo": at},
    }


def pull_id(change: Change) -> int:
    """Return GitHub's global number of a pull request."""
    return change.repo.seed.number("pull", change.repo.name, change.number)


def pull_request(change: Change, at: datetime) -> Object:
    """Return a whole pull request as it stood at a moment."""
    repo, number = change.repo, pull_id(change)
    merged = change.merged_at is not None and at >= change.merged_at
    api, page = f"{repo.api}/pulls/{change.number}", f"{repo.web}/pull/{change.number}"
    issue = f"{repo.api}/issues/{change.number}"
    return {
        "url": api,
        "id": number,
        "node_id": node_id("PR", number),
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": issue,
        "number": change.number,
        "state": "closed" if merged else "open",
        "locked": False,
        "title": change.title,
        "user": person(repo.seed, change.author),
        "body": f"Closes {change.ticket}.",
        "created_at": stamp(change.opened_at),
        "updated_at": stamp(at),
        "closed_at": stamp(at) if merged else None,
        "merged_at": stamp(at) if merged else None,
        "merge_commit_sha": change.merge_sha if merged else None,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [] if merged else [person(repo.seed, change.reviewer)],
        "requested_teams": [],
        "labels": [],
        "milestone": None,
        "draft": False,
        "commits_url": f"{api}/commits",
        "review_comments_url": f"{api}/comments",
        "review_comment_url": f"{repo.api}/pulls/comments{{/number}}",
        "comments_url": f"{issue}/comments",
        "statuses_url": f"{repo.api}/statuses/{change.head}",
        "head": _side(change, change.branch, change.head, at),
        "base": _side(change, "main", change.base, at),
        "_links": _pull_links(change),
        "author_association": "MEMBER",
        "auto_merge": None,
        "active_lock_reason": None,
    }


def merge_members(change: Change, at: datetime) -> Object:
    """Return the members that a pull request has in `pull_request`, but not in reviews."""
    merged = change.merged_at is not None and at >= change.merged_at
    size = 20 + 17 * len(change.commits)
    return {
        "merged": merged,
        "mergeable": None,
        "rebaseable": None,
        "mergeable_state": "unknown",
        "merged_by": person(change.repo.seed, change.reviewer) if merged else None,
        "comments": 0,
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": len(change.commits),
        "additions": size,
        "deletions": size // 3,
        "changed_files": 1 + len(change.commits),
    }


def _side(change: Change, ref: str, sha: str, at: datetime) -> Object:
    return {
        "label": f"acme:{ref}",
        "ref": ref,
        "sha": sha,
        "user": account(change.repo.seed, "acme", "Organization"),
        "repo": repository(change.repo, at),
    }


def _pull_links(change: Change) -> Object:
    repo = change.repo
    api, issue = f"{repo.api}/pulls/{change.number}", f"{repo.api}/issues/{change.number}"
    targets = {
        "self": api,
        "html": f"{repo.web}/pull/{change.number}",
        "issue": issue,
        "comments": f"{issue}/comments",
        "review_comments": f"{api}/comments",
        "review_comment": f"{repo.api}/pulls/comments{{/number}}",
        "commits": f"{api}/commits",
        "statuses": f"{repo.api}/statuses/{change.head}",
    }
    return {name: {"href": target} for name, target in targets.items()}
