from typing import Any

import pytest

from contracts import catalogue
from contracts.event import OURS
from contracts.payloads.earlier import EARLIER
from contracts.problem import Invalid

DIGEST = "sha256:" + "ab" * 32
SHA = "9fceb02d0ae598e95dc970b74767f19372d61af8"

# The 48 types of the first release (research: the canonical vocabulary), by subject.
FIRST_RELEASE = {
    "release": "planned scope_changed scheduled risk_assessed plan_published candidate_created "
    "completed cancelled",
    "ticket": "created closed",
    "change": "created reviewed merged",
    "pipelinerun": "started finished",
    "testsuiterun": "finished",
    "artifact": "packaged published signed scanned",
    "attestation": "recorded",
    "gate": "evaluated",
    "approval": "requested decided closed",
    "exception": "granted revoked",
    "freeze": "declared lifted",
    "policy": "activated",
    "decision": "recorded",
    "deployment": "queued started finished",
    "service": "deployed rolledback",
    "verification": "finished",
    "featureflag": "changed",
    "rollback": "triggered",
    "incident": "detected resolved attributed",
    "retro": "held",
    "actionitem": "opened closed",
    "survey": "responded",
    "ledger": "corrected",
    "ingest": "quarantined",
}


def an_event(type_: str, data: Any, **attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "e-1", "source": "/ci", "type": type_, "data": data} | (
        attributes
    )


def a_planned_release(**changes: Any) -> dict[str, Any]:
    data = {
        "release_id": "pay-1.42",
        "name": "Payments 1.42",
        "service_ids": ["pay", "web"],
        "release_type": "minor",
        "owner": "dev:ada",
    } | changes
    return an_event(OURS + "release.planned.v1", data)


def test_the_48_types_of_the_first_release_are_there() -> None:
    wanted = {
        f"{OURS}{subject}.{predicate}.v1"
        for subject, predicates in FIRST_RELEASE.items()
        for predicate in predicates.split()
    }
    assert len(wanted) == 48
    assert wanted <= set(catalogue.CATALOGUE) | {OURS + name for name in EARLIER}


def test_marked_fields_name_subjects() -> None:
    event = catalogue.parse(a_planned_release())
    assert catalogue.subjects_of(event) == ["release:pay-1.42", "service:pay", "service:web"]


def test_the_cloudevents_subject_comes_first_and_nothing_stands_twice() -> None:
    event = catalogue.parse(a_planned_release() | {"subject": "service:web"})
    assert catalogue.subjects_of(event) == ["service:web", "release:pay-1.42", "service:pay"]


def test_marks_inside_nested_models_lists_and_optionals_count_and_composed_names_too() -> None:
    deployment = {
        "deployment_id": "d-1", "intent_id": "i-1", "service": "pay",
        "environment": {"id": "prod-eu", "tier": "production"}, "artifact_digest": DIGEST,
        "kind": "normal", "planned": True, "trigger": "push", "outcome": "success",
        "release_id": "pay-1.42", "change_ids": [f"acme/pay@{SHA}"],
    }  # fmt: skip
    event = catalogue.parse(an_event(OURS + "deployment.finished.v1", deployment))
    assert catalogue.subjects_of(event) == [
        "deployment:d-1", "service:pay", "environment:prod-eu", f"artifact:{DIGEST}",
        "release:pay-1.42", f"change:acme/pay@{SHA}",
    ]  # fmt: skip
    merged: dict[str, Any] = {
        "repo": "acme/pay", "change_id": "7", "head_sha": SHA, "merge_sha": SHA[::-1],
        "target": "main", "commit_shas": [], "first_commit_at": None,
    }  # fmt: skip
    event = catalogue.parse(an_event(OURS + "change.merged.v1", merged))
    assert catalogue.subjects_of(event) == [
        f"change:acme/pay@{SHA}",
        f"change:acme/pay@{SHA[::-1]}",
    ]


def test_a_foreign_type_is_an_opaque_fact_under_its_subject_and_the_extension() -> None:
    event = catalogue.parse(
        an_event("com.example.smoke", {"any": 1}, subject="service:pay", subjects="a:1, b:2,a:1")
    )
    assert catalogue.subjects_of(event) == ["service:pay", "a:1", "b:2"]


@pytest.mark.parametrize(
    ("event", "pointer"),
    [
        (an_event(OURS + "release.exploded.v1", {}), "/type"),
        (a_planned_release(colour="red"), "/data/colour"),
        (a_planned_release(service_ids=[]), "/data/service_ids"),
        (a_planned_release(service_ids=["a b"]), "/data/service_ids/0"),
        (a_planned_release(release_id=7), "/data/release_id"),
        (a_planned_release() | {"data": None}, "/data"),
        (a_planned_release() | {"id": ""}, "/id"),
        (a_planned_release() | {"specversion": "0.3"}, "/specversion"),
        (a_planned_release() | {"source": "with space"}, "/source"),
        (a_planned_release() | {"time": "yesterday"}, "/time"),
        (a_planned_release() | {"time": "2026-02-30T00:00:00Z"}, "/time"),
        (a_planned_release() | {"subject": "no-kind"}, "/subject"),
        (a_planned_release() | {"Bad_Name": "x"}, ""),
        (a_planned_release() | {"nested": {"x": 1}}, ""),
        (an_event("com.example.smoke", {}), "/subject"),
        (an_event("com.example.smoke", {}, subject="a:1", subjects="no kind"), "/subjects"),
        (an_event("com.example.smoke", {}, subjects=",".join(f"a:{i}" for i in range(65))),
         "/subjects"),
        (an_event("com.example.smoke", {}, subject="a:1", data_base64="%"), "/data_base64"),
        ([], ""),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_a_pointer(event: Any, pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        catalogue.parse(event)
    assert pointer in [error["pointer"] for error in caught.value.members["errors"]]


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        catalogue.parse(an_event(OURS + "release.planned.v1", {"release_id": 1, "colour": "red"}))
    pointers = {error["pointer"] for error in caught.value.members["errors"]}
    assert pointers >= {"/data/release_id", "/data/name", "/data/owner", "/data/colour"}


def test_what_was_sent_is_kept_as_it_was_sent() -> None:
    sent = a_planned_release() | {"time": "2026-03-01T12:00:00.1234567+02:00", "traceparent": "00"}
    assert catalogue.parse(sent).as_json() == sent
