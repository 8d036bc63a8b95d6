"""Words and numbers as pages show them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from contracts.event import format_time
from services.kit import clock
from services.projector.measures import Point
from services.projector.web import charts, presenting, words
from services.projector.web.people import Directory, Person


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"),
     (12_000, "3 h 20 min"), (86_400, "1 d"), (187_200, "2 d 4 h"), (40 * 86_400 + 3600, "40 d")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert presenting.span(seconds) == text


@pytest.mark.parametrize(
    ("hours", "text"),
    [(0, "just now"), (0.25, "15 min ago"), (-72.01, "in 3 d"), (26, "1 d ago")],
)
def test_relative_times(hours: float, text: str) -> None:
    assert presenting.relative(format_time(clock.now() - timedelta(hours=hours))) == text


@pytest.mark.parametrize(
    ("per_day", "text"),
    [(None, "–"), (0.0, "0.0 a day"), (1.44, "1.4 a day"), (0.5, "3.5 a week"),
     (0.1, "3.0 a month")],
)  # fmt: skip
def test_a_rate_reads_in_its_unit_and_unknown_is_never_zero(
    per_day: float | None, text: str
) -> None:
    assert presenting.figure(per_day, "per_day") == text


def test_rates_that_are_compared_share_a_unit() -> None:
    assert presenting.figure(0.1, "per_day", like=0.5) == "0.7 a week"


def test_what_machines_wrote_is_made_readable_and_never_markup() -> None:
    known = Directory([Person("dev:ada", "Ada <Marlow>")])
    shown = presenting.calm(f"dev:ada & dev:bob <b> {'a' * 64} 2026-11-23T18:41:00.5Z", known)
    assert '<span title="dev:ada">Ada &lt;Marlow&gt;</span> &amp; dev:bob &lt;b&gt; ' in shown
    assert f'<span title="{"a" * 64}">{"a" * 12}…</span>' in shown
    assert ">23 Nov, 18:41</time>" in shown


def test_names_of_those_who_can_act_make_a_sentence() -> None:
    known = Directory([Person("dev:ada", "Ada Marlow")])
    assert known.first_names(["dev:ada"]) == "Ada"
    assert known.first_names(["dev:ada", "dev:ken", "key:ci"]) == "Ada, ken or ci"
    assert known.name("github:4711") == "github 4711"


def test_bars_leave_a_gap_where_nothing_was_measured() -> None:
    series = [Point(start="2026-11-01T00:00:00Z", value=v, n=1) for v in (None, 0.0, 3.0)]
    drawn = charts.chart(series, "per_day")
    assert [bar.height for bar in drawn.bars] == [None, 0.0, 120.0]
    assert (drawn.top, drawn.middle) == (4.0, 2.0)


def test_an_unknown_state_is_shown_as_it_is_called() -> None:
    assert words.word("paused", "release").text == "paused"
    assert words.count(0, "delivery", "deliveries") == "no deliveries"
