"""Gates, deployments, matters and commits, row by row."""

from __future__ import annotations

from tests.unit.projector.one_release import R, judged, planned, row
from tests.unit.projector.recorded import (
    STAGING,
    Log,
    deployment,
    digest,
    fold,
    moment,
    sha,
)


def test_a_gate_keeps_the_newest_decision_and_how_long_it_has_waited() -> None:
    log = planned()
    for verdict in ("allow", "pending", "pending"):
        judged(log, verdict)
    (gate,) = fold(log.events)["gate"]
    assert (gate["verdict"], gate["judged"], gate["position"]) == ("pending", 3, 4)
    assert gate["since"] == log.events[2].recorded_at
    assert (gate["who"], gate["roles"]) == (["dev:grace"], ["release-manager"])


def test_a_decision_that_says_more_than_we_know_is_still_read() -> None:
    log = planned()
    judged(log, "pending")
    event = log.events[-1]
    event.event["data"]["decision"]["from_the_future"] = 1
    event.event["data"]["decision"]["rules"][0]["mood"] = "calm"
    (gate,) = fold(log.events)["gate"]
    assert "from_the_future" not in gate["decision"]


def test_a_late_start_does_not_bring_a_finished_deployment_back() -> None:
    log = Log()
    parts = deployment("d")
    log.add("deployment.finished", 4, **parts, outcome="failure")
    log.add("deployment.started", 3, **parts)
    (found,) = fold(log.events)["deployment"]
    assert (found["state"], found["started_at"]) == ("failure", moment(3))


def test_a_late_start_does_not_move_a_release_back() -> None:
    log = planned()
    parts = deployment("d", release_id=R)
    log.add("deployment.finished", 4, **parts, outcome="success")
    log.add("deployment.started", 3, **parts)
    assert row(log)["state"] == "deployed"


def test_each_success_keeps_what_stood_there_before() -> None:
    log = Log()
    for number in (1, 2):
        parts = deployment(f"d{number}", artifact_digest=digest(number))
        log.add("deployment.finished", number, **parts, outcome="success")
    first, second = fold(log.events)["deployment"]
    assert (first["first"], first["previous_digest"]) == (True, None)
    assert (second["first"], second["previous_digest"]) == (False, digest(1))


def test_a_deployment_without_a_commit_has_that_of_its_artifact() -> None:
    log = Log()
    log.add("artifact.packaged", 1, purl="x", digest=digest(1), commit_sha=sha(5), repo="acme/pay")
    log.add("deployment.started", 2, **deployment("d", artifact_digest=digest(1)))
    (found,) = fold(log.events)["deployment"]
    assert (found["repo"], found["head_sha"]) == ("acme/pay", sha(5))


def test_an_incident_told_late_stays_resolved_and_a_new_one_opens() -> None:
    log, parts = Log(), {"incident_id": "i", "environment": STAGING, "severity": "low"}
    log.add("incident.resolved", 5, **parts, started_at=moment(1), resolved_at=moment(5))
    log.add("incident.detected", 1, **parts, started_at=moment(1))
    assert fold(log.events)["matter"][0]["open"] is False
    log.add("incident.detected", 6, **parts, started_at=moment(6))
    assert fold(log.events)["matter"][0]["open"] is True


def test_a_lifted_freeze_keeps_the_reason_why_it_was_declared() -> None:
    log = Log()
    log.add("freeze.declared", 1, freeze_id="f", environments=["staging"], tz="Europe/Berlin",
            start="2026-12-20T00:00", end="2026-12-21T00:00", reason="holiday",
            allowed_types=["hotfix"])  # fmt: skip
    log.add("freeze.lifted", 2, freeze_id="f", reason="over")
    (found,) = fold(log.events)["matter"]
    assert found["open"] is False
    assert found["until"] == "2026-12-20T23:00:00.000000Z"
    assert found["doc"] == {
        "freeze_id": "f", "reason": "holiday", "start": "2026-12-19T23:00:00.000000Z",
        "end": "2026-12-20T23:00:00.000000Z", "environments": ["staging"],
        "allowed_types": ["hotfix"], "rrule": None,
    }  # fmt: skip


def test_a_push_keeps_its_order_and_its_new_end() -> None:
    log = Log()
    log.add("change.pushed", 1, repo="r", ref="refs/heads/main", before=sha(1), after=sha(4),
            default_branch=True,
            commits=[{"sha": sha(n), "committed_at": moment(0)} for n in (2, 3)])  # fmt: skip
    log.add("change.pushed", 2, repo="r", ref="refs/heads/gone", before=sha(4), after="0" * 40,
            default_branch=False, commits=[])  # fmt: skip
    found = fold(log.events)["commit"]
    assert [(each["sha"], each["ordinal"], each["ref"]) for each in found] == [
        (sha(2), 0, "main"), (sha(3), 1, "main"), (sha(4), 2, "main"),
    ]  # fmt: skip
