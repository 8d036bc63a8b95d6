"""What a run leaves to be judged: what was asked, what was answered, what is stored, what was read.

Plain values, no code of the ledger. Times are seconds of one monotonic clock for all callers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

Key: TypeAlias = tuple[str, str]
"""Source and id of an event."""
POISON = "org.example.poison"
"""The database refuses rows of this type at once …"""
LATE_POISON = "org.example.latepoison"
"""… and these only in the commit."""
SLOW = "org.example.slow"
"""A commit with such a row takes a while."""
LATE = "late"
"""Kind of an answer: not at this moment, and nothing of it is stored."""
UNKNOWN = "unknown"
"""Kind of an answer: nobody can say what became of it."""


def content(event: Mapping[str, Any]) -> str:
    """Return a text that two events share if and only if they are the same event."""
    return json.dumps(event, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as a caller sent it."""

    source: str
    id: str
    type: str
    content: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Sent:
        return cls(event["source"], event["id"], event["type"], content(event))

    @property
    def key(self) -> Key:
        return (self.source, self.id)

    @property
    def is_poison(self) -> bool:
        return self.type in {POISON, LATE_POISON}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the ledger said of one event."""

    kind: str
    receipt: str | None = None
    """The receipt's JSON, as it came."""
    actual: Mapping[str, int] | None = None
    position: int | None = None
    """Of the receipt, or of the event that has the id."""


@dataclass(slots=True, eq=False)
class Call:
    """Events that stand or fall together. A batch of independent events is as many calls."""

    events: tuple[Sent, ...]
    expect: Mapping[str, int]
    began: float
    ended: float = float("inf")
    answers: list[Answer] | None = None
    """None: the outcome is not known – the caller died, or was told `UNKNOWN` or `LATE`."""
    batch: int = 0
    """Calls of one batch share this number and stand in the order sent."""
    never: bool = False
    """It was told `LATE`: so nothing of it may be stored."""

    def is_known(self) -> bool:
        return self.answers is not None


@dataclass(frozen=True, slots=True)
class Row:
    """One stored event."""

    position: int
    key: Key
    type: str
    content: str
    subjects: tuple[str, ...]
    versions: tuple[int, ...]
    recorded_at: datetime
    salt: bytes
    body: bytes
    commitment: bytes


@dataclass(frozen=True, slots=True)
class Sighting:
    """One page that a reader got: the events after `after`, and the head beside them."""

    began: float
    ended: float
    after: int
    head: int
    events: tuple[tuple[int, str], ...]
    """Position and content."""


@dataclass(slots=True)
class Record:
    """All that there is to judge of one run on one ledger."""

    ledger: str
    calls: list[Call] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    rows: Sequence[Row] = ()
    subjects: Sequence[str] = ()
    """Every subject that is interned."""
    histories: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)
    """Subject → (version, position), as stored."""
