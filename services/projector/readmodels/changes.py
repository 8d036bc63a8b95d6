"""Changes and commits: what was merged, and the order in which commits reached each branch."""

from __future__ import annotations

from collections.abc import Iterator

from services.projector.readmodels.fact import Fact, canonical, table, text
from services.projector.readmodels.rows import Key, Row, Rows


def keys(fact: Fact, _: Rows) -> Iterator[Key]:
    """Declare the change that was opened or merged."""
    if fact.name in {"change.created", "change.merged"}:
        yield "change", (fact.text("repo") or "", fact.text("change_id") or "")


def apply(fact: Fact, rows: Rows) -> None:
    """Keep the change, or the commits of a push in their order."""
    if fact.name == "change.pushed":
        for row in _commits(fact):
            rows.log("commit", row)
    if fact.name in {"change.created", "change.merged"}:
        repo, change = fact.text("repo"), fact.text("change_id")
        if repo and change:
            row = rows.get("change", repo, change) or _new(repo, change)
            rows.put("change", row | _said(row, fact) | _merged(fact))


def branch(ref: str | None) -> str | None:
    """Return the branch's plain name: senders write `main` or `refs/heads/main`."""
    return ref.removeprefix("refs/heads/") if ref else None


def _new(repo: str, change: str) -> Row:
    return {
        "repo": repo, "change_id": change, "title": None, "author": None, "head_sha": None,
        "source_ref": None, "target": None, "merge_sha": None, "merged_at": None,
        "first_commit_at": None, "commit_shas": [], "position": None,
    }  # fmt: skip


def _said(row: Row, fact: Fact) -> Row:
    names = ("title", "author", "head_sha", "target")
    said = {name: fact.text(name) or row[name] for name in names}
    return said | {"source_ref": branch(fact.text("source_ref")) or row["source_ref"]}


def _merged(fact: Fact) -> Row:
    if fact.name != "change.merged":
        return {}
    return {
        "merge_sha": fact.text("merge_sha"),
        "merged_at": fact.at,
        "first_commit_at": fact.time("first_commit_at"),
        "commit_shas": fact.texts("commit_shas"),
        "position": fact.position,
    }


def _commits(fact: Fact) -> Iterator[Row]:
    repo, ref, after = fact.text("repo"), branch(fact.text("ref")), fact.text("after")
    if not repo or not ref or not after or not after.strip("0"):
        return  # all zeros: the branch was removed
    sent = fact.data.get("commits")
    listed = [table(item) for item in sent] if isinstance(sent, list) else []
    commits = [item for item in listed if text(item.get("sha"))]
    if not commits or commits[-1]["sha"] != after:
        commits.append({"sha": after})  # a sender that cuts its list still tells the new end
    for ordinal, commit in enumerate(commits):
        yield {
            "position": fact.position,
            "ordinal": ordinal,
            "repo": repo,
            "ref": ref,
            "sha": commit["sha"],
            "committed_at": canonical(commit.get("committed_at")),
            "pushed_at": fact.at,
            "default_branch": fact.data.get("default_branch") is True,
        }
