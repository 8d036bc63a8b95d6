"""The life of one release, told in the words that the tests of several read models share."""

from typing import Any

from services.projector.readmodels.rows import Row
from tests.unit.projector.recorded import Log, decision, deployment, digest, fold

R = "pay-1"


def planned() -> Log:
    log = Log()
    log.add("release.planned", 0, release_id=R, name="One", service_ids=["pay"],
            release_type="minor", owner="dev:ada")  # fmt: skip
    return log


def candidate(log: Log, number: int = 1, release: str = R) -> None:
    log.add("release.candidate_created", 1, release_id=release, version=f"1.{number}",
            manifest_digest=digest(number), artifacts=[digest(number)])  # fmt: skip


def judged(log: Log, verdict: str, **more: Any) -> None:
    log.add("decision.recorded", 2, decision_id=f"d{len(log.events)}", release_id=R,
            decision=decision(R, verdict, **more))  # fmt: skip


def finished(log: Log, number: str, outcome: str = "success", **more: Any) -> None:
    parts = deployment(number, **{"release_id": R, **more})
    log.add("deployment.started", 3, **parts)
    log.add("deployment.finished", 4, **parts, outcome=outcome)


def row(log: Log, release: str = R) -> Row:
    rows = [row for row in fold(log.events)["release"] if row["release_id"] == release]
    assert len(rows) == 1
    return rows[0]
