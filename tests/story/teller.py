"""Tells a release's story through the public endpoints, in the words of the process."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx2

from contracts.event import OURS, format_time
from tests.story.served import Shape

KEY = {"authorization": "Bearer demo-key"}
SECRET = b"demo-secret"
PATIENCE = 15
_http = httpx2.Client(timeout=30)


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Teller:
    shape: Shape

    def send(self, type_: str, data: dict[str, Any], **attributes: Any) -> httpx2.Response:
        event = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": "/story",
            "type": OURS + type_,
            "time": format_time(datetime.now(UTC)),
            "data": data,
        } | attributes
        return self.post_event(event)

    def post_event(self, event: dict[str, Any]) -> httpx2.Response:
        return _http.post(
            f"{self.shape.ledger}/v1/ledgers/main/events",
            json=event,
            headers=KEY | {"content-type": "application/cloudevents+json"},
        )

    def fact(self, type_: str, **data: Any) -> dict[str, Any]:
        """Append one fact that must be taken; return its receipt."""
        answer = self.send(type_, data)
        assert answer.status_code == 201, answer.text
        receipt: dict[str, Any] = answer.json()
        return receipt

    def github(
        self, kind: str, payload: dict[str, Any], *, secret: bytes = SECRET
    ) -> httpx2.Response:
        return self.hook(kind, json.dumps(payload).encode(), secret=secret)

    def hook(self, kind: str, body: bytes, *, secret: bytes = SECRET) -> httpx2.Response:
        signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
        return _http.post(
            f"{self.shape.ledger}/v1/hooks/github",
            content=body,
            headers={
                "content-type": "application/json",
                "x-github-event": kind,
                "x-github-delivery": str(uuid.uuid4()),
                "x-hub-signature-256": f"sha256={signature}",
            },
        )

    def ask(self, release: str, gate: str) -> dict[str, Any]:
        """Let the gatekeeper judge and record."""
        answer = _http.post(
            f"{self.shape.gatekeeper}/v1/decisions",
            json={"release": release, "gate": gate},
            headers=KEY,
        )
        assert answer.is_success, answer.text
        decision: dict[str, Any] = answer.json()
        return decision

    def vote(
        self, person: str, release: str, gate: str, decision: str = "approved", **more: Any
    ) -> httpx2.Response:
        return _http.post(
            f"{self.shape.gatekeeper}/v1/releases/{quote(release, safe='')}/approvals",
            json={"gate": gate, "decision": decision, "statement": "As it stands."} | more,
            headers=KEY | {"rlg-acts-for": person},
        )

    def history(self, subject: str, **params: Any) -> dict[str, Any]:
        answer = _http.get(
            f"{self.shape.ledger}/v1/ledgers/main/subjects/{quote(subject, safe='')}/history",
            params=params,
            headers=KEY,
        )
        assert answer.is_success, answer.text
        page: dict[str, Any] = answer.json()
        return page

    def head(self) -> int:
        answer = _http.get(
            f"{self.shape.ledger}/v1/ledgers/main/events",
            params={"after": 0, "limit": 1},
            headers=KEY,
        )
        return int(answer.json()["head"])

    def read(self, path: str, **params: Any) -> Any:
        """GET from the projector."""
        answer = _http.get(f"{self.shape.projector}{path}", params=params, headers=KEY)
        assert answer.is_success, answer.text
        return answer.json()

    def quarantine(self) -> list[dict[str, Any]]:
        answer = _http.get(f"{self.shape.ledger}/v1/ledgers/main/quarantine", headers=KEY)
        assert answer.is_success, answer.text
        rows: list[dict[str, Any]] = answer.json()["items"]
        return rows


def until(found: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait for something true and return it."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true within {seconds} s")
