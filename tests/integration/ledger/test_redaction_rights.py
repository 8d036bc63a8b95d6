"""Who may have something removed: two people, and nobody by writing the record of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.ledger import redactions
from tests.integration.ledger.redacting import ADA, MAIN, Desk, redacting

pytestmark = pytest.mark.postgres


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with redacting(database_url, tmp_path) as running:
        yield running


async def test_it_takes_two_and_the_right_to(desk: Desk) -> None:
    await desk.post(1)
    assert (await desk.approve(1)).status_code == 404
    assert (await desk.ask(1, {"authorization": "Bearer eve"})).status_code == 403
    assert (await desk.ask(1)).status_code == 202
    assert (await desk.approve(1, ADA)).status_code == 403
    assert (await desk.get("events/1"))["event"]["data"] == {"name": "Ada Person 1"}
    for _ in range(2):  # again and again is the same
        assert (await desk.ask(1)).status_code == 202
        assert (await desk.approve(1)).json()["state"] == "redacted"
    assert (await desk.get("events"))["head"] == 3
    assert (await desk.ask(9)).status_code == 404
    assert (await desk.ask(2)).status_code == 422


async def test_nobody_else_can_write_such_a_record(desk: Desk) -> None:
    """Not even a service of ours: what is recorded as redacted is removed."""
    await desk.post(1)
    data = {"position": 1, "reason": "r", "requested_by": "a"}
    done = {"commitment": "0" * 64, "approved_by": "b"}
    plain = {"specversion": "1.0", "id": "f", "source": "/s", "type": "x.y"}
    forged: list[dict[str, Any]] = [
        plain | {"type": redactions.DONE, "data": data | done},
        plain | {"type": redactions.DONE, "data": data | done | {"position": 2},
                 "subject": "event:1"},
        plain | {"type": redactions.ASKED, "data": data},
        plain | {"subject": "event:1"},
        plain | {"subject": "thing:1", "subjects": "event:1"},
        plain | {"subject": "thing:1", "source": "/ledger/redactions",
                 "id": "event.redaction_requested-1"},
    ]  # fmt: skip
    for who in ("demo-key", "robot"):
        for event in forged:
            answer = await desk.http.post(
                f"{MAIN}/events", json=event, headers={"authorization": f"Bearer {who}"}
            )
            assert answer.status_code == 403, event
    group = {"events": [forged[0]], "expect": {}}
    assert (await desk.http.post(f"{MAIN}/appends", json=group)).status_code == 403
    hook = {"content-type": "application/cloudevents+json", "authorization": "Bearer demo-secret"}
    await desk.http.post("/v1/hooks/cloudevents", content=json.dumps(forged[0]), headers=hook)
    async with asyncio.timeout(10):
        while (await desk.get("events?after=1&wait=5"))["head"] < 2:
            pass
    said = (await desk.get("events/2"))["event"]
    assert said["type"].endswith("ingest.quarantined.v1")
    assert "for the ledger itself" in said["data"]["reason"]
    assert (await desk.ask(1)).status_code == 202
    assert (await desk.approve(1)).status_code == 200


async def test_one_key_is_one_person(desk: Desk) -> None:
    await desk.post(1)
    robot = {"authorization": "Bearer robot"}
    for person in ("acme:ada", "acme:bob"):
        assert (await desk.ask(1, robot | {"rlg-acts-for": person})).status_code == 403
    assert (await desk.ask(1, robot)).status_code == 202
    for person in ("acme:ada", "key:robot"):
        assert (await desk.approve(1, robot | {"rlg-acts-for": person})).status_code == 403
    assert (await desk.get("redactions/1"))["state"] == "requested"


async def test_what_later_decisions_rest_on_stays(desk: Desk) -> None:
    role = {"type": "org.releaseledger.role.revoked.v1", "subject": "role:qa",
            "data": {"role": "qa", "principal": "acme:ada", "scope": "*"}}  # fmt: skip
    await desk.post(1, **role)
    refused = await desk.ask(1)
    assert refused.status_code == 422
    assert "role.revoked" in refused.json()["detail"]


async def test_redactions_are_listed(desk: Desk) -> None:
    for number in range(1, 4):
        await desk.post(number)
    asked = await desk.ask(2)
    assert asked.headers["location"] == f"{MAIN}/redactions/2"
    await desk.ask(3)
    await desk.approve(2)
    found = await desk.get("redactions")
    assert [(r["position"], r["state"]) for r in found["redactions"]] == [
        (2, "redacted"), (3, "requested"),
    ]  # fmt: skip
    again = await desk.get(f"redactions?after={found['scanned_to']}")
    assert again["redactions"] == []
