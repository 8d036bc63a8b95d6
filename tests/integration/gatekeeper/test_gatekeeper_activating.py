"""Policies of the folder become events: once, when their version rises, as soon as that can be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.problem import NotFound
from services.gatekeeper import service
from services.gatekeeper.activating import activate, read_folder
from services.gatekeeper.deciding import Decider
from services.gatekeeper.governing import Governing
from services.gatekeeper.settings import GatekeeperSettings
from services.gatekeeper.trying import Trials
from services.kit.identity import Keyring, Principal
from services.kit.settings import SettingsError, Shared
from tests.integration.gatekeeper.people import ROOT, SETTINGS
from tests.unit.gatekeeper.memory import MemoryLedger
from tests.unit.gatekeeper.told import CONSOLE, GATE, RELEASE, Told


async def test_an_unknown_outcome_is_settled_by_sending_the_same_id_again(
    told: Told, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    decider = Decider(ledger, "main", ["standard"])
    texts = read_folder(SETTINGS.policies)
    kept: Callable[..., Any] = ledger.append
    answers = []

    async def lost(*args: Any) -> Any:
        answers.append(await kept(*args))
        ledger.down = 1 if len(answers) == 1 else 0
        ledger._check()
        return answers[-1]

    monkeypatch.setattr(ledger, "append", lost)
    await activate(decider, texts)
    assert answers[0] == answers[1]
    assert sum(e.type.endswith("policy.activated.v1") for e in told.events) == 1


def versioned(version: int, extra: str = "") -> dict[str, str]:
    text = (ROOT / "tests/golden/decisions/policy.yaml").read_text()
    return {"standard": text.replace("version: 1", f"version: {version}") + extra}


def versions(told: Told, what: str) -> list[int]:
    return [e.data["version"] for e in told.events if e.type.endswith(f"policy.{what}.v1")]


async def test_in_development_a_policy_is_activated_once_and_only_when_its_version_rises(
    told: Told,
) -> None:
    decider = Decider(MemoryLedger(told), "main", ["standard"])
    await activate(decider, versioned(2), at_once=True)
    await activate(decider, versioned(2), at_once=True)
    await activate(decider, versioned(2, "# changed without a new version\n"), at_once=True)
    await activate(decider, versioned(1), at_once=True)
    assert versions(told, "activated") == [2]
    both = [activate(decider, versioned(3), at_once=True) for _ in range(2)]
    await asyncio.gather(*both)
    assert versions(told, "activated") == [2, 3]


async def test_in_production_only_the_first_text_of_a_name_comes_by_its_file(told: Told) -> None:
    decider = Decider(MemoryLedger(told), "main", ["standard"])
    await activate(decider, versioned(2))
    for _ in range(2):
        await asyncio.gather(*(activate(decider, versioned(3)) for _ in range(2)))
    assert (versions(told, "activated"), versions(told, "proposed")) == ([2], [3])
    said = told.events[-1].data
    assert (said["author"], said["reason"]) == (
        "service:gatekeeper", "version 3 stands in the folder of policies",
    )  # fmt: skip


def renamed(name: str, version: int = 1) -> dict[str, str]:
    text = versioned(version)["standard"]
    return {name: text.replace("name: standard", f"name: {name}")}


async def test_in_production_a_new_name_is_proposed_once_a_policy_was_active(told: Told) -> None:
    ledger = MemoryLedger(told)
    await activate(Decider(ledger, "main", ["one", "two"]), renamed("one") | renamed("two"))
    assert ledger.appends == [{"control:policies": 0, "policy:one": 0, "policy:two": 0}]
    assert versions(told, "activated") == [1, 1]
    await activate(Decider(ledger, "main", ["new"]), renamed("new"))
    assert (versions(told, "activated"), versions(told, "proposed")) == ([1, 1], [1])
    assert told.events[-1].data["policy_id"] == "new"


async def test_a_policy_whose_file_is_renamed_judges_until_it_is_retired(told: Told) -> None:
    ledger = MemoryLedger(told)
    await activate(Decider(ledger, "main", ["standard"]), versioned(1))
    decider = Decider(ledger, "main", ["new"])
    await activate(decider, renamed("new"))
    made = (await decider.decide(RELEASE, GATE)).decision
    assert made.policy is not None
    assert made.policy.name == "standard"
    assert {"control:policies", "policy:new"} < set(made.read_set)
    told.tell("policy.retired.v1", {"policy_id": "standard", "reason": "x", "retired_by": "a:b"})
    assert (await decider.decide(RELEASE, GATE)).decision.policy is None


async def test_a_policy_without_a_file_is_governed_like_others(told: Told) -> None:
    await activate(Decider(MemoryLedger(told), "main", ["standard"]), versioned(1))
    decider = Decider(MemoryLedger(told), "main", ["new"])
    governing = Governing(decider, Trials(decider.ledger, "main"), "gov", 2)
    told.role("gov", "acme:ada")
    await governing.retire(Principal("acme:ada", "A3", via=CONSOLE), "standard", "replaced")
    assert told.events[-1].type.endswith("policy.retired.v1")
    with pytest.raises(NotFound, match="there is no policy other here"):
        await governing.read("other")


async def test_a_retired_policy_does_not_come_back_by_its_file(told: Told) -> None:
    decider = Decider(MemoryLedger(told), "main", ["standard"])
    await activate(decider, versioned(2))
    told.tell("policy.retired.v1", {"policy_id": "standard", "reason": "x", "retired_by": "a:b"})
    await activate(decider, versioned(2))
    assert versions(told, "activated") == [2]


def test_a_text_whose_test_fails_stops_the_start(tmp_path: Path) -> None:
    failing = "tests:\n- {name: t, gate: 'deploy:production', expect: {verdict: allow}}\n"
    (tmp_path / "p.yaml").write_text(versioned(1)["standard"] + failing)
    with pytest.raises(SettingsError, match=r"p.yaml:\d+:\d+ tests\[0\].expect.verdict: t: exp"):
        service.build(
            Shared(), GatekeeperSettings(policies=tmp_path), Keyring(), MemoryLedger(Told())
        )


def test_one_person_behind_a_policy_is_for_development() -> None:
    alone = SETTINGS.model_copy(update={"policy_people": 1})
    with pytest.raises(SettingsError, match="GATEKEEPER_POLICY_PEOPLE is below 2"):
        service.build(Shared(), alone, Keyring(), MemoryLedger(Told()))
    assert service.build(Shared(dev=True), alone, Keyring(), MemoryLedger(Told())).checks


async def test_a_version_that_was_activated_is_not_said_to_be_proposed(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    decider = Decider(MemoryLedger(told), "main", ["standard"])
    await activate(decider, versioned(2))
    data = told.events[-1].data | {"version": 3}  # does not match its text: not valid
    told.tell("policy.activated.v1", data)
    await activate(decider, versioned(3))
    said = capsys.readouterr().out
    assert "policy.not_proposed" in said
    assert "version 3 was activated already" in said
    assert "proposed_already" not in said


async def test_the_service_waits_for_the_ledger_and_is_not_ready_before(
    told: Told, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_PAUSE_SECONDS", 0.01)
    built = service.build(Shared(), SETTINGS, Keyring(), ledger)
    assert await built.checks["policy"]() == "not active: standard"
    with pytest.raises(Exception, match="not active yet"):
        await Decider(ledger, "main", ["standard"]).dry_run(RELEASE, GATE)
    ledger.down = 3
    async with built.run(), asyncio.timeout(5):
        while ledger.down or await built.checks["policy"]():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.01)
    assert await built.checks["ledger"]() is None


def test_a_faulty_policy_stops_the_start_with_its_faults(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("kind: Nothing\n")
    with pytest.raises(SettingsError, match=r"bad.yaml:1:1 kind: Input should be 'ReleasePolicy'"):
        service.build(
            Shared(), GatekeeperSettings(policies=tmp_path), Keyring(), MemoryLedger(Told())
        )
