"""An event that nobody may interpret is parked with its reason; the others are folded."""

from __future__ import annotations

from typing import Any

from contracts.event import OURS
from services.projector.folding import Folding
from services.projector.writing import Claim, Folded
from tests.unit.projector.recorded import Log, digest


class Tables:
    """Read models that are empty, and what was committed to them."""

    ledger = "main"

    def __init__(self) -> None:
        self.committed: list[Folded] = []

    async def load(self, _: Any) -> list[Any]:
        return []

    async def commit(self, claim: Claim, folded: Folded) -> None:
        claim.position = folded.position
        self.committed.append(folded)


async def test_unreadable_events_are_parked_with_a_reason_and_stop_nothing() -> None:
    log, tables = Log(), Tables()
    scan = log.add("artifact.scanned", 1, digest=digest(1), scanner="t", db_version="1",
                   counts={"critical": 2, "high": 0}, release_id="pay-1")  # fmt: skip
    events = [
        scan,
        scan.model_copy(update={"position": 2, "event": scan.event | {"data": {"digest": 1}}}),
        scan.model_copy(
            update={
                "position": 3,
                "event": scan.event | {"type": f"{OURS}artifact.scanned.v9"},
                "versions": {"artifact:other": 1},
            }
        ),
    ]
    await Folding(tables).apply(Claim(0, 1, None), events)  # type: ignore[arg-type]  # all that it asks
    (folded,) = tables.committed
    assert folded.position == 3
    assert [row["position"] for row in folded.changes["entry"]] == [1]
    assert [(parked.position, parked.type) for parked in folded.parked] == [
        (2, f"{OURS}artifact.scanned.v1"), (3, f"{OURS}artifact.scanned.v9"),
    ]  # fmt: skip
    assert "does not follow" in folded.parked[0].error
    assert "newer than this catalogue" in folded.parked[1].error
