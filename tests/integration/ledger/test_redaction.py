"""Redaction: two people, a recorded reason, the content gone, all else as it was and proven."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from services.kit import clock
from services.kit.identity import Keyring, demo_key, digest, make_key
from services.kit.service import Service
from services.kit.settings import Shared
from services.kit.tlog.checkpoint import open_note
from services.kit.tlog.note import Ed25519Verifier
from services.ledger import redactions
from services.ledger.sealing.shelf import CHECKPOINT
from services.ledger.sealing.where import Where
from services.ledger.service import build
from services.ledger.settings import LedgerSettings
from services.ledger.verify.whole import Job, Refused, Report, verify

pytestmark = pytest.mark.postgres
MAIN = "/v1/ledgers/main"
ADA, BOB = {"authorization": "Bearer ada"}, {"authorization": "Bearer bob"}


class Desk:
    """A running ledger with its sealer, and a client."""

    def __init__(self, url: str, folder: Path, service: Service, http: httpx2.AsyncClient) -> None:
        self.url = url
        self.where = Where(Shared(data=folder), LedgerSettings())
        self.service = service
        self.http = http

    async def post(self, number: int, **attributes: Any) -> dict[str, Any]:
        event = {
            "specversion": "1.0", "id": f"e-{number}", "source": "/s", "type": "x.y",
            "subject": "thing:1", "time": "2026-03-01T12:00:00Z",
            "data": {"name": f"Ada Person {number}"},
        }  # fmt: skip
        answer = await self.http.post(f"{MAIN}/events?sealed=true", json=event | attributes)
        assert answer.json()["receipt"]["sealed"] is True, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def ask(self, position: int, who: dict[str, str] = ADA) -> httpx2.Response:
        body = {"position": position, "reason": "names a person"}
        return await self.http.post(f"{MAIN}/redactions", json=body, headers=who)

    async def approve(self, position: int, who: dict[str, str] = BOB) -> httpx2.Response:
        return await self.http.post(f"{MAIN}/redactions/{position}/approval", headers=who)

    async def get(self, path: str) -> Any:
        answer = await self.http.get(f"{MAIN}/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def verified(self) -> Report:
        shelf, folder = self.where.shelf("main"), self.where.keys("main")
        verifier = Ed25519Verifier.parse((folder / "sealer.vkey").read_text())
        head, _ = open_note(shelf.read(CHECKPOINT) or b"", [verifier])
        job = Job(head, shelf, "main", self.url, (folder / "naming.pub.pem").read_bytes())
        return await asyncio.to_thread(verify, job, 1, lambda _: None)


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    keys = Keyring([demo_key()])
    for name, scopes in [("ada", ["redact", "read"]), ("bob", ["redact"]), ("eve", ["read"])]:
        _, key = make_key(name, scopes, 1, clock.now())
        keys.add(replace(key, sha256=digest(name)))
    shared = Shared(data=tmp_path, dev=True, DATABASE_URL=database_url)
    built = build(shared, LedgerSettings(seal_seconds=0.05), keys)
    async with (
        built.run(),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=built.app),
            base_url="http://ledger",
            headers={"authorization": "Bearer demo-key"},
        ) as client,
    ):
        yield Desk(database_url, tmp_path, built, client)


async def test_what_two_people_agree_to_is_gone_and_the_rest_stands(desk: Desk) -> None:
    for number in range(1, 6):
        await desk.post(number)
    before = await desk.get("events")
    assert (await desk.ask(3)).json()["state"] == "requested"
    assert (await desk.get("events/3"))["event"]["data"] == {"name": "Ada Person 3"}
    assert (await desk.approve(3)).json() == {
        "position": 3, "state": "redacted", "reason": "names a person",
        "requested_by": "key:ada", "approved_by": "key:bob",
    }  # fmt: skip
    after = await desk.get("events")
    assert [each["position"] for each in after["events"]] == list(range(1, 8))
    left = after["events"][2]
    assert left["redacted"] is True
    assert "data" not in left["event"]
    assert (left["event"]["type"], left["event"]["source"]) == ("x.y", "/s")
    kept = ("position", "versions", "recorded_at", "commitment", "principal", "assurance")
    assert {n: left[n] for n in kept} == {n: before["events"][2][n] for n in kept}
    others = [0, 1, 3, 4]
    assert [after["events"][n] for n in others] == [before["events"][n] for n in others]
    assert await desk.get("events/3") == left
    history = await desk.get("subjects/thing:1/history")
    assert [each["versions"]["thing:1"] for each in history["events"]] == [1, 2, 3, 4, 5]
    assert b"Ada Person 3" not in (await desk.http.get(f"{MAIN}/events")).content
    sql = await asyncpg.connect(desk.url)
    assert await sql.fetchval("SELECT count(*) FROM ledger.event_body WHERE position = 3") == 0
    await sql.close()


async def test_every_proof_stays_valid(desk: Desk) -> None:
    for number in range(1, 6):
        await desk.post(number)
    proof = (await desk.http.get(f"{MAIN}/events/3/proof")).text
    await desk.ask(3)
    await desk.approve(3)
    await desk.post(6)
    report = await desk.verified()
    assert (report.portion.gone, report.portion.redacted) == ([3], [3])
    again = (await desk.http.get(f"{MAIN}/events/3/proof")).text
    assert again.splitlines()[1:3] == proof.splitlines()[1:3]


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
    await desk.post(1)
    forged = {
        "specversion": "1.0", "id": "f", "source": "/s",
        "type": "org.releaseledger.event.redacted.v1",
        "data": {"position": 1, "commitment": "0" * 64, "reason": "r", "requested_by": "a",
                 "approved_by": "b"},
    }  # fmt: skip
    answer = await desk.http.post(
        f"{MAIN}/events", json=forged, headers={"authorization": "Bearer ada"}
    )
    assert answer.status_code == 403


async def test_the_database_refuses_what_is_not_recorded(desk: Desk) -> None:
    await desk.post(1)
    await desk.post(2)
    await desk.ask(1)
    await desk.approve(1)
    sql = await asyncpg.connect(desk.url)
    for role in ("rlg_owner", "postgres"):
        await sql.execute(f"SET ROLE {role}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no redaction of 2"):
            await sql.execute("DELETE FROM ledger.event_body WHERE position = 2")
    await sql.execute("SET session_replication_role = replica")
    await sql.execute("DELETE FROM ledger.event_body WHERE position = 2")
    await sql.close()
    with pytest.raises(Refused, match="position 2: its body is gone and no redaction"):
        await desk.verified()


async def test_a_crash_between_record_and_removal_is_made_good(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.post(1)
    await desk.ask(1)

    async def crash(*_: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as broken:
        broken.setattr(redactions, "_erase", crash)
        with pytest.raises(TimeoutError):
            await desk.approve(1)
    assert (await desk.get("redactions/1"))["state"] == "redacted"
    reader = desk.service.app.state.desk.reader
    await redactions._sweep(reader, "main")
    assert (await desk.get("events/1"))["redacted"] is True


async def test_the_raw_webhook_goes_too(desk: Desk) -> None:
    event = {"specversion": "1.0", "id": "h", "source": "/h", "type": "x.y",
             "subject": "thing:1", "data": {"name": "Ada Person"}}  # fmt: skip
    headers = {
        "content-type": "application/cloudevents+json",
        "authorization": "Bearer demo-secret",
    }
    answer = await desk.http.post(
        "/v1/hooks/cloudevents", content=json.dumps(event), headers=headers
    )
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(10):
        while not (await desk.get("events?wait=5"))["events"]:
            pass
    sql = await asyncpg.connect(desk.url)
    async with asyncio.timeout(10):
        while await sql.fetchval("SELECT state FROM ledger.hook_delivery") != "mapped":  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # the row is all that there is to look at
    await desk.service.app.state.desk.published.covering("main", 1, 10)
    await desk.ask(1)
    assert (await desk.approve(1)).status_code == 200
    raw = await sql.fetchval("SELECT raw FROM ledger.hook_delivery")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="deliveries are its evidence"):
        await sql.execute("UPDATE ledger.hook_delivery SET raw = 'other'")
    await sql.close()
    assert raw == b""


async def test_a_redacted_id_is_never_taken_again(desk: Desk) -> None:
    first = await desk.post(1)
    await desk.ask(1)
    await desk.approve(1)
    event = {"specversion": "1.0", "id": "e-1", "source": "/s", "type": "x.y",
             "subject": "thing:1", "data": {"name": "another"}}  # fmt: skip
    answer = await desk.http.post(f"{MAIN}/events", json=event)
    assert answer.status_code == 409
    assert answer.json()["position"] == first["receipt"]["position"]
