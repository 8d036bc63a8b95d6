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
from typing import Literal, TypeAlias

from contracts.subject import MAX_PER_EVENT
from services.ledger.model import (
    EMPTY,
    NOBODY,
    Effects,
    EventKey,
    Head,
    Item,
    Request,
    Snapshot,
    Stored,
)

Learnt: TypeAlias = Literal["taken", "landing", "forgot"]
MAX_SUBJECTS = 100_000
"""Subjects to remember; some 30 MB. Beyond it the half that was learnt first is forgotten."""
MAX_RECENT = 8_192
"""Event ids to remember, besides those in flight."""


class Overlay:
    """Head, versions and recent ids as they will be when all that is in flight has succeeded."""

    def __init__(self) -> None:
        self.head = EMPTY
        self._versions: dict[str, int] = {}
        self._ids: dict[str, int] = {}
        """Of the same subjects; while the version is 0 the id is that of `NOBODY`."""
        self._recent: dict[EventKey, Stored] = {}
        self._flying: list[Effects] = []

    def unknown_subjects(self, requests: Iterable[Request]) -> list[str]:
        """Return the subjects that a decision needs and nobody has asked the database about."""
        known = self._versions
        named = {key for r in requests for i in r.items for key in i.subjects if key not in known}
        return list(named.union(key for r in requests for key in r.expect if key not in known))

    def unknown_ids(self, requests: Iterable[Request]) -> list[EventKey]:
        """Return the ids that may be stored without our knowing."""
        return list({i.key for r in requests for i in r.items if i.key not in self._recent})

    def version(self, key: str) -> int:
        """Return a subject's version; it must have been asked about before."""
        return self._versions[key]

    def stored(self, key: EventKey) -> Stored | None:
        """Return the event with this id, as far as we know."""
        return self._recent.get(key)

    def learn(self, snapshot: Snapshot) -> Learnt:
        """Take in what the database said.

        `landing`: somebody else has appended while batches of ours are in flight. They will fail,
        or have succeeded before; land them first and ask again. `forgot`: others have done too much
        to follow, so nothing is known any more but the head; ask again.
        """
        if snapshot.head not in (self.head, *(effects.expected for effects in self._flying)):
            if self._flying:
                return "landing"
            if not self._follow(snapshot):
                return "forgot"
        for key, known in snapshot.subjects.items():
            if key not in self._versions:
                self._ids[key], self._versions[key] = known
        self._recent |= snapshot.stored
        return "taken"

    def _follow(self, snapshot: Snapshot) -> bool:
        """Move to the head of others. Versions in a tail are absolute: each is right at once."""
        if snapshot.continues and snapshot.tail is not None:
            for key, known in snapshot.tail.items():
                if key in self._versions:
                    self._ids[key], self._versions[key] = known
        elif self._versions or self._recent:
            self.forget()
            self.head = snapshot.head
            return False
        self.head = snapshot.head
        return True

    def forget(self) -> None:
        """Know nothing. Nothing may be in flight."""
        self.head = EMPTY
        self._versions.clear()
        self._ids.clear()
        self._recent.clear()
        self._flying.clear()

    def trim(self) -> None:
        """Forget the oldest knowledge when there is much, but nothing that is in flight."""
        if len(self._versions) > MAX_SUBJECTS:
            moved = {key for effects in self._flying for key in effects.before}
            for key in list(islice(self._versions, MAX_SUBJECTS // 2)):
                if key not in moved:
                    del self._versions[key], self._ids[key]
        if len(self._recent) > MAX_RECENT:
            flying = {item.key for effects in self._flying for item in effects.items}
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
        subjects, versions, given = item.subjects, self._versions, dict[str, int]()
        for key in subjects:
            version = versions[key]
            effects.before.setdefault(key, version)
            if not version:  # a new subject gets an id that no other event can give
                self._ids[key] = position * MAX_PER_EVENT + len(given)
                effects.new_subjects.append(key)
            versions[key] = given[key] = version + 1
        effects.subject_ids.extend(map(self._ids.__getitem__, subjects))
        effects.versions.extend(given.values())
        effects.lasts.append(len(effects.versions))
        effects.items.append(item)
        self.head = Head(position, item.commitment)
        stored = self._recent[item.key] = Stored(position, item.salt, item.commitment, given)
        return stored

    def confirm(self, effects: Effects, recorded_at: datetime | None) -> None:
        """Take note that the oldest batch in flight is stored."""
        self._flying.remove(effects)
        for item in effects.items:
            self._recent[item.key].recorded_at = recorded_at

    def undo(self, effects: Effects) -> None:
        """Take back the youngest batch in flight; it has left nothing."""
        self._flying.remove(effects)
        self._versions |= effects.before
        self._ids |= dict.fromkeys(effects.new_subjects, NOBODY.id)
        for item in effects.items:
            del self._recent[item.key]
        self.head = effects.expected
