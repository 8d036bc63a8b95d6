"""The life of a policy on the real ledger, over HTTP: proposed, tried, approved, in force, over."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from contracts.event import Event, format_time, parse_time
from contracts.problem import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed, Problem
from services.kit import clock
from services.kit.identity import Principal
from tests.integration.gatekeeper.test_gatekeeper_on_the_ledger import House, house, story
from tests.integration.gatekeeper.test_gatekeeper_policies import EASY
from tests.unit.gatekeeper.told import Told

__all__ = ["house"]
ADA, BEA, CYD = (Principal(f"acme:{name}", "A3") for name in ("ada", "bea", "cyd"))
EVE = Principal("acme:eve", "A3")
ROLE = "release-governance"
pytestmark = pytest.mark.postgres


class Governed:
    """A house in which people govern the policy `standard`."""

    def __init__(self, house: House) -> None:
        self.house = house

    async def post(self, path: str, person: Principal, **body: Any) -> Any:
        return await self.house.gatekeeper.post(f"/v1/policies{path}", body, person)

    async def propose(self, person: Principal = ADA, content: str = EASY, **more: Any) -> str:
        said = await self.post("/proposals", person, content=content, reason="simpler", **more)
        return f"/standard/proposals/{said['digest']}"

    async def ready(self, content: str = EASY) -> str:
        """Return the path of a proposal that lacks nothing."""
        path = await self.propose(content=content)
        await self.post(f"{path}/backtest", ADA)
        await self.post(f"{path}/approvals", BEA, comment="read")
        return path

    async def stands(self) -> Any:
        found = await self.house.gatekeeper.get("/v1/policies/standard/proposals")
        return found["proposals"][0]

    async def versions(self) -> list[int]:
        found = await self.house.gatekeeper.get("/v1/policies")
        return [one["version"] for one in found["policies"]]


@pytest.fixture
async def governed(house: House) -> Governed:
    told = story().role(ROLE, ADA.id, BEA.id, CYD.id)
    await house.tell(told)
    return Governed(house)


async def test_a_text_judges_once_two_people_stand_behind_it_and_it_was_tried(
    governed: Governed,
) -> None:
    first = (await governed.house.decide())["decision"]
    path = await governed.propose()
    assert (await governed.stands())["missing"] == [
        "a backtest", f"1 more approval by holders of {ROLE} who did not propose it",
    ]  # fmt: skip
    with pytest.raises(PreconditionFailed, match="nobody has backtested it yet"):
        await governed.post(f"{path}/approvals", BEA)
    tried = await governed.post(f"{path}/backtest", ADA)
    assert (tried["table"]["decisions"], tried["table"]["changed"]) == (1, 1)
    with pytest.raises(Forbidden, match="ada proposed it, and somebody else approves"):
        await governed.post(f"{path}/approvals", ADA)
    with pytest.raises(Forbidden, match=f"eve does not hold {ROLE}"):
        await governed.post(f"{path}/approvals", EVE)
    with pytest.raises(PreconditionFailed, match="it lacks 1 more approval") as lacking:
        await governed.post(f"{path}/activation", ADA)
    assert len(lacking.value.members["missing"]) == 1
    await governed.post(f"{path}/approvals", BEA, comment="read and tried")
    with pytest.raises(Forbidden, match=f"eve does not hold {ROLE}"):
        await governed.post(f"{path}/activation", EVE)
    done = await governed.post(f"{path}/activation", CYD)
    event = await governed.house.ledger.event("main", done["receipt"]["position"])
    assert (event.principal, event.data["author"]) == (CYD.id, ADA.id)
    assert await governed.versions() == [2]
    second = (await governed.house.decide())["decision"]
    assert (first["decision"], second["decision"]) == ("pending", "allow")
    assert second["policy"]["version"] == 2
    with pytest.raises(Conflict, match="has a higher one"):
        await governed.post(f"{path}/activation", CYD)


async def test_an_approval_can_be_taken_back_until_the_text_judges(governed: Governed) -> None:
    path = await governed.ready()
    with pytest.raises(NotFound, match="acme:cyd has no approval of it to take back"):
        await governed.post(f"{path}/withdrawals", CYD, reason="misread")
    await governed.post(f"{path}/withdrawals", BEA, reason="misread the threshold")
    assert (await governed.stands())["approvals"] == []
    with pytest.raises(PreconditionFailed, match="it lacks 1 more approval"):
        await governed.post(f"{path}/activation", ADA)
    await governed.post(f"{path}/approvals", BEA)
    await governed.post(f"{path}/activation", ADA)
    with pytest.raises(Conflict, match="it was activated at position"):
        await governed.post(f"{path}/withdrawals", BEA, reason="too late")


async def test_drafts_move_no_gate(governed: Governed) -> None:
    before = (await governed.house.decide())["decision"]
    await governed.ready()
    after = (await governed.house.decide())["decision"]
    assert (after["facts_digest"], after["read_set"]["policy:standard"]) == (
        before["facts_digest"], 1,
    )  # fmt: skip


async def test_a_text_judges_from_its_instant_on_and_decisions_tell_it(
    governed: Governed,
) -> None:
    path = await governed.ready()
    with pytest.raises(Invalid, match="effective_from is over"):
        await governed.post(f"{path}/activation", BEA, effective_from="2020-01-01T00:00:00Z")
    begins = clock.now() + timedelta(seconds=3)
    await governed.post(f"{path}/activation", BEA, effective_from=format_time(begins))
    before = await governed.house.decide()
    assert before["decision"]["policy"]["version"] == 1
    assert before["decision"]["next_change_at"] == format_time(begins)
    assert await governed.versions() == [1]
    await asyncio.sleep((begins - clock.now()).total_seconds() + 0.05)
    after = await governed.house.decide()
    assert (after["decision"]["policy"]["version"], after["decision"]["decision"]) == (2, "allow")
    assert await governed.versions() == [2]
    for made in (before, after):
        again = await governed.house.gatekeeper.post(
            f"/v1/decisions/{made['decision_id']}/replay", {}
        )
        assert again["outcome"] == "same", again


async def test_a_permit_ends_when_another_text_begins(governed: Governed) -> None:
    await governed.post(f"{await governed.ready()}/activation", BEA)
    strict = EASY.replace("version: 2", "version: 3").replace(
        "max_failed", "min_passed: 999, max_failed"
    )
    begins = clock.now() + timedelta(minutes=5)
    path = await governed.ready(strict)
    await governed.post(f"{path}/activation", BEA, effective_from=format_time(begins))
    asked: dict[str, Any] = {"release": "pay-1.42", "gate": "deploy:production"}
    made = await governed.house.gatekeeper.post("/v1/decisions?permit=true", asked)
    assert parse_time(made["permit"]["not_after"]) == parse_time(format_time(begins))


async def test_a_retired_policy_covers_no_gate(governed: Governed) -> None:
    with pytest.raises(Forbidden, match=f"does not hold {ROLE}"):
        await governed.post("/standard/retirement", EVE, reason="no more")
    await governed.post("/standard/retirement", BEA, reason="replaced by others")
    decision = (await governed.house.decide())["decision"]
    assert (decision["decision"], decision["policy"]) == ("deny", None)
    assert "no active policy covers the gate" in decision["summary"]
    assert await governed.versions() == []
    await governed.post(f"{await governed.ready()}/activation", BEA)
    assert (await governed.house.decide())["decision"]["decision"] == "allow"


async def test_four_eyes_are_counted_in_people_not_in_accounts(governed: Governed) -> None:
    told = Told().role(ROLE, "sso:4711").linked("sso:4711", ADA.id)
    for one in told.events:
        event = Event.model_validate(one.event | {"id": f"more-{one.position}"})
        await governed.house.ledger.append("main", [event])
    path = await governed.propose()
    await governed.post(f"{path}/backtest", ADA)
    with pytest.raises(Forbidden, match="4711 proposed it"):
        await governed.post(f"{path}/approvals", Principal("sso:4711", "A3"))


async def test_of_two_that_activate_at_once_one_does(governed: Governed) -> None:
    path = await governed.ready()
    calls = [governed.post(f"{path}/activation", one) for one in (ADA, BEA, CYD)]
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(one).__name__ for one in done if isinstance(one, Problem)] == ["Conflict"] * 2


async def test_a_shadow_says_where_it_differs_and_counts_for_nothing(governed: Governed) -> None:
    with pytest.raises(NotFound, match="no text of standard is proposed with shadow"):
        await governed.house.gatekeeper.get("/v1/policies/standard/shadow")
    await governed.house.decide()
    await governed.propose(shadow=True)
    made = await governed.house.decide()
    assert made["decision"]["decision"] == "pending"
    head = (await governed.house.ledger.page("main", 0)).head
    shown = await governed.house.gatekeeper.get("/v1/policies/standard/shadow")
    assert [one["position"] for one in shown["table"]["changes"]] == [made["position"]]
    (change,) = shown["table"]["changes"]
    assert (change["was"], change["would_be"]) == ("pending", "allow")
    assert (await governed.house.ledger.page("main", 0)).head == head, "nothing was recorded"


async def test_only_our_services_write_of_policies(governed: Governed) -> None:
    history = await governed.house.ledger.history("main", "policy:standard")
    event = dict(history.events[0].event) | {"id": "forged"}
    for type_ in ("policy.activated.v1", "policy.retired.v1"):
        data = event["data"] if "activated" in type_ else {
            "policy_id": "standard", "reason": "x", "retired_by": "acme:eve"}  # fmt: skip
        forged = Event.model_validate(event | {"type": f"org.releaseledger.{type_}", "data": data})
        with pytest.raises(Forbidden, match="act-as"):
            await governed.house.writer.append("main", [forged])
