"""What OPA is told for `bench decide`: the same facts, in the shape that its rules look up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.cells import MissingPeer
from bench.peers import opa
from bench.story import GATE, POLICY, SIZES, VOTERS, pages
from contracts import upcasting
from services.gatekeeper.folding import fold
from services.gatekeeper.policy import load

RELEASE = "pay-2.0"
FACTS = fold(RELEASE, GATE, map(upcasting.history, pages(RELEASE, *SIZES[40])))
DATA = opa.data([FACTS])


def test_every_rule_of_the_policy_is_a_rule_of_the_rego() -> None:
    text = Path(opa.__file__).with_name("gate.rego").read_text(encoding="utf-8")
    found = set(re.findall(r'^results(?:\.|\[")([\w-]+)', text, re.MULTILINE))
    found |= set(re.findall(r'"([\w-]+)": \["', text))  # approvals, by role
    (gate,) = load(POLICY).document.gates
    assert found == {rule.id for _, rule in gate.rules()}


def test_what_was_checked_is_found_by_kind_subject_and_series() -> None:
    told = DATA["releases"][RELEASE]
    assert FACTS.candidate is not None
    (image,) = FACTS.candidate.artifacts
    scans = told["evidence"]["scan"][image]["trivy"]
    assert [scan["metrics"]["critical"] for scan in scans] == [1, 0]
    assert list(told["evidence"]["pipeline"]) == told["repos"] == ["acme/pay"]
    assert sum(map(len, told["evidence"]["tests"][image].values())) == 4


def test_votes_are_found_by_gate_and_person_and_roles_by_name() -> None:
    told = DATA["releases"][RELEASE]
    assert set(told["votes"][GATE]) == {f"acme:{who}" for who in VOTERS}
    assert told["tied"] == ["hal", "kim"]  # who reviewed a change may approve
    assert set(DATA["roles"]["cab"]) == {"acme:cleo", "acme:carl", "acme:cora"}


def test_a_freeze_is_in_the_time_of_its_zone() -> None:
    freeze = DATA["calendars"]["main"]["year-end"]
    assert freeze["start"] == 1_797_721_200 * 10**9  # 2026-12-20T00:00 in Berlin
    assert freeze["end"] - freeze["start"] == 14 * 86_400 * 10**9


async def test_without_go_and_without_a_program_it_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(MissingPeer, match="no Go on the path"):
        await opa.program(None)
    assert await opa.program(tmp_path / "opa") == tmp_path / "opa"
