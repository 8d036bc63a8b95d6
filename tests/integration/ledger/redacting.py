"""A ledger with its sealer and some people's keys, for the tests of redaction."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2

from services.kit import clock
from services.kit.identity import Keyring, demo_key, digest, make_key
from services.kit.service import Service
from services.kit.settings import Shared
from services.kit.tlog.checkpoint import open_note
from services.kit.tlog.note import Ed25519Verifier
from services.ledger.sealing.shelf import CHECKPOINT
from services.ledger.sealing.where import Where
from services.ledger.service import build
from services.ledger.settings import LedgerSettings
from services.ledger.verify.whole import Report, verify
from services.ledger.verify.work import Job

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

    @contextlib.asynccontextmanager
    async def sealed_again(self, folder: Path, url: str) -> AsyncIterator[Desk]:
        """Run the ledger with the same keys and no log."""
        shutil.copytree(self.where.keys("main").parent, folder / "keys")
        shared = Shared(data=folder, dev=True, DATABASE_URL=url)
        built = build(shared, LedgerSettings(seal_seconds=0.05), Keyring([demo_key()]))
        async with built.run():
            yield Desk(url, folder, built, self.http)

    async def verified(self) -> Report:
        shelf, folder = self.where.shelf("main"), self.where.keys("main")
        verifier = Ed25519Verifier.parse((folder / "sealer.vkey").read_text())
        head, _ = open_note(shelf.read(CHECKPOINT) or b"", [verifier])
        job = Job(head, shelf, "main", self.url, (folder / "naming.pub.pem").read_bytes())
        return await asyncio.to_thread(verify, job, 1, lambda _: None)


@contextlib.asynccontextmanager
async def redacting(database_url: str, folder: Path) -> AsyncIterator[Desk]:
    """Run it."""
    keys = Keyring([demo_key()])
    for name, scopes in [
        ("ada", ["redact", "read"]), ("bob", ["redact"]), ("eve", ["read"]),
        ("robot", ["redact", "act-as"]), ("bob-reads", ["redact", "read"]),
    ]:  # fmt: skip
        _, key = make_key(name, scopes, 1, clock.now())
        keys.add(replace(key, sha256=digest(name)))
    shared = Shared(data=folder, dev=True, DATABASE_URL=database_url)
    built = build(shared, LedgerSettings(seal_seconds=0.05), keys)
    async with (
        built.run(),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=built.app),
            base_url="http://ledger",
            headers={"authorization": "Bearer demo-key"},
        ) as client,
    ):
        yield Desk(database_url, folder, built, client)
