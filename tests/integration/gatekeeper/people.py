"""Who acts in these tests, and how they call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2

from services.gatekeeper.settings import GatekeeperSettings
from services.kit import clock
from services.kit.identity import Keyring, make_key
from tests.unit.gatekeeper.told import GATE, RELEASE

ROOT = Path(__file__).parents[3]
ROSA, QI, HAL = "acme:rosa", "acme:qi", "acme:hal"
SETTINGS = GatekeeperSettings(policies=ROOT / "tests/golden/decisions")

SAID = {"gate": GATE, "decision": "approved", "statement": "The release as it stands."}


class Caller:
    """Sends requests with the key of a service that may act for people."""

    def __init__(self, http: httpx2.AsyncClient, ring: Keyring) -> None:
        self.http, self.ring = http, ring
        scopes = {"read", "decision:make", "event:write", "act-as"}
        self.console = self.key("console", scopes)

    def key(self, name: str, scopes: set[str]) -> str:
        secret, stored = make_key(name, scopes, 1, clock.now())
        self.ring.add(stored)
        return secret

    async def send(
        self, method: str, path: str, body: Any = None, person: str | None = None, key: str = ""
    ) -> httpx2.Response:
        headers = {"authorization": f"Bearer {key or self.console}"}
        headers |= {"rlg-acts-for": person, "rlg-assurance": "A3"} if person else {}
        content = body if isinstance(body, bytes) else json.dumps(body)
        headers |= {"content-type": "application/json"}
        return await self.http.request(method, f"/v1{path}", content=content, headers=headers)

    async def vote(self, person: str, decision: str = "approved", **more: Any) -> httpx2.Response:
        """Vote, having looked at the release as it stands unless `more` says what was seen."""
        shown = {} if "seen_decision" in more else {"statement": SAID["statement"]}
        body = {"gate": GATE, "decision": decision} | shown | more
        return await self.send("POST", f"/releases/{RELEASE}/approvals", body, person)

    async def decide(self, **body: str) -> httpx2.Response:
        return await self.send("POST", "/decisions", {"release": RELEASE, "gate": GATE} | body)
