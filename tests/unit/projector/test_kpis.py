"""Deployment frequency and quantiles against answers that were worked out by hand."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.projector import kpis, leadtime
from tests.unit.projector.figures import (
    MIDNIGHT,
    asked,
    frequency,
    lead,
    ship,
)
from tests.unit.projector.recorded import (
    STAGING,
    START,
    Log,
    deployment,
    digest,
)

SOON = timedelta(microseconds=1)


def test_nothing_known_is_not_zero() -> None:
    for answer in (frequency(Log()), lead(Log())):
        assert (answer.value, answer.n, answer.series, answer.observations) == (None, 0, [], [])


def test_a_service_without_deployments_is_a_measured_zero() -> None:
    log = Log()
    log.add("release.planned", 0, release_id="r", name="R", service_ids=["pay"],
            release_type="minor", owner="dev:ada")  # fmt: skip
    answer = frequency(log)
    assert answer.value == 0
    assert [point.value for point in answer.series] == [0] * 7
    assert answer.extra["active_days_per_week"] == 0


def test_deployments_per_day_with_quiet_days_in() -> None:
    log = Log()
    for number, at in enumerate((0, 1, 25, 49)):
        ship(log, number, at)
    answer = frequency(log)
    assert answer.value == pytest.approx(4 / 7)
    assert (answer.n, answer.excluded) == (4, {})
    assert [point.value for point in answer.series] == [2, 1, 1, 0, 0, 0, 0]
    assert answer.extra["active_days_per_week"] == 3
    assert answer.by_service == {"pay": pytest.approx(4 / 7)}


def test_rollbacks_and_redeploys_are_listed_apart() -> None:
    log = Log()
    ship(log, 1, 0, artifact_digest=digest(1))
    ship(log, 2, 1, artifact_digest=digest(2))
    ship(log, 3, 2, artifact_digest=digest(2))
    ship(log, 4, 3, artifact_digest=digest(1), kind="rollback")
    ship(log, 5, 4, artifact_digest=digest(2))
    answer = frequency(log)
    assert answer.n == 3
    assert answer.excluded == {"redeploy": 1, "rollback": 1}
    assert (answer.extra["rollbacks"], answer.extra["redeploys"]) == (1, 1)
    assert [(each.label, each.reason) for each in answer.observations] == [
        ("d5", ""), ("d4", "rollback"), ("d3", "redeploy"), ("d2", ""), ("d1", ""),
    ]  # fmt: skip


def test_without_a_digest_nothing_is_called_a_redeploy() -> None:
    log = Log()
    ship(log, 1, 0)
    ship(log, 2, 1)
    assert frequency(log).n == 2


def test_only_successes_in_production_count_once_per_service() -> None:
    log = Log()
    log.add("deployment.finished", 1, **deployment("a", environment=STAGING), outcome="success")
    log.add("deployment.finished", 1, **deployment("b"), outcome="failure")
    log.add("deployment.finished", 2, **deployment("c", service="pay"), outcome="success")
    log.add("deployment.finished", 2, **deployment("c", service="web"), outcome="success")
    answer = frequency(log)
    assert answer.n == 2
    assert answer.by_service == {"pay": pytest.approx(1 / 7), "web": pytest.approx(1 / 7)}
    assert frequency(log, asked(service="web")).n == 1


def test_the_window_is_half_open_and_begins_when_the_service_was_known() -> None:
    log = Log()
    ship(log, 1, 24 * 5)  # the sixth day at nine
    answer = frequency(log, asked(end=START + timedelta(days=5)))
    assert (answer.value, answer.n) == (None, 0)
    answer = frequency(log, asked(days=30))
    assert answer.start == "2026-03-07T00:00:00.000000Z"
    assert answer.value == pytest.approx(1 / 2)


def test_the_day_that_is_not_over_counts_as_far_as_it_has_come() -> None:
    log = Log()
    ship(log, 1, 0)
    ship(log, 2, 24)
    answer = frequency(log, asked(days=2, end=MIDNIGHT + timedelta(days=1, hours=12)))
    assert answer.value == pytest.approx(2 / 1.5)
    assert len(answer.series) == 2


@pytest.mark.parametrize(
    ("now", "known", "why"),
    [
        (timedelta(days=7), {}, ""),
        (timedelta(days=7) - SOON, {}, "the last day is not over"),
        (timedelta(days=7), {"position": 8, "head": 10}, "events not read yet: 2"),
        (timedelta(days=7), {"position": 10, "head": 10}, ""),
        (timedelta(days=7), {"head": None}, "nothing was read from the ledger yet"),
        (timedelta(days=6), {"position": 1, "head": 2},
         "the last day is not over; events not read yet: 1"),
    ],
)  # fmt: skip
def test_a_figure_is_provisional_until_its_days_are_over_and_read(
    now: timedelta, known: dict[str, Any], why: str
) -> None:
    log = Log()
    ship(log, 1, 0)
    for end in (timedelta(days=7), timedelta(days=6, hours=15)):
        question = asked(end=MIDNIGHT + end, now=MIDNIGHT + now, **known)
        for answer in (frequency(log, question), lead(log, question)):
            assert (answer.provisional, answer.provisional_because) == (bool(why), why)


def test_the_documentation_explains_each_figure_and_each_reason() -> None:
    words = (Path(__file__).parents[3] / "docs" / "kpis.md").read_text()
    assert "`provisional`" in words
    assert re.findall(r"^## ([a-z]+(?:-[a-z]+)+)$", words, re.MULTILINE) == list(kpis.KPIS)
    reasons = {*get_args(kpis.Apart), *get_args(leadtime.Reason)} - {""}
    assert set(re.findall(r"^\| `(\w+)` \|", words, re.MULTILINE)) == reasons
    for answer in (frequency(Log()), lead(Log())):
        assert f"`{answer.definition}`" in words
        assert all(f"`{name}`" in words for name in answer.extra)


@given(st.lists(st.floats(0, 1e7), min_size=3), st.sampled_from([0.5, 0.75, 0.9]))
def test_a_quantile_lies_between_its_neighbours(values: list[float], share: float) -> None:
    found = kpis.quantile(values, share)
    assert found is not None
    below = sum(value <= found * (1 + 1e-12) for value in values)
    above = sum(value >= found * (1 - 1e-12) for value in values)
    assert below >= share * (len(values) - 1)
    assert above >= (1 - share) * (len(values) - 1)


def test_known_quantiles() -> None:
    assert kpis.quantile([4, 1, 3, 2], 0.5) == 2.5
    assert kpis.quantile([1, 2, 3, 4, 5], 0.9) == pytest.approx(4.6)
    assert kpis.quantile([1, 2], 0.5) is None
    assert kpis.quantile([7], 0.5, 1) == 7
