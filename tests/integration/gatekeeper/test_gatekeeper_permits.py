"""Permits and replays over HTTP in process, against a ledger in memory."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from contracts.event import OURS, format_time, parse_time
from services.kit import clock
from tests.integration.gatekeeper.people import QI, ROSA, Caller
from tests.unit.gatekeeper.memory import MemoryLedger
from tests.unit.gatekeeper.told import (
    GATE,
    IMAGE,
    MANIFEST,
    OTHER_IMAGE,
    OTHER_MANIFEST,
    RELEASE,
    Told,
)

Start = dict[str, Any]


def start(id_: str = "d1", **changed: str) -> Start:
    said = {"deployment_id": id_, "service": "pay", "artifact_digest": IMAGE, "tier": "production"}
    return said | {"trigger": "pipeline 7"} | changed


async def permitted(caller: Caller) -> str:
    await caller.vote(ROSA)
    asked = {"release": RELEASE, "gate": GATE}
    answer = await caller.send("POST", "/decisions?permit=true", asked)
    return str(answer.json()["permit"]["permit_id"])


async def begin(caller: Caller, permit: str, body: Start) -> Any:
    return await caller.send("POST", f"/permits/{permit}/deployments", body)


async def test_a_yes_gives_a_permit_for_one_deployment(caller: Caller, told: Told) -> None:
    permit = await permitted(caller)
    issued = (await caller.send("GET", f"/permits/{permit}")).json()
    decision, given = told.events[-2], told.events[-1]
    assert (issued["state"], issued["target_digest"]) == ("usable", MANIFEST)
    assert given.type == f"{OURS}permit.issued.v1", "in one append with its decision"
    life = parse_time(issued["not_after"]) - parse_time(decision.data["decision"]["as_of"])
    assert life == timedelta(minutes=15)
    answer = await begin(caller, permit, start())
    assert (answer.status_code, answer.json()["versions"][f"permit:{permit}"]) == (201, 2)
    began = told.events[-1]
    assert began.type == f"{OURS}deployment.started.v1"
    assert (began.data["environment"]["id"], began.data["permit_id"]) == ("production", permit)
    assert (await caller.send("GET", f"/permits/{permit}")).json()["state"] == "used"


async def test_a_permit_is_used_once_and_a_lost_answer_is_told_again(
    caller: Caller, told: Told
) -> None:
    permit = await permitted(caller)
    first = await begin(caller, permit, start())
    head = len(told.events)
    again = await begin(caller, permit, start())
    assert (again.status_code, again.json()["position"]) == (201, first.json()["position"])
    other = await begin(caller, permit, start("d2"))
    assert (other.status_code, len(told.events)) == (409, head)
    assert f"was used at position {head}" in other.json()["detail"]


async def test_a_used_permit_is_told_again_for_the_very_same_start_alone(caller: Caller) -> None:
    permit = await permitted(caller)
    first = await begin(caller, permit, start())
    assert first.status_code == 201
    for other in ({"artifact_digest": MANIFEST}, {"tier": "other"}, {"trigger": "by hand"}):
        again = await begin(caller, permit, start(**other))
        assert (again.status_code, "the permit was used" in again.json()["detail"]) == (409, True)
    assert (await begin(caller, permit, start())).json() == first.json()


async def test_a_permit_is_given_at_gates_that_something_is_deployed_through_alone(
    caller: Caller,
) -> None:
    asked = {"release": RELEASE, "gate": "scope:production"}
    answer = await caller.send("POST", "/decisions?permit=true", asked)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/gate"


async def test_where_the_answer_is_no_there_is_no_permit(caller: Caller) -> None:
    answer = await caller.send("POST", "/decisions?permit=true", {"release": RELEASE, "gate": GATE})
    assert (answer.json()["decision"]["decision"], answer.json()["permit"]) == ("pending", None)
    assert (await begin(caller, "nothing", start())).status_code == 404


async def test_a_permit_expires(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    permit = await permitted(caller)
    late = clock.now() + timedelta(minutes=15)
    monkeypatch.setattr(clock, "now", lambda: late)
    answer = await begin(caller, permit, start())
    assert (answer.status_code, "expired" in answer.json()["detail"]) == (412, True)
    assert (await caller.send("GET", f"/permits/{permit}")).json()["state"] == "expired"


async def test_a_permit_is_no_use_once_the_gate_has_shut(caller: Caller, told: Told) -> None:
    permit = await permitted(caller)
    taken_back = {"gate": GATE, "reason": "found a fault"}
    await caller.send("POST", f"/releases/{RELEASE}/withdrawals", taken_back, ROSA)
    answer = await begin(caller, permit, start())
    assert answer.status_code == 412
    assert "the gate is shut by now: Waiting: Release manager" in answer.json()["detail"]
    assert told.events[-1].type == f"{OURS}approval.withdrawn.v1"


async def test_a_permit_is_for_its_candidate_alone(caller: Caller, told: Told) -> None:
    permit = await permitted(caller)
    wrong = await begin(caller, permit, start(artifact_digest=OTHER_IMAGE))
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/artifact_digest")
    told.candidate(OTHER_MANIFEST)
    assert (await begin(caller, permit, start())).status_code == 412


async def test_an_approval_that_comes_between_is_judged_too(
    caller: Caller, ledger: MemoryLedger
) -> None:
    permit = await permitted(caller)
    ledger.before_append.append(lambda: ledger.told.vote(ROSA, "rejected", comment="no"))
    answer = await begin(caller, permit, start())
    assert (answer.status_code, "rosa rejected it" in answer.json()["detail"]) == (412, True)


async def test_every_decision_replays_to_the_byte_whatever_came_after(
    caller: Caller, told: Told
) -> None:
    made = [(await caller.decide()).json()["decision_id"]]
    made.append((await caller.vote(ROSA)).json()["decision_id"])
    made.append((await caller.decide(environment="", gate="deploy:moon")).json().get("decision_id"))
    told.scan(critical=3).candidate(OTHER_MANIFEST).revoked("release-manager", ROSA)
    made.append((await caller.decide()).json()["decision_id"])
    for id_ in filter(None, made):
        found = (await caller.send("POST", f"/decisions/{id_}/replay")).json()
        assert (found["outcome"], found["difference"]) == ("same", None)


@pytest.mark.parametrize(
    ("changed", "outcome", "difference"),
    [
        ({"summary": "Allowed."}, "different", "/summary: recorded 'Allowed.'"),
        ({"as_of": "2031-01-01T00:00:00.000000Z"}, "same", None),
        ({"engine": "release-ledger-gatekeeper/1"}, "other_engine", "/engine: recorded"),
    ],
)
async def test_a_decision_that_was_not_made_so_is_found(
    caller: Caller, told: Told, changed: dict[str, str], outcome: str, difference: str | None
) -> None:
    id_ = (await caller.decide()).json()["decision_id"]
    event = told.events[-1]
    data = event.data | {"decision": event.data["decision"] | changed}
    told.events[-1] = event.model_copy(update={"event": event.event | {"data": data}})
    found = (await caller.send("POST", f"/decisions/{id_}/replay")).json()
    assert found["outcome"] == outcome
    assert difference is None or found["difference"].startswith(difference)


async def test_people_speak_for_themselves_and_keys_for_nobody(caller: Caller, told: Told) -> None:
    path = f"/releases/{RELEASE}"
    raised = await caller.send("POST", f"{path}/vetoes", {"gate": GATE, "reason": "leak"}, QI)
    assert (raised.status_code, told.events[-1].principal) == (201, QI)
    veto = raised.json()["veto_id"]
    lift = await caller.send("POST", f"{path}/vetoes/{veto}/lift", {"reason": "mended"}, QI)
    assert lift.status_code == 201
    for where, body in [
        ("vetoes", {"reason": "x"}),
        (
            "break-glass",
            {"gate": GATE, "incident_id": "i", "reason": "x", "target_digest": MANIFEST},
        ),
        ("break-glass/review", {"gate": GATE, "outcome": "justified", "findings": "none"}),
    ]:
        assert (await caller.send("POST", f"{path}/{where}", body)).status_code == 403
        assert (await caller.send("POST", f"{path}/{where}", body, QI)).status_code == 201
        assert (told.events[-1].principal, told.events[-1].via) == (QI, "service:gatekeeper")
    nothing = {"gate": GATE, "reason": "x"}
    assert (await caller.send("POST", f"{path}/withdrawals", nothing, QI)).status_code == 404


async def test_exceptions_are_granted_in_ones_own_name(caller: Caller, told: Told) -> None:
    body = {"exception_id": "x1", "control": "scan", "reason": "r", "impact": "i",
            "approver": "acme:somebody", "owner": "acme:hal", "compensating": [],
            "expires_at": format_time(clock.now() + timedelta(days=1))}  # fmt: skip
    empty = await caller.send("POST", "/exceptions", body, QI)
    assert (empty.status_code, "name one" in empty.json()["detail"]) == (422, True)
    granted = await caller.send("POST", "/exceptions", body | {"release_id": RELEASE}, QI)
    assert (granted.status_code, told.events[-1].data["approver"]) == (201, QI)
    ended = await caller.send("POST", "/exceptions/x1/revoke", {"reason": "mended"}, QI)
    assert ended.status_code == 201
    assert (
        await caller.send("POST", "/exceptions/x2/revoke", {"reason": "y"}, QI)
    ).status_code == 404


async def test_a_freeze_is_checked_declared_shown_and_lifted(caller: Caller) -> None:
    key = caller.key("office", {"role:write", "read"})
    body = {"freeze_id": "night", "calendar": "nightly", "start": "2026-01-01T22:00",
            "end": "2026-01-02T05:00", "tz": "Europe/Berlin", "rrule": "FREQ=DAILY",
            "reason": "batch", "allowed_types": []}  # fmt: skip
    for field, value in (("tz", "Mars/Base"), ("rrule", "FREQ=HOURLY")):
        bad = await caller.send("POST", "/freezes", body | {field: value}, key=key)
        assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, f"/{field}")
    assert (await caller.send("POST", "/freezes", body, key=key)).status_code == 201
    shown = (await caller.send("GET", "/freezes/simulation?calendar=nightly&months=1")).json()
    assert 28 <= len(shown["windows"]) <= 32
    lifted = await caller.send("POST", "/freezes/night/lift", {"reason": "over"}, key=key)
    assert lifted.status_code == 201
    shown = (await caller.send("GET", "/freezes/simulation?calendar=nightly&months=1")).json()
    assert shown["windows"] == []
    stranger = caller.key("stranger", {"read", "event:write"})
    assert (await caller.send("POST", "/freezes", body, key=stranger)).status_code == 403


async def test_a_permit_that_somebody_else_wrote_is_none(caller: Caller, told: Told) -> None:
    data = {"permit_id": "mine", "decision_id": "d", "release_id": RELEASE, "gate": GATE}
    more = {
        "environment": "production",
        "target_digest": MANIFEST,
        "not_after": "2099-01-01T00:00:00Z",
    }
    told.foreign("x.permit.issued.v1", "permit:mine", data | more)
    assert (await begin(caller, "mine", start())).status_code == 404


async def test_an_answer_that_somebody_else_wrote_is_not_ours(caller: Caller, told: Told) -> None:
    permit = await permitted(caller)
    id_ = uuid.uuid5(uuid.NAMESPACE_URL, f"permit:{permit}/d1")
    told.foreign("x.y", f"permit:{permit}", {})
    told.events[-1].event["id"] = str(id_)
    assert (await begin(caller, permit, start())).status_code == 409


async def test_a_permit_is_for_the_services_of_its_release(caller: Caller) -> None:
    permit = await permitted(caller)
    answer = await begin(caller, permit, start(service="ledger-core"))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/service")
