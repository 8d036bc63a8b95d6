"""One freeze in exact instants, beside an expansion that knows only how UTC reads as local time."""

from __future__ import annotations

import zoneinfo
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gatekeeper import zones
from services.gatekeeper.windows import Freeze, check, intervals

BERLIN = "Europe/Berlin"
ZONES = [
    BERLIN, "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata",
]  # fmt: skip
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
FIRST, LAST = date(2025, 1, 1), date(2027, 12, 31)
NIGHT = [datetime.fromisoformat(each) for each in ("2021-03-01T22:00", "2021-03-02T05:00")]
NIGHTLY = Freeze("nightly", "batch runs", NIGHT[0], NIGHT[1], BERLIN, "FREQ=DAILY")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def once(start: str, end: str, zone: str = BERLIN) -> Freeze:
    return Freeze("f", "r", datetime.fromisoformat(start), datetime.fromisoformat(end), zone)


def again(start: str, end: str, rrule: str, *exdates: str, zone: str = BERLIN) -> Freeze:
    days = tuple(map(date.fromisoformat, exdates))
    return replace(once(start, end, zone), rrule=rrule, exdates=days)


def year(freeze: Freeze, number: int = 2026) -> list[tuple[datetime, datetime]]:
    return list(intervals(freeze, utc(f"{number}-01-01"), utc(f"{number + 1}-01-01")))


def holds(freeze: Freeze, instant: datetime) -> bool:
    return any(True for _ in intervals(freeze, instant, instant + timedelta(microseconds=1)))


# --- an expansion of another kind -------------------------------------------------------------


def offset(instant: datetime, place: zoneinfo.ZoneInfo) -> timedelta:
    local = instant.astimezone(place)
    return local.replace(tzinfo=UTC) - instant


def readings(wall: datetime, place: zoneinfo.ZoneInfo) -> list[datetime]:
    """Try the offsets of the day before and the day after; a skipped time is shown by neither."""
    about = wall.replace(tzinfo=UTC)
    tried = [about - offset(about + days, place) for days in (-DAY, DAY)]
    shown = [each for each in tried if each + offset(each, place) == about]
    return shown or tried


Chosen = Callable[[date], bool]


def by_days(
    zone: str, chosen: Chosen, begin: time, length: timedelta
) -> dict[date, tuple[datetime, datetime]]:
    place, found, day = zones.zone(zone), {}, FIRST
    while day <= LAST:
        if chosen(day):
            wall = datetime.combine(day, begin)
            found[day] = (min(readings(wall, place)), max(readings(wall + length, place)))
        day += DAY
    return found


def samples(zone: str) -> Iterator[datetime]:
    """Yield every minute of the half days about a change of the clocks, else every third hour."""
    place, instant = zones.zone(zone), utc("2025-01-05")
    while instant < utc("2027-12-20"):
        calm = offset(instant - DAY / 2, place) == offset(instant + DAY / 2, place)
        yield instant
        instant += timedelta(hours=3) if calm else MINUTE


CASES = {
    "night": ("FREQ=DAILY", lambda _: True, time(22), timedelta(hours=7)),
    "in the gap": ("FREQ=DAILY", lambda _: True, time(2, 15), timedelta(minutes=20)),
    "over midnight": ("FREQ=DAILY", lambda _: True, time(23, 45), timedelta(minutes=40)),
    "sundays": ("FREQ=WEEKLY;BYDAY=SU", lambda d: d.weekday() == 6, time(0), timedelta(hours=24)),
    "last weekend": (
        "FREQ=MONTHLY;BYDAY=-1SA",
        lambda day: day.weekday() == 5 and (day + 7 * DAY).month != day.month,
        time(20, 30),
        timedelta(hours=31),
    ),
}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("case", CASES)
def test_three_years_agree_with_an_expansion_by_days_and_minutes(zone: str, case: str) -> None:
    rrule, chosen, begin, length = CASES[case]
    expected = by_days(zone, chosen, begin, length)
    start = datetime.combine(min(expected), begin)
    freeze = Freeze("f", "r", start, start + length, zone, rrule)
    assert check(freeze) == []
    blocks = list(intervals(freeze, utc("2024-12-01"), utc("2028-01-01")))
    begins = [block[0] for block in blocks]
    for instant in samples(zone):
        near = (expected.get(instant.date() + days * DAY) for days in (-3, -2, -1, 0, 1))
        wanted = any(window and window[0] <= instant < window[1] for window in near)
        at = bisect_right(begins, instant) - 1
        assert (at >= 0 and instant < blocks[at][1]) == wanted, instant


WORKDAYS = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"
HALVES = st.integers(0, 2 * 24 * 365 * 4 - 1)


@given(
    st.sampled_from(ZONES),
    HALVES,
    st.integers(0, 95),
    st.integers(1, 95),
    st.sampled_from([WORKDAYS, "FREQ=DAILY"]),
)
@settings(max_examples=300, deadline=None)
def test_what_the_clock_on_the_wall_says_is_frozen_is_frozen(
    zone: str, half_hours: int, quarter: int, length: int, rule: str
) -> None:
    start = datetime.fromisoformat("2024-01-01") + quarter * timedelta(minutes=15)  # a Monday
    end = start + length * timedelta(minutes=15)
    freeze = Freeze("f", "r", start, end, zone, rule)
    instant = utc("2024-01-04") + half_hours * timedelta(minutes=30)
    place = zones.zone(zone)
    wall = zones.wall_clock(instant, place)
    begun = [datetime.combine(wall.date() - days * DAY, start.time()) for days in (0, 1)]
    shown = any(
        each <= wall < each + (end - start) and not (rule == WORKDAYS and each.weekday() > 4)
        for each in begun
    )
    changing = offset(instant - DAY, place) != offset(instant + DAY, place)
    assert holds(freeze, instant) if shown else (changing or not holds(freeze, instant))


# --- known answers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frozen", "open_"),
    [("2026-03-29T02:59", "2026-03-29T03:00"), ("2026-03-28T03:59", "2026-03-28T04:00")],
)
def test_a_night_over_the_spring_change_is_an_hour_shorter(frozen: str, open_: str) -> None:
    assert holds(NIGHTLY, utc(frozen))
    assert not holds(NIGHTLY, utc(open_))


@pytest.mark.parametrize(
    ("wall", "first", "last"),
    [
        ("2026-03-29T02:30", "2026-03-29T00:30", "2026-03-29T01:30"),
        ("2026-10-25T02:30", "2026-10-25T00:30", "2026-10-25T01:30"),
        ("2026-07-01T02:30", "2026-07-01T00:30", "2026-07-01T00:30"),
    ],
)
def test_a_skipped_and_a_repeated_time_are_read_wide(wall: str, first: str, last: str) -> None:
    place, moment = zones.zone(BERLIN), datetime.fromisoformat(wall)
    assert zones.earliest(moment, place) == utc(first)
    assert zones.latest(moment, place) == utc(last)
    begins, ends = once(wall, "2026-12-31"), once("2026-01-01", wall)
    assert year(begins)[0][0] == utc(first)
    assert year(ends)[0][1] == utc(last)


def test_a_window_with_offsets_is_exact_and_recurs_at_its_zones_time_of_day() -> None:
    exact = once("2026-10-25T02:30:00+01:00", "2026-10-25T02:45:00+01:00")
    assert year(exact) == [(utc("2026-10-25T01:30"), utc("2026-10-25T01:45"))]
    nightly = replace(
        NIGHTLY, start=utc("2021-03-01T21:00"), end=datetime.fromisoformat("2021-03-02T05:00+01:00")
    )
    assert year(nightly) == year(NIGHTLY)


def test_times_of_one_zone_are_compared_in_utc() -> None:
    start, end = (datetime.fromisoformat(f"2026-10-25T{each}") for each in ("02:45", "02:30"))
    place = zones.zone(BERLIN)
    freeze = Freeze("f", "r", start.replace(tzinfo=place), end.replace(tzinfo=place, fold=1))
    assert check(freeze) == []
    assert year(freeze) == [(utc("2026-10-25T00:45"), utc("2026-10-25T01:30"))]


def test_windows_of_one_freeze_that_touch_or_overlap_are_one() -> None:
    weekend = again("2026-06-06", "2026-06-07", "FREQ=WEEKLY;BYDAY=SA,SU;COUNT=4", zone="UTC")
    assert year(weekend) == [
        (utc("2026-06-06"), utc("2026-06-08")), (utc("2026-06-13"), utc("2026-06-15"))
    ]  # fmt: skip
    overlapping = again("2026-06-01", "2026-06-04", "FREQ=WEEKLY;BYDAY=MO,WE;COUNT=3", zone="UTC")
    assert year(overlapping) == [
        (utc("2026-06-01"), utc("2026-06-06")), (utc("2026-06-08"), utc("2026-06-11"))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bound", "nights"),
    [
        ("COUNT=3", 3), ("COUNT=1", 1),
        ("UNTIL=20260103", 3), ("UNTIL=20260102", 2),
        ("UNTIL=20260103T220000", 3), ("UNTIL=20260103T215959", 2),
        ("UNTIL=20260103T210000Z", 3), ("UNTIL=20260103T205959Z", 2),
        ("UNTIL=20260101T220000", 1),
    ],
)  # fmt: skip
def test_a_rule_ends_with_its_last_beginning(bound: str, nights: int) -> None:
    freeze = again("2026-01-01T22:00", "2026-01-02T05:00", f"FREQ=DAILY;{bound}")
    assert check(freeze) == []
    assert len(year(freeze)) == nights


def test_until_in_the_repeated_hour_leaves_out_nothing_that_may_have_begun() -> None:
    for until, times in [("20261025T002959Z", 1), ("20261025T003000Z", 2), ("20261025T011500Z", 2)]:
        freeze = again("2026-10-24T02:30", "2026-10-24T03:00", f"FREQ=DAILY;UNTIL={until}")
        assert len(year(freeze)) == times


def test_a_day_that_is_excepted_counts_but_does_not_freeze() -> None:
    freeze = again("2026-01-01T22:00", "2026-01-02T05:00", "FREQ=DAILY;COUNT=3", "2026-01-02")
    assert [start.day for start, _ in year(freeze)] == [1, 3]


def test_a_rule_without_end_goes_on_and_a_span_gives_whole_windows() -> None:
    assert len(year(NIGHTLY, 2060)) == 366 + 1  # and New Year's night
    night = (utc("2026-06-01T20:00"), utc("2026-06-02T03:00"))
    assert list(intervals(NIGHTLY, utc("2026-06-01T23:00"), utc("2026-06-01T23:01"))) == [night]
    assert list(intervals(NIGHTLY, night[1], utc("2026-06-02T20:00"))) == []
    assert list(intervals(NIGHTLY, utc("2020-01-01"), utc("2021-03-01T21:00"))) == []


@given(st.integers(0, 20_000), st.integers(1, 3000))
def test_a_part_of_a_span_has_the_same_windows(begin: int, hours: int) -> None:
    span = (utc("2025-01-01") + timedelta(hours=begin), timedelta(hours=hours))
    whole = list(intervals(NIGHTLY, utc("2024-12-01"), utc("2028-01-01")))
    part = list(intervals(NIGHTLY, span[0], span[0] + span[1]))
    assert part == [b for b in whole if b[1] > span[0] and b[0] < span[0] + span[1]]
    assert all(left[1] < right[0] for left, right in pairwise(part))


# --- refusals ---------------------------------------------------------------------------------

START, END = "2026-03-02T22:00", "2026-03-03T05:00"  # a Monday


@pytest.mark.parametrize(
    ("freeze", "fault"),
    [
        (once(START, END, "Mars/Base"), "zone: 'Mars/Base' is no time zone of tzdata"),
        (once(START, END, "../../etc/passwd"), "zone: '../../etc/passwd' is no time zone"),
        (once(END, START), "end: is not after start"),
        (once(START, START), "end: is not after start"),
        (once(START, END + "+01:00"), "end: start and end both have an offset, or neither has"),
        (once("0001-01-01", END), "start: 0001-01-01 is not between 2000 and 2099"),
        (once(START, "9999-12-31"), "end: 9999-12-31 is not between 2000 and 2099"),
        (
            once("2026-10-25T02:45:00+02:00", "2026-10-25T02:30:00+02:00"),
            "end: is not after start",
        ),
        (
            again("2026-10-25T02:45:00+02:00", "2026-10-25T02:30:00+01:00", "FREQ=DAILY"),
            "end: is not after start on the clocks of Europe/Berlin",
        ),
        (once("0001-01-01T00:00+01:00", END + "+01:00"), "start: 0001-01-01 is not between 2000"),
        (replace(once(START, END), exdates=(date(2026, 3, 2),)), "exdates: without rrule"),
        (again(START, "2026-03-30", "FREQ=DAILY"), "end: a window of 27 days, 2:00:00 is longer"),
        (again(START, END, "FREQ=WEEKLY;BYDAY=TU"), "start: Monday 2026-03-02 is no day of the"),
        (again(START, END, "FREQ=DAILY;INTERVAL=7;BYDAY=TU"), "start: Monday 2026-03-02 is no"),
        (again(START, END, "FREQ=DAILY;UNTIL=20260301"), "rrule: UNTIL is before start"),
        (again(START, END, "FREQ=DAILY;UNTIL=99991231"), "rrule: UNTIL is not between 2000 and"),
        (again(START, "2026-03-03T22:00", "FREQ=DAILY"), "rrule: leaves no time between"),
        (again(START, END, "FREQ=DAILY", "2026-03-01"), "exdates: no window of the rule begins"),
        (again("2026-01-31", "2026-02-01", "FREQ=MONTHLY"), "rrule: day 31 is not everywhere"),
        (again("2026-03-30", "2026-03-31", "FREQ=YEARLY;BYMONTH=2,3"), "rrule: day 30 is not"),
        (again("2028-02-29", "2028-03-01", "FREQ=YEARLY"), "rrule: day 29 is not everywhere"),
        (again(START, END, "FREQ=DAILY;BYSETPOS=1"), "rrule: 'BYSETPOS' is not supported"),
    ],
)  # fmt: skip
def test_a_freeze_that_cannot_be_meant_is_refused_by_field(freeze: Freeze, fault: str) -> None:
    assert [each for each in check(freeze) if each.startswith(fault)] == check(freeze) != []
    with pytest.raises(ValueError, match=r"^freeze f: "):
        year(freeze)


@pytest.mark.parametrize(
    "rrule", ["FREQ=YEARLY", "FREQ=YEARLY;BYMONTH=12,1", "FREQ=MONTHLY;BYMONTHDAY=31", "FREQ=DAILY"]
)
def test_the_thirty_first_may_recur_where_it_is_meant(rrule: str) -> None:
    assert check(again("2026-12-31", "2026-12-31T12:00", rrule)) == []


def test_all_faults_are_told_at_once() -> None:
    faults = check(once("2026-01-02", "2026-01-01", "Nowhere"))
    assert [fault.partition(":")[0] for fault in faults] == ["zone", "end"]


# --- the database of zones --------------------------------------------------------------------


def test_zones_come_from_the_package_whatever_the_machine_has(tmp_path: Path) -> None:
    (tmp_path / "Europe").mkdir()
    with (tmp_path / "Europe" / "Berlin").open("wb") as file:
        file.write(zones._ROOT.joinpath("zoneinfo", "Asia", "Kolkata").read_bytes())
    zones.zone.cache_clear()
    zoneinfo.ZoneInfo.clear_cache()
    zoneinfo.reset_tzpath(to=[str(tmp_path)])
    try:
        summer = utc("2026-07-01")
        assert offset(summer, zoneinfo.ZoneInfo(BERLIN)) == timedelta(hours=5.5)
        assert offset(summer, zones.zone(BERLIN)) == timedelta(hours=2)
    finally:
        zoneinfo.reset_tzpath()
        zoneinfo.ZoneInfo.clear_cache()


def test_the_version_is_that_of_the_package() -> None:
    number = version("tzdata").split(".")
    assert f"{number[0]}{'abcdefghijklmnopqrstuvwxyz'[int(number[1]) - 1]}" == zones.TZDATA


def test_every_zone_of_the_database_can_be_read() -> None:
    assert len({zones.zone(name).key for name in zones._NAMES}) == len(zones._NAMES) > 400
