"""Replaying: a recorded decision is judged once more, from what it had read, to the byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from contracts import ijson
from contracts.event import RecordedEvent, parse_time
from contracts.problem import NotFound, Problem
from services.gatekeeper.folding import DECISION
from services.gatekeeper.judge import ENGINE, LIBRARIES, REMOVED, judge
from services.gatekeeper.reading import Read, Reader
from services.gatekeeper.rules import words
from services.kit.ports import Ledger

Outcome = Literal["same", "different", "other_engine", "unreadable"]
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of judging a decision once more.

    `other_engine`: another version of the rules of the game, of the expressions or of the time
    zones has judged; what differs is told, and proves nothing. `unreadable`: something that it had
    read cannot be read, or was redacted since.
    """

    decision_id: str
    position: int
    outcome: Outcome
    difference: str | None = None
    """The first member that differs, as `pointer: recorded … now …`."""


async def replay(reader: Reader, event: RecordedEvent) -> Replayed:
    """Judge a recorded decision once more."""
    if event.redacted:
        id_ = next((k for k in event.versions if k.startswith("decision:")), "")
        why = f"position {event.position} was redacted since"
        return Replayed(id_.removeprefix("decision:"), event.position, "unreadable", why)
    said: dict[str, Any] = event.data["decision"]
    id_ = event.data["decision_id"]
    try:
        as_of = parse_time(said["as_of"])
        found = await reader.read_again(said["release"], said["gate"], said["read_set"], as_of)
    except Problem as problem:
        return Replayed(id_, event.position, "unreadable", problem.detail)
    again = judge(found.facts, found.applied, as_of)
    now = again.model_dump(mode="json")
    if ijson.dumps(now) == ijson.dumps(said):
        return Replayed(id_, event.position, "same")
    if gone := _redacted_since(said, now, found):
        what = f"position {words.both([str(position) for position in gone])} was redacted since"
        return Replayed(id_, event.position, "unreadable", what)
    alike = said["engine"] == ENGINE and said.get("libraries") == LIBRARIES
    outcome: Outcome = "different" if alike else "other_engine"
    return Replayed(id_, event.position, outcome, difference(said, now))


async def replay_all(
    ledger: Ledger, name: str, reader: Reader, first: int = 1, last: int | None = None
) -> AsyncIterator[tuple[int, int, Replayed | None]]:
    """Replay every decision in a range of positions: yield how far it is, the end, and what came
    of one decision (None: only progress).
    """
    after = first - 1
    while True:
        page = await ledger.page(name, after, limit=_PAGE, type_=DECISION)
        end = min(page.head, last or page.head)
        for event in page.events:
            if event.position <= end:
                yield event.position, end, await replay(reader, event)
        yield min(page.scanned_to, end), end, None
        if page.scanned_to >= end:
            return
        after = page.scanned_to


async def one(reader: Reader, decision_id: str) -> Replayed:
    """Replay the decision of an id, or raise `NotFound`."""
    page = await reader.history(f"decision:{decision_id}")
    for event in page.events:
        if event.type == DECISION:
            return await replay(reader, event)
    raise NotFound(f"there is no decision {decision_id}")


def _redacted_since(said: dict[str, Any], now: dict[str, Any], found: Read) -> list[int]:
    """Return what the decision had read and nobody can read any more. None where it rests on other
    events than it says, for their commitments outlive what was removed.
    """
    if said["facts_digest"] != now["facts_digest"]:
        return []
    whole = (REMOVED.id, "release")
    rules = (rule for rule in said["rules"] if (rule["rule"], rule["type"]) == whole)
    known = {position for rule in rules for position in rule["evidence"]}
    unknown = now["policy"] is None and said["summary"] != now["summary"]
    texts = found.redacted_texts if unknown else ()
    return sorted({*found.facts.removed, *texts} - known)


def difference(said: Any, now: Any, pointer: str = "") -> str | None:
    """Return the first place where two documents differ, in the order of their text."""
    if isinstance(said, dict) and isinstance(now, dict):
        keys = sorted({*said, *now})
        found = (
            difference(said.get(key, _ABSENT), now.get(key, _ABSENT), f"{pointer}/{key}")
            for key in keys
        )
        return next((each for each in found if each), None)
    if isinstance(said, list) and isinstance(now, list) and len(said) == len(now):
        pairs = enumerate(zip(said, now, strict=True))
        each = (difference(one, other, f"{pointer}/{i}") for i, (one, other) in pairs)
        return next((each_ for each_ in each if each_), None)
    return None if said == now else f"{pointer}: recorded {said!r:.200}, now {now!r:.200}"


_ABSENT = "(absent)"
