"""Which subjects belong to which releases, learned from the events that name both.

A candidate names its artifacts and changes; an artifact's build names its commit; a merge names
both ends of a change. So an event that names only a commit still finds its release, and a release
finds the events that came before it.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.projector.readmodels.fact import Fact
from services.projector.readmodels.rows import Key, Row, Rows

DEPLOYING = frozenset({"deployment", "rollout", "analysis", "verification", "rollback"})
"""Nouns whose events are about one deployment."""


def keys(fact: Fact, rows: Rows) -> Iterator[Key]:
    """Declare the links of every subject in reach, as far as it is known yet."""
    reach = {*fact.linkable, *_shipped(fact)}
    for pair in siblings(fact):
        reach.update(pair)
    if repaired := fact.text("remediates"):
        reach.add(f"deployment:{repaired}")
    for subject in _closure(reach, rows):
        yield "link", (subject,)
    for release in _explicit(fact):
        yield "release", (release,)
    for subject in reach:
        link = rows.known("link", subject)
        for release in link["releases"] if link else ():
            yield "release", (release,)


def siblings(fact: Fact) -> list[tuple[str, str]]:
    """Return pairs: what belongs to a release with the first belongs to it with the second."""
    repo = fact.text("repo")
    if fact.name == "change.merged" and repo:
        ends = [fact.text("head_sha"), fact.text("merge_sha")]
        head, merge = (f"change:{repo}@{sha}" for sha in ends)
        return [(head, merge), (merge, head)] if all(ends) else []
    if fact.name == "artifact.packaged" and repo:
        digest, commit = fact.text("digest"), fact.text("commit_sha")
        return [(f"artifact:{digest}", f"change:{repo}@{commit}")] if digest and commit else []
    if fact.name == "pipelinerun.finished" and repo:
        run, commit = fact.text("run_id"), fact.text("commit_sha")
        return [(f"change:{repo}@{commit}", f"pipelinerun:{run}")] if run and commit else []
    return []


def apply(fact: Fact, rows: Rows) -> None:
    """Learn what the event tells about who belongs to whom."""
    for subject, other in siblings(fact):
        row = _link(rows, subject)
        if other not in row["also"]:
            rows.put("link", row | {"also": [*row["also"], other]})
        _join(rows, other, row["releases"])
    releases = concerned(fact, rows)
    for subject in _learned(fact):
        _join(rows, subject, releases)


def concerned(fact: Fact, rows: Rows) -> list[str]:
    """Return the releases that an event is about: those it names, else those of its subjects.

    A deployment is about one release: of several with the same artifact, about the newest.
    """
    explicit = _explicit(fact)
    if explicit:
        return explicit
    if fact.noun not in DEPLOYING:
        return _releases(fact.linkable, rows)
    # Not by the deployment that it repairs, nor by the artifact that it goes back to.
    ways = (_learned(fact), *([key] for key in _shipped(fact)))
    return next((found for way in ways if (found := _releases(way, rows))), [])[-1:]


def of_repaired(fact: Fact, rows: Rows) -> list[str]:
    """Return the releases of the deployment that a rollback or hotfix repairs."""
    repaired = fact.text("remediates")
    return _releases([f"deployment:{repaired}"], rows) if repaired else []


def _releases(subjects: list[str], rows: Rows) -> list[str]:
    found = (row["releases"] for subject in subjects if (row := rows.get("link", subject)))
    return list(dict.fromkeys(release for releases in found for release in releases))


def _explicit(fact: Fact) -> list[str]:
    return list(fact.named("release"))


def _shipped(fact: Fact) -> list[str]:
    """Return what a deployment brings: its artifact, else the commit that it names."""
    if fact.noun != "deployment":
        return []
    repo, head = fact.text("repo"), fact.text("head_sha")
    artifacts = [key for key in fact.linkable if key.startswith("artifact:")]
    return artifacts + ([f"change:{repo}@{head}"] if repo and head else [])


def _learned(fact: Fact) -> list[str]:
    """Return the subjects that become part of the event's releases.

    Only a candidate takes artifacts and changes in: a rollback names another release's artifact.
    """
    if fact.name == "release.candidate_created":
        return fact.linkable
    if fact.noun in DEPLOYING:
        deployment = fact.text("deployment_id")
        return [f"deployment:{deployment}"] if f"deployment:{deployment}" in fact.subjects else []
    return [key for key in fact.linkable if not key.startswith(("artifact:", "change:"))]


def _join(rows: Rows, subject: str, releases: list[str]) -> None:
    for each in _closure_now(subject, rows) if releases else ():
        row = _link(rows, each)
        new = [release for release in releases if release not in row["releases"]]
        if new:
            rows.put("link", row | {"releases": [*row["releases"], *new]})
        for release in new:
            held = rows.get("release", release)
            if held is not None:
                rows.put("release", held | {"linked": [*held["linked"], each]})


def _link(rows: Rows, subject: str) -> Row:
    return rows.get("link", subject) or {"subject": subject, "releases": [], "also": []}


def _closure(subjects: set[str], rows: Rows) -> list[str]:
    seen, found = set(subjects), list(subjects)
    for each in found:  # it grows
        if row := rows.known("link", each):
            new = [key for key in row["also"] if key not in seen]
            seen.update(new)
            found += new
    return found


def _closure_now(subject: str, rows: Rows) -> list[str]:
    seen = [subject]
    for each in seen:
        seen += [key for key in _link(rows, each)["also"] if key not in seen]
    return seen
