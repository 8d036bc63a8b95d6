"""Decisions of every kind of rule and verdict, to the byte, as they must read for ever."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from contracts import ijson
from services.gatekeeper.policy import load
from tests.unit.gatekeeper.guarded import FAY, HAL, KIM, OZ, ROSA, UMA, Guarded
from tests.unit.gatekeeper.told import RELEASE

FOLDER = Path(__file__).parents[3] / "tests" / "golden" / "decisions" / "guarded"
POLICY = (FOLDER / "policy.yaml").read_text(encoding="utf-8")


def _ready() -> Guarded:
    """Return a release for which everything is in order."""
    told = Guarded().role("sre", FAY, OZ).role("rm", ROSA).role("security", UMA).scan()
    window = {"start": "2026-06-01T00:00:00Z", "end": "2026-06-01T04:00:00Z", "tz": "UTC"}
    planned = {"release_id": RELEASE, "window": window, "environments": ["production"]}
    told.tell("release.scheduled.v1", planned)
    return told.ran().later(hours=30).vote(FAY).vote(ROSA)


def _waived() -> Guarded:
    told = _ready().scan(critical=1)
    return told.excepted(UMA, "sca", told.clock + timedelta(days=20))


def _vetoed() -> Guarded:
    return _ready().vetoed(UMA)


def _frozen() -> Guarded:
    return _ready().frozen("2026-01-01T00:00", "2026-12-31T00:00", calendar="main")


def _glass() -> Guarded:
    return Guarded().role("incident-commander", FAY, OZ).later(minutes=5).broke(FAY, OZ)


def _overdue() -> Guarded:
    told = _ready().role("incident-commander", FAY, OZ)
    return told.broke(FAY, OZ, release="pay-0.9").later(hours=50).tests()


def _from_the_future() -> Guarded:
    told = _ready()
    return told.tests(at=told.clock + timedelta(hours=2))


def _chain() -> Guarded:
    """Everybody who had a part in it votes for it."""
    told = Guarded().role("sre", FAY, HAL, KIM, OZ).role("rm", ROSA).role("security", UMA).scan()
    told.pushed(author=KIM, committer=OZ, co_authors=[FAY])
    return told.vote(FAY).vote(HAL).vote(KIM).vote(OZ).withdrew(HAL)


def _nobodys() -> Guarded:
    return _ready().pushed(author="git:stranger@example.com")


CASES: dict[str, tuple[Callable[[], Guarded], str]] = {
    "allow": (_ready, "allow"),
    "allow-waived": (_waived, "allow"),
    "allow-by-break-glass": (_glass, "allow-by-break-glass"),
    "deny-veto": (_vetoed, "deny"),
    "deny-freeze": (_frozen, "deny"),
    "deny-overdue-review": (_overdue, "deny"),
    "deny-error-of-evidence": (_from_the_future, "deny"),
    "deny-nobodys-account": (_nobodys, "deny"),
    "pending-chain": (_chain, "pending"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_decision_reads_the_same_for_ever(name: str) -> None:
    """Change a golden file only together with ENGINE: `GOLDEN=write` writes them anew."""
    tell, verdict = CASES[name]
    decision = tell().decide(POLICY, minutes=1)
    assert decision.decision == verdict, decision.summary
    found = ijson.dumps(decision.model_dump(mode="json")) + b"\n"
    path = FOLDER / f"{name}.json"
    if os.environ.get("GOLDEN") == "write":
        path.write_bytes(found)
    assert path.read_bytes() == found


def test_the_corpus_has_every_type_of_rule_and_every_status() -> None:
    decisions = [json.loads((FOLDER / f"{name}.json").read_bytes()) for name in CASES]
    rules = [rule for decision in decisions for rule in decision["rules"]]
    assert {rule["type"] for rule in rules} >= {
        "approvals", "evidence", "soak", "dependencies", "freeze", "veto", "cel", "any_of",
        "late_scope",
    }  # fmt: skip
    assert {rule["status"] for rule in rules} >= {
        "pass", "fail", "pending", "error", "waived", "not_applicable",
    }  # fmt: skip
    assert load(POLICY).document.gates
