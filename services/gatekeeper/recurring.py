"""Recurrence: the part of RFC 5545's RRULE that freezes may use, over naive wall-clock times. Pure.

FREQ=YEARLY|MONTHLY|WEEKLY|DAILY with INTERVAL, COUNT or UNTIL, BYMONTH, BYMONTHDAY and BYDAY (with
an ordinal, such as `-1FR`, within months). Every other part is refused by name. dateutil expands.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from dateutil.rrule import DAILY, MONTHLY, WEEKLY, YEARLY, rrule, weekday

Frequency = Literal[0, 1, 2, 3]  # dateutil's numbers
_FREQUENCIES: Mapping[str, Frequency] = {
    "YEARLY": YEARLY,
    "MONTHLY": MONTHLY,
    "WEEKLY": WEEKLY,
    "DAILY": DAILY,
}
_PERIODS = {YEARLY: 366, MONTHLY: 31, WEEKLY: 7, DAILY: 1}
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY = re.compile(rf"([+-]?[1-5])?({'|'.join(_DAYS)})")
_UNTIL = re.compile(r"(\d{8})(T\d{6})?(Z)?", re.ASCII)
_MOST = 9999
_LONGEST = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was read. `until` is UTC when it is aware, else local to the freeze's zone."""

    frequency: Frequency
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    months: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    weekdays: tuple[weekday, ...] = ()

    @property
    def bounded(self) -> bool:
        """Whether the rule ends by itself."""
        return self.count is not None or self.until is not None

    @property
    def period(self) -> timedelta:
        """The longest time between the beginnings of two periods."""
        return timedelta(days=_PERIODS[self.frequency] * self.interval)

    def starts(self, first: datetime) -> Iterator[datetime]:
        """Yield the naive beginnings in order, COUNT applied and UNTIL not: it needs the zone.

        `first` must fit, or the search for a beginning may take until the year 9999.
        """
        yield from rrule(
            self.frequency,
            dtstart=first,
            interval=self.interval,
            count=self.count,
            bymonth=self.months or None,
            bymonthday=self.days or None,
            byweekday=self.weekdays or None,
        )

    def fits(self, day: date) -> bool:
        """Say whether the BY parts let a day be a beginning; the first day is one if so."""
        length = monthrange(day.year, day.month)[1]
        week, week_left = (day.day - 1) // 7 + 1, (length - day.day) // 7 + 1
        return (
            (not self.months or day.month in self.months)
            and (not self.days or bool({day.day, day.day - length - 1} & {*self.days}))
            and (
                not self.weekdays
                or any(
                    each.weekday == day.weekday() and each.n in {None, week, -week_left}
                    for each in self.weekdays
                )
            )
        )

    def skips(self, day: date) -> str | None:
        """Name the day of the month that a rule takes from its start and not every month has."""
        if self.days or self.weekdays or self.frequency not in {MONTHLY, YEARLY}:
            return None
        months = self.months or ((day.month,) if self.frequency == YEARLY else range(1, 13))
        shortest = min(28 if month == 2 else _LONGEST.get(month, 31) for month in months)  # noqa: PLR2004
        return f"day {day.day}" if day.day > shortest else None


def read(text: str) -> Rule:
    """Read an RRULE value; ValueError names every part that is unknown or wrong."""
    parts: dict[str, Any] = {}
    faults = []
    for part in text.upper().split(";"):
        name, _, value = part.partition("=")
        field, reader = _PARTS.get(name, (None, None))
        if field is None or reader is None:
            faults.append(f"{name or part!r} is not supported; parts are {', '.join(_PARTS)}")
        elif field in parts:
            faults.append(f"{name} stands twice")
        else:
            try:
                parts[field] = reader(value)
            except ValueError as error:
                parts[field] = None
                faults.append(f"{name}={value} {error}")
    if "frequency" not in parts:
        faults.append("FREQ is missing")
    if faults or (faults := list(_clashes(Rule(**parts)))):
        raise ValueError("; ".join(faults))
    return Rule(**parts)


def _clashes(rule: Rule) -> Iterator[str]:
    ordinal = any(each.n for each in rule.weekdays)
    if rule.count is not None and rule.until is not None:
        yield "COUNT and UNTIL exclude each other"
    if rule.days and rule.frequency == WEEKLY:
        yield "BYMONTHDAY has no meaning with FREQ=WEEKLY"
    if ordinal and rule.frequency != MONTHLY and not (rule.frequency == YEARLY and rule.months):
        yield "BYDAY takes an ordinal only with FREQ=MONTHLY, or with FREQ=YEARLY and BYMONTH"
    if ordinal and rule.days:
        yield "BYDAY with an ordinal and BYMONTHDAY exclude each other"
    if rule.days and rule.months and not _exist(rule):
        yield "BYMONTHDAY names no day that BYMONTH's months have"


def _exist(rule: Rule) -> bool:
    longest = max(_LONGEST.get(month, 31) for month in rule.months)
    return any(abs(day) <= longest for day in rule.days)


def _frequency(text: str) -> Frequency:
    if text not in _FREQUENCIES:
        raise ValueError(f"is not supported; it is one of {', '.join(_FREQUENCIES)}")
    return _FREQUENCIES[text]


def _natural(text: str) -> int:
    return _whole(text, range(1, _MOST + 1))


def _months(text: str) -> tuple[int, ...]:
    return tuple(_whole(each, range(1, 13)) for each in text.split(","))


def _month_days(text: str) -> tuple[int, ...]:
    return tuple(_whole(each, [*range(-31, 0), *range(1, 32)]) for each in text.split(","))


def _whole(text: str, among: range | list[int]) -> int:
    if not re.fullmatch(r"[+-]?\d{1,4}", text, re.ASCII) or int(text) not in among:
        without_zero = " but not 0" if among[0] < 0 else ""
        raise ValueError(f"is no whole number from {among[0]} to {among[-1]}{without_zero}")
    return int(text)


def _weekdays(text: str) -> tuple[weekday, ...]:
    found = [_DAY.fullmatch(each) for each in text.split(",")]
    if not all(found):
        raise ValueError("is no list of days such as MO, 1MO or -1FR")
    return tuple(
        weekday(_DAYS.index(each[2]), int(each[1]) if each[1] else None) for each in found if each
    )


def _until(text: str) -> datetime:
    if (found := _UNTIL.fullmatch(text)) is None or (found[3] and not found[2]):
        raise ValueError("is no date such as 20261231, 20261231T220000 or 20261231T210000Z")
    try:
        day = datetime.fromisoformat(found[1] + (found[2] or ""))
    except ValueError:
        raise ValueError("is not a date that exists") from None
    whole = day if found[2] else datetime.combine(day, time.max)
    return whole.replace(tzinfo=UTC) if found[3] else whole


_PARTS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "FREQ": ("frequency", _frequency),
    "INTERVAL": ("interval", _natural),
    "COUNT": ("count", _natural),
    "UNTIL": ("until", _until),
    "BYMONTH": ("months", _months),
    "BYMONTHDAY": ("days", _month_days),
    "BYDAY": ("weekdays", _weekdays),
}
