"""What an append decides, in plain Python: no clock, no database, no network.

Read in this order: `Item` (one event, ready to be stored), `Request` (items that stand or fall
together), `Snapshot` (what the database said), `decide` (requests in order → `Plan`). A plan is
stored only if the head has not moved: then nothing in the snapshot has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from contracts.event import Event, Origin, Receipt
from contracts.problem import Conflict, IdConflict, Problem
from contracts.subject import MAX_PER_EVENT

Kind = Literal["appended", "duplicate", "conflict", "id_conflict", "invalid", "refused"]
EventKey: TypeAlias = tuple[UUID, str]
"""What identifies an event for ever: its id (as a UUID) and its source."""


@dataclass(frozen=True, slots=True)
class Submission:
    """An event to be recorded, read by `contracts.catalogue.parse` already."""

    event: Event
    origin: Origin


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer for one submission: a receipt (appended, duplicate) or the problem."""

    kind: Kind
    receipt: Receipt | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One event with everything that can be made before the queue; see `body.make`."""

    uuid: UUID
    event_id: str
    source: str
    type: str
    subjects: tuple[str, ...]
    occurred_at: datetime | None
    principal: str
    assurance: str
    causation: str | None
    salt: bytes
    body: bytes
    commitment: bytes
    """SHA-256(salt ‖ body)."""

    @property
    def key(self) -> EventKey:
        """Return what identifies the event."""
        return (self.uuid, self.source)


@dataclass(frozen=True, slots=True)
class Request:
    """Items that are appended together or not at all, if the expected versions hold."""

    items: tuple[Item, ...]
    expect: Mapping[str, int] = field(default_factory=dict)

    @property
    def subjects(self) -> set[str]:
        """Return every subject whose version the decision needs."""
        return {key for item in self.items for key in item.subjects} | set(self.expect)


@dataclass(frozen=True, slots=True)
class Head:
    """The last event. An empty ledger has position 0 and an empty commitment."""

    position: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """A subject that has a history."""

    id: int
    version: int


NOBODY = Known(0, 0)  # a subject that no event has named


@dataclass(frozen=True, slots=True)
class Stored:
    """An event that is there already, with what it takes to compare another one's content."""

    position: int
    salt: bytes | None
    """None when the body was redacted: then nothing can be compared."""
    commitment: bytes

    def has_content_of(self, item: Item) -> bool:
        """Say whether `item` would be the same event, compared under the salt of the stored one."""
        if self.salt is None:
            return False
        return hashlib.sha256(self.salt + item.body).digest() == self.commitment


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state that a decision rests on, as of one instant."""

    head: Head
    subjects: Mapping[str, Known]
    stored: Mapping[EventKey, Stored]


@dataclass(frozen=True, slots=True)
class Placed:
    """An item with its position, and the id and version of each of its subjects."""

    item: Item
    position: int
    subject_ids: tuple[int, ...]
    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one item. Its receipt is that of the event at `position`."""

    kind: Literal["appended", "duplicate", "conflict", "id_conflict"]
    position: int | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to store if the head is still `expected`, and the verdicts that then hold."""

    expected: Head
    placed: list[Placed]
    new_subjects: dict[str, int]
    verdicts: list[list[Verdict]]
    """One list per request, one verdict per item."""

    @property
    def head(self) -> int:
        """Return the last position once the plan is stored."""
        return self.expected.position + len(self.placed)

    @property
    def earlier(self) -> list[int]:
        """Return the positions below the plan whose receipts the verdicts need."""
        found = {v.position for verdicts in self.verdicts for v in verdicts if v.problem is None}
        return sorted(p for p in found if p is not None and p <= self.expected.position)


def decide(snapshot: Snapshot, requests: Sequence[Request]) -> Plan:
    """Decide the requests in order, each on what the ones before it leave behind.

    A request that is refused leaves no trace: no position, no version, no new subject.
    """
    ahead = _Ahead(snapshot)
    verdicts = [ahead.judge(request) for request in requests]
    return Plan(snapshot.head, ahead.placed, ahead.new_subjects, verdicts)


class _Ahead:
    """The snapshot with the effects of the requests that were accepted so far laid over it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._position = snapshot.head.position
        self._subjects = dict(snapshot.subjects)
        self._stored = dict(snapshot.stored)
        self.placed: list[Placed] = []
        self.new_subjects: dict[str, int] = {}

    def judge(self, request: Request) -> list[Verdict]:
        """Accept or refuse a request as a whole: all is checked before anything is placed."""
        if (refusal := self._refusal(request)) is not None:
            return [refusal] * len(request.items)
        return [self._accept(item) for item in request.items]

    def _refusal(self, request: Request) -> Verdict | None:
        there: list[Stored] = []
        for item in request.items:
            if (stored := self._stored.get(item.key)) is not None:
                if not stored.has_content_of(item):
                    return _taken(f"{item.event_id!r} names other content", stored.position)
                there.append(stored)
        if len(there) == len(request.items):
            return None  # sent again: the first receipts, whatever has happened since
        if there:
            return _taken("only a part of the group is stored already,", there[0].position)
        return _twice(request.items) or self._unmet(request.expect)

    def _unmet(self, expect: Mapping[str, int]) -> Verdict | None:
        actual = {key: self._subjects.get(key, NOBODY).version for key in expect}
        failing = {key: version for key, version in actual.items() if version != expect[key]}
        if not failing:
            return None
        named = ", ".join(f"{key} is at version {version}" for key, version in failing.items())
        return Verdict("conflict", problem=Conflict(named, actual=failing))

    def _accept(self, item: Item) -> Verdict:
        if (stored := self._stored.get(item.key)) is None:
            return Verdict("appended", self._place(item))
        # The same commitment means the same random salt: this very item was stored by an earlier
        # try of ours whose answer got lost. To its sender it is news, not a duplicate.
        ours = stored.commitment == item.commitment
        return Verdict("appended" if ours else "duplicate", stored.position)

    def _place(self, item: Item) -> int:
        self._position += 1
        next_ = [self._next(key, index) for index, key in enumerate(item.subjects)]
        ids, versions = (tuple(k.id for k in next_), tuple(k.version for k in next_))
        self.placed.append(Placed(item, self._position, ids, versions))
        self._stored[item.key] = Stored(self._position, item.salt, item.commitment)
        return self._position

    def _next(self, key: str, index: int) -> Known:
        """Move a subject to its next version; a new one gets an id that no other event can give."""
        last = self._subjects.get(key)
        if last is None:
            last = Known(self._position * MAX_PER_EVENT + index, 0)
            self.new_subjects[key] = last.id
        self._subjects[key] = moved = Known(last.id, last.version + 1)
        return moved


def _taken(detail: str, position: int) -> Verdict:
    where = f"{detail} at position {position}"
    return Verdict("id_conflict", position, IdConflict(where, position=position))


def _twice(items: Sequence[Item]) -> Verdict | None:
    """Refuse a group that uses one id for two different events."""
    first: dict[EventKey, Item] = {}
    for item in items:
        if first.setdefault(item.key, item).body != item.body:
            problem = IdConflict(f"the group gives {item.event_id!r} to two different events")
            return Verdict("id_conflict", problem=problem)
    return None
