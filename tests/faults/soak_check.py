"""Checks a ledger of any size, event by event, in flat memory, against what was acknowledged."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import defaultdict
from typing import Any

import asyncpg

from tests.faults.serial import Doubled, Lost, Violation

_EVENTS = """
SELECT e.position, e.recorded_at, e.subject_ids, e.versions, e.commitment, b.salt, b.body
  FROM ledger.event AS e LEFT JOIN ledger.event_body AS b USING (ledger_id, position)
 WHERE e.ledger_id = $1 ORDER BY e.position
"""
_MISSING = """
SELECT count(*) FROM ledger.event AS e, unnest(e.subject_ids, e.versions) AS named(id, version)
 WHERE e.ledger_id = $1 AND NOT EXISTS (
       SELECT FROM ledger.history AS h
        WHERE h.ledger_id = $1 AND h.subject_id = named.id AND h.version = named.version
          AND h.position = e.position)
"""
_HISTORIES = "SELECT count(*) FROM ledger.history WHERE ledger_id = $1"
_STRANGERS = """
SELECT count(*) FROM ledger.subject AS s WHERE s.ledger_id = $1 AND NOT EXISTS (
       SELECT FROM ledger.history AS h
        WHERE h.ledger_id = $1 AND h.subject_id = s.subject_id AND h.version = 1)
"""


class Acknowledged:
    """Where each event was said to be: 16 bytes an event. Events are `<caller>-<n>`."""

    def __init__(self, callers: int) -> None:
        self.count = 0
        self._positions = [array("q") for _ in range(callers)]
        self._marks = [array("Q") for _ in range(callers)]

    def add(self, caller: int, n: int, position: int, commitment: str) -> None:
        """Take down a receipt; a caller's come in the order of n."""
        if len(self._positions[caller]) != n or position < 1:
            raise Lost(f"event {caller}-{n} was answered with position {position}")
        self._positions[caller].append(position)
        self._marks[caller].append(_mark(bytes.fromhex(commitment)))
        self.count += 1

    def meet(self, caller: int, n: int, position: int, commitment: bytes) -> bool:
        """Compare with what is stored; say whether it was acknowledged at all."""
        if n >= len(self._positions[caller]):
            return False
        if self._positions[caller][n] != position:
            raise Doubled(f"{caller}-{n} is at {position}, not at {self._positions[caller][n]}")
        if self._marks[caller][n] != _mark(commitment):
            raise Violation(f"another commitment at {position} than in the receipt")
        return True


def _mark(commitment: bytes) -> int:
    return int.from_bytes(commitment[:8], "big")


class _Walk:
    """Goes along the log and remembers what the next event has to follow."""

    def __init__(self, told: Acknowledged) -> None:
        self.met = 0
        self.position = 0
        self.entries = 0
        self._told = told
        self._moment: Any = None
        self._versions: dict[int, int] = {}
        self._seen: dict[int, bytearray] = defaultdict(bytearray)

    def step(self, row: Any) -> None:
        self.position += 1
        if row["position"] != self.position:
            raise Lost(f"position {row['position']} stands where {self.position} should")
        if hashlib.sha256(row["salt"] + row["body"]).digest() != row["commitment"]:
            raise Violation(f"the commitment at {self.position} is not of its body")
        if self._moment is not None and row["recorded_at"] < self._moment:
            raise Violation(f"recorded_at runs backwards at {self.position}")
        self._moment = row["recorded_at"]
        self._histories(row["subject_ids"], row["versions"])
        self._identity(row)

    def _histories(self, subjects: list[int], versions: list[int]) -> None:
        self.entries += len(subjects)
        for subject, version in zip(subjects, versions, strict=True):
            if version != self._versions.get(subject, 0) + 1:
                raise Violation(f"subject {subject} goes to version {version} at {self.position}")
            self._versions[subject] = version

    def _identity(self, row: Any) -> None:
        caller, _, n = json.loads(row["body"])["event"]["id"].partition("-")
        seen, index = self._seen[int(caller)], int(n)
        seen.extend(bytes(max(0, index + 1 - len(seen))))
        if seen[index]:
            raise Doubled(f"event {caller}-{n} stands a second time at {self.position}")
        seen[index] = 1
        self.met += self._told.meet(int(caller), index, self.position, row["commitment"])


async def check(url: str, ledger_id: int, told: Acknowledged) -> int:
    """Read everything and compare; return how many events are stored."""
    sql = await asyncpg.connect(url)
    try:
        walk = _Walk(told)
        async with sql.transaction(isolation="repeatable_read", readonly=True):
            async for row in sql.cursor(_EVENTS, ledger_id, prefetch=2_000):
                walk.step(row)
            if walk.met != told.count:
                raise Lost(f"{told.count - walk.met} acknowledged events are not there")
            if await sql.fetchval(_HISTORIES, ledger_id) != walk.entries:
                raise Violation("the histories hold more or less than the events say")
            if await sql.fetchval(_MISSING, ledger_id) or await sql.fetchval(_STRANGERS, ledger_id):
                raise Violation("events, histories and subjects do not say the same")
    finally:
        await sql.close()
    return walk.position
