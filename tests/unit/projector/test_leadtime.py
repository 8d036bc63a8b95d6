"""Change lead time against answers that were worked out by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.projector.figures import (
    HOUR,
    MIDNIGHT,
    asked,
    lead,
    merge,
    push,
    ship,
)
from tests.unit.projector.recorded import (
    PRODUCTION,
    START,
    Log,
    deployment,
    moment,
    sha,
    story,
)


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


def test_a_lead_time_of_no_time_at_all_is_measured() -> None:
    log = Log()
    push(log, 0, 1)
    ship(log, 1, 1, head=1)
    for number in (2, 3, 4):
        push(log, number * 5, number, written=number * 5)
        ship(log, number, number * 5, head=number)
    answer = lead(log)
    assert (answer.value, answer.n) == (0, 3)
    assert answer.by_service == {"pay": 0}
    assert answer.series[0].value == 0


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


def test_going_back_behind_the_baseline_does_not_make_its_history_new() -> None:
    log = Log()
    for at, number in enumerate((1, 2, 3)):
        push(log, at, number)
    ship(log, 1, 5, head=3)
    ship(log, 2, 6, head=1, kind="rollback")
    ship(log, 3, 7, head=3)
    assert [each.reason for each in lead(log).observations] == ["baseline"]


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
    at_the_end = lead(log, asked(end=START + timedelta(hours=60)))
    assert [each.label for each in at_the_end.observations if each.counted] == [
        "acme/pay#3", "acme/pay#2",
    ]  # fmt: skip
    answer = lead(log, asked(days=1, end=MIDNIGHT + timedelta(days=2)))
    assert [each.label for each in answer.observations] == ["acme/pay#3"]


def test_the_whole_story_gives_a_lead_time() -> None:
    log = Log()
    for number in range(1, 5):
        story(log, number, at=number * 10)
    answer = lead(log)
    assert (answer.n, answer.value, answer.excluded) == (3, 10 * HOUR, {"baseline": 1})
