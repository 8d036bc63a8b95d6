"""Decisions that rest on boards, delegates and abstentions, to the byte, as they always read."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from contracts import ijson
from tests.unit.gatekeeper.guarded import FAY, HAL, KIM, OZ, ROSA, UMA
from tests.unit.gatekeeper.seated import Seated
from tests.unit.gatekeeper.told import OTHER_MANIFEST

FOLDER = Path(__file__).parents[3] / "tests" / "golden" / "decisions" / "boards"
POLICY = (FOLDER / "policy.yaml").read_text(encoding="utf-8")


def _sitting() -> Seated:
    """Everybody is there but Rosa, and Kim, who wrote it; one is recused and one astray."""
    told = Seated().role("cab", FAY, OZ, UMA, ROSA, KIM, HAL).role("sre", ROSA)
    told.delegated(ROSA, UMA, told.clock + timedelta(days=3)).vote(UMA, on_behalf_of=ROSA)
    told.opened(FAY).came(FAY, OZ, UMA, HAL).says(FAY).says(OZ, "abstained")
    return told.says(HAL).says(UMA, target_digest=OTHER_MANIFEST).says(UMA)


CASES: dict[str, tuple[Callable[[], Seated], str]] = {
    "allow": (lambda: _sitting().closed(FAY), "allow"),
    "pending-open": (_sitting, "pending"),
    "pending-no-quorum": (lambda: _sitting().recused(OZ).closed(FAY), "pending"),
    "deny-rejected": (
        lambda: _sitting().says(UMA, "rejected", reason="no rehearsal").closed(FAY),
        "deny",
    ),
    "pending-abstained": (
        lambda: _sitting().abstained(ROSA, reason="conflict").closed(FAY),
        "pending",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_boards_decided_reads_the_same_for_ever(name: str) -> None:
    """Change a golden file only together with ENGINE: `GOLDEN=write` writes them anew."""
    tell, verdict = CASES[name]
    decision = tell().decide(POLICY, minutes=1)
    assert decision.decision == verdict, decision.summary
    found = ijson.dumps(decision.model_dump(mode="json")) + b"\n"
    path = FOLDER / f"{name}.json"
    if os.environ.get("GOLDEN") == "write":
        path.write_bytes(found)
    assert path.read_bytes() == found
