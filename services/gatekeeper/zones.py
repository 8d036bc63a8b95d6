"""Time zones, read from the pinned `tzdata` package whatever the machine has, so that a replay
elsewhere sees the same hours. Pure: the package's files are as constant as code.

A local time that the clocks skip or repeat has two readings. `earliest` and `latest` give both, so
that a window can be read wide: a freeze never ends early because of daylight saving.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from importlib.resources import files
from zoneinfo import ZoneInfo

import tzdata

TZDATA: str = tzdata.IANA_VERSION
"""The release of the IANA time-zone database in use, for example `2026a`."""
_ROOT = files("tzdata")
_NAMES = frozenset(_ROOT.joinpath("zones").read_text("utf-8").split())


@functools.cache
def zone(name: str) -> ZoneInfo:
    """Return a zone by its IANA name; ValueError when the database has none of that name."""
    if name not in _NAMES:
        raise ValueError(f"{name!r} is no time zone of tzdata {TZDATA}; one is Europe/Berlin")
    with _ROOT.joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def earliest(wall: datetime, place: ZoneInfo) -> datetime:
    """Return the first instant, in UTC, that a naive local time can mean."""
    return min(_readings(wall, place))


def latest(wall: datetime, place: ZoneInfo) -> datetime:
    """Return the last instant, in UTC, that a naive local time can mean."""
    return max(_readings(wall, place))


def wall_clock(instant: datetime, place: ZoneInfo) -> datetime:
    """Return the naive local time that clocks show at an instant."""
    return instant.astimezone(place).replace(tzinfo=None, fold=0)


def _readings(wall: datetime, place: ZoneInfo) -> tuple[datetime, datetime]:
    # For a skipped time the two folds are the offsets before and after: both are its readings.
    # `combine` is a third of the price of `wall.replace`, and old freezes have many windows.
    clock = wall.time()
    first = datetime.combine(wall, clock.replace(fold=0), place)
    second = datetime.combine(wall, clock.replace(fold=1), place)
    return first.astimezone(UTC), second.astimezone(UTC)
