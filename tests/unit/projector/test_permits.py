"""Deployments that lack the permit they need: recorded like all others, and flagged."""

from __future__ import annotations

from typing import Any

import pytest

from services.projector.readmodels.rows import Row
from tests.unit.projector.one_release import R, planned
from tests.unit.projector.recorded import STAGING, Log, decision, deployment, digest, fold

GOOD = digest(1)


def permitted(log: Log, permit: str = "p1", place: str = "production", ends: str = "") -> None:
    """Issue a permit for one candidate."""
    log.add(
        "permit.issued", 1, permit_id=permit, decision_id="e1", release_id=R,
        gate=f"deploy:{place}", environment=place, target_digest=GOOD,
        not_after=ends or "2099-01-01T00:00:00Z",
    )  # fmt: skip


def started(log: Log, name: str = "d1", **more: Any) -> None:
    """Begin a deployment to production."""
    said = {"artifact_digest": GOOD, "release_id": R}
    log.add("deployment.started", 2, **deployment(name, **(said | more)))


def found(log: Log) -> list[Row]:
    """Return the deployments, in the order of their names."""
    return sorted(fold(log.events)["deployment"], key=lambda row: str(row["deployment_id"]))


def test_where_no_permit_was_ever_issued_nobody_needs_one() -> None:
    log = planned()
    permitted(log, place="staging")
    started(log)
    assert [row["unauthorised"] for row in found(log)] == [None]


def test_a_deployment_under_its_permit_is_authorised_to_its_end() -> None:
    log = planned()
    permitted(log)
    started(log, permit_id="p1")
    parts = deployment("d1", artifact_digest=GOOD, release_id=R)
    log.add("deployment.finished", 3, **parts, outcome="success")
    rows = fold(log.events)
    (row,) = rows["deployment"]
    assert (row["permit_id"], row["unauthorised"]) == ("p1", None)
    (permit,) = [m for m in rows["matter"] if m["kind"] == "permit"]
    assert (permit["open"], permit["doc"]["used_by"]) == (False, "d1")


@pytest.mark.parametrize("name", ["deployment.started", "deployment.finished"])
def test_without_a_permit_it_is_recorded_and_flagged(name: str) -> None:
    log = planned()
    permitted(log)
    ends = {"outcome": "success"} if name == "deployment.finished" else {}
    log.add(name, 2, **deployment("d1", artifact_digest=GOOD, release_id=R), **ends)
    rows = fold(log.events)
    assert [row["unauthorised"] for row in rows["deployment"]] == ["no permit was used"]
    assert [row["unauthorised"] for row in rows["cell"]] == ["no permit was used"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"permit_id": "p2"}, "nobody has issued its permit"),
        ({"permit_id": "p1", "artifact_digest": digest(2)},
         "its permit is for another candidate"),
        ({"permit_id": "p1", "artifact_digest": None}, "it does not say which artefact it deploys"),
        ({"permit_id": "staged"}, "its permit is for staging"),
        ({"permit_id": "old"}, "its permit had ended at 2020-01-01T00:00:00.000000Z"),
    ],
)  # fmt: skip
def test_a_permit_that_is_not_for_it_authorises_nothing(more: dict[str, Any], why: str) -> None:
    log = planned()
    permitted(log)
    permitted(log, "staged", "staging")
    permitted(log, "old", ends="2020-01-01T00:00:00Z")
    started(log, **more)
    assert [(row["permit_id"], row["unauthorised"]) for row in found(log)] == [(None, why)]


def test_a_permit_that_two_deployments_name_authorises_the_first() -> None:
    log = planned()
    permitted(log)
    started(log, "d1", permit_id="p1")
    started(log, "d2", permit_id="p1")
    assert [row["unauthorised"] for row in found(log)] == [
        None, "its permit had been used by d1",
    ]  # fmt: skip


def test_a_start_that_comes_late_still_brings_its_permit() -> None:
    log = planned()
    permitted(log)
    parts = deployment("d1", artifact_digest=GOOD, release_id=R)
    log.add("deployment.finished", 9, **parts, outcome="success")
    started(log, "d1", permit_id="p1")
    assert [(row["permit_id"], row["unauthorised"]) for row in found(log)] == [("p1", None)]


def test_each_artefact_of_the_candidate_may_go_out_under_its_permit() -> None:
    log = planned()
    log.add(
        "release.candidate_created", 1, release_id=R, version="1", manifest_digest=GOOD,
        artifacts=[digest(3), digest(4)],
    )  # fmt: skip
    permitted(log)
    started(log, permit_id="p1", artifact_digest=digest(4))
    assert [row["unauthorised"] for row in found(log)] == [None]


def test_environments_are_guarded_one_by_one() -> None:
    log = planned()
    permitted(log)
    started(log, "d1", environment=STAGING)
    assert [row["unauthorised"] for row in found(log)] == [None]


def finished(log: Log, name: str = "d1", **more: Any) -> None:
    """End a deployment to production."""
    said = {"artifact_digest": GOOD, "release_id": R, "outcome": "success"}
    log.add("deployment.finished", 9, **deployment(name, **(said | more)))


def test_no_later_start_takes_away_what_a_start_was_flagged_for() -> None:
    log = planned()
    permitted(log)
    started(log)
    permitted(log, "p2")
    started(log, permit_id="p2")
    finished(log)
    rows = fold(log.events)
    (row,) = rows["deployment"]
    assert (row["permit_id"], row["unauthorised"]) == (None, "no permit was used")
    unused = [m["open"] for m in rows["matter"] if m["kind"] == "permit"]
    assert unused == [True, True], "the permits remain for a deployment that is theirs"


def test_a_permit_that_was_issued_after_the_end_does_not_clear_it() -> None:
    log = planned()
    permitted(log, "p0")
    finished(log)
    permitted(log)
    started(log, permit_id="p1")
    why = "its permit was issued after it had ended"
    assert [(row["permit_id"], row["unauthorised"]) for row in found(log)] == [(None, why)]


def test_a_late_start_of_another_artefact_than_ended_does_not_clear_it() -> None:
    log = planned()
    permitted(log)
    finished(log, artifact_digest=digest(2))
    started(log, permit_id="p1")
    assert [row["unauthorised"] for row in found(log)] == ["its permit is for another candidate"]


@pytest.mark.parametrize("batch", [1, 100])
@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"artifact_digest": digest(2)}, "its permit is for another candidate"),
        ({"artifact_digest": None}, None),
        ({"environment": STAGING}, "its permit is for production"),
    ],
)
def test_what_ends_as_something_else_than_its_permit_was_for_is_flagged(
    more: dict[str, Any], why: str | None, batch: int
) -> None:
    log = planned()
    permitted(log)
    started(log, permit_id="p1")
    finished(log, **more)
    finished(log)  # and a second end does not take the flag away
    rows = fold(log.events, [batch])
    assert [row["unauthorised"] for row in rows["deployment"]] == [why]


def test_a_start_elsewhere_says_nothing_of_an_end_where_permits_are_needed() -> None:
    log = planned()
    permitted(log)
    started(log, environment=STAGING)
    finished(log)
    assert [row["unauthorised"] for row in found(log)] == ["no permit was used"]


def test_a_permit_whose_gate_was_shut_since_is_flagged() -> None:
    def judged(log: Log, verdict: str) -> None:
        gate = {"gate": "deploy:production", "environment": "production"}
        log.add("decision.recorded", 2, decision_id="e2", release_id=R,
                decision=decision(R, verdict, **gate))  # fmt: skip

    for verdict, flag in (("allow", None), ("deny", "its gate had shut before it began")):
        log = planned()
        permitted(log)
        judged(log, verdict)
        started(log, permit_id="p1")
        assert [row["unauthorised"] for row in found(log)] == [flag], verdict
