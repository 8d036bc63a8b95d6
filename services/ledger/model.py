"""The values of an append, in plain Python: no clock, no database, no network. Nobody changes one,
except `Effects` while its batch is decided; few are frozen, as that makes them dear to make.

Read in this order: `Item` (one event, ready to be stored), `Request` (items that stand or fall
together), `Snapshot` (what the database said). `overlay` is what a process knows from snapshots and
from its own batches in flight; `decision` turns requests into a `Plan` over it. A plan is stored
only if the head has not moved: then nothing that it rests on has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias
from uuid import UUID

from contracts.event import Event, Origin
from contracts.problem import Problem

if TYPE_CHECKING:
    from services.ledger.receipt import Acknowledgement

Kind = Literal["appended", "duplicate", "conflict", "id_conflict", "invalid", "refused"]
EventKey: TypeAlias = tuple[int, str]
"""What identifies an event: its UUID as a number, which is quick to hash, and its source."""


@dataclass(frozen=True, slots=True)
class Submission:
    """An event to be recorded, read by `contracts.catalogue.parse` already."""

    event: Event
    origin: Origin


@dataclass(slots=True)
class Outcome:
    """The answer for one submission: a receipt (appended, duplicate) or the problem."""

    kind: Kind
    receipt: Acknowledgement | None = None
    problem: Problem | None = None


@dataclass(slots=True)
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
    key: EventKey = field(init=False)
    """What identifies the event."""

    def __post_init__(self) -> None:
        """Make the key once; it is looked up again and again."""
        self.key = (self.uuid.int, self.source)


@dataclass(slots=True)
class Request:
    """Items that are appended together or not at all, if the expected versions hold."""

    items: tuple[Item, ...]
    expect: Mapping[str, int] = field(default_factory=dict)


class Head(NamedTuple):
    """The last event. An empty ledger has position 0 and an empty commitment."""

    position: int
    commitment: bytes


class Known(NamedTuple):
    """A subject that has a history."""

    id: int
    version: int


EMPTY = Head(0, b"")
NOBODY = Known(0, 0)  # a subject that no event has named


@dataclass(slots=True)
class Stored:
    """An event that has a position: what its receipt says, and what it takes to compare content."""

    position: int
    salt: bytes | None = field(compare=False)
    """None when the body was redacted: then nothing can be compared."""
    commitment: bytes
    versions: Mapping[str, int]
    recorded_at: datetime | None = None
    """None while the batch of the event is in flight."""

    def has_content_of(self, item: Item) -> bool:
        """Say whether `item` would be the same event, compared under the salt of the stored one."""
        if self.salt is None:
            return False
        return hashlib.sha256(self.salt + item.body).digest() == self.commitment


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the database said, all as of one instant."""

    head: Head
    continues: bool
    """The event at the position that we took for the head is the one that we know."""
    subjects: Mapping[str, Known]
    """The subjects that were asked about; one without a history is `NOBODY`."""
    stored: Mapping[EventKey, Stored]
    """The ids that were asked about and are taken."""
    tail: Mapping[str, Known] | None
    """Subjects of the events above the head that we knew; None: too many to say."""


@dataclass(slots=True)
class Verdict:
    """What becomes of one item: the stored event that it now is (or was), or the problem."""

    kind: Literal["appended", "duplicate", "conflict", "id_conflict"]
    stored: Stored | None = None
    problem: Problem | None = None


@dataclass(slots=True)
class Effects:
    """What one batch adds to an overlay, and how that is taken back.

    An *entry* is one subject of one event; the entries of all events stand one after another, as
    append_v1 takes them.
    """

    expected: Head
    """The head that all of it rests on."""
    items: list[Item] = field(default_factory=list)
    """The events to store, in order of position: the first one has that of the head + 1."""
    lasts: list[int] = field(default_factory=list)
    """The last entry of each event, from 1."""
    subject_ids: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    new_subjects: list[str] = field(default_factory=list)
    """In the order of their first entries, which have version 1."""
    before: dict[str, int] = field(default_factory=dict)
    """Each subject that was moved, with the version that it had before."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to store if the head is still the expected one, and the verdicts that then hold."""

    effects: Effects
    verdicts: list[list[Verdict]]
    """One list per request, one verdict per item."""

    @property
    def expected(self) -> Head:
        """Return the head that the plan rests on."""
        return self.effects.expected

    @property
    def items(self) -> Sequence[Item]:
        """Return the events to store, in order of position."""
        return self.effects.items
