"""The gatekeeper's verbs, end to end over HTTP in process, against a ledger in memory."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from contracts.event import OURS
from services.gatekeeper.deciding import TRIES
from tests.integration.gatekeeper.people import HAL, QI, ROOT, ROSA, SAID, Caller
from tests.unit.gatekeeper.memory import MemoryLedger
from tests.unit.gatekeeper.told import GATE, MANIFEST, OTHER_MANIFEST, RELEASE, Told


def newest(told: Told, name: str) -> dict[str, Any]:
    return next(e.data for e in reversed(told.events) if e.type == OURS + name)


async def test_a_decision_is_recorded_with_expectations_on_all_that_it_read(
    caller: Caller, ledger: MemoryLedger
) -> None:
    answer = await caller.decide()
    assert answer.status_code == 201
    body = answer.json()
    decision = body["decision"]
    assert (decision["decision"], decision["gate"]) == ("pending", GATE)
    assert ledger.appends[-1] == decision["read_set"]
    assert decision["read_set"]["role:cab"] == 0, "also what nobody has named yet"
    assert decision["read_set"]["policy:standard"] == 1
    recorded = newest(ledger.told, "decision.recorded.v1")
    assert (recorded["decision_id"], recorded["decision"]) == (body["decision_id"], decision)
    assert body["position"] == len(ledger.told.events)


async def test_an_environment_stands_for_its_gate(caller: Caller) -> None:
    body = {"release": RELEASE, "environment": "staging"}
    answer = await caller.send("POST", "/decisions", body)
    assert answer.json()["decision"]["gate"] == "deploy:staging"
    both = await caller.decide(environment="staging")
    assert (both.status_code, "either gate or environment" in both.text) == (422, True)


async def test_a_dry_run_records_nothing(caller: Caller, told: Told) -> None:
    before = len(told.events)
    answer = await caller.send("POST", "/dry-runs", {"release": RELEASE, "gate": GATE})
    assert answer.json()["decision"]["decision"] == "pending"
    assert len(told.events) == before


async def test_the_release_manager_opens_the_gate(caller: Caller, told: Told) -> None:
    statement = json.dumps({"artefact": MANIFEST, "gate": GATE})
    answer = await caller.vote(ROSA, comment="Window fits.", statement=statement)
    assert answer.status_code == 201
    body = answer.json()
    assert body["decision"]["decision"] == "allow"
    assert body["position"] == body["approval"]["position"] + 1 == len(told.events)
    approval = told.events[-2]
    assert (approval.principal, approval.via) == (ROSA, "service:gatekeeper")
    assert approval.data["roles"] == ["release-manager"]
    assert approval.data["target_digest"] == MANIFEST
    assert approval.data["statement_sha256"] == hashlib.sha256(statement.encode()).hexdigest()


async def test_the_owners_approval_is_recorded_and_explained_and_does_not_count(
    caller: Caller,
) -> None:
    rules = (await caller.vote(HAL)).json()["decision"]["rules"]
    (rule,) = [r for r in rules if r["rule"] == "release-manager"]
    assert rule["status"] == "pending"
    assert rule["who"] == [ROSA]
    reason = "hal is the owner of this release and may not approve it"
    assert [entry["reason"] for entry in rule["not_counted"]] == [reason]


async def test_a_rejection_needs_a_comment_and_denies(caller: Caller) -> None:
    silent = await caller.vote(ROSA, "rejected", comment="  ")
    assert (silent.status_code, "needs a comment" in silent.text) == (422, True)
    spoken = await caller.vote(ROSA, "rejected", comment="Not in this window.")
    assert spoken.json()["decision"]["decision"] == "deny"


async def test_nobody_approves_for_somebody_else_or_without_a_role(
    caller: Caller, told: Told
) -> None:
    before = len(told.events)
    key = await caller.send("POST", f"/releases/{RELEASE}/approvals", SAID)
    assert (key.status_code, "is a key" in key.text) == (403, True)
    machine = await caller.vote("key:ci")
    assert machine.status_code == 403
    forged = await caller.vote("acme:eve", principal=ROSA)
    assert (forged.status_code, forged.json()["errors"][0]["pointer"]) == (422, "/principal")
    stranger = await caller.vote(QI)
    assert stranger.status_code == 403
    assert stranger.json()["roles"] == ["release-manager"]
    assert len(told.events) == before


async def test_scopes_are_asked_for(caller: Caller) -> None:
    reader = caller.key("reader", {"read"})
    ask = {"release": RELEASE, "gate": GATE}
    assert (await caller.send("POST", "/decisions", ask, key=reader)).status_code == 403
    assert (await caller.send("POST", "/dry-runs", ask, key=reader)).status_code == 200
    writer = caller.key("writer", {"event:write"})
    assert (await caller.send("POST", "/decisions", ask, key=writer)).status_code == 201
    assert (await caller.send("GET", "/policies", key=writer)).status_code == 403
    assert (await caller.send("GET", "/policies", key="wrong")).status_code == 401
    assert (await caller.send("POST", "/decisions", {}, key="wrong")).status_code == 401, "first"


@pytest.mark.parametrize(
    "seen",
    [
        {"target_digest": OTHER_MANIFEST},
        {"statement": json.dumps({"artefact": OTHER_MANIFEST})},
        {"statement": '{"artefact": null}'},
    ],
)
async def test_approving_what_is_no_longer_the_candidate_is_refused(
    caller: Caller, told: Told, seen: dict[str, str]
) -> None:
    before = len(told.events)
    answer = await caller.vote(ROSA, **seen)
    assert answer.status_code == 412
    assert answer.json()["moved"] == {"target_digest": MANIFEST}
    assert len(told.events) == before


async def test_unknown_things_are_not_found_and_an_unknown_gate_denies(caller: Caller) -> None:
    for path in ("/releases/none/decisions", "/decisions/none"):
        assert (await caller.send("GET", path)).status_code == 404
    assert (await caller.decide(release="none")).status_code == 404
    assert (await caller.vote(ROSA, gate="deploy:moon")).status_code == 404
    denied = (await caller.decide(gate="deploy:moon")).json()["decision"]
    assert (denied["decision"], denied["policy"]) == ("deny", None)


async def test_without_a_candidate_there_is_nothing_to_approve(caller: Caller, told: Told) -> None:
    data = told.events[0].data | {"release_id": "new-1"}
    told.tell("release.planned.v1", data)
    body = SAID
    answer = await caller.send("POST", "/releases/new-1/approvals", body, ROSA)
    assert (answer.status_code, "no release candidate yet" in answer.text) == (422, True)


async def test_decisions_are_listed_newest_first_and_found_by_id(caller: Caller) -> None:
    first = (await caller.decide()).json()
    second = (await caller.decide(gate="deploy:staging")).json()
    listed = (await caller.send("GET", f"/releases/{RELEASE}/decisions")).json()["decisions"]
    assert listed == [second, first]
    only = await caller.send("GET", f"/releases/{RELEASE}/decisions?gate={GATE}")
    assert only.json()["decisions"] == [first]
    assert (await caller.send("GET", f"/decisions/{first['decision_id']}")).json() == first


async def test_what_slips_in_between_is_judged_too(
    caller: Caller, ledger: MemoryLedger, told: Told
) -> None:
    ledger.before_append = [lambda: told.vote(ROSA), lambda: told.scan(critical=1)]
    answer = (await caller.decide()).json()["decision"]
    assert answer["decision"] == "deny", "the approval and then the scan moved what was read"
    assert ledger.appends[-1] == answer["read_set"]


async def test_what_never_stands_still_is_a_conflict_that_says_what_moved(
    caller: Caller, ledger: MemoryLedger, told: Told
) -> None:
    ledger.before_append = [told.risk] * TRIES
    answer = await caller.decide()
    assert answer.status_code == 409
    assert list(answer.json()["actual"]) == [f"release:{RELEASE}"]


async def test_an_approval_stands_even_when_the_gate_cannot_be_judged_at_once(
    caller: Caller, ledger: MemoryLedger, told: Told
) -> None:
    ledger.before_append = [lambda: None] + [told.risk] * TRIES
    body = (await caller.vote(ROSA)).json()
    assert (body["decision"], body["decision_id"]) == (None, None)
    assert body["position"] == body["approval"]["position"]
    assert (await caller.decide()).json()["decision"]["decision"] == "allow"


async def test_many_who_ask_at_once_are_all_answered(caller: Caller, told: Told) -> None:
    answers = await asyncio.gather(*(caller.decide() for _ in range(12)))
    assert [a.status_code for a in answers] == [201] * 12
    assert len({a.json()["position"] for a in answers}) == 12


async def test_policies_show_the_text_that_judges(caller: Caller) -> None:
    (policy,) = (await caller.send("GET", "/policies")).json()["policies"]
    assert (policy["name"], policy["version"], policy["valid"]) == ("standard", 1, True)
    assert policy["gates"] == ["deploy:staging", "deploy:production"]
    assert policy["content"] == (ROOT / "tests/golden/decisions/policy.yaml").read_text()


async def test_a_policy_text_can_be_validated(caller: Caller) -> None:
    text = (ROOT / "tests/golden/decisions/policy.yaml").read_bytes()
    good = (await caller.send("POST", "/policies/validate", text)).json()
    assert (good["valid"], good["problems"], good["version"]) == (True, [], 1)
    broken = text.replace(b"count: 2", b"count: 0")
    bad = (await caller.send("POST", "/policies/validate", broken)).json()
    assert (bad["valid"], len(bad["problems"])) == (False, 1)
    assert bad["problems"][0].startswith("policy.yaml:55:7 cab.count: ")
    assert (await caller.send("POST", "/policies/validate", b"\xff")).status_code == 400


async def test_the_ledgers_newest_text_judges_and_a_broken_one_denies(
    caller: Caller, told: Told
) -> None:
    data = newest(told, "policy.activated.v1")
    told.tell("policy.activated.v1", data | {"version": 2})
    answer = (await caller.decide()).json()["decision"]
    assert (answer["decision"], answer["policy"]) == ("deny", None)
    assert answer["summary"] == "Denied: the text that is active as standard is not a valid policy."
    (policy,) = (await caller.send("GET", "/policies")).json()["policies"]
    assert policy["valid"] is False


async def test_odd_text_is_refused_not_a_failure(caller: Caller) -> None:
    for body in (rb'{"gate":"deploy:production","decision":"approved","comment":"\ud800"}', b"{"):
        path = f"/releases/{RELEASE}/approvals"
        assert (await caller.send("POST", path, body, ROSA)).status_code == 422


async def test_a_policy_is_linted_against_who_holds_the_roles(caller: Caller) -> None:
    text = (ROOT / "tests/golden/decisions/policy.yaml").read_bytes()
    found = (await caller.send("POST", "/policies/lint", text)).json()
    assert found["valid"] is True
    odd = {(each["rule"], each["text"]) for each in found["warnings"]}
    assert ("cab", "asks 2 of cab, and nobody holds it") in odd
    assert "release-manager" not in {rule for rule, _ in odd}
    broken = (await caller.send("POST", "/policies/lint", b"kind: Nothing")).json()
    assert (broken["valid"], broken["warnings"]) == (False, [])


async def test_a_vote_on_what_has_moved_since_is_refused_and_the_gate_is_judged_anew(
    caller: Caller, told: Told
) -> None:
    seen = (await caller.decide()).json()
    told.scan(high=1)
    answer = await caller.vote(ROSA, seen_decision=seen["decision_id"])
    assert answer.status_code == 412
    assert "artifact" in {key.partition(":")[0] for key in answer.json()["moved"]}
    (position,) = answer.json()["events"]
    news = f"it has moved since you looked: artifact scanned (event {position}); look again"
    assert news in answer.json()["detail"]
    assert not [e for e in told.events if e.type == f"{OURS}approval.decided.v1"]
    fresh = newest(told, "decision.recorded.v1")
    assert fresh["decision_id"] != seen["decision_id"]
    voted = await caller.vote(ROSA, seen_decision=fresh["decision_id"])
    assert (voted.status_code, voted.json()["decision"]["decision"]) == (201, "allow")


@pytest.mark.parametrize("looked", [True, False])
async def test_a_vote_that_races_with_a_change_of_scope_is_about_the_new_one_or_refused(
    caller: Caller,
    told: Told,
    ledger: MemoryLedger,
    looked: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    seen = (await caller.decide()).json()["decision_id"]
    change = {"release_id": RELEASE, "added": ["T-9"], "removed": [], "reason": "asked for"}
    ledger.before_append = [lambda: told.tell("release.scope_changed.v1", change)]
    answer = await caller.vote(ROSA, **({"seen_decision": seen} if looked else {}))
    assert answer.status_code == (412 if looked else 201)
    types = [e.type.removeprefix(OURS) for e in told.events]
    changed = types.index("release.scope_changed.v1")
    voted = [n for n, type_ in enumerate(types) if type_ == "approval.decided.v1"]
    assert [n > changed for n in voted] == ([] if looked else [True])


async def test_a_vote_carries_the_digest_of_the_decision_that_was_shown(
    caller: Caller, told: Told
) -> None:
    seen = (await caller.decide()).json()
    assert (await caller.vote(ROSA, seen_decision=seen["decision_id"])).status_code == 201
    made = seen["decision"]
    names = ("artefact", "facts_digest", "gate", "read_set", "release")
    shown = {name: made[name] for name in names} | {"policy": made["policy"]["digest"]}
    text = json.dumps(
        shown | {"decision_id": seen["decision_id"]}, sort_keys=True, separators=(",", ":")
    )
    recorded = newest(told, "approval.decided.v1")["statement_sha256"]
    assert recorded == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("seen", [{}, {"statement": " "}, {"target_digest": MANIFEST}])
async def test_nobody_votes_without_saying_what_they_looked_at(
    caller: Caller, told: Told, seen: dict[str, str]
) -> None:
    before = len(told.events)
    body = {"gate": GATE, "decision": "approved"} | seen
    answer = await caller.send("POST", f"/releases/{RELEASE}/approvals", body, ROSA)
    assert answer.status_code == 422
    assert "say what was looked at: seen_decision, or statement" in answer.text
    assert len(told.events) == before


async def test_a_decision_about_something_else_was_not_looked_at(caller: Caller) -> None:
    other = (
        await caller.send("POST", "/decisions", {"release": RELEASE, "environment": "staging"})
    ).json()
    answer = await caller.vote(ROSA, seen_decision=other["decision_id"])
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/seen_decision")
    assert (await caller.vote(ROSA, seen_decision="nothing")).status_code == 404
