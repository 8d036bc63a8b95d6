"""Decisions rest on events of any age, and never on a guess."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.event import OURS
from contracts.problem import Unavailable
from services.gatekeeper.deciding import Decider
from tests.unit.gatekeeper.memory import MemoryLedger
from tests.unit.gatekeeper.test_gatekeeper_judge import story
from tests.unit.gatekeeper.told import GATE, IMAGE, RELEASE, Told

ZERO: dict[str, Any] = {"critical": 0, "high": 0}


def scanned(major: int, counts: dict[str, Any]) -> Told:
    told = Told()
    scan = {"digest": IMAGE, "scanner": "trivy", "db_version": "1", "counts": counts}
    told.tell(f"artifact.scanned.v{major}", scan)
    return told


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (ZERO, ZERO | {"medium": None, "low": None, "unknown": None}),
        (ZERO | {"medium": 3}, ZERO | {"medium": 3, "low": None, "unknown": None}),
    ],
)
def test_a_scan_of_either_major_is_the_same_evidence(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    (before,), (after,) = scanned(1, old).facts().evidence, scanned(2, new).facts().evidence
    assert before == after
    assert before.metrics == old


async def test_nothing_is_decided_over_an_event_of_a_later_catalogue() -> None:
    told = story()
    ledger = MemoryLedger(told)
    event = told.asked("acme:fay").events[-1]
    type_ = f"{OURS}approval.requested.v9"
    told.events[-1] = event.model_copy(update={"event": event.event | {"type": type_}})
    decider = Decider(ledger, "main", ["standard"])
    with pytest.raises(Unavailable, match=f"release:{RELEASE} cannot be judged: .*v9 is newer"):
        await decider.dry_run(RELEASE, GATE)


async def test_a_decision_of_a_later_engine_is_shown_without_what_it_knows_more() -> None:
    told = story()
    decision: dict[str, Any] = {
        "decision": "deny", "release": RELEASE, "gate": GATE, "environment": "p", "artefact": None,
        "as_of": "2026-03-01T00:00:00Z", "policy": None, "summary": "No.", "rules": [],
        "read_set": {}, "facts_digest": "x", "engine": "9",
    }  # fmt: skip
    data = {"decision_id": "d-9", "release_id": RELEASE, "decision": decision}
    event = told.tell("decision.recorded.v1", data)
    later = data | {"decision": decision | {"dissent": ["x"]}}
    told.events[-1] = event.model_copy(update={"event": event.event | {"data": later}})
    found = await Decider(MemoryLedger(told), "main", ["standard"]).decision("d-9")
    assert (found.decision.engine, found.decision.summary) == ("9", "No.")
