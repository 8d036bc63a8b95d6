"""Races on the real ledger and the real PostgreSQL: two gatekeepers, one truth."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import uuid
from datetime import timedelta
from typing import Any

import pytest

from contracts.event import OURS, Event, RecordedEvent, format_time
from contracts.problem import Conflict, Forbidden, NotFound, PreconditionFailed
from services.kit import clock
from services.kit.identity import Principal
from tests.integration.gatekeeper.people import SAID
from tests.integration.gatekeeper.test_gatekeeper_on_the_ledger import ROSA, House, house, story
from tests.unit.gatekeeper.told import GATE, IMAGE, MANIFEST, RELEASE

__all__ = ["house"]
HAL = Principal("acme:hal", "A3")
DEE = Principal("acme:dee", "A3")
RACES = int(os.environ.get("GATE_RACES", "200"))
"""Races of so many acts each; the suite runs some, `GATE_RACES=1000` all."""
PER_RELEASE, AT_ONCE = 5, 5
pytestmark = pytest.mark.postgres


async def permit(house: House) -> str:
    body: dict[str, Any] = {"release": RELEASE, "gate": GATE}
    return str(
        (await house.gatekeeper.post("/v1/decisions?permit=true", body))["permit"]["permit_id"]
    )


async def test_of_many_that_use_a_permit_at_once_one_begins(house: House) -> None:
    await house.tell(story())
    await house.vote(ROSA)
    for _ in range(5):
        given = await permit(house)

        async def begin(n: int, given: str = given) -> Any:
            body: dict[str, Any] = {"deployment_id": f"{given}-{n}", "service": "pay"}
            body |= {"artifact_digest": IMAGE, "tier": "production", "trigger": "t"}
            return await house.gatekeeper.post(f"/v1/permits/{given}/deployments", body)

        came = await asyncio.gather(*(begin(n) for n in range(8)), return_exceptions=True)
        good = [one for one in came if not isinstance(one, BaseException)]
        assert len(good) == 1
        assert all(isinstance(one, Conflict) for one in came if isinstance(one, BaseException))
        history = await house.ledger.history("main", f"permit:{given}")
        assert [e.type.removeprefix(OURS) for e in history.events] == [
            "permit.issued.v1", "deployment.started.v1",
        ]  # fmt: skip


async def test_a_decision_gets_through_while_its_service_and_environment_are_busy(
    house: House,
) -> None:
    """Up to 300 events a second name them; none of these histories is read."""
    await house.tell(story())
    done = asyncio.Event()
    told = 0

    async def busy() -> None:
        nonlocal told
        while not done.is_set():
            batch = [_deployment(f"{told + n}") for n in range(30)]
            await house.writer.append("main", batch)
            told += len(batch)
            await asyncio.sleep(0.1)

    noise = asyncio.create_task(busy())
    await asyncio.sleep(0.3)
    made = []
    while told < 600:
        made.append(await house.decide())
    done.set()
    await noise
    assert len(made) > 1
    assert {one["decision"]["decision"] for one in made} == {"pending"}
    read = made[0]["decision"]["read_set"]
    assert not [key for key in read if key.startswith(("service:", "environment:"))]


def _deployment(id_: str) -> Event:
    data = {"deployment_id": id_, "intent_id": id_, "service": "pay", "artifact_digest": None,
            "environment": {"id": "production", "tier": "production"}, "kind": "normal",
            "planned": True, "trigger": "ci"}  # fmt: skip
    return Event.model_validate({
        "specversion": "1.0", "id": str(uuid.uuid4()), "source": "/ci", "data": data,
        "type": f"{OURS}deployment.started.v1"})  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(120 + 2 * RACES)
async def test_no_allow_ever_rests_on_a_version_that_was_not_the_newest(house: House) -> None:
    """Approvals, rejections, withdrawals, vetoes, delegations, permits, questions race, by two
    gatekeepers."""
    await house.tell(story())
    chance = random.Random(20261127)
    for number in range(RACES // PER_RELEASE):
        name = f"pay-2.{number}"
        for event in story().events:
            text = json.dumps(event.event).replace(RELEASE, name)
            text = text.replace('"id": "e', f'"id": "{name}')
            for shared in (MANIFEST, IMAGE):  # or each would read what was said of all others
                text = text.replace(shared, _its_own(shared, name))
            if "role.assigned" not in event.type:
                await house.ledger.append("main", [Event.model_validate_json(text)])
        for _ in range(PER_RELEASE):
            await race(Racing(house, name, chance), chance)
    events = await everything(house)
    decisions = [event for event in events if event.type == f"{OURS}decision.recorded.v1"]
    assert len(decisions) > RACES
    assert any(event.data.get("on_behalf_of") for event in events)
    assert {"allow", "pending"} <= {d.data["decision"]["decision"] for d in decisions}
    hold_to_the_newest(events)


async def race(racing: Racing, chance: random.Random) -> None:
    """Let several people act at once."""
    acts = [racing.approve, racing.reject, racing.withdraw, racing.veto, racing.ask, racing.deploy,
            racing.lend]  # fmt: skip
    picked = chance.choices(acts, weights=(8, 2, 4, 2, 8, 6, 1), k=AT_ONCE)
    people = chance.choices((ROSA, HAL), k=AT_ONCE)
    calls = (act(who) for act, who in zip(picked, people, strict=True))
    came = await asyncio.gather(*calls, return_exceptions=True)
    odd = [one for one in came if isinstance(one, BaseException)]
    assert all(isinstance(one, NotFound | Conflict | PreconditionFailed) for one in odd), odd


def _its_own(digest: str, release: str) -> str:
    return f"sha256:{hashlib.sha256((digest + release).encode()).hexdigest()}"


def hold_to_the_newest(events: list[RecordedEvent]) -> None:
    """Assert that each decision has read the newest version of all that it names."""
    versions: dict[str, int] = {}
    for event in events:
        if event.type == f"{OURS}decision.recorded.v1":
            read = event.data["decision"]["read_set"]
            assert {key: versions.get(key, 0) for key in read} == read, event.position
        versions |= event.versions


async def everything(house: House) -> list[RecordedEvent]:
    events: list[RecordedEvent] = []
    while True:
        page = await house.ledger.page("main", len(events))
        events += page.events
        if len(events) >= page.head:
            return events


class Racing:
    """What people do to one release, by either of two gatekeepers."""

    def __init__(self, house: House, release: str, chance: random.Random) -> None:
        self.house, self.release, self._chance = house, release, chance
        self._path = f"/v1/releases/{release}"
        self._asked = {"release": release, "gate": GATE}

    async def approve(self, who: Principal) -> None:
        await self._post(f"{self._path}/approvals", SAID, who)

    async def reject(self, who: Principal) -> None:
        body = SAID | {"decision": "rejected", "comment": "not yet"}
        await self._post(f"{self._path}/approvals", body, who)

    async def withdraw(self, who: Principal) -> None:
        body = {"gate": GATE, "reason": "second thoughts"}
        await self._post(f"{self._path}/withdrawals", body, who)

    async def veto(self, who: Principal) -> None:
        path = f"{self._path}/vetoes"
        raised = await self._post(path, {"gate": GATE, "reason": "wait"}, who)
        await self._post(f"{path}/{raised['veto_id']}/lift", {"reason": "go"}, who)

    async def lend(self, who: Principal) -> None:
        """Let somebody else speak in one's place, and end that: they may be too late to speak."""
        until = format_time(clock.now() + timedelta(hours=1))
        lending: dict[str, Any] = {"role": "release-manager", "gate": GATE, "delegate": DEE.id,
                                   "until": until, "reason": "away"}  # fmt: skip
        lent = await self._post("/v1/delegations", lending, who)
        with contextlib.suppress(Forbidden):
            await self._post(f"{self._path}/approvals", SAID | {"on_behalf_of": who.id}, DEE)
        ending = f"/v1/delegations/{lent['delegation_id']}/revoke"
        await self._post(ending, {"reason": "back"}, who)

    async def ask(self, who: Principal) -> None:
        await self._post("/v1/decisions", self._asked, who)

    async def deploy(self, who: Principal) -> None:
        made = await self._post("/v1/decisions?permit=true", self._asked, who)
        if made["permit"]:
            start = {"deployment_id": str(uuid.uuid4()), "service": "pay", "tier": "production",
                     "artifact_digest": _its_own(IMAGE, self.release), "trigger": "t"}  # fmt: skip
            with contextlib.suppress(PreconditionFailed):
                await self._post(f"/v1/permits/{made['permit']['permit_id']}/deployments", start)

    async def _post(self, path: str, body: Any, who: Principal | None = None) -> Any:
        via = self._chance.choice((self.house.gatekeeper, self.house.second))
        return await via.post(path, body, who)
