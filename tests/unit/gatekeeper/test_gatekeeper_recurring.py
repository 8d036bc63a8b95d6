"""The part of RFC 5545 that freezes may use; what is beyond it is refused by name."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from itertools import takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gatekeeper import recurring

SPAN = timedelta(days=1200)
ORDINALS = st.sampled_from([f"{n}{d}" for n in (1, 2, 5, -1, -3) for d in ("MO", "WE", "SU")])


def listed(each: st.SearchStrategy[object]) -> st.SearchStrategy[str]:
    return st.lists(each, min_size=1, max_size=3).map(lambda found: ",".join(map(str, found)))


MONTHS = listed(st.integers(1, 12)).map("BYMONTH={}".format)
PLAIN = listed(st.sampled_from(["MO", "WE", "SU"])).map("BYDAY={}".format)
NTH = listed(ORDINALS).map("BYDAY={}".format)
DAYS = listed(st.integers(-28, 28).filter(bool)).map("BYMONTHDAY={}".format)
RULES = st.one_of(
    st.tuples(st.just("FREQ=DAILY"), PLAIN, MONTHS),
    st.tuples(st.just("FREQ=DAILY"), DAYS),
    st.tuples(st.just("FREQ=WEEKLY"), PLAIN),
    st.tuples(st.just("FREQ=MONTHLY"), DAYS | NTH | PLAIN),
    st.tuples(st.just("FREQ=MONTHLY"), PLAIN, DAYS),
    st.tuples(st.just("FREQ=YEARLY"), MONTHS, DAYS | NTH | PLAIN),
).map(";".join)


@given(RULES, st.dates(date(2020, 1, 1), date(2030, 1, 1)))
@settings(deadline=None)
def test_a_rule_begins_on_every_day_that_fits_and_on_no_other(text: str, day: date) -> None:
    rule = recurring.read(text)
    days = (day + timedelta(days=n) for n in range(SPAN.days))
    fitting = [datetime.combine(each, time(9)) for each in days if rule.fits(each)]
    if fitting:  # else it would be looked for until the year 9999
        starts = takewhile(lambda wall: wall.date() < day + SPAN, rule.starts(fitting[0]))
        assert list(starts) == fitting


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not supported; parts are FREQ, INTERVAL, COUNT, UNTIL, BYMONTH, BYMONTHDAY"),
        ("INTERVAL=2", "FREQ is missing"),
        ("FREQ=HOURLY", "FREQ=HOURLY is not supported; it is one of YEARLY, MONTHLY, WEEKLY"),
        ("FREQ=DAILY;BYHOUR=9", "'BYHOUR' is not supported"),
        ("FREQ=WEEKLY;WKST=SU", "'WKST' is not supported"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0 is no whole number from 1 to 9999"),
        ("FREQ=DAILY;INTERVAL=٣", "INTERVAL=٣ is no whole number"),
        ("FREQ=DAILY;COUNT=x", "COUNT=X is no whole number from 1 to 9999"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20260101", "COUNT and UNTIL exclude each other"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL=TOMORROW is no date such as 20261231"),
        ("FREQ=DAILY;UNTIL=20260231", "UNTIL=20260231 is not a date that exists"),
        ("FREQ=DAILY;UNTIL=20260201Z", "UNTIL=20260201Z is no date such as"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ stands twice"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY=0 is no whole number from -31 to 31 but not 0"),
        ("FREQ=YEARLY;BYMONTH=13", "BYMONTH=13 is no whole number from 1 to 12"),
        ("FREQ=WEEKLY;BYDAY=MONDAY", "BYDAY=MONDAY is no list of days such as MO, 1MO or -1FR"),
        ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY takes an ordinal only with FREQ=MONTHLY"),
        ("FREQ=YEARLY;BYDAY=1MO", "BYDAY takes an ordinal only with FREQ=MONTHLY"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY has no meaning with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYDAY=1MO;BYMONTHDAY=1", "BYDAY with an ordinal and BYMONTHDAY exclude"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "BYMONTHDAY names no day that BYMONTH's months"),
        ("FREQ=DAILY;COUNT=0;BYHOUR=1", "COUNT=0 is no whole number from 1 to 9999; 'BYHOUR' is"),
    ],
)
def test_a_part_that_is_not_understood_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        recurring.read(text)


def test_intervals_counts_and_defaults_are_those_of_the_standard() -> None:
    first = datetime.fromisoformat("2026-01-30T22:00")

    def days(text: str) -> list[str]:
        starts = takewhile(lambda wall: wall.year < 2027, recurring.read(text).starts(first))
        return [f"{wall:%m-%d}" for wall in starts][:4]

    assert days("FREQ=MONTHLY") == ["01-30", "03-30", "04-30", "05-30"]
    assert days("freq=weekly;interval=2") == ["01-30", "02-13", "02-27", "03-13"]
    assert days("FREQ=MONTHLY;BYDAY=-1FR") == ["01-30", "02-27", "03-27", "04-24"]
    assert days("FREQ=DAILY;COUNT=2") == ["01-30", "01-31"]
    assert days("FREQ=YEARLY") == ["01-30"]
