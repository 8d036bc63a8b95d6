"""Which deployment brought which change to production first: pure, over recorded rows.

What a deployment contains is the commits of the default branch behind the mark of earlier successes
of the same service and environment, up to its own commit, in the order in which pushes were
recorded. So a change counts once: a rollback contains nothing, and what is rolled out again is old.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from contracts.event import parse_time
from services.projector.measures import Observation
from services.projector.readmodels.rows import Row

Reason = Literal["", "no_commit_link", "baseline", "no_commit_times", "clock_anomaly"]
"""Why something is left out; docs/kpis.md explains each."""
Place = tuple[int, int]
"""Where a commit stands on its branch: position of the push, and its number in it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change on the default branch: a merge, or the commits of one direct push."""

    label: str
    place: Place
    """Of its last commit."""
    first_commit_at: str | None
    merged_at: str


@dataclass(frozen=True, slots=True)
class Lead:
    """One change and its first deployment, or a deployment that tells nothing, and why."""

    label: str
    service: str
    release_id: str | None
    at: str
    position: int
    seconds: float | None = None
    since_merge: float | None = None
    reason: Reason = ""

    @property
    def counted(self) -> bool:
        """Whether it enters the figures."""
        return not self.reason

    def observation(self) -> Observation:
        """Show it as a KPI's observation."""
        return Observation(
            label=self.label, release_id=self.release_id, service=self.service, at=self.at,
            value=self.seconds, position=self.position, counted=self.counted, reason=self.reason,
        )  # fmt: skip


def first_deployments(
    deployments: Sequence[Row], commits: Sequence[Row], changes: Sequence[Row]
) -> list[Lead]:
    """Return every change with the first success that contains it, in order of position.

    Reasons for leaving out: `no_commit_link` (the deployment's commit is on no recorded default
    branch), `baseline` (a first deployment: nobody knows what was there before),
    `no_commit_times` (nobody said when work began), `clock_anomaly` (the times contradict).
    """
    branches = _branches(commits)
    places = {repo: _places(rows) for repo, rows in branches.items()}
    contents = {repo: list(_changes(repo, branches, commits, changes)) for repo in branches}
    marks: dict[tuple[str, str, str], Place] = {}
    seen: set[tuple[str, Place]] = set()
    leads: list[Lead] = []
    for row in deployments:
        repo = _repo(row, places)
        if repo is None:
            leads.append(_lead(row, row["deployment_id"], "no_commit_link"))
            continue
        chain, head = (row["service"], row["environment"], repo), places[repo][row["head_sha"]]
        mark = marks.get(chain)
        if mark is None:
            leads.append(_lead(row, row["deployment_id"], "baseline"))
        for change in _between(contents[repo], mark, head):
            if (repo, change.place) not in seen:
                leads.append(_measured(row, change))
                seen.add((repo, change.place))
        marks[chain] = max(mark or head, head)
    return leads


def _branches(commits: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the commits of each repository's default branch, in the order of their pushes."""
    found: dict[str, list[Row]] = {}
    for row in sorted(commits, key=lambda row: (row["position"], row["ordinal"])):
        if row["default_branch"]:
            found.setdefault(row["repo"], []).append(row)
    return found


def _places(rows: Iterable[Row]) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for row in rows:
        found.setdefault(row["sha"], (row["position"], row["ordinal"]))
    return found


def _repo(row: Row, places: dict[str, dict[str, Place]]) -> str | None:
    """Return the repository whose default branch holds the deployed commit; never a guess."""
    if row["repo"] is not None:
        return row["repo"] if row["head_sha"] in places.get(row["repo"], {}) else None
    holding = [repo for repo, known in places.items() if row["head_sha"] in known]
    return holding[0] if len(holding) == 1 else None


def _between(changes: list[Change], mark: Place | None, head: Place) -> list[Change]:
    if mark is None:
        return []
    ends = [change.place for change in changes]
    return changes[bisect_right(ends, mark) : bisect_right(ends, head)]


def _measured(row: Row, change: Change) -> Lead:
    finished, merged = parse_time(row["finished_at"]), parse_time(change.merged_at)
    if change.first_commit_at is None:
        return _lead(row, change.label, "no_commit_times")
    began = parse_time(change.first_commit_at)
    if began > merged or finished < merged:
        return _lead(row, change.label, "clock_anomaly")
    seconds, since = (finished - began).total_seconds(), (finished - merged).total_seconds()
    return _lead(row, change.label, "", seconds, since)


def _lead(
    row: Row, label: str, reason: Reason, seconds: float | None = None, since: float | None = None
) -> Lead:
    return Lead(
        label, row["service"], row["release_id"], row["finished_at"], row["position"],
        seconds, since, reason,
    )  # fmt: skip


def _changes(
    repo: str, branches: dict[str, list[Row]], commits: Sequence[Row], changes: Sequence[Row]
) -> Iterator[Change]:
    """Cut the default branch into changes: each ends at a merge, or with its direct push."""
    merged = {row["merge_sha"]: row for row in changes if row["repo"] == repo}
    inside = {sha for row in merged.values() for sha in row["commit_shas"]}
    begins = _Begins(repo, commits)
    known: set[str] = set()
    for _, push in groupby(branches[repo], key=lambda row: row["position"]):
        part: list[Row] = []
        for row in push:
            if row["sha"] in known:
                continue
            known.add(row["sha"])
            part.append(row)
            if row["sha"] in merged:
                yield _merge(merged[row["sha"]], part, begins)
                part = []
        if own := [row for row in part if row["sha"] not in inside]:
            yield _direct(own)


def _merge(change: Row, part: list[Row], begins: _Begins) -> Change:
    # The merge commit is made by the merge; squashed, it says nothing of when work began.
    brought = [row["committed_at"] for row in part[:-1] if row["committed_at"]]
    began = change["first_commit_at"] or min([*begins.of(change), *brought], default=None)
    end = part[-1]
    place = (end["position"], end["ordinal"])
    number = change["change_id"]
    label = number if change["repo"] in number else f"{change['repo']}#{number}"
    return Change(label, place, began, change["merged_at"])


def _direct(part: list[Row]) -> Change:
    end = part[-1]
    times = [row["committed_at"] for row in part if row["committed_at"]]
    place = (end["position"], end["ordinal"])
    label = f"{end['repo']}@{end['sha'][:12]}"
    return Change(label, place, min(times, default=None), end["pushed_at"])


class _Begins:
    """When work on a change began, by the pushes to its branch."""

    def __init__(self, repo: str, commits: Sequence[Row]) -> None:
        self._by_ref: dict[str, list[Row]] = {}
        self._by_sha: dict[str, list[Row]] = {}
        self._last: dict[str, int] = {}
        for row in commits:
            if row["repo"] == repo and not row["default_branch"] and row["committed_at"]:
                self._by_ref.setdefault(row["ref"], []).append(row)
                self._by_sha.setdefault(row["sha"], []).append(row)

    def of(self, change: Row) -> list[str]:
        """Return the times of its commits. Ask in order: a branch name may serve again later."""
        shas = {change["head_sha"], *change["commit_shas"]}
        rows = [row for sha in shas for row in self._by_sha.get(sha, ())]
        ref = change["source_ref"]
        if ref is not None:
            since, until = self._last.get(ref, 0), change["position"]
            rows += [row for row in self._by_ref.get(ref, ()) if since < row["position"] < until]
            self._last[ref] = until
        return [row["committed_at"] for row in rows]
