"""The guide's process, told through the public endpoints to each shape of the product."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.event import OURS, format_time
from tests.story.served import Shape
from tests.story.teller import KEY, Teller, digest, until

GATE = "deploy:production"
SHA = "9fceb02d0ae598e95dc970b74767f19372d61af8"


@pytest.fixture
def tell(shape: Shape) -> Teller:
    return Teller(shape)


@pytest.fixture
def release(tell: Teller) -> str:
    """A minor release that is ready but for its release manager."""
    name = f"pay-{uuid.uuid4().hex[:8]}"
    plan(tell, name)
    return name


def plan(tell: Teller, release: str) -> None:
    for person, role in (("dev:grace", "release-manager"), ("dev:tim", "release-manager"),
                         ("dev:kate", "qa")):  # fmt: skip
        tell.fact("role.assigned.v1", scope="*", role=role, principal=person)
    tell.fact(
        "release.planned.v1", release_id=release, name=f"Payments {release}",
        service_ids=["pay"], release_type="minor", owner="dev:tim",
    )  # fmt: skip
    tell.fact(
        "release.risk_assessed.v1", release_id=release, score=12.5, tier="low",
        method="checklist", factors=["no schema change"], assessor="dev:tim",
    )  # fmt: skip
    tell.fact(
        "release.plan_published.v1", release_id=release, kind="rollback",
        doc_uri="https://docs.acme.example/rollback", doc_sha256="ab" * 32,
    )  # fmt: skip
    cut(tell, release)


def cut(tell: Teller, release: str, build: str = "1") -> str:
    """Merge ada's change, cut a candidate, test it and scan it; return its manifest's digest."""
    manifest, artifact = digest(f"{release}/{build}"), digest(f"{release}/{build}/image")
    sha = digest(f"{release}/{build}/change")[-40:]
    tell.fact(
        "change.merged.v1", repo="acme/pay", change_id="7", head_sha=sha[::-1], merge_sha=sha,
        target="main", commit_shas=[sha], first_commit_at=None, author="dev:ada",
    )  # fmt: skip
    tell.fact(
        "release.candidate_created.v1", release_id=release, version=f"{release}+{build}",
        manifest_digest=manifest, artifacts=[artifact], change_ids=[f"acme/pay@{sha}"],
    )  # fmt: skip
    tell.fact(
        "testsuiterun.finished.v1", suite="unit", run_id=f"run-{release}-{build}",
        outcome="success", counts={"passed": 120, "failed": 0}, coverage=81.5,
        artifact_digest=artifact, release_id=release,
    )  # fmt: skip
    tell.fact(
        "artifact.scanned.v2", digest=artifact, scanner="trivy", db_version="2026-11-20",
        counts={"critical": 0, "high": 0, "medium": None, "low": None, "unknown": None},
        release_id=release,
    )  # fmt: skip
    return manifest


def rule(decision: dict[str, Any], name: str) -> dict[str, Any]:
    return next(r for r in decision["rules"] if r["rule"] == name)


def shown(tell: Teller, release: str, position: int) -> dict[str, Any]:
    """The release as the read models know it, not before they have applied `position`."""
    view: dict[str, Any] = tell.read(f"/v1/releases/{release}", min_position=position)
    return view


def test_a_release_goes_from_its_plan_through_its_gate_and_every_step_is_explained(
    tell: Teller, release: str
) -> None:
    asked = tell.ask(release, GATE)
    assert asked["decision"]["decision"] == "pending"
    waiting = rule(asked["decision"], "release-manager")
    assert waiting["status"] == "pending"
    assert waiting["who"] == ["dev:grace"]  # tim owns the release and may not approve it

    own = tell.vote("dev:tim", release, GATE)  # he has the role: it is recorded, and explained
    assert own.status_code == 201, own.text
    assert own.json()["decision"]["decision"] == "pending"
    (uncounted,) = rule(own.json()["decision"], "release-manager")["not_counted"]
    assert uncounted == {
        "position": own.json()["approval"]["position"],
        "reason": "tim is the owner of this release and may not approve it",
    }
    stranger = tell.vote("dev:kate", release, GATE)
    assert stranger.status_code == 403
    assert "release-manager" in stranger.json()["detail"]

    voted = tell.vote("dev:grace", release, GATE, comment="Plan and tests read.")
    assert voted.status_code == 201, voted.text
    decision = voted.json()["decision"]
    assert decision["decision"] == "allow"
    approval = voted.json()["approval"]["position"]
    assert approval in rule(decision, "release-manager")["evidence"]

    view = shown(tell, release, voted.json()["position"])
    assert view["row"]["gates_passed"] == 1
    (gate,) = view["gates"]
    assert gate["decision"]["decision"] == "allow"
    entries = {entry["position"]: entry for entry in view["timeline"]}
    assert entries[approval]["type"] == "approval.decided.v1"
    assert entries[approval]["assurance"] == "A0"  # development mode: nothing here is evidence
    history = tell.history(f"release:{release}")["events"]
    assert {event["position"] for event in history} <= set(entries)


def test_an_approval_does_not_survive_a_new_candidate(tell: Teller, release: str) -> None:
    assert tell.vote("dev:grace", release, GATE).json()["decision"]["decision"] == "allow"
    cut(tell, release, build="2")
    decision = tell.ask(release, GATE)["decision"]
    assert decision["decision"] == "pending"
    (reason,) = rule(decision, "release-manager")["not_counted"]
    assert "candidate" in reason["reason"] or "digest" in reason["reason"], reason


def test_an_open_gate_is_judged_again_by_itself_when_what_it_rests_on_moves(
    tell: Teller, release: str
) -> None:
    assert tell.vote("dev:grace", release, GATE).json()["decision"]["decision"] == "allow"
    manifest = cut(tell, release, build="2")  # and nobody asks

    def answered() -> bool:
        events = tell.history(f"release:{release}")["events"]
        made = [e for e in events if e["event"]["type"] == f"{OURS}decision.recorded.v1"]
        newest = made[-1]["event"]["data"]["decision"]
        return (newest["decision"], newest["artefact"]) == ("pending", manifest)

    until(answered, "the decision about the new candidate")


def test_a_rejection_says_why_and_closes_the_gate(tell: Teller, release: str) -> None:
    silent = tell.vote("dev:grace", release, GATE, "rejected")
    assert silent.status_code == 422
    said = tell.vote("dev:grace", release, GATE, "rejected", comment="The window is too short.")
    assert said.json()["decision"]["decision"] == "deny"
    view = shown(tell, release, said.json()["position"])
    assert view["row"]["state"] == "rejected"
    assert any("The window is too short." in entry["detail"] for entry in view["timeline"])


def test_who_has_seen_an_older_candidate_is_told_so(tell: Teller, release: str) -> None:
    seen = digest(f"{release}/1")
    cut(tell, release, build="2")
    answer = tell.vote("dev:grace", release, GATE, target_digest=seen)
    assert answer.status_code == 412
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_key_of_a_machine_never_approves(tell: Teller, release: str) -> None:
    answer = httpx2.post(
        f"{tell.shape.gatekeeper}/v1/releases/{release}/approvals",
        json={"gate": GATE, "decision": "approved", "statement": "As it stands."},
        headers=KEY,
    )
    assert answer.status_code == 403


def test_a_decision_names_every_history_it_read_and_they_have_not_moved(
    tell: Teller, release: str
) -> None:
    asked = tell.ask(release, GATE)
    read, before = asked["decision"]["read_set"], str(asked["position"] - 1)
    assert {f"release:{release}", "role:release-manager", "policy:standard"} < set(read)
    assert read == {
        subject: tell.history(subject, as_of=before)["version"] for subject in read
    }  # so nothing was recorded between reading and recording


def test_a_decision_waits_for_its_seal_when_asked_and_is_proven_then(
    shape: Shape, release: str
) -> None:
    headers = {"authorization": "Bearer demo-key"}
    body = {"release": release, "gate": GATE}
    url = f"{shape.gatekeeper}/v1/decisions"
    asked = httpx2.post(f"{url}?sealed=true", json=body, headers=headers, timeout=30)
    assert (asked.status_code, asked.json()["sealed"]) == (201, True)
    position = asked.json()["position"]
    proof = httpx2.get(f"{shape.ledger}/v1/ledgers/main/events/{position}/proof", headers=headers)
    assert proof.text.splitlines()[:2] == ["c2sp.org/tlog-proof@v1", f"index {position - 1}"]
    assert httpx2.post(url, json=body, headers=headers).json()["sealed"] is False


def a_deployment_status(release: str, state: str, number: int) -> dict[str, Any]:
    at = format_time(datetime.now(UTC)).split(".")[0] + "Z"
    repository = {
        "id": 7001, "name": "pay", "full_name": "acme/pay", "default_branch": "main",
        "html_url": "https://github.com/acme/pay", "owner": {"login": "acme", "id": 70},
    }  # fmt: skip
    payload = {"release_id": release, "service": "pay", "artifact_digest": digest("image")}
    deployment = {
        "id": number, "sha": SHA, "ref": "main", "task": "deploy", "payload": payload,
        "environment": "production", "original_environment": "production",
        "created_at": at, "updated_at": at, "creator": {"login": "ci", "id": 71, "type": "Bot"},
        "production_environment": True, "transient_environment": False, "description": None,
    }  # fmt: skip
    status = {
        "id": number * 10 + len(state), "state": state, "environment": "production",
        "created_at": at, "updated_at": at, "description": "", "target_url": "", "log_url": "",
        "environment_url": "", "creator": {"login": "ci", "id": 71, "type": "Bot"},
    }  # fmt: skip
    return {
        "action": "created", "deployment_status": status, "deployment": deployment,
        "repository": repository, "sender": {"login": "ci", "id": 71, "type": "Bot"},
    }  # fmt: skip


def test_a_signed_github_webhook_is_in_the_timeline_within_two_seconds(
    tell: Teller, release: str
) -> None:
    number = uuid.uuid4().int % 10**9
    for state in ("in_progress", "success"):
        payload = a_deployment_status(release, state, number)
        assert tell.github("deployment_status", payload).status_code == 202

    def deployed() -> bool:
        types = [entry["type"] for entry in tell.read(f"/v1/releases/{release}")["timeline"]]
        return "deployment.finished.v1" in types

    until(deployed, "the deployment in the timeline", seconds=2)
    view = tell.read(f"/v1/releases/{release}")
    assert view["deployments"][0]["state"] == "success"
    assert view["row"]["state"] == "deployed"


def test_a_real_payload_of_github_is_seen_in_the_timeline_within_two_seconds(
    tell: Teller, samples: Path
) -> None:
    raw = (samples / "github" / "deployment_status.payload.json").read_bytes()
    before = tell.head()
    assert tell.hook("deployment_status", raw).status_code == 202

    def newest() -> list[Any]:
        page = httpx2.get(f"{tell.shape.console}/?format=json", timeout=30).json()
        return [
            e for e in page["recent"] if e["position"] > before and e["principal"] == "hook:github"
        ]

    (entry,) = until(newest, "the deployment in the timeline", seconds=2)
    assert entry["type"].startswith("deployment.")


def test_a_wrong_signature_is_refused_and_nothing_is_stored(tell: Teller, release: str) -> None:
    head = tell.head()
    waiting = len(tell.quarantine())
    payload = a_deployment_status(release, "success", 5)
    answer = tell.github("deployment_status", payload, secret=b"guessed")
    assert answer.status_code == 401
    assert answer.json()["type"].endswith("/unauthenticated")
    assert (tell.head(), len(tell.quarantine())) == (head, waiting)


def test_garbage_with_a_right_signature_is_taken_and_one_row_stands_in_quarantine(
    tell: Teller,
) -> None:
    before = {row["id"] for row in tell.quarantine()}
    assert tell.hook("deployment_status", b"{ this is " + uuid.uuid4().bytes).status_code == 202

    def arrived() -> list[Any]:
        return [row for row in tell.quarantine() if row["id"] not in before]

    (row,) = until(arrived, "the quarantine row")
    assert row["connection"] == "github"
    assert row["reason"]
    page = httpx2.get(f"{tell.shape.console}/?format=json", timeout=30).json()
    assert page["quarantined"] >= 1  # the console's first page says so, too


def test_the_same_event_twice_is_one_event_and_the_first_receipt(tell: Teller) -> None:
    event = {
        "specversion": "1.0", "id": str(uuid.uuid4()), "source": "/story", "subject": "service:pay",
        "type": "com.example.smoke", "data": {"ok": True},
    }  # fmt: skip
    first, second = tell.post_event(event), tell.post_event(event)
    assert (first.status_code, second.status_code) == (201, 200)
    assert (first.json()["outcome"], second.json()["outcome"]) == ("appended", "duplicate")
    assert first.json()["receipt"] == second.json()["receipt"]
    other = tell.post_event(event | {"data": {"ok": False}})
    assert other.status_code == 409
    assert other.json()["type"].endswith("/id-conflict")


def test_what_is_wrong_with_an_event_is_said_with_pointers(tell: Teller) -> None:
    answer = tell.send("release.planned.v1", {"release_id": "x y", "colour": "red"})
    assert answer.status_code == 422
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert {"/data/release_id", "/data/colour", "/data/name"} <= pointers


@pytest.mark.parametrize("service", ["ledger", "gatekeeper", "projector"])
def test_every_service_tells_of_its_health_and_answers_unknown_paths_as_problems(
    shape: Shape, service: str
) -> None:
    url = getattr(shape, service)
    assert httpx2.get(f"{url}/livez").status_code == 200
    assert httpx2.get(f"{url}/readyz").status_code == 200
    assert "rlg_http_request_seconds" in httpx2.get(f"{url}/metrics").text
    assert httpx2.get(f"{url}/openapi.json").json()["openapi"].startswith("3.")
    lost = httpx2.get(f"{url}/v1/nowhere", headers={"accept": "application/json"})
    assert lost.status_code == 404
    assert lost.headers["content-type"] == "application/problem+json"
    nobody = httpx2.get(f"{shape.ledger}/v1/ledgers/main/events")
    assert nobody.status_code == 401


def test_the_console_shows_the_release_and_takes_the_approval(tell: Teller, release: str) -> None:
    seen = tell.ask(release, GATE)
    shown(tell, release, seen["position"])
    with httpx2.Client(base_url=tell.shape.console, follow_redirects=True, timeout=30) as browser:
        browser.post("/person", data={"person": "dev:grace", "next": "/"},
                     headers={"origin": tell.shape.console})  # fmt: skip
        page = browser.get(f"/releases/{release}")
        assert page.status_code == 200
        assert "Release manager" in page.text
        done = browser.post(
            f"/releases/{release}/approvals",
            data={
                "gate": GATE,
                "decision": "approved",
                "comment": "Read.",
                "seen_decision": seen["decision_id"],
            },
            headers={"origin": tell.shape.console},
        )
        assert done.status_code == 200
        assert "Allowed" in done.text
        foreign = browser.post(
            f"/releases/{release}/approvals",
            data={"gate": GATE, "decision": "approved"},
            headers={"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        )
        assert foreign.status_code == 403
