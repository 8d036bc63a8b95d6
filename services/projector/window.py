"""The window of a KPI: calendar days in UTC, and whether what it holds is settled. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

DAY = timedelta(days=1)
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Asked:
    """The question: the last `days` calendar days (UTC) before `end`, of all services or of one.

    It is asked at `now` of read models that hold the ledger up to `position`, as far as they know
    of its `head`. None: nothing was ever read, so nobody knows what is missing.
    """

    days: int
    end: datetime
    now: datetime
    service: str | None = None
    position: int = 0
    head: int | None = None

    @property
    def start(self) -> datetime:
        """Midnight before the first day; the day in which `end` falls counts as one."""
        return next_midnight(self.end) - self.days * DAY

    @property
    def unsettled(self) -> list[str]:
        """Why what is answered now can move by itself; empty when it is settled."""
        reasons = []
        if self.now < next_midnight(self.end):
            reasons.append("the last day is not over")
        if self.head is None:
            reasons.append("nothing was read from the ledger yet")
        elif self.head > self.position:
            reasons.append(f"events not read yet: {self.head - self.position}")
        return reasons


def steps(start: datetime | None, end: datetime, step: timedelta) -> list[datetime]:
    """Return `start` and every `step` after it, before `end`; nothing when there is no start."""
    found: list[datetime] = []
    while start is not None and start < end:
        found.append(start)
        start += step
    return found


def midnight(moment: datetime) -> datetime:
    """Return the beginning of a moment's day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def next_midnight(moment: datetime) -> datetime:
    """Return the first midnight that is not before a moment."""
    day = midnight(moment)
    return day if day == moment else day + DAY
