"""Draws what callers ask: batches, groups, ids again, expectations right and stale, poison."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.record import LATE_POISON, POISON, SLOW

FINE = "org.example.happened"
SUBJECTS = tuple(f"s:{n}" for n in range(6))


@dataclass(frozen=True, slots=True)
class Ask:
    """One call: independent events, or a group that may expect versions."""

    events: list[dict[str, Any]]
    expect: Mapping[str, int] | None
    """None: the events are independent of each other."""
    seconds: float | None = None
    """How long it may wait for its turn; None: as long as the ledger thinks fit."""


@dataclass
class Workload:
    """What all callers of one run draw from: the events sent so far and the versions last seen."""

    chance: random.Random
    poison: bool = True
    largest: int = 12
    pads: tuple[int, ...] = (0, 10, 700)
    """Bytes that make an event longer."""
    sent: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    _count: int = 0

    def next(self) -> Ask:
        """Draw a call."""
        hurry = self.chance.uniform(0, 0.01) if self.chance.random() < 0.05 else None
        if self.chance.random() < 0.5:
            return Ask(self._events(self.largest), None, hurry)
        events = self._events(5)
        return Ask(events, self._expect(events) if self.chance.random() < 0.7 else {}, hurry)

    def _events(self, most: int) -> list[dict[str, Any]]:
        return [self._event() for _ in range(self.chance.randint(1, most))]

    def _event(self) -> dict[str, Any]:
        luck = self.chance.random()
        if self.sent and luck < 0.13:  # again: also in one batch, and while the first is in flight
            return self.chance.choice(self.sent[-40:])
        if self.sent and luck < 0.17:
            return self.chance.choice(self.sent[-40:]) | {"data": {"other": self.chance.random()}}
        event = self._fresh()
        self.sent.append(event)
        return event

    def _fresh(self) -> dict[str, Any]:
        self._count += 1
        return {
            "specversion": "1.0",
            "id": f"{self._count}-{self.chance.getrandbits(32):08x}",
            "source": self.chance.choice(["/a", "/b"]),
            "type": self._type(),
            "subjects": ",".join(self._subjects()),
            "data": {"n": self._count, "pad": self._pad()},
        }

    def _pad(self) -> str:
        return self.chance.randbytes(self.chance.choice(self.pads) // 2).hex()

    def _type(self) -> str:
        bad = (0.03, 0.015) if self.poison else (0, 0)
        weights = (1 - sum(bad) - 0.03, 0.03, *bad)
        return self.chance.choices([FINE, SLOW, POISON, LATE_POISON], weights)[0]

    def _subjects(self) -> list[str]:
        named = self.chance.sample(SUBJECTS, self.chance.randint(1, 3))
        luck = self.chance.random()
        if luck < 0.15:
            named.append(f"new:{self._count}")
        if luck < 0.03:
            most = 64 - len(named)
            named += [f"many:{n}" for n in self.chance.sample(range(90), most)]
        return named

    def _expect(self, events: list[dict[str, Any]]) -> dict[str, int]:
        named = [key for event in events for key in event["subjects"].split(",")]
        some = self.chance.sample(sorted({*named[:6], *SUBJECTS}), self.chance.randint(1, 3))
        return {subject: self._version(subject) for subject in some}

    def _version(self, subject: str) -> int:
        known = self.seen.get(subject, 0)
        return self.chance.choices([known, max(known - 1, 0), 0, known + 1], [80, 8, 6, 6])[0]
