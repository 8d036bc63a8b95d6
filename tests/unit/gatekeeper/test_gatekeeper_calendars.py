"""Which freezes hold whom, and when that changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.payloads.control import FreezeDeclared
from services.gatekeeper.calendars import (
    HORIZON,
    Planned,
    at,
    declared,
    next_change,
    simulate,
)
from services.gatekeeper.windows import Freeze, check

TICK = timedelta(microseconds=1)


def freeze(id_: str, start: str, end: str, rrule: str | None = None, zone: str = "UTC") -> Freeze:
    bounds = (datetime.fromisoformat(start), datetime.fromisoformat(end))
    return Freeze(id_, f"the {id_}", *bounds, zone, rrule)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


SALE = freeze("sale", "2026-11-20", "2026-12-01")
NIGHTLY = freeze("night", "2021-03-01T22:00", "2021-03-02T05:00", "FREQ=DAILY", "Europe/Berlin")
QUARTER = freeze(
    "quarter", "2026-03-30", "2026-04-03", "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=30", "Asia/Kolkata"
)
FRIDAYS = freeze("fridays", "2026-01-02T12:00", "2026-01-05", "FREQ=WEEKLY;BYDAY=FR", "US/Pacific")
ALL = [SALE, NIGHTLY, QUARTER, FRIDAYS]


def held(
    freezes: list[Freeze],
    instant: str | datetime,
    services: tuple[str, ...] = ("pay",),
    release_type: str | None = "minor",
    environment: str = "production",
) -> list[str]:
    moment = utc(instant) if isinstance(instant, str) else instant
    return [each.id for each, _ in at(freezes, environment, services, release_type, moment)]


def change(freezes: list[Freeze], instant: str | datetime) -> datetime | None:
    moment = utc(instant) if isinstance(instant, str) else instant
    return next_change(freezes, "production", ("pay",), "minor", moment)


def test_a_window_holds_from_its_start_until_before_its_end() -> None:
    start, end = utc("2026-11-20"), utc("2026-12-01")
    assert held([SALE], start - TICK) == held([SALE], end) == []
    assert at([SALE], "production", ["pay"], None, start) == [(SALE, (start, end))]
    assert held([SALE], end - TICK) == ["sale"]
    assert change([SALE], start - TICK) == start
    assert change([SALE], start) == change([SALE], end - TICK) == end
    assert change([SALE], end) is None


@pytest.mark.parametrize(
    "scoped",
    [
        SALE,
        replace(SALE, environments=("staging", "production")),
        replace(SALE, services=("pay", "shop")),
        replace(SALE, allows=("hotfix",)),
    ],
)
def test_a_freeze_holds_who_is_in_its_scope(scoped: Freeze) -> None:
    assert held([scoped], "2026-11-21") == ["sale"]
    assert change([scoped], "2026-11-21") == utc("2026-12-01")


@pytest.mark.parametrize(
    "scoped",
    [
        replace(SALE, environments=("staging",)),
        replace(SALE, services=("shop",)),
        replace(SALE, allows=("hotfix", "minor")),
    ],
)
def test_a_freeze_holds_nobody_else(scoped: Freeze) -> None:
    assert held([scoped], "2026-11-21") == []
    assert change([scoped], "2026-11-21") is None


def test_what_is_not_known_of_a_release_lets_nothing_through() -> None:
    of_shop = replace(SALE, services=("shop",), allows=("hotfix",))
    assert held([of_shop], "2026-11-21", services=()) == ["sale"]
    assert held([of_shop], "2026-11-21", services=("pay", "shop"), release_type=None) == ["sale"]


def test_a_change_is_looked_for_within_the_horizon_only() -> None:
    assert change([SALE], utc("2026-11-20") - HORIZON + TICK) == utc("2026-11-20")
    assert change([SALE], utc("2026-11-20") - HORIZON) is None
    decade = freeze("decade", "2020-01-01", "2030-01-01")
    assert held([decade], "2026-01-01") == ["decade"]
    assert change([decade], "2026-01-01") is None
    assert change([decade], utc("2030-01-01") - HORIZON) is None
    assert change([decade], utc("2030-01-01") - HORIZON + TICK) == utc("2030-01-01")
    assert change([decade, SALE], "2026-01-01") == utc("2026-11-20")


def test_freezes_that_overlap_end_one_by_one() -> None:
    rest = freeze("rest", "2026-11-30", "2026-12-05")
    assert held([SALE, rest], "2026-11-30") == ["sale", "rest"]
    assert change([SALE, rest], "2026-11-30") == utc("2026-12-01")
    assert held([SALE, rest], "2026-12-01") == ["rest"]


@given(st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1)), st.sets(st.sampled_from(ALL)))  # noqa: DTZ001
@settings(deadline=None)
def test_the_answer_is_another_at_the_next_change_and_the_same_until_then(
    naive: datetime, chosen: set[Freeze]
) -> None:
    instant, freezes = naive.replace(tzinfo=UTC), sorted(chosen, key=lambda each: each.id)
    now, then = held(freezes, instant), change(freezes, instant)
    until = then or instant + HORIZON
    for part in range(1, 8):
        assert held(freezes, instant + (until - instant) * part / 8) == now
    if then is not None:
        assert then > instant
        assert held(freezes, then - TICK) == now != held(freezes, then)


def test_a_simulation_lists_what_holds_in_order() -> None:
    planned = simulate(ALL, utc("2026-11-27T12:00"), months=1)
    assert planned[0] == Planned("sale", "the sale", utc("2026-11-20"), utc("2026-12-01"))
    assert [each.start.day for each in planned if each.id == "fridays"] == [27, 4, 11, 18, 25]
    assert all(left.start <= right.start for left, right in pairwise(planned))
    assert len([each for each in planned if each.id == "night"]) == 30
    assert len({each.start for each in simulate([QUARTER], utc("2026-01-01"))}) == 4


def test_a_faulty_freeze_is_an_error_where_it_would_hold_and_nowhere_else() -> None:
    faulty = replace(SALE, zone="Mars/Base", environments=("production",))
    with pytest.raises(ValueError, match="freeze sale: zone: 'Mars/Base' is no time zone"):
        held([faulty], "2030-01-01")
    with pytest.raises(ValueError, match="freeze sale"):
        change([faulty], "2030-01-01")
    assert held([faulty], "2030-01-01", environment="staging") == []


def test_an_event_declares_a_freeze() -> None:
    payload = FreezeDeclared.model_validate({
        "freeze_id": "night", "calendar": "nightly", "reason": "batch runs",
        "allowed_types": ["hotfix"], "environments": ["production"], "services": ["pay"],
        "start": "2021-03-01T22:00", "end": "2021-03-02T05:00", "tz": "Europe/Berlin",
        "rrule": "FREQ=DAILY", "exdates": ["2026-12-24"],
    })  # fmt: skip
    found = declared(payload, 7)
    assert found == Freeze(
        "night", "batch runs", datetime(2021, 3, 1, 22), datetime(2021, 3, 2, 5),  # noqa: DTZ001 - local times
        "Europe/Berlin", "FREQ=DAILY", (date(2026, 12, 24),), ("production",), ("pay",),
        ("hotfix",), 7,
    )  # fmt: skip
    assert check(found) == []
    assert held([found], "2026-07-01T20:00") == ["night"]
    assert held([found], "2026-12-24T21:00") == []
    assert set(payload.subjects()) == {
        "freeze:night", "environment:production", "service:pay", "calendar:nightly",
    }  # fmt: skip


def test_an_event_may_freeze_everywhere_and_without_recurrence() -> None:
    payload = FreezeDeclared.model_validate({
        "freeze_id": "sale", "reason": "", "allowed_types": [], "tz": "UTC",
        "start": "2026-11-20T00:00", "end": "2026-12-01T00:00",
    })  # fmt: skip
    assert held([declared(payload, 1)], "2026-11-21", environment="anything") == ["sale"]


@pytest.mark.parametrize("day", ["2026-02-30", "20261224", "24.12.2026", "2026-12-24T00:00:00Z"])
def test_an_event_excepts_days_that_exist(day: str) -> None:
    payload = {
        "freeze_id": "f", "reason": "", "allowed_types": [], "exdates": [day], "tz": "UTC",
        "start": "2026-11-20T00:00", "end": "2026-12-01T00:00",
    }  # fmt: skip
    with pytest.raises(ValueError, match="exdates"):
        FreezeDeclared.model_validate(payload)
