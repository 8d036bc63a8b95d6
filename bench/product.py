"""The whole product in a process of its own, and the few requests that a benchmark makes."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from bench.running import Running, running
from contracts.event import OURS
from services.kit import clock
from services.kit.identity import make_key, write_key
from services.ledger.hooks.connections import DEMO_SECRET
from services.ledger.hooks.signature import sign_github

_OK, _CREATED, _ACCEPTED = 200, 201, 202
DEMO_KEY = "demo-key"
POLICIES = Path(__file__).parent / "policies"


class Product:
    """A running product, spoken to over HTTP. A refusal is an AssertionError with the answer."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def ready(self) -> bool:
        """Say whether it is up."""
        with contextlib.suppress(httpx2.HTTPError):
            return (await self._http.get("/readyz")).status_code == _OK
        return False

    async def post(self, event: Mapping[str, Any]) -> int:
        """Append an event; return its position."""
        answer = await self._http.post(
            "/ledger/v1/ledgers/main/events",
            content=json.dumps(event),
            headers={"content-type": "application/cloudevents+json"},
        )
        assert answer.status_code == _CREATED, answer.text
        return int(answer.json()["receipt"]["position"])

    async def plan(self, release: str) -> None:
        """Plan a release; return when the read models hold it."""
        event = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": "/bench",
            "type": f"{OURS}release.planned.v1",
            "data": {"release_id": release, "name": f"Payments {release}", "service_ids": ["pay"],
                     "release_type": "minor", "owner": "dev:tim"},
        }  # fmt: skip
        wanted = {"min_position": await self.post(event)}
        answer = await self._http.get("/projector/v1/freshness", params=wanted)
        assert answer.status_code == _OK, answer.text

    async def position(self) -> int:
        """Return how far the read models are."""
        answer = await self._http.get("/projector/v1/freshness")
        assert answer.status_code == _OK, answer.text
        return int(answer.json()["position"])

    async def deliver(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Send a webhook as GitHub does, signed; return when it was accepted."""
        raw = json.dumps(payload).encode()
        headers = {
            "content-type": "application/json",
            "x-github-event": kind,
            "x-github-delivery": str(uuid.uuid4()),
            "x-hub-signature-256": sign_github(raw, DEMO_SECRET),
        }
        answer = await self._http.post("/ledger/v1/hooks/github", content=raw, headers=headers)
        assert answer.status_code == _ACCEPTED, answer.text

    async def timeline(self, release: str) -> set[str]:
        """Return the types of the entries in a release's timeline."""
        answer = await self._http.get(f"/projector/v1/releases/{release}")
        assert answer.status_code == _OK, answer.text
        return {entry["type"] for entry in answer.json()["timeline"]}


@asynccontextmanager
async def product(folder: Path, database_url: str, kafka: str) -> AsyncIterator[Product]:
    """Run `python -m services all` on given servers for the time of the block."""
    told = {"RLG_DEV": "1", "RLG_DEMO": "0", "RLG_DATA": str(folder), "RLG_PORT": "{port}",
            "DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": kafka}  # fmt: skip
    async with running(["services", "all"], folder, told) as server:
        key = {"authorization": f"Bearer {DEMO_KEY}"}
        async with httpx2.AsyncClient(base_url=server.url, headers=key, timeout=30) as http:
            made = Product(http)
            await server.until(made.ready)
            yield made


@asynccontextmanager
async def ledger_alone(
    folder: Path, database_url: str, scopes: Sequence[str] = ("event:write", "read")
) -> AsyncIterator[tuple[Running, str]]:
    """Run `python -m services ledger` as in production, without a broker; yield it and a key."""
    secret, stored = make_key("bench", scopes, 1, clock.now())
    keys = folder / "keys.json"
    keys.unlink(missing_ok=True)
    write_key(keys, stored)
    told = {"RLG_DATA": str(folder), "RLG_PORT": "{port}", "DATABASE_URL": database_url,
            "RLG_KEYS_FILE": str(keys)}  # fmt: skip
    async with running(["services", "ledger"], folder, told) as server:
        await server.until(server.answers)
        yield server, secret


@asynccontextmanager
async def gatekeeper_alone(
    folder: Path, database_url: str, ledger: Running, key: str
) -> AsyncIterator[Running]:
    """Run `python -m services gatekeeper` beside a ledger, with its keys, on our one policy."""
    told = {"RLG_DATA": str(folder), "RLG_PORT": "{port}", "DATABASE_URL": database_url,
            "RLG_KEYS_FILE": str(folder / "keys.json"), "RLG_FEED": "http",
            "RLG_LEDGER_URL": ledger.url, "RLG_SERVICE_KEY": key,
            "GATEKEEPER_POLICIES": str(POLICIES)}  # fmt: skip
    async with running(["services", "gatekeeper"], folder, told) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=5) as http:
            await server.until(Product(http).ready)
        yield server
