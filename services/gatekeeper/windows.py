"""Windows: one freeze, checked and expanded into exact UTC instants. Pure.

A recurring window is expanded on wall-clock times and only then put into its zone: 22:00 stays
22:00 when the clocks change. Where a local time has two readings the window is read wide (`zones`).
Windows are half-open; those of one freeze that touch or overlap are one.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice, pairwise, takewhile

from services.gatekeeper import recurring, zones

_YEARS = range(2000, 2100)
_PROBED = 400
Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Freeze:
    """No deployments in `environments` of `services` (empty: all) but of the types in `allows`.

    `start` and `end` bound the first window: both naive, in `zone`, or both with an offset. With an
    offset they are exact instants; when such a window recurs, it does at `zone`'s time of day.
    """

    id: str
    reason: str
    start: datetime
    end: datetime
    zone: str = "UTC"
    rrule: str | None = None
    exdates: tuple[date, ...] = ()
    """Local dates on which no window begins, though the rule says so."""
    environments: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    allows: tuple[str, ...] = ()
    position: int = 0
    """Where the event stands that declared it."""


def check(freeze: Freeze) -> list[str]:
    """Return what is wrong, each as `field: sentence`; only a freeze without fault is expanded."""
    faults = [
        f"{field}: {value.date()} is not between {_YEARS[0]} and {_YEARS[-1]}"
        for field, value in (("start", freeze.start), ("end", freeze.end))
        if value.year not in _YEARS
    ]
    if faults:
        return faults
    try:
        zones.zone(freeze.zone)
    except ValueError as error:
        faults.append(f"zone: {error}")
    if (freeze.start.tzinfo is None) != (freeze.end.tzinfo is None):
        faults.append("end: start and end both have an offset, or neither has")
    elif _comparable(freeze.end) <= _comparable(freeze.start):
        faults.append("end: is not after start")
    if freeze.rrule is None and freeze.exdates:
        faults.append("exdates: without rrule there is nothing to leave out")
    return faults if faults or freeze.rrule is None else list(_of_recurrence(freeze))


def intervals(freeze: Freeze, from_: datetime, to: datetime) -> Iterator[Interval]:
    """Yield the windows that share an instant with [from_, to), whole, in UTC, in order.

    ValueError when the freeze has faults. Windows that touch for over a year are shown as far as
    the end of the year after `to`.
    """
    blocks = _blocks(freeze, to.astimezone(UTC).year + 1)
    following = bisect_right(blocks, from_, key=lambda block: block[1])
    return takewhile(lambda block: block[0] < to, islice(blocks, following, None))


@functools.lru_cache(maxsize=1024)
def _blocks(freeze: Freeze, year: int) -> tuple[Interval, ...]:
    """Return all windows from the first to those that begin in `year`, merged.

    They are kept: an old nightly freeze is expanded once, and then a window found by bisection.
    """
    if faults := check(freeze):
        raise ValueError(f"freeze {freeze.id}: {'; '.join(faults)}")
    merged: list[Interval] = []
    for start, end in _windows(freeze, year):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], end)  # all are equally long: the later ends later
        else:
            merged.append((start, end))
    return tuple(merged)


def _windows(freeze: Freeze, year: int) -> Iterator[Interval]:
    place = zones.zone(freeze.zone)
    if freeze.rrule is None:
        if freeze.start.tzinfo is None:
            yield zones.earliest(freeze.start, place), zones.latest(freeze.end, place)
        else:
            yield freeze.start.astimezone(UTC), freeze.end.astimezone(UTC)
        return
    first, end = _walls(freeze)
    rule = recurring.read(freeze.rrule)
    until, left_out = _until(freeze, rule), frozenset(freeze.exdates)
    for wall in takewhile(lambda wall: wall.year <= year, rule.starts(first)):
        start = zones.earliest(wall, place)
        if until is not None and start > until:
            return
        if wall.date() not in left_out:
            yield start, zones.latest(wall + (end - first), place)


def _of_recurrence(freeze: Freeze) -> Iterator[str]:
    try:
        rule = recurring.read(freeze.rrule or "")
    except ValueError as error:
        yield f"rrule: {error}"
        return
    first, end = _walls(freeze)
    if not rule.fits(first):
        yield f"start: {first:%A %Y-%m-%d} is no day of the rule {freeze.rrule}"
        return
    if skipped := rule.skips(first):
        yield f"rrule: {skipped} is not everywhere; say BYMONTHDAY, -1 is a month's last day"
    if end <= first:
        yield f"end: is not after start on the clocks of {freeze.zone}"
        return
    if end - first > rule.period:
        yield (
            f"end: a window of {end - first} is longer than its period of {rule.period}; "
            "end is that of the first window, UNTIL that of the series"
        )
        return
    if rule.until is not None and rule.until.year not in _YEARS:
        yield f"rrule: UNTIL is not between {_YEARS[0]} and {_YEARS[-1]}"
    elif (until := _until(freeze, rule)) and until < zones.earliest(first, zones.zone(freeze.zone)):
        yield "rrule: UNTIL is before start"
    starts = list(islice(takewhile(_in_range, rule.starts(first)), _PROBED))
    if not rule.bounded and all(b - a <= end - first for a, b in pairwise(starts)) and starts[1:]:
        yield "rrule: leaves no time between its windows; declare one window"
    yield from _of_exdates(freeze, rule, first)


def _of_exdates(freeze: Freeze, rule: recurring.Rule, first: datetime) -> Iterator[str]:
    last = max(freeze.exdates, default=date.min)
    starts = takewhile(lambda wall: wall.date() <= last and _in_range(wall), rule.starts(first))
    known = {wall.date() for wall in starts}
    for day in freeze.exdates:
        if day not in known:
            yield f"exdates: no window of the rule begins on {day}"


def _in_range(wall: datetime) -> bool:
    return wall.year in _YEARS


def _walls(freeze: Freeze) -> Interval:
    """Return the first window in local time, naive."""
    if freeze.start.tzinfo is None:
        return freeze.start, freeze.end
    place = zones.zone(freeze.zone)
    return zones.wall_clock(freeze.start, place), zones.wall_clock(freeze.end, place)


def _until(freeze: Freeze, rule: recurring.Rule) -> datetime | None:
    if rule.until is None or rule.until.tzinfo is not None:
        return rule.until
    return zones.latest(rule.until, zones.zone(freeze.zone))


def _comparable(value: datetime) -> datetime:
    """Return an aware time in UTC: within one zone Python compares and subtracts wall clocks."""
    return value if value.tzinfo is None else value.astimezone(UTC)
