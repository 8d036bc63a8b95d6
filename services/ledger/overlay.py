"""What a process knows of a ledger: its state in the database, its own batches laid over it.

A batch is decided and sent before the one ahead of it has succeeded. So it is decided over the
effects that the ones ahead will have; if one of those fails, all effects are taken back, the
youngest first. What is known stays true as long as the head is the expected one, and `append_v1`
stores nothing when it is not: a wrong overlay costs a round trip, never a wrong event.

Life of a batch: `begin`, any number of `place`, then `confirm` (oldest first) or `undo` (youngest
first). `learn` takes in what the database said in between. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice

from contracts.subject import MAX_PER_EVENT
from services.ledger.model import (
    EMPTY,
    NOBODY,
    Effects,
    EventKey,
    Head,
    Item,
    Known,
    Placed,
    Request,
    Snapshot,
    Stored,
)

MAX_SUBJECTS = 100_000
"""Subjects to remember; some 30 MB. Beyond it the half that was learnt first is forgotten."""
MAX_RECENT = 8_192
"""Event ids to remember, besides those in flight."""


class Overlay:
    """Head, versions and recent ids as they will be when all that is in flight has succeeded."""

    def __init__(self) -> None:
        self.head = EMPTY
        self._subjects: dict[str, Known] = {}
        self._recent: dict[EventKey, Stored] = {}
        self._flying: list[Effects] = []

    def unknown_subjects(self, requests: Iterable[Request]) -> list[str]:
        """Return the subjects that a decision needs and nobody has asked the database about."""
        return list({key for r in requests for key in r.subjects if key not in self._subjects})

    def unknown_ids(self, requests: Iterable[Request]) -> list[EventKey]:
        """Return the ids that may be stored without our knowing."""
        return list({i.key for r in requests for i in r.items if i.key not in self._recent})

    def version(self, key: str) -> int:
        """Return a subject's version; it must have been asked about before."""
        return self._subjects[key].version

    def stored(self, key: EventKey) -> Stored | None:
        """Return the event with this id, as far as we know."""
        return self._recent.get(key)

    def learn(self, snapshot: Snapshot) -> bool:
        """Take in what the database said.

        False: somebody else has appended while batches of ours are in flight. They will fail, or
        have succeeded before; land them first and ask again.
        """
        if snapshot.head not in (self.head, *(effects.expected for effects in self._flying)):
            if self._flying:
                return False
            self._follow(snapshot)
        for key, known in snapshot.subjects.items():
            self._subjects.setdefault(key, known)
        self._recent |= snapshot.stored
        return True

    def _follow(self, snapshot: Snapshot) -> None:
        """Move to the head of others. Versions in a tail are absolute: each is right at once."""
        if not snapshot.continues or snapshot.tail is None:
            self.forget()
        else:
            tail = snapshot.tail.items()
            self._subjects |= {key: known for key, known in tail if key in self._subjects}
        self.head = snapshot.head

    def forget(self) -> None:
        """Know nothing. Nothing may be in flight."""
        self.head = EMPTY
        self._subjects.clear()
        self._recent.clear()
        self._flying.clear()

    def trim(self) -> None:
        """Forget the oldest knowledge when there is much, but nothing that is in flight."""
        if len(self._subjects) > MAX_SUBJECTS:
            moved = {key for effects in self._flying for key in effects.before}
            for key in list(islice(self._subjects, MAX_SUBJECTS // 2)):
                if key not in moved:
                    del self._subjects[key]
        if len(self._recent) > MAX_RECENT:
            flying = {one.item.key for effects in self._flying for one in effects.placed}
            for id_ in list(islice(self._recent, MAX_RECENT // 2)):
                if id_ not in flying:
                    del self._recent[id_]

    def begin(self) -> Effects:
        """Begin a batch over everything that is in flight."""
        effects = Effects(self.head)
        self._flying.append(effects)
        return effects

    def place(self, effects: Effects, item: Item) -> Stored:
        """Give an item the next position, and each of its subjects its next version."""
        position = self.head.position + 1
        ids, versions, previous = [], [], []
        for index, key in enumerate(item.subjects):
            known = self._next(effects, key, position * MAX_PER_EVENT + index)
            ids.append(known.id)
            versions.append(known.version)
            previous.append(effects.entries.get(key, 0))
            effects.count += 1
            effects.entries[key] = effects.count
        placed = Placed(item, position, tuple(ids), tuple(versions), tuple(previous))
        effects.placed.append(placed)
        self.head = Head(position, item.commitment)
        given = dict(zip(item.subjects, versions, strict=True))
        stored = Stored(position, item.salt, item.commitment, given)
        self._recent[item.key] = stored
        return stored

    def _next(self, effects: Effects, key: str, new_id: int) -> Known:
        """Move a subject; a new one gets an id that no other event can give."""
        last = self._subjects[key]
        effects.before.setdefault(key, last)
        if last is NOBODY:
            effects.new_subjects.append(key)
            moved = Known(new_id, 1)
        else:
            moved = Known(last.id, last.version + 1)
        self._subjects[key] = moved
        return moved

    def confirm(self, effects: Effects, recorded_at: datetime | None) -> None:
        """Take note that the oldest batch in flight is stored."""
        self._flying.remove(effects)
        for one in effects.placed:
            self._recent[one.item.key].recorded_at = recorded_at

    def undo(self, effects: Effects) -> None:
        """Take back the youngest batch in flight; it has left nothing."""
        self._flying.remove(effects)
        self._subjects |= effects.before
        for one in effects.placed:
            del self._recent[one.item.key]
        self.head = effects.expected
