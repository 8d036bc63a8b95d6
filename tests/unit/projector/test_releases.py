"""How a release moves, and what belongs to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.projector.one_release import R, candidate, finished, judged, planned, row
from tests.unit.projector.recorded import (
    STAGING,
    Log,
    deployment,
    digest,
    fold,
    moment,
    sha,
    story,
)


def test_the_straight_way_to_completed() -> None:
    log, states = planned(), []
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: candidate(log),
        lambda: judged(log, "pending"),
        lambda: judged(log, "allow"),
        lambda: log.add("deployment.started", 3, **deployment("d", release_id=R)),
        lambda: log.add(
            "deployment.finished", 4, **deployment("d", release_id=R), outcome="success"
        ),
        lambda: log.add("release.completed", 5, release_id=R, outcome="success"),
    ]
    for step in steps:
        step()
        states.append(row(log)["state"])
    assert states == [
        "planned", "building", "waiting", "approved", "deploying", "deployed", "completed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("success", "deployed"), ("failure", "failed"), ("partial", "failed"),
     ("cancelled", "approved"), ("superseded", "approved")],
)  # fmt: skip
def test_what_a_production_deployment_makes_of_it(outcome: str, state: str) -> None:
    log = planned()
    judged(log, "allow")
    finished(log, "d", outcome)
    assert row(log)["state"] == state


def test_staging_does_not_move_it() -> None:
    log = planned()
    candidate(log)
    finished(log, "d", environment=STAGING)
    assert row(log)["state"] == "building"


def test_every_service_must_run_it() -> None:
    log = Log()
    log.add("release.planned", 0, release_id=R, name="One", service_ids=["pay", "web"],
            release_type="major", owner="dev:ada")  # fmt: skip
    finished(log, "d1", service="pay")
    assert row(log)["state"] == "deploying"
    finished(log, "d2", service="web")
    assert row(log)["state"] == "deployed"
    assert row(log)["deployed_at"] == moment(4)


def test_a_rollback_takes_back_what_it_repairs_and_not_what_it_restores() -> None:
    log = planned()
    candidate(log, 1)
    finished(log, "d1", artifact_digest=digest(1))
    log.add("release.planned", 5, release_id="pay-2", name="Two", service_ids=["pay"],
            release_type="minor", owner="dev:ada")  # fmt: skip
    candidate(log, 2, "pay-2")
    finished(log, "d2", release_id="pay-2", artifact_digest=digest(2))
    finished(log, "back", release_id=None, artifact_digest=digest(1), kind="rollback",
             remediates="d2")  # fmt: skip
    assert row(log, "pay-2")["state"] == "rolled_back"
    assert row(log, R)["state"] == "deployed"
    (cell,) = fold(log.events)["cell"]
    assert (cell["release_id"], cell["version"]) == (R, "1.1")


def test_a_rollback_that_names_only_the_failing_release_takes_it_back() -> None:
    log = planned()
    finished(log, "d1")
    finished(log, "back", kind="rollback")
    assert row(log)["state"] == "rolled_back"


def test_a_failed_rollback_takes_nothing_back() -> None:
    log = planned()
    finished(log, "d1")
    finished(log, "back", "failure", kind="rollback", release_id=None, remediates="d1")
    assert row(log)["state"] != "rolled_back"


def test_a_rejection_stands_until_there_is_a_new_candidate() -> None:
    log = planned()
    candidate(log)
    judged(log, "pending")
    log.add("approval.decided", 2, approval_id="a", release_id=R, gate="production",
            principal="dev:grace", decision="rejected", roles=[])  # fmt: skip
    assert row(log)["state"] == "rejected"
    judged(log, "deny")
    assert row(log)["state"] == "rejected"
    candidate(log, 2)
    assert row(log)["state"] == "building"
    assert row(log)["gates"] == {}


def test_one_closed_gate_keeps_it_waiting() -> None:
    log = planned()
    judged(log, "allow")
    judged(log, "pending", gate="cab")
    assert row(log)["state"] == "waiting"
    judged(log, "allow")  # judged again by itself
    assert row(log)["state"] == "waiting"


def test_a_gate_that_is_opened_again_lifts_no_rejection_at_another() -> None:
    log = planned()
    candidate(log)
    log.add("approval.decided", 2, approval_id="a", release_id=R, gate="production",
            principal="dev:grace", decision="rejected", roles=[])  # fmt: skip
    judged(log, "deny")
    judged(log, "allow", gate="staging")
    assert row(log)["state"] == "rejected"


@pytest.mark.parametrize(
    ("outcome", "state"), [("rejected", "rejected"), ("superseded", "cancelled")]
)
def test_cancelled_or_rejected_is_the_end(outcome: str, state: str) -> None:
    log = planned()
    log.add("release.cancelled", 1, release_id=R, outcome=outcome, reason="no")
    if state == "cancelled":
        judged(log, "allow")
        candidate(log)
    assert row(log)["state"] == state


def test_what_came_before_the_candidate_is_found_through_its_artifact() -> None:
    log = Log()
    release = story(log)
    assert set(row(log, release)["linked"]) == {
        f"artifact:{digest(10)}", f"change:acme/pay@{sha(11)}", f"change:acme/pay@{sha(10)}",
        "pipelinerun:pay-1-ci", "ticket:T-1", "approval:a-pay-1", "decision:d1-pay-1",
        "decision:d2-pay-1", "deployment:pay-1-prod",
    }  # fmt: skip


def test_an_incident_belongs_to_the_release_whose_deployment_caused_it() -> None:
    log = planned()
    finished(log, "d1")
    log.add("incident.detected", 5, incident_id="i", environment=STAGING, severity="high",
            started_at=moment(5))  # fmt: skip
    assert "incident:i" not in row(log)["linked"]
    log.add("incident.attributed", 6, incident_id="i", deployment_id="d1", basis="human")
    assert "incident:i" in row(log)["linked"]
    assert row(log)["last_position"] == len(log.events)


def test_a_merge_that_is_told_late_still_joins_both_ends_of_the_change() -> None:
    log = planned()
    log.add("release.candidate_created", 1, release_id=R, version="1", manifest_digest=digest(1),
            artifacts=[digest(1)], change_ids=[f"acme/pay@{sha(2)}"])  # fmt: skip
    log.add("change.merged", 1, repo="acme/pay", change_id="7", head_sha=sha(1), merge_sha=sha(2),
            target="main", commit_shas=[], first_commit_at=None)  # fmt: skip
    assert f"change:acme/pay@{sha(1)}" in row(log)["linked"]


def test_a_deployment_that_names_only_its_commit_finds_its_release() -> None:
    log = planned()
    log.add("release.candidate_created", 1, release_id=R, version="1", manifest_digest=digest(1),
            artifacts=[digest(1)], change_ids=[f"acme/pay@{sha(2)}"])  # fmt: skip
    finished(log, "d", release_id=None, repo="acme/pay", head_sha=sha(2))
    assert row(log)["state"] == "deployed"
    assert "deployment:d" in row(log)["linked"]


def test_a_rollback_does_not_give_its_release_another_ones_artifact() -> None:
    log = planned()
    candidate(log, 1)
    log.add("release.planned", 5, release_id="pay-2", name="Two", service_ids=["pay"],
            release_type="minor", owner="dev:ada")  # fmt: skip
    finished(log, "back", release_id="pay-2", artifact_digest=digest(1), kind="rollback")
    assert row(log, "pay-2")["linked"] == ["deployment:back"]
