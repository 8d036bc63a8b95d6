"""Points: the recorded decisions of a range, for drafts to be judged on."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.event import RecordedEvent, parse_time
from contracts.problem import Invalid, TooLarge
from services.gatekeeper.folding import DECISION
from services.kit.ports import Ledger

MOST = 1000
"""Decisions in a range over HTTP; the command `decisions backtest` has no such limit."""
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Points:
    """Decisions between two positions, both included."""

    first: int
    last: int
    decisions: list[RecordedEvent]


async def between(ledger: Ledger, name: str, first: str | None, last: str | None) -> Points:
    """Read the decisions of a range; each end is a position, a time, or None: all there is.

    Raises `Invalid` for an end that is neither, `TooLarge` for more than `MOST` decisions.
    """
    head = (await ledger.page(name, 0, limit=1)).head
    start = 1 if first is None else await _position(ledger, name, first, head, "from")
    end = head if last is None else await _position(ledger, name, last, head, "to", upto=True)
    found: list[RecordedEvent] = []
    after = start - 1
    while after < end:
        page = await ledger.page(name, after, limit=_PAGE, type_=DECISION)
        found += [e for e in page.events if e.type == DECISION and e.position <= end]
        if len(found) > MOST:
            detail = f"the range holds more than {MOST} decisions; name a smaller one with from, to"
            raise TooLarge(detail, limit=MOST)
        if page.scanned_to <= after:
            break
        after = page.scanned_to
    return Points(start, end, found)


async def _position(
    ledger: Ledger, name: str, said: str, head: int, field: str, *, upto: bool = False
) -> int:
    """Return the first position at or after a time, or (`upto`) the last one before it ends."""
    if said.isascii() and said.isdigit() and len(said) < 19:  # noqa: PLR2004 - of a 64 bit number
        return min(max(int(said), 1), head + (not upto))
    try:
        moment = parse_time(said)
    except ValueError:
        detail = f"{said!r:.100} is neither a position nor a time such as 2026-03-01T00:00:00Z"
        raise Invalid(detail, errors=[{"pointer": f"/{field}", "detail": detail}]) from None
    low, high = 1, head + 1
    while low < high:  # times never run backwards along positions
        middle = (low + high) // 2
        recorded = parse_time((await ledger.event(name, middle)).recorded_at)
        if recorded < moment or (upto and recorded == moment):
            low = middle + 1
        else:
            high = middle
    return low - 1 if upto else low
