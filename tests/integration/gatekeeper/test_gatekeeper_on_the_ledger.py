"""The gatekeeper on the real ledger and the real PostgreSQL, over HTTP in process."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts import catalogue
from contracts.event import Event
from contracts.problem import Forbidden
from services.gatekeeper import service as gatekeeper_service
from services.gatekeeper.settings import GatekeeperSettings
from services.kit import clock
from services.kit.identity import Key, Keyring, Principal, digest
from services.kit.remote import Client, HttpLedger
from services.kit.settings import Shared
from services.ledger import service as ledger_service
from services.ledger.settings import LedgerSettings
from tests.integration.gatekeeper.people import SAID
from tests.unit.gatekeeper.told import GATE, RELEASE, Told

SCOPES = frozenset({"role:write", "read", "event:write", "decision:make", "act-as"})
ROSA = Principal("acme:rosa", "A3")
pytestmark = pytest.mark.postgres


@dataclass
class House:
    """Both services, reached as any caller reaches them."""

    ledger: HttpLedger
    gatekeeper: Client
    second: Client
    """Another gatekeeper of the same ledger."""
    writer: HttpLedger
    """Reached with a key that may append events, and nothing else."""

    async def tell(self, told: Told) -> None:
        """Append a story: events of people as acting for them, the others by key."""
        for one in told.events:
            person = Principal(one.principal, "A3") if one.via else None
            await self.ledger.append("main", [Event.model_validate(one.event)], None, person)

    async def vote(self, person: Principal, decision: str = "approved", **more: str) -> Any:
        shown = {} if "seen_decision" in more else {"statement": SAID["statement"]}
        body: dict[str, Any] = {"gate": GATE, "decision": decision} | shown | more
        return await self.gatekeeper.post(f"/v1/releases/{RELEASE}/approvals", body, person)

    async def decide(self) -> Any:
        return await self.gatekeeper.post("/v1/decisions", {"release": RELEASE, "gate": GATE})


def _key(ring: Keyring, name: str, scopes: frozenset[str] = SCOPES) -> str:
    secret, ends = secrets.token_hex(16), clock.now() + timedelta(days=1)
    ring.add(Key(name, f"service:{name}", digest(secret), scopes, ends))
    return secret


@pytest.fixture
async def house(
    database_url: str, policies: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    shared, ring = Shared(), Keyring()
    ledger = ledger_service.build(shared, LedgerSettings(), ring)
    clients = [
        Client("http://ledger", _key(ring, name), ledger.app) for name in ("gatekeeper", "x")
    ]
    clients.append(
        Client("http://ledger", _key(ring, "ci", frozenset({"event:write"})), ledger.app)
    )
    settings = GatekeeperSettings(policies=policies)
    gatekeeper = gatekeeper_service.build(shared, settings, ring, HttpLedger(clients[0]))
    second = gatekeeper_service.build(shared, settings, ring, HttpLedger(clients[1]))
    caller = Client("http://gatekeeper", _key(ring, "projector"), gatekeeper.app)
    other = Client("http://second", _key(ring, "console"), second.app)
    async with AsyncExitStack() as stack:
        for client in (*clients, caller, other):
            stack.push_async_callback(client.close)
        await stack.enter_async_context(ledger.run())
        await stack.enter_async_context(gatekeeper.run())
        async with asyncio.timeout(10):
            while await gatekeeper.checks["policy"]():  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(0.02)
        yield House(HttpLedger(clients[1]), caller, other, HttpLedger(clients[2]))


def story() -> Told:
    told = Told(clock.now() - timedelta(hours=1)).planned().risk().merged().candidate()
    return told.tests().scan().plan().role("release-manager", "acme:rosa", "acme:hal")


async def test_from_waiting_to_allowed_on_record(house: House) -> None:
    await house.tell(story())
    first = await house.decide()
    assert first["decision"]["decision"] == "pending"
    with pytest.raises(Forbidden, match="release-manager"):
        await house.vote(Principal("acme:eve", "A3"))
    voted = await house.vote(ROSA, comment="Window fits.")
    assert voted["decision"]["decision"] == "allow"
    approval = await house.ledger.event("main", voted["approval"]["position"])
    assert (approval.principal, approval.via) == ("acme:rosa", "service:gatekeeper")
    recorded = await house.ledger.event("main", voted["position"])
    assert recorded.data["decision"] == voted["decision"]
    assert catalogue.parse(recorded.event).id == voted["decision_id"]
    history = await house.ledger.history("main", f"release:{RELEASE}")
    assert history.version == voted["decision"]["read_set"][f"release:{RELEASE}"] + 1
    listed = await house.gatekeeper.get(f"/v1/releases/{RELEASE}/decisions")
    assert [one["decision"]["decision"] for one in listed["decisions"]] == ["allow", "pending"]


async def test_a_foreign_event_hands_out_no_role_and_moves_no_gate(house: House) -> None:
    await house.tell(story())
    eve = Principal("acme:eve", "A3")
    role = {"scope": "*", "role": "release-manager", "principal": eve.id}
    assigned: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/ci",
                                "subject": "role:release-manager", "data": role}  # fmt: skip
    ours = Event.model_validate(assigned | {"type": "org.releaseledger.role.assigned.v1"})
    with pytest.raises(Forbidden, match="role:write"):
        await house.writer.append("main", [ours])
    for key in ("role:release-manager", "permit:x", "calendar:main", "policy:standard"):
        foreign = assigned | {"type": "role.assigned.v1", "subject": key}
        with pytest.raises(Forbidden, match="may not name"):
            await house.writer.append("main", [Event.model_validate(foreign)])
    odd = {"id": "2", "type": "release.planned.v1", "subject": f"release:{RELEASE}", "data": {}}
    await house.writer.append("main", [Event.model_validate(assigned | odd)])
    with pytest.raises(Forbidden, match="release-manager"):
        await house.vote(eve)
    decision = (await house.decide())["decision"]
    (rule,) = [r for r in decision["rules"] if r["rule"] == "release-manager"]
    assert (rule["status"], rule["who"]) == ("pending", ["acme:rosa"])


async def test_no_allow_rests_on_a_history_that_moved(house: House) -> None:
    """Votes, rejections and questions race; every decision is replayed on what it says it read."""
    await house.tell(story())
    people = [Principal("acme:rosa", "A3"), Principal("acme:hal", "A3")]
    calls = [house.vote(people[n % 2], "rejected" if n % 3 else "approved", comment=f"{n}")
             for n in range(6)]  # fmt: skip
    await asyncio.gather(*calls, *(house.decide() for _ in range(6)))
    history = await house.ledger.history("main", f"release:{RELEASE}")
    at = {event.position: event.versions[f"release:{RELEASE}"] for event in history.events}
    made = [e for e in history.events if e.type.endswith("decision.recorded.v1")]
    assert len(made) == 12
    for event in made:
        read = event.data["decision"]["read_set"][f"release:{RELEASE}"]
        assert at[event.position] == read + 1, (
            "nothing stands between what was read and the decision"
        )
