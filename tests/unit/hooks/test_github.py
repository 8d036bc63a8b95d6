import contextlib
import copy
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import catalogue
from contracts.event import OURS
from services.ledger.hooks import github
from services.ledger.hooks.adapter import CannotMap, Scope
from tests.unit.hooks import payloads
from tests.unit.hooks.payloads import DIGEST, A, B, M, map_github, only

MAPPED: list[tuple[str, dict[str, Any], str]] = [
    ("push", payloads.push(), "change.pushed.v1"),
    ("pull_request", payloads.pull("opened"), "change.created.v1"),
    ("pull_request", payloads.pull("reopened"), "change.created.v1"),
    ("pull_request", payloads.pull("closed", merged=True, merged_at="2026-03-01T11:00:00Z"),
     "change.merged.v1"),
    ("pull_request_review", payloads.review(), "change.reviewed.v1"),
    ("workflow_run", payloads.workflow_run("requested"), "pipelinerun.started.v1"),
    ("workflow_run", payloads.workflow_run("in_progress"), "pipelinerun.started.v1"),
    ("workflow_run", payloads.workflow_run("completed", conclusion="failure"),
     "pipelinerun.finished.v1"),
    ("check_run", payloads.check_run("created", status="in_progress"), "pipelinerun.started.v1"),
    ("check_run", payloads.check_run("completed"), "pipelinerun.finished.v1"),
    ("registry_package", payloads.package(), "artifact.published.v1"),
    ("deployment", payloads.deployment(), "deployment.queued.v1"),
    ("deployment_status", payloads.status("in_progress"), "deployment.started.v1"),
    ("deployment_status", payloads.status("success"), "deployment.finished.v1"),
    ("deployment_review", payloads.deployment_review("requested", "Deploy release:pay-1.42"),
     "approval.requested.v1"),
    ("deployment_review", payloads.deployment_review("approved", "Deploy release:pay-1.42"),
     "approval.decided.v1"),
    ("deployment_review", payloads.deployment_review("rejected", "release:pay-1.42, again"),
     "approval.decided.v1"),
]  # fmt: skip
FOREIGN: list[tuple[str, dict[str, Any], str]] = [
    ("release", payloads.release(), "com.github.release.published"),
    ("deployment_review", payloads.deployment_review("requested", "Nightly"),
     "com.github.deployment_review.requested"),
    ("deployment_review", payloads.deployment_review("approved", "Nightly"),
     "com.github.deployment_review.approved"),
]  # fmt: skip
UNMAPPED: list[tuple[str, dict[str, Any]]] = [
    ("ping", {"zen": "Keep it logically awesome."}),
    ("star", payloads.message(action="created")),
    ("create", payloads.message(ref="v1", ref_type="tag")),
    ("push", payloads.push(ref="refs/tags/v1")),
    ("push", payloads.push(after="0" * 40)),
    ("pull_request", payloads.pull("closed")),
    ("pull_request", payloads.pull("synchronize")),
    ("check_run", payloads.check_run("created", status="queued")),
    ("deployment_status", payloads.status("inactive")),
    ("deployment_status", payloads.status("queued")),
    ("release", payloads.release() | {"action": "created"}),
]


@pytest.mark.parametrize(("event", "payload", "type_"), MAPPED)
def test_each_kind_becomes_one_valid_event_of_ours(
    event: str, payload: dict[str, Any], type_: str
) -> None:
    made = only(map_github(event, payload))
    assert made["type"] == OURS + type_
    assert made["source"] == "/hooks/github/acme/pay"
    assert catalogue.subjects_of(catalogue.parse(made))


@pytest.mark.parametrize(("event", "payload", "type_"), FOREIGN)
def test_what_has_no_word_of_ours_is_a_foreign_fact_with_subjects(
    event: str, payload: dict[str, Any], type_: str
) -> None:
    made = only(map_github(event, payload))
    assert made["type"] == type_
    assert len(catalogue.subjects_of(catalogue.parse(made))) > 1


@pytest.mark.parametrize(("event", "payload"), UNMAPPED)
def test_other_kinds_are_not_recorded_and_not_refused(event: str, payload: dict[str, Any]) -> None:
    assert map_github(event, payload).facts == ()


def test_every_handler_is_tested_here() -> None:
    tried = {(event, str(payload.get("action") or "")) for event, payload, _ in MAPPED + FOREIGN}
    missing = set(github.HANDLERS) - tried
    # the same functions under another name or action
    assert missing == {("pull_request_review", "dismissed"), ("package", "published")}


def test_no_name_and_no_address_of_a_person_comes_into_the_log() -> None:
    for event, payload, _ in MAPPED + FOREIGN:
        written = json.dumps(only(map_github(event, payload)))
        assert "alice" not in written.lower()


def test_a_push_says_which_commits_reached_which_branch() -> None:
    made = only(map_github("push", payloads.push()))
    assert made["time"] == "2026-03-01T10:01:00.000000Z"
    assert made["data"] == {
        "repo": "acme/pay", "ref": "main", "before": A, "after": B, "default_branch": True,
        "forced": False, "pusher": "github:101",
        "commits": [{"sha": B, "committed_at": "2026-03-01T10:00:00.000000Z"}],
    }  # fmt: skip
    other = only(map_github("push", payloads.push(ref="refs/heads/feature/x")))
    assert isinstance(other["data"], dict)
    assert (other["data"]["ref"], other["data"]["default_branch"]) == ("feature/x", False)


def test_a_merge_does_not_invent_when_work_began() -> None:
    merged = payloads.pull("closed", merged=True, merged_at="2026-03-01T11:00:00Z")
    made = only(map_github("pull_request", merged))
    assert made["time"] == "2026-03-01T11:00:00.000000Z"
    assert made["data"] == {
        "repo": "acme/pay", "change_id": "acme/pay#7", "head_sha": A, "merge_sha": M,
        "target": "main", "source_ref": "faster", "author": "github:101", "title": "Pay faster",
        "commit_shas": [], "first_commit_at": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("conclusion", "outcome"),
    [("success", "success"), ("neutral", "skipped"), ("timed_out", "error"),
     ("cancelled", "cancelled"), ("action_required", "failure")],
)  # fmt: skip
def test_a_run_ends_with_an_outcome(conclusion: str, outcome: str) -> None:
    made = only(map_github("check_run", payloads.check_run("completed", conclusion=conclusion)))
    assert isinstance(made["data"], dict)
    assert made["data"]["outcome"] == outcome


def test_an_unknown_conclusion_is_not_guessed() -> None:
    with pytest.raises(CannotMap, match="conclusion"):
        map_github("check_run", payloads.check_run("completed", conclusion="sideways"))


def test_the_deployment_convention_links_it_to_a_release() -> None:
    said = {"release_id": "pay-1.42", "service": "payments", "artifact_digest": DIGEST,
            "kind": "rollback", "intent_id": "roll-7", "remediates": 40}  # fmt: skip
    as_object = only(map_github("deployment_status", payloads.status("error", said)))
    as_string = only(map_github("deployment_status", payloads.status("error", json.dumps(said))))
    assert as_object == as_string
    assert as_object["data"] == {
        "deployment_id": "github-41", "intent_id": "roll-7", "service": "payments",
        "environment": {"id": "production", "tier": "production"}, "artifact_digest": DIGEST,
        "kind": "rollback", "planned": False, "trigger": "github:101", "repo": "acme/pay",
        "head_sha": B, "release_id": "pay-1.42", "remediates": "github-40", "outcome": "failure",
    }  # fmt: skip
    named = catalogue.subjects_of(catalogue.parse(as_object))
    assert {"release:pay-1.42", f"artifact:{DIGEST}", "deployment:github-40"} <= set(named)


@pytest.mark.parametrize(
    ("environment", "flag", "tier"),
    [
        ("production", {}, "production"),
        ("production", {"production_environment": True}, "production"),
        ("production", {"production_environment": False}, "production"),
        ("eu-west", {"production_environment": True}, "production"),
        ("staging", {"production_environment": True}, "production"),
        ("live", {}, "production"),
        ("live", {"production_environment": False}, "other"),
        ("live", {"production_environment": None}, "production"),
        ("live", {"production_environment": "false"}, "production"),
        ("pre-prod", {"production_environment": False}, "staging"),
        ("product-docs", {"production_environment": False}, "other"),
    ],
)
def test_production_is_what_github_says_where_it_can_be_meant(
    environment: str, flag: dict[str, Any], tier: str
) -> None:
    sent = payloads.deployment(environment=environment, **flag)
    data = only(map_github("deployment", sent))["data"]
    assert isinstance(data, dict)
    assert data["environment"] == {"id": environment, "tier": tier}


@pytest.mark.parametrize("payload", ["", "deploy it", "[1]", "17", [], {"note": "x"}])
def test_a_deployment_without_the_convention_is_one_of_no_release(payload: Any) -> None:
    scope = Scope("github", service_map={"acme/pay": "payments"})
    data = only(map_github("deployment", payloads.deployment(payload), scope))["data"]
    assert isinstance(data, dict)
    assert "release_id" not in data
    assert (data["service"], data["intent_id"], data["kind"]) == ("payments", "github-41", "normal")
    assert (data["planned"], data["artifact_digest"]) == (True, None)


def test_a_deployment_ends_when_its_status_was_made_whatever_was_updated_later() -> None:
    made = only(map_github("deployment_status", payloads.status("success")))
    assert made["time"] == "2026-03-01T13:05:00.000000Z"


def test_final_statuses_of_one_deployment_share_one_id_and_must_agree_on_the_outcome() -> None:
    first = map_github("deployment_status", payloads.status("success", id=51)).facts[0]
    second = map_github("deployment_status", payloads.status("failure", id=52)).facts[0]
    assert first.event["id"] == second.event["id"]
    assert first.agree == frozenset({"outcome"})
    started = map_github("deployment_status", payloads.status("in_progress")).facts[0]
    assert started.event["id"] != first.event["id"]


def test_a_container_is_named_by_the_digest_and_a_package_by_its_version() -> None:
    container = only(map_github("registry_package", payloads.package()))
    assert container["subject"] == f"artifact:{DIGEST}"
    npm = payloads.package(version="1.0.0", container_metadata=None)
    npm["registry_package"] |= {"ecosystem": "npm", "package_type": "npm"}
    made = only(map_github("registry_package", npm))
    assert made["subject"] == "artifact:pkg:npm/pay@1.0.0"
    assert catalogue.subjects_of(catalogue.parse(made)) == ["artifact:pkg:npm/pay@1.0.0"]


def test_githubs_approval_names_no_role_and_no_digest() -> None:
    review = payloads.deployment_review("approved", "Deploy release:pay-1.42")
    data = only(map_github("deployment_review", review))["data"]
    assert data == {
        "approval_id": "github-11-1-production", "release_id": "pay-1.42",
        "gate": "github:production", "principal": "github:102", "decision": "approved",
        "roles": [], "comment": "go",
    }  # fmt: skip


def test_repository_and_organisation_hooks_give_one_id_two_connections_two() -> None:
    plain = only(map_github("push", payloads.push()))
    organised = only(map_github("push", payloads.push(organization={"id": 1})))
    assert plain == organised
    assert only(map_github("push", payloads.push(), Scope("ghe")))["id"] != plain["id"]


def test_a_form_is_read_like_json() -> None:
    raw = urlencode({"payload": json.dumps(payloads.push())}).encode()
    headers = {"x-github-event": "push", "content-type": "application/x-www-form-urlencoded"}
    made = github.map_delivery(headers, raw, Scope("github"))
    assert only(made) == only(map_github("push", payloads.push()))
    with pytest.raises(CannotMap):
        github.map_delivery(headers, b"other=1", Scope("github"))


def test_a_deleted_account_cannot_have_reviewed() -> None:
    with pytest.raises(CannotMap, match="/review/user"):
        map_github("pull_request_review", payloads.review(user=None))
    orphan = only(map_github("pull_request", payloads.pull("opened", user=None)))
    assert isinstance(orphan["data"], dict)
    assert "author" not in orphan["data"]


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            found += paths(item, (*path, key))
    return found


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_a_payload_with_any_member_bent_is_mapped_or_refused_in_one_way(
    data: st.DataObject,
) -> None:
    event, payload, _ = data.draw(st.sampled_from(MAPPED + FOREIGN))
    bent = copy.deepcopy(payload)
    *way, last = data.draw(st.sampled_from(paths(bent)))
    target = bent
    for step in way:
        target = target[step]
    junk = st.sampled_from([None, "", "x y", 0, -1, 1.5, 2**60, True, [], [7], {}, {"a": 1}])
    target[last] = data.draw(junk)
    with contextlib.suppress(CannotMap):  # and nothing else
        map_github(event, bent)
