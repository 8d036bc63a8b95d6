"""The rule that makes a feed exactly-once, apart from any transport: positions have no gaps.

position = cursor + 1 → take it · position ≤ cursor → seen already, drop it · anything else is a
gap, and so is a record that cannot be believed: the reader asks the ledger, and never skips.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from contracts import topics
from contracts.event import RecordedEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class FeedBroken(Exception):
    """What the feed gave contradicts the ledger; the message says how. Nothing was skipped."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record as it arrived, nothing of it believed yet."""

    headers: Mapping[str, bytes]
    value: bytes | None

    def header(self, name: str) -> str | None:
        """Return a header's text, or None when it is missing or not UTF-8."""
        raw = self.headers.get(name)
        try:
            return None if raw is None else raw.decode()
        except UnicodeDecodeError:
            return None

    def number(self, name: str) -> int | None:
        """Return a header that holds a natural number, else None."""
        text = self.header(name) or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None  # noqa: PLR2004 - below 2^63


@dataclass(frozen=True, slots=True)
class Taken:
    """The events that follow the cursor, and whether a gap stopped us.

    `reaches` is the position that showed the gap; 0 when it could not be read.
    """

    events: list[RecordedEvent] = field(default_factory=list)
    gap: bool = False
    reaches: int = 0


def take(arrivals: Iterable[Arrival], ledger: str, epoch: int, cursor: int) -> Taken:
    """Apply the rule to records in the order of their arrival.

    Records of other ledgers are passed over. Raises `FeedBroken` for a record of another epoch: the
    ledger was restored, and what was projected before may not be so any more.
    """
    events: list[RecordedEvent] = []
    for arrival in arrivals:
        if (arrival.header(topics.HEADER_LEDGER) or ledger) != ledger:
            continue
        position = _position(arrival, ledger, epoch)
        if 0 < position <= cursor:
            continue
        event = _believed(arrival) if position == cursor + 1 else None
        if event is None:
            return Taken(events, gap=True, reaches=position)
        events.append(event)
        cursor = position
    return Taken(events)


def follows(events: Sequence[RecordedEvent], cursor: int) -> list[RecordedEvent]:
    """Return `events` when they are cursor+1, cursor+2, …, else raise `FeedBroken`."""
    for expected, event in enumerate(events, cursor + 1):
        if event.position != expected:
            raise FeedBroken(f"the ledger gave position {event.position} where {expected} is due")
    return list(events)


def _position(arrival: Arrival, ledger: str, epoch: int) -> int:
    found = arrival.number(topics.HEADER_EPOCH)
    if found is not None and found != epoch:
        raise FeedBroken(
            f"the ledger {ledger} is fed in epoch {found}, and we follow epoch {epoch}"
        )
    named = arrival.header(topics.HEADER_LEDGER) is not None and found is not None
    return (arrival.number(topics.HEADER_POSITION) or 0) if named else 0


def _believed(arrival: Arrival) -> RecordedEvent | None:
    try:
        event = RecordedEvent.model_validate_json(arrival.value or b"")
    except ValidationError:
        return None
    same = event.position == arrival.number(topics.HEADER_POSITION)
    return event if same and event.commitment == arrival.header(topics.HEADER_COMMITMENT) else None
