"""The two KPIs against answers that were worked out by hand."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event import parse_time
from services.projector import kpis, leadtime
from services.projector.views import KpiView
from tests.unit.projector.recorded import (
    PRODUCTION,
    STAGING,
    START,
    Log,
    deployment,
    digest,
    fold,
    moment,
    sha,
    story,
)

MIDNIGHT = START.replace(hour=0)
HOUR = 3600.0


def asked(days: int = 7, end: datetime = MIDNIGHT + timedelta(days=7), **more: Any) -> kpis.Asked:
    return kpis.Asked(days, end, **more)


def history(log: Log, question: kpis.Asked) -> kpis.History:
    """Select from the folded rows as the store does."""
    rows = fold(log.events)
    won = [
        row
        for row in sorted(rows.get("deployment", []), key=lambda row: row["position"])
        if row["tier"] == "production"
        and row["state"] == "success"
        and parse_time(row["finished_at"]) < question.end
        and question.service in {None, row["service"]}
    ]
    changes = [row for row in rows.get("change", []) if row["merge_sha"]]
    return kpis.History(
        won,
        {row["service"]: row["first_at"] for row in rows.get("service", [])},
        rows.get("commit", []),
        sorted(changes, key=lambda row: row["position"]),
    )


def frequency(log: Log, question: kpis.Asked | None = None) -> KpiView:
    question = question or asked()
    return kpis.deployment_frequency(question, history(log, question))


def lead(log: Log, question: kpis.Asked | None = None) -> KpiView:
    question = question or asked()
    return kpis.change_lead_time(question, history(log, question))


def ship(log: Log, number: int, at: float, head: int | None = None, **more: Any) -> None:
    repo = None if head is None else "acme/pay"
    log.add("deployment.finished", at, **deployment(f"d{number}", **more), outcome="success",
            repo=repo, head_sha=None if head is None else sha(head))  # fmt: skip


def push(
    log: Log, at: float, *numbers: int, ref: str = "main", written: float | None = None
) -> None:
    """Push commits, written an hour before or at `written`."""
    when = moment(at - 1 if written is None else written)
    log.add("change.pushed", at, repo="acme/pay", ref=f"refs/heads/{ref}", before=sha(999),
            after=sha(numbers[-1]), default_branch=ref == "main",
            commits=[{"sha": sha(n), "committed_at": when} for n in numbers])  # fmt: skip


def merge(log: Log, at: float, change: int, merged: int, **more: Any) -> None:
    log.add("change.merged", at, **{
        "repo": "acme/pay", "change_id": str(change), "head_sha": sha(900 + change),
        "merge_sha": sha(merged), "target": "main", "commit_shas": [], "first_commit_at": None,
    } | more)  # fmt: skip


# deployment frequency


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


def test_the_documentation_explains_each_figure_and_each_reason() -> None:
    words = (Path(__file__).parents[3] / "docs" / "kpis.md").read_text()
    assert re.findall(r"^## ([a-z]+(?:-[a-z]+)+)$", words, re.MULTILINE) == list(kpis.KPIS)
    reasons = {*get_args(kpis.Apart), *get_args(leadtime.Reason)} - {""}
    assert set(re.findall(r"^\| `(\w+)` \|", words, re.MULTILINE)) == reasons
    for answer in (frequency(Log()), lead(Log())):
        assert f"`{answer.definition}`" in words
        assert all(f"`{name}`" in words for name in answer.extra)


# change lead time


def three_merges(log: Log) -> None:
    """A baseline, then changes of 10, 20 and 30 hours from first commit to production."""
    push(log, 0, 1)
    ship(log, 1, 1, head=1)
    for change, (began, at, deployed) in enumerate(
        ((0, 8, 10), (10, 15, 30), (30, 50, 60)), start=2
    ):
        merge(log, at, change, change, first_commit_at=moment(began))
        push(log, at, change)
        ship(log, change, deployed, head=change)


def test_median_and_quantiles_of_exact_seconds() -> None:
    log = Log()
    three_merges(log)
    answer = lead(log)
    assert answer.n == 3
    assert answer.value == 20 * HOUR
    assert answer.quantiles == {
        "p50": 20 * HOUR, "p75": 25 * HOUR, "p90": pytest.approx(28 * HOUR),
    }  # fmt: skip
    assert answer.extra["merge_to_deploy"] == 10 * HOUR
    assert answer.excluded == {"baseline": 1}
    assert answer.series[0].value == 20 * HOUR
    assert answer.by_service == {"pay": 20 * HOUR}


def test_fewer_than_needed_have_no_headline() -> None:
    log = Log()
    push(log, 0, 1)
    ship(log, 1, 1, head=1)
    push(log, 5, 2)
    ship(log, 2, 6, head=2)
    answer = lead(log)
    assert (answer.n, answer.needed, answer.value) == (1, 3, None)
    assert answer.observations[0].value == 2 * HOUR
    assert answer.observations[0].label == f"acme/pay@{sha(2)[:12]}"


def test_a_first_deployment_claims_no_history() -> None:
    log = Log()
    for at, number in enumerate((1, 2, 3)):
        push(log, at, number)
    ship(log, 1, 5, head=3)
    answer = lead(log)
    assert (answer.n, answer.excluded) == (0, {"baseline": 1})


def test_several_merges_before_one_deployment_all_count() -> None:
    log = Log()
    push(log, 0, 1)
    ship(log, 1, 1, head=1)
    for number in (2, 3, 4):
        merge(log, number, number, number, first_commit_at=moment(1))
        push(log, number, number)
    ship(log, 2, 9, head=4)
    answer = lead(log)
    assert (answer.n, answer.value) == (3, 8 * HOUR)


def test_a_change_counts_once_whatever_is_rolled_back_and_out_again() -> None:
    log = Log()
    three_merges(log)
    ship(log, 7, 70, head=1, kind="rollback")
    ship(log, 8, 80, head=4)
    push(log, 85, 5)
    ship(log, 9, 90, head=5)
    answer = lead(log)
    assert answer.n == 4
    assert [each.label for each in answer.observations if each.counted] == [
        f"acme/pay@{sha(5)[:12]}", "acme/pay#4", "acme/pay#3", "acme/pay#2",
    ]  # fmt: skip


def test_a_squash_is_measured_from_the_pushes_to_its_branch() -> None:
    log = Log()
    push(log, 0, 1)
    ship(log, 1, 1, head=1)
    push(log, 4, 51, ref="topic", written=2)
    push(log, 6, 52, ref="topic", written=5)
    merge(log, 8, 7, 2, source_ref="topic")
    push(log, 8, 2, written=8)
    ship(log, 2, 12, head=2)
    (observation,) = [each for each in lead(log).observations if each.counted]
    assert observation.value == 10 * HOUR


def test_a_branch_name_that_serves_again_does_not_inherit_old_commits() -> None:
    log = Log()
    push(log, 0, 1)
    ship(log, 1, 1, head=1)
    for change, at in ((2, 10), (3, 20)):
        push(log, at, 50 + change, ref="topic", written=at - 2)
        merge(log, at + 1, change, change, source_ref="topic")
        push(log, at + 1, change, written=at + 1)
        ship(log, change, at + 2, head=change)
    assert [each.value for each in lead(log).observations if each.counted] == [4 * HOUR] * 2


def test_a_merge_commit_brings_its_commits_with_their_times() -> None:
    log = Log()
    push(log, 0, 1)
    ship(log, 1, 1, head=1)
    merge(log, 8, 7, 22)
    push(log, 8, 20, 21, 22, written=3)
    ship(log, 2, 10, head=22)
    answer = lead(log)
    assert [(each.label, each.value) for each in answer.observations if each.counted] == [
        ("acme/pay#7", 7 * HOUR)
    ]  # fmt: skip


def test_a_change_whose_beginning_nobody_told_is_left_out_and_counted() -> None:
    log = Log()
    push(log, 0, 1)
    ship(log, 1, 1, head=1)
    merge(log, 8, 7, 2)
    push(log, 8, 2)
    ship(log, 2, 10, head=2)
    assert lead(log).excluded == {"baseline": 1, "no_commit_times": 1}


@pytest.mark.parametrize(("began", "deployed"), [(9, 10), (2, 7)])
def test_times_that_contradict_are_left_out_and_counted(began: float, deployed: float) -> None:
    log = Log()
    push(log, 0, 1)
    ship(log, 1, 1, head=1)
    merge(log, 8, 7, 2, first_commit_at=moment(began))
    push(log, 8, 2)
    ship(log, 2, deployed, head=2)
    answer = lead(log)
    assert (answer.n, answer.excluded) == (0, {"baseline": 1, "clock_anomaly": 1})


def test_a_deployment_of_an_unknown_commit_tells_nothing() -> None:
    log = Log()
    three_merges(log)
    ship(log, 7, 70, head=77)
    ship(log, 8, 71)
    answer = lead(log)
    assert (answer.n, answer.excluded) == (3, {"baseline": 1, "no_commit_link": 2})


def test_a_commit_that_two_repositories_hold_is_not_guessed() -> None:
    log = Log()
    for repo in ("acme/pay", "acme/fork"):
        log.add("change.pushed", 0, repo=repo, ref="main", before=sha(999), after=sha(1),
                default_branch=True, commits=[])  # fmt: skip
    log.add("deployment.finished", 1, **deployment("d", head_sha=sha(1)), outcome="success")
    assert lead(log).excluded == {"no_commit_link": 1}


def test_a_change_in_a_shared_repository_counts_at_its_first_service() -> None:
    log = Log()
    push(log, 0, 1)
    for number, service in enumerate(("pay", "web")):
        ship(log, number, 1, head=1, service=service)
    push(log, 5, 2)
    ship(log, 3, 6, head=2, service="pay")
    ship(log, 4, 8, head=2, service="web")
    answer = lead(log)
    assert [(each.service, each.value) for each in answer.observations if each.counted] == [
        ("pay", 2 * HOUR)
    ]  # fmt: skip
    assert lead(log, asked(service="web")).observations[0].value == 4 * HOUR


def test_regions_are_chains_of_their_own_and_the_first_one_counts() -> None:
    log = Log()
    push(log, 0, 1)
    regions = [PRODUCTION | {"id": name} for name in ("prod-eu", "prod-us")]
    for number, region in enumerate(regions):
        ship(log, number, 1, head=1, environment=region)
    push(log, 5, 2)
    for number, region in enumerate(regions, start=3):
        ship(log, number, 3 + number, head=2, environment=region)
    answer = lead(log)
    assert (answer.n, answer.excluded) == (1, {"baseline": 2})
    assert answer.observations[0].value == 2 * HOUR


def test_the_cohort_is_by_deployment() -> None:
    log = Log()
    three_merges(log)
    answer = lead(log, asked(days=1, end=MIDNIGHT + timedelta(days=2)))
    assert [each.label for each in answer.observations] == ["acme/pay#3"]


def test_the_whole_story_gives_a_lead_time() -> None:
    log = Log()
    for number in range(1, 5):
        story(log, number, at=number * 10)
    answer = lead(log)
    assert (answer.n, answer.value, answer.excluded) == (3, 10 * HOUR, {"baseline": 1})


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
