"""What is read and what is chosen: deployments that a rule asks about, policies that are broken."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from contracts.decision import Decision
from services.gatekeeper.activating import activate
from services.gatekeeper.deciding import Decider
from tests.integration.gatekeeper.people import HAL
from tests.unit.gatekeeper.memory import MemoryLedger
from tests.unit.gatekeeper.told import IMAGE, OTHER_IMAGE, RELEASE, Told

HEAD = "apiVersion: release-ledger/v1\nkind: ReleasePolicy\n"
CANARY, STAGING = "deploy:canary", "deploy:staging"


def policy(name: str, gate: str, rule: str) -> str:
    return (
        f"{HEAD}metadata: {{name: {name}, version: 1, owner: me}}\n"
        f"gates:\n- id: {gate}\n  stages:\n  - id: s\n    rules:\n    - {rule}\n"
    )


TEXTS = {
    "canary": policy("canary", CANARY, "{id: smoke, type: evidence, kind: verification}"),
    "staging": policy("staging", STAGING, "{id: scan, type: evidence, kind: scan, max_high: 0}"),
}


@pytest.fixture
async def decider(ledger: MemoryLedger) -> Decider:
    made = Decider(ledger, "main", sorted(TEXTS))
    await activate(made, TEXTS)
    return made


def deployed(told: Told, id_: str, image: str = IMAGE, **changed: Any) -> None:
    data: dict[str, Any] = {"deployment_id": id_, "intent_id": id_, "service": "pay"}
    data |= {"artifact_digest": image, "environment": {"id": "staging", "tier": "testing"}}
    data |= {"kind": "normal", "planned": True, "trigger": "ci", "outcome": "success"}
    told.tell("deployment.finished.v1", data | {"release_id": RELEASE} | changed)


def verified(told: Told, id_: str, outcome: str = "success") -> int:
    """A verification that names its deployment and no release."""
    data = {"deployment_id": id_, "kind": "smoke", "outcome": outcome}
    return told.tell("verification.finished.v1", data).position


async def asked(decider: Decider, gate: str) -> Decision:
    return (await decider.dry_run(RELEASE, gate)).decision


async def test_a_verification_that_names_no_release_is_found_by_its_deployment(
    decider: Decider, told: Told
) -> None:
    deployed(told, "d1")
    assert (await asked(decider, CANARY)).decision == "pending"
    seen = verified(told, "d1")
    decision = await asked(decider, CANARY)
    assert (decision.decision, decision.rules[0].evidence) == ("allow", [seen])
    assert decision.read_set["deployment:d1"] == 2, "what it rests on may not move unseen"
    verified(told, "d1", "failure")
    assert (await asked(decider, CANARY)).decision == "deny"


async def test_a_deployment_that_names_no_release_is_found_by_its_artifact(
    decider: Decider, told: Told
) -> None:
    deployed(told, "d1", release_id=None)
    verified(told, "d1")
    assert (await asked(decider, CANARY)).decision == "allow"


async def test_deployments_of_other_things_prove_nothing(decider: Decider, told: Told) -> None:
    deployed(told, "d1", OTHER_IMAGE)
    deployed(told, "d2", release_id="other-1")
    verified(told, "d1")
    verified(told, "d2")
    decision = await asked(decider, CANARY)
    assert (decision.decision, decision.rules[0].status) == ("pending", "pending")
    assert "deployment:d2" not in decision.read_set


async def test_deployments_are_read_only_for_a_gate_that_asks_about_them(
    decider: Decider, told: Told
) -> None:
    deployed(told, "d1")
    decision = await asked(decider, STAGING)
    assert not [key for key in decision.read_set if key.startswith("deployment:")]


@pytest.mark.parametrize("text", ["kind: Nothing\n", TEXTS["canary"].replace("canary", "other")])
async def test_a_broken_active_policy_denies_also_where_another_would_allow(
    decider: Decider, told: Told, text: str
) -> None:
    assert (await asked(decider, STAGING)).decision == "allow"
    sha = hashlib.sha256(text.encode()).hexdigest()
    data = {"policy_id": "canary", "version": 2, "content_sha256": sha, "content": text}
    told.tell("policy.activated.v1", data | {"author": HAL})
    decision = await asked(decider, STAGING)
    assert (decision.decision, decision.policy) == ("deny", None)
    assert decision.summary == "Denied: the text that is active as canary is not a valid policy."
