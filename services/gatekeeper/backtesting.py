"""Backtesting: what would a policy have said wherever a decision was made? Over real history.

The events are read once and kept in memory, with an index by subject. Each recorded decision is a
point: the same release, gate and instant, and what was known then, judged by the candidate alone.
Between two points nobody asked, so nothing is said about it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from contracts.decision import Decision, Verdict
from contracts.event import OURS, HistoryPage, RecordedEvent, parse_time
from services.gatekeeper.folding import DECISION
from services.gatekeeper.judge import judge
from services.gatekeeper.permits import ALLOWED
from services.gatekeeper.policy import Applied, Policy
from services.gatekeeper.reading import Reader

_FINISHED, _COMPLETED = OURS + "deployment.finished.v1", OURS + "release.completed.v1"
_TRIGGERED, _ATTRIBUTED = OURS + "rollback.triggered.v1", OURS + "incident.attributed.v1"
_BACK = OURS + "service.rolledback.v1"
_BAD = frozenset({"failure", "partial"})


class Remembered:
    """A ledger's events in memory: `reading.Histories`."""

    def __init__(self, events: Iterable[RecordedEvent] = ()) -> None:
        self.events: list[RecordedEvent] = []
        self._by_subject: dict[str, list[RecordedEvent]] = {}
        self.extend(events)

    def extend(self, events: Iterable[RecordedEvent]) -> None:
        """Take the ledger's next events."""
        for event in events:
            self.events.append(event)
            for subject in event.versions:
                self._by_subject.setdefault(subject, []).append(event)

    async def history(
        self, ledger: str, subject: str, *, after_version: int = 0, as_of: str | None = None
    ) -> HistoryPage:
        """See `ports.Ledger.history`; `as_of` is a position."""
        del ledger
        head = self.events[-1].position if as_of is None and self.events else int(as_of or 0)
        every = self._by_subject.get(subject, [])
        version = bisect_right(every, head, key=attrgetter("position"))
        events = every[after_version:version]
        return HistoryPage.model_construct(
            subject=subject, version=version, events=events, head=head, checkpoint=None
        )

    async def histories(
        self, ledger: str, subjects: Sequence[str], *, as_of: str | None = None
    ) -> list[HistoryPage]:
        """See `ports.Ledger.histories`."""
        return [await self.history(ledger, subject, as_of=as_of) for subject in subjects]


@dataclass(frozen=True, slots=True)
class Change:
    """A decision that would have been another."""

    position: int
    decision_id: str
    release: str
    gate: str
    was: Verdict
    would_be: Verdict
    rules: tuple[str, ...]
    """Those that did not say the same in both: `id: status there → status here`."""
    summary: str


@dataclass(slots=True)
class Backtest:
    """What came of it. Times are sums over releases and gates."""

    decisions: int = 0
    """Decisions that were looked at."""
    covered: int = 0
    """Those that the candidate would have answered."""
    verdicts: Counter[tuple[Verdict, Verdict]] = field(default_factory=Counter)
    """(was, would be) → how often."""
    changes: list[Change] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    """Releases that were let pass, and that ended badly, were taken back or caused an incident."""
    blocked: set[str] = field(default_factory=set)
    """Those of them that the candidate would not have let pass."""
    added: timedelta = timedelta(0)
    saved: timedelta = timedelta(0)
    """Waiting from the first question to the first yes."""
    never: set[str] = field(default_factory=set)
    """Releases that passed, and would not have at any point."""

    @property
    def releases(self) -> list[str]:
        """The releases that it would have made a difference to."""
        return sorted({change.release for change in self.changes})


@dataclass(slots=True)
class _Course:
    """The way of one release through one gate: when it was asked first, when it was let pass."""

    asked: datetime
    passed: datetime | None = None
    would_pass: datetime | None = None


async def backtest(
    history: Remembered, ledger: str, candidate: Policy, first: int = 1, last: int | None = None
) -> Backtest:
    """Judge every decision in a range of positions by `candidate`."""
    reader, found = Reader(history, ledger, ()), Backtest()
    courses: dict[tuple[str, str], _Course] = {}
    ends: dict[tuple[str, str], bool] = {}
    head = last or (history.events[-1].position if history.events else 0)
    for event in history.events:
        if event.position > head:
            break
        if event.type != DECISION or event.position < first or event.redacted:
            continue
        said = event.data["decision"]
        release, gate, as_of = said["release"], said["gate"], parse_time(said["as_of"])
        found.decisions += 1
        read = await reader.read_for(release, gate, candidate, event.position - 1)
        if not isinstance(read.applied, Applied):
            continue
        found.covered += 1
        would = judge(read.facts, read.applied, as_of)
        found.verdicts[said["decision"], would.decision] += 1
        if said["decision"] != would.decision:
            found.changes.append(
                Change(event.position, event.data["decision_id"], release, gate,
                       said["decision"], would.decision, _differ(said, would), would.summary)
            )  # fmt: skip
        course = courses.setdefault((release, gate), _Course(as_of))
        if said["decision"] in ALLOWED:
            course.passed = course.passed or as_of
            ends[release, gate] = would.decision in ALLOWED
        if would.decision in ALLOWED:
            course.would_pass = course.would_pass or as_of
    for release in {release for release, _ in ends}:
        if await _failed(reader, release, str(head)):
            found.failed.add(release)
    _add_up(found, courses, ends)
    return found


def _differ(said: Mapping[str, Any], would: Decision) -> tuple[str, ...]:
    was = {rule["rule"]: rule["status"] for rule in said["rules"]}
    is_ = {rule.rule: rule.status for rule in would.rules}
    return tuple(
        f"{id_}: {was.get(id_, 'not there')} → {is_.get(id_, 'not there')}"
        for id_ in {**was, **is_}
        if was.get(id_) != is_.get(id_)
    )


async def _failed(reader: Reader, release: str, head: str) -> bool:
    """Say whether a release or a deployment of it ended badly, was taken back, or is what an
    incident was attributed to.
    """
    page = await reader.history(f"release:{release}", head)
    mine = [event for event in page.events if event.data.get("release_id") == release]
    shipped = {event.data["deployment_id"] for event in mine if event.type == _FINISHED}
    about = await reader.histories([f"deployment:{id_}" for id_ in sorted(shipped)], head)
    told = (event for one in about for event in one.events)
    return any(map(_ended_badly, mine)) or any(_undoes(event, shipped) for event in told)


def _ended_badly(event: RecordedEvent) -> bool:
    ended = event.type in {_FINISHED, _COMPLETED} and event.data.get("outcome") in _BAD
    return ended or event.type == _BACK


def _undoes(event: RecordedEvent, shipped: set[str]) -> bool:
    named = "remediates" if event.type == _FINISHED else "deployment_id"
    undone = event.type in {_TRIGGERED, _ATTRIBUTED} or event.data.get("outcome") == "success"
    known = event.type in {_TRIGGERED, _ATTRIBUTED, _FINISHED}
    return known and undone and event.data.get(named) in shipped


def _add_up(
    found: Backtest,
    courses: dict[tuple[str, str], _Course],
    ends: dict[tuple[str, str], bool],
) -> None:
    """Add up failures and waiting. `ends`: whether the last yes at a gate would have been one."""
    found.blocked = {r for (r, _), yes in ends.items() if not yes and r in found.failed}
    for (release, _), course in courses.items():
        if course.passed is None:
            continue
        if course.would_pass is None:
            found.never.add(release)
            continue
        shift = course.would_pass - course.passed
        found.added += max(shift, timedelta(0))
        found.saved += max(-shift, timedelta(0))
