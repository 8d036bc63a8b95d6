"""Drafts of policies over HTTP: checked, tried on the past, and refused in words."""

from __future__ import annotations

import time
from typing import Any

import pytest

from services.gatekeeper import points
from tests.integration.gatekeeper.people import HAL, ROOT, ROSA, Caller
from tests.unit.gatekeeper.told import GATE, RELEASE, Told

TEXT = (ROOT / "tests/golden/decisions/policy.yaml").read_text()
EASY = f"""apiVersion: release-ledger/v1
kind: ReleasePolicy
metadata: {{name: standard, version: 2, owner: release-governance}}
gates:
- id: {GATE}
  stages:
  - id: gate
    rules:
    - {{id: tests, type: evidence, kind: tests, max_failed: 0}}
"""
BOMB = "[[0]]" + ".map(a, a + a)" * 26 + ".exists(a, a.size() > 1)"
"""A short expression that makes a list of 64 million items."""


async def ask(caller: Caller, verb: str, text: str) -> Any:
    answer = await caller.send("POST", f"/policies/{verb}", text.encode())
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_draft_says_all_its_faults_and_its_failing_tests(caller: Caller) -> None:
    wrong = "tests:\n- {name: t, gate: 'deploy:production', expect: {verdict: allow}}\n"
    said = await ask(caller, "validate", EASY + wrong)
    assert (said["valid"], len(said["problems"])) == (False, 1)
    assert said["problems"][0].startswith("policy.yaml:11:49 tests[0].expect.verdict: t: expected ")
    good = await ask(caller, "validate", EASY + wrong.replace("allow", "pending"))
    assert (good["valid"], good["tests"], good["version"]) == (True, 1, 2)


async def test_a_draft_is_tried_on_the_decisions_that_were_made(caller: Caller, told: Told) -> None:
    await caller.decide()
    await caller.vote(ROSA)
    table = await ask(caller, "backtest", EASY)
    assert (table["decisions"], table["covered"], table["changed"]) == (2, 2, 1)
    (change,) = table["changes"]
    assert (change["release"], change["was"], change["would_be"]) == (RELEASE, "pending", "allow")
    assert "release-manager: pending → not there" in change["rules"]
    assert table["summary"].startswith("1 of 2 decisions would have been another; it would have")
    last = told.events[-1]
    one = await ask(caller, f"backtest?from={last.position}", EASY)
    assert (one["decisions"], one["changed"], one["first"]) == (1, 0, last.position)
    none = await ask(caller, "backtest?to=2020-01-01T00:00:00Z", EASY)
    assert (none["decisions"], none["last"]) == (0, 0)
    since = await ask(caller, f"backtest?from={last.recorded_at.replace('+', '%2B')}", EASY)
    assert since["decisions"] >= 1
    assert not [e for e in told.events if "policy.backtested" in e.type], "it records nothing"


@pytest.mark.parametrize("end", ["from=yesterday", "to=-1", "from=1e9"])
async def test_a_range_that_is_none_is_refused(caller: Caller, end: str) -> None:
    answer = await caller.send("POST", f"/policies/backtest?{end}", EASY.encode())
    assert (answer.status_code, "neither a position nor a time" in answer.text) == (422, True)


async def test_a_range_of_too_many_decisions_is_refused(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "MOST", 1)
    await caller.decide()
    await caller.vote(ROSA)
    answer = await caller.send("POST", "/policies/backtest", EASY.encode())
    assert (answer.status_code, answer.json()["limit"]) == (413, 1)


async def test_a_draft_that_is_no_policy_is_not_tried(caller: Caller) -> None:
    answer = await caller.send("POST", "/policies/backtest", b"kind: Nothing\n")
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) > 1, "all its faults"


async def test_a_draft_that_asks_for_gigabytes_takes_nothing_down(caller: Caller) -> None:
    rule = f"    - {{id: bomb, type: cel, expr: '{BOMB}', unmet: never}}\n"
    await caller.decide()
    began = time.monotonic()
    answer = await caller.send("POST", "/policies/backtest", (EASY + rule).encode())
    assert time.monotonic() - began < 60
    if answer.status_code == 200:  # the engine gave up before the process did
        assert answer.json()["verdicts"] == [{"was": "pending", "would_be": "deny", "count": 1}]
    else:
        assert (answer.status_code, "came to no answer within" in answer.text) == (422, True)
    assert (await caller.decide()).status_code == 201


async def test_only_people_propose_and_only_what_judges_here(caller: Caller) -> None:
    draft = {"content": EASY, "reason": "less to do"}
    by_key = await caller.send("POST", "/policies/proposals", draft)
    assert (by_key.status_code, "only a person" in by_key.text) == (403, True)
    faulty = draft | {"content": EASY + "colour: red\n"}
    answer = await caller.send("POST", "/policies/proposals", faulty, HAL)
    assert (answer.status_code, "colour: is not a known key" in answer.text) == (422, True)
    other = draft | {"content": EASY.replace("name: standard", "name: other")}
    answer = await caller.send("POST", "/policies/proposals", other, HAL)
    assert (answer.status_code, "first text comes by a file" in answer.text) == (404, True)
    old = draft | {"content": EASY.replace("version: 2", "version: 1")}
    answer = await caller.send("POST", "/policies/proposals", old, HAL)
    assert (answer.status_code, "has a higher one" in answer.text) == (409, True)
