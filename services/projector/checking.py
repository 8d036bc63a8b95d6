"""Checks a rebuild against folds of its own, which touch no table.

The first `EVENTS` events are folded once more, one by one and in memory alone; then rows of that
state are sampled and compared with what the tables hold at that very position. Later on, what a
single event gives by itself (its entry in the timeline) is compared at sampled positions.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

from contracts import upcasting
from contracts.event import RecordedEvent
from services.projector import readmodels
from services.projector.folding import subject_of
from services.projector.readmodels.fact import Fact
from services.projector.readmodels.rows import KEYS, Key, Row, Rows
from services.projector.writing import Projection

EVENTS = 20_000
"""How many events are folded in memory: some 50 MB."""
SAMPLE = 500
_chance = random.SystemRandom()
T = TypeVar("T")


class Differs(Exception):
    """The tables do not hold what the events say. The rebuild is not to be made live."""


class Check:
    """The fold in memory, and what was compared."""

    def __init__(self) -> None:
        self._rows = Rows()
        self._digest = hashlib.sha256()
        self.compared = 0

    @property
    def digest(self) -> str:
        """Of all rows that were compared, in order (SHA-256, hex)."""
        return self._digest.hexdigest()

    def fold(self, events: Sequence[RecordedEvent], held: Mapping[str, int]) -> None:
        """Fold more events, but none that is parked. `held`: subject → its first parked position.

        What no table can hold is parked too, and a fold in memory cannot know.
        """
        for event in events:
            if event.position < held.get(subject_of(event), event.position + 1):
                _folded(event, self._rows)

    async def state(self, projection: Projection) -> None:
        """Compare sampled rows with the tables, whose cursor is where the fold is; forget it."""
        rows = {
            (name, tuple(row[column] for column in KEYS[name])): row
            for name, found in self._rows.changes().items() if name in KEYS
            for row in found
        }  # fmt: skip
        await self._rows_of(projection, {key: rows[key] for key in sampled(list(rows))})
        entries = {row["position"]: row for row in self._rows.changes().get("entry", [])}
        await self._entries(projection, {at: entries[at] for at in sampled(list(entries))})
        self._rows = Rows()

    async def entries(self, projection: Projection, events: Sequence[RecordedEvent]) -> None:
        """Compare the entries of some events."""
        rows = Rows()
        for event in events:
            _folded(event, rows)
        found = {row["position"]: row for row in rows.changes().get("entry", [])}
        await self._entries(projection, found)

    async def _rows_of(self, projection: Projection, wanted: dict[Key, Row]) -> None:
        stored = {
            (name, tuple(row[column] for column in KEYS[name])): row
            for name, row in await projection.load(wanted)
        }
        for (name, key), row in sorted(wanted.items()):
            self._compare(f"{name} {'/'.join(key)}", row, stored.get((name, key)))

    async def _entries(self, projection: Projection, wanted: dict[int, Row]) -> None:
        stored = {row["position"]: row for row in await projection.entries(list(wanted))}
        parked = await projection.parked(list(wanted))
        for position, row in sorted(wanted.items()):
            if position not in parked:
                self._compare(f"the entry of position {position}", row, stored.get(position))

    def _compare(self, what: str, ours: Row, stored: Row | None) -> None:
        if ours != stored:
            raise Differs(f"{what}: {_difference(ours, stored)}")
        self._digest.update(f"{what}\n{_text(ours)}\n".encode())
        self.compared += 1


def _folded(event: RecordedEvent, rows: Rows) -> None:
    """Fold one event; one that cannot be leaves no trace."""
    with contextlib.suppress(Exception):  # the same that the runner parks
        fact = Fact(upcasting.read(event))
        while wanted := readmodels.keys(fact, rows):
            rows.load(wanted, [])
        readmodels.apply(fact, rows)


def sampled(of: Sequence[T], count: int = SAMPLE) -> list[T]:
    """Return so many at random, or all there are."""
    return _chance.sample(of, min(count, len(of)))


def _difference(ours: Row, stored: Row | None) -> str:
    if stored is None:
        return "the table does not have it"
    column = next(name for name in sorted(ours) if ours[name] != stored.get(name))
    held, said = _text(stored.get(column)), _text(ours[column])
    return f"{column} is {held[:200]} and the events say {said[:200]}"


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
