"""Evidence: the quality gates, security checks and plans of the guide, for this very candidate."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts.decision import RuleResult
from services.gatekeeper.rules import evidence
from services.gatekeeper.rules.schema import Evidence, Kind
from tests.unit.gatekeeper.told import IMAGE, OTHER_IMAGE, RELEASE, START, Told, moment


def judged(
    told: Told, kind: Kind = "tests", at: datetime | None = None, **terms: Any
) -> RuleResult:
    rule = Evidence(id="e", type="evidence", kind=kind, **({"bind": ["artefact"]} | terms))
    return evidence.judge("q", rule, told.facts(), at or moment(told))


def story() -> Told:
    return Told().planned().merged().candidate()


def test_good_tests_pass_and_say_what_was_seen() -> None:
    told = story().tests()
    result = judged(told, max_failed=0, min_coverage=70.0)
    assert (result.status, result.evidence) == ("pass", [told.events[-1].position])
    assert result.required == "test result, failed at most 0, coverage at least 70"
    assert result.found == "unit: 412 passed, 0 failed, 81.4 % coverage"


def test_missing_evidence_waits_in_words_of_its_own() -> None:
    result = judged(story())
    assert result.status == "pending"
    assert result.reason == "no test result is recorded for sha256:aaaaaaaaaaaa…"
    assert result.satisfy == "a test result that is good for sha256:aaaaaaaaaaaa…"
    assert "there is no candidate yet" in judged(Told().planned()).reason


def test_a_threshold_that_is_not_met_fails() -> None:
    told = story().tests(failed=3, outcome="failure", coverage=61.0)
    result = judged(told, max_failed=0, min_coverage=70.0)
    assert result.status == "fail"
    assert result.reason == (
        "unit has failed 3; at most 0 is allowed; unit has coverage 61; at least 70 is required"
    )
    assert judged(told, max_failed=3).status == "pass"
    assert judged(told).reason == "unit: 3 tests failed"


def test_a_metric_that_nobody_reported_is_an_error_never_a_pass() -> None:
    told = story().tests(coverage=None)
    assert judged(told, min_coverage=70.0).status == "error"
    assert judged(told.tests(suite="e2e", coverage=90), min_coverage=70.0).status == "pass"


@pytest.mark.parametrize("outcome", ["failure", "cancelled", "error", "skipped"])
def test_a_run_that_did_not_end_well_fails_even_without_failed_tests(outcome: str) -> None:
    assert judged(story().tests(outcome=outcome), max_failed=0).status == "fail"


def test_a_run_of_no_test_shows_nothing() -> None:
    assert judged(story().tests(passed=0), max_failed=0).reason == "unit ran no test"


def test_the_newest_run_of_each_suite_speaks() -> None:
    told = story().tests(failed=1, outcome="failure").tests(suite="e2e")
    assert judged(told).status == "fail"
    assert judged(told, name="e2e").status == "pass"
    assert judged(told.tests()).status == "pass"


def test_evidence_about_something_else_does_not_count_and_says_so() -> None:
    told = story().tests(artifact_digest=OTHER_IMAGE).tests(artifact_digest=None)
    result = judged(told)
    assert result.status == "pending"
    assert [entry.reason for entry in result.not_counted] == [
        "the test result unit is about sha256:bbbbbbbbbbbb…, which is not in this candidate",
        "the test result unit does not say what it is about",
    ]
    assert judged(told, bind=[]).status == "pass"


def test_every_artefact_of_the_candidate_needs_its_own_evidence() -> None:
    told = story().tests()
    data = told.events[2].data | {"artifacts": [IMAGE, OTHER_IMAGE]}
    told.tell("release.candidate_created.v1", data)
    assert judged(told).satisfy == "a new test result that is good for sha256:bbbbbbbbbbbb…"
    assert judged(told.tests(artifact_digest=OTHER_IMAGE)).status == "pass"


def test_evidence_about_the_manifest_is_about_all_of_it() -> None:
    told = story()
    assert judged(told.tests(artifact_digest=told.facts().artifacts()[-1])).status == "pass"


def test_evidence_grows_too_old_at_its_instant() -> None:
    told, limit = story().tests(), timedelta(hours=48)
    ends = moment(told) + limit
    before = judged(told, at=ends - timedelta(microseconds=1), max_age="48h")
    assert (before.status, before.next_change_at) == ("pass", "2026-03-03T09:04:00.000000Z")
    after = judged(told, at=ends, max_age="48h")
    assert (after.status, after.reason) == (
        "pending",
        "unit is 2 days old; at most 2 days is allowed",
    )


def test_age_is_measured_from_the_earlier_of_the_two_clocks() -> None:
    told = story().tests(at=START - timedelta(days=3))
    assert judged(told, max_age="2d").status == "pending"


def test_a_stamp_from_the_future_proves_nothing() -> None:
    told = story()
    ahead = told.clock + timedelta(minutes=33)
    result = judged(told.tests(at=ahead))
    assert result.status == "error"
    assert result.reason == "unit is stamped 32 minutes in the future and proves nothing"
    assert judged(story().tests(at=START + timedelta(minutes=8))).status == "pass"


def test_no_critical_vulnerability() -> None:
    told = story().scan(high=2)
    assert judged(told, "scan", max_critical=0).status == "pass"
    assert judged(told, "scan", max_high=1).status == "fail"
    assert judged(told.scan(critical=1), "scan", max_critical=0).reason == (
        "trivy has critical 1; at most 0 is allowed"
    )


def test_the_pipeline_must_be_green_on_what_was_built() -> None:
    told = story()
    assert judged(told, "pipeline").reason == "no pipeline run is recorded for acme/pay"
    assert judged(told.pipeline(sha="1" * 40), "pipeline").status == "pending"
    assert judged(told.pipeline(), "pipeline").status == "pass"
    assert judged(told.pipeline("failure"), "pipeline").reason == "ci ended with failure"


def test_the_pipeline_of_the_packaged_commit_counts() -> None:
    told = story().packaged("1" * 40).pipeline(sha="1" * 40)
    assert judged(told, "pipeline", name="ci").status == "pass"
    assert judged(told, "pipeline", name="release").status == "pending"


def test_the_rollback_plan_must_be_published() -> None:
    told = Told().planned()
    assert judged(told, "plan", plan="rollback").reason == "no rollback plan is recorded"
    assert judged(told.plan("rollout"), "plan", plan="rollback").status == "pending"
    assert judged(told.plan("rollback"), "plan", plan="rollback").found == "rollback: published"


def test_verification_counts_for_the_artefact_that_was_deployed() -> None:
    told = story()
    deployed: dict[str, Any] = {
        "deployment_id": "d1",
        "intent_id": "d1",
        "service": "pay",
        "artifact_digest": IMAGE,
    }
    deployed |= {"environment": {"id": "staging", "tier": "testing"}, "kind": "normal"}
    deployed |= {"planned": True, "trigger": "ci", "release_id": RELEASE, "outcome": "success"}
    told.tell("deployment.finished.v1", deployed)
    seen = {"deployment_id": "d1", "kind": "smoke", "outcome": "success", "release_id": RELEASE}
    told.tell("verification.finished.v1", seen)
    assert judged(told, "verification").status == "pass"
    told.tell("verification.finished.v1", seen | {"outcome": "failure"})
    assert judged(told, "verification").status == "fail"


def test_the_canary_must_be_good_and_of_this_artefact() -> None:
    told = story()
    canary = {"deployment_id": "d9", "metric_set": "errors", "outcome": "inconclusive"}
    told.tell(
        "analysis.finished.v1",
        canary | {"window_seconds": 60, "values": {"ratio": 1.0}, "release_id": RELEASE},
    )
    assert judged(told, "analysis").status == "pending"
    assert judged(told, "analysis", bind=[]).reason == "errors ended with inconclusive"
