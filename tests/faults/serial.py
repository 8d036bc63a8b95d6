"""A serial ledger in dicts and lists: what it would answer after each position of a stored log."""

from __future__ import annotations

import bisect
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from tests.faults.record import Call, Key, Row, Sent

Said: TypeAlias = tuple[str, object]
"""Kind of an answer and what goes with it: a position (of the event that has the id, too), or the
actual versions."""


class Violation(AssertionError):
    """A promise was broken."""


class Lost(Violation):
    """Something acknowledged is not there."""


class Doubled(Violation):
    """Something is there twice."""


class Log:
    """The stored events with what a serial ledger would know after each position."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.place: dict[Key, int] = {}
        self.histories: dict[str, list[int]] = defaultdict(list)
        for expected, row in enumerate(rows, 1):
            self._add(expected, row)

    def _add(self, expected: int, row: Row) -> None:
        if row.position != expected:
            raise Lost(f"the log has position {row.position} where {expected} should be")
        if row.key in self.place:
            raise Doubled(f"{row.key} is at {self.place[row.key]} and at {row.position}")
        self.place[row.key] = row.position
        for subject, version in zip(row.subjects, row.versions, strict=True):
            self.histories[subject].append(row.position)
            if version != len(self.histories[subject]):
                raise Violation(f"{subject} goes to version {version} at {row.position}")
        if hashlib.sha256(row.salt + row.body).digest() != row.commitment:
            raise Violation(f"the commitment at {row.position} is not of its body")
        if expected > 1 and row.recorded_at < self.rows[expected - 2].recorded_at:
            raise Violation(f"recorded_at runs backwards at {row.position}")

    def version(self, subject: str, at: int) -> int:
        """Return a subject's version after position `at`."""
        return bisect.bisect_right(self.histories.get(subject, ()), at)

    def find(self, key: Key, at: int) -> int | None:
        """Return where an event is, if it is at or before `at`."""
        place = self.place.get(key)
        return place if place is not None and place <= at else None

    def serial(self, call: Call, at: int) -> list[Said]:
        """Return what a serial ledger that stands at `at` would answer."""
        found = [self.find(event.key, at) for event in call.events]
        there = [place for place in found if place is not None]
        other = [
            place
            for place, event in zip(found, call.events, strict=True)
            if place is not None and self.rows[place - 1].content != event.content
        ]
        if other:  # it names the first of them
            return [("id_conflict", other[0])] * len(found)
        if len(there) == len(found):
            return [("duplicate", place) for place in there]
        if there or _two_events_of_one_id(call.events):
            return [("id_conflict", there[0] if there else None)] * len(found)
        return self._fresh(call, at)

    def _fresh(self, call: Call, at: int) -> list[Said]:
        actual = {subject: self.version(subject, at) for subject in call.expect}
        unmet = {s: version for s, version in actual.items() if version != call.expect[s]}
        if unmet:
            return [("conflict", unmet)] * len(call.events)
        if any(event.is_poison for event in call.events):
            return [("refused", None)] * len(call.events)
        return list(_placed(call.events, at))


def _two_events_of_one_id(events: Sequence[Sent]) -> bool:
    return len({event.key for event in events}) != len({(e.key, e.content) for e in events})


def _placed(events: Sequence[Sent], at: int) -> Iterator[Said]:
    places: dict[Key, int] = {}
    for event in events:
        again = event.key in places
        place = places.setdefault(event.key, at + 1 + len(places) - int(again))
        yield ("duplicate" if again else "appended", place)
