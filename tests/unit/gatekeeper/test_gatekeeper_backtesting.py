"""Backtests: a candidate policy over decisions that were really made."""

from __future__ import annotations

import pytest

from services.gatekeeper.activating import activate
from services.gatekeeper.backtesting import Backtest, Remembered, backtest
from services.gatekeeper.deciding import Decider
from services.gatekeeper.policy import load
from services.judging import told as in_words
from services.kit import clock
from tests.unit.gatekeeper.guarded import FAY, OZ, UMA, Guarded, document
from tests.unit.gatekeeper.memory import MemoryLedger
from tests.unit.gatekeeper.told import GATE, RELEASE

ONE = "{id: sre, type: approvals, count: 1, roles: [sre]}"
TWO = "{id: sre, type: approvals, count: 2, roles: [sre]}"
SCAN = "{id: sca, type: evidence, kind: scan, max_critical: 0}"


async def decided(told: Guarded, *votes: str) -> None:
    """Ask after each vote, by the policy that is active."""
    decider = Decider(MemoryLedger(told), "main", ["guard"])
    await activate(decider, {"guard": document(ONE)})
    await decider.decide(RELEASE, GATE)
    for person in votes:
        told.later(hours=1).vote(person)
        await decider.decide(RELEASE, GATE)


async def tried(told: Guarded, *rules: str, first: int = 1, last: int | None = None) -> Backtest:
    return await backtest(Remembered(told.events), "main", load(document(*rules)), first, last)


async def test_the_same_policy_changes_nothing() -> None:
    told = Guarded().role("sre", FAY, OZ)
    await decided(told, FAY, OZ)
    found = await tried(told, ONE)
    assert (found.decisions, found.covered, found.changes) == (3, 3, [])
    assert dict(found.verdicts) == {("pending", "pending"): 1, ("allow", "allow"): 2}
    assert (found.added.seconds, found.saved.seconds, found.never) == (0, 0, set())


async def test_a_stricter_policy_lets_the_release_wait_longer() -> None:
    told = Guarded(clock.now()).role("sre", FAY, OZ)  # so that time moves with the story
    await decided(told, FAY, OZ)
    found = await tried(told, TWO)
    (change,) = found.changes
    assert (change.was, change.would_be, change.release) == ("allow", "pending", RELEASE)
    assert "1 of 2 approvals from sre: fay" in change.summary
    assert (found.releases, round(found.added.total_seconds() / 3600)) == ([RELEASE], 1)


async def test_what_was_recorded_later_is_not_known_at_the_point() -> None:
    told = Guarded().role("sre", FAY)
    await decided(told, FAY)
    told.scan(critical=0)
    found = await tried(told, SCAN)
    assert dict(found.verdicts) == {("pending", "pending"): 1, ("allow", "pending"): 1}
    assert found.never == {RELEASE}


@pytest.mark.parametrize("critical", [0, 3])
async def test_it_tells_which_failures_it_would_have_prevented(critical: int) -> None:
    told = Guarded().role("sre", FAY, UMA).scan(critical=critical)
    await decided(told, FAY)
    told.ran("production", "failure")
    found = await tried(told, SCAN)
    assert found.failed == {RELEASE}
    assert found.blocked == ({RELEASE} if critical else set())
    assert in_words(found)[-1] == (
        f"would have blocked {len(found.blocked)} of the 1 releases that were let pass and failed"
    )


async def test_what_was_taken_back_or_caused_an_incident_has_failed_too() -> None:
    triggered = ("rollback.triggered.v1", {"deployment_id": "d7", "cause": "auto"})
    blamed = {"deployment_id": "d7", "incident_id": "inc-1", "basis": "human"}
    for name, data in (triggered, ("incident.attributed.v1", blamed)):
        told = Guarded().role("sre", FAY)
        await decided(told, FAY)
        told.ran("production", deployment_id="d7")
        assert (await tried(told, ONE)).failed == set()
        told.tell(name, data)
        assert (await tried(told, ONE)).failed == {RELEASE}, name
    told = Guarded().role("sre", FAY)
    await decided(told, FAY)
    told.ran("production", deployment_id="d7")
    told.ran("production", kind="rollback", remediates="d7", release_id="pay-1.41")
    assert (await tried(told, ONE)).failed == {RELEASE}


async def test_a_range_and_a_policy_for_others_leave_decisions_out() -> None:
    told = Guarded().role("sre", FAY)
    await decided(told, FAY)
    assert (await tried(told, ONE, first=len(told.events))).decisions == 1
    assert (await tried(told, ONE, last=3)).decisions == 0
    other = load(document(ONE, head="applies_to: {type: [hotfix]}\n"))
    found = await backtest(Remembered(told.events), "main", other)
    assert (found.decisions, found.covered) == (2, 0)
