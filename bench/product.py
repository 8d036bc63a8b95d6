"""The whole product in a process of its own, and the few requests that a benchmark makes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from contracts.event import OURS
from deploy.embedded import guard
from services.kit import clock
from services.kit.settings import PREFIXES, environment
from services.ledger.hooks.connections import DEMO_SECRET
from services.ledger.hooks.signature import sign_github

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 120
STOP_PLAN = (("SIGINT", 30.0),)
_OK, _CREATED, _ACCEPTED = 200, 201, 202
_KEY = {"authorization": "Bearer demo-key"}
_SERVERS = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")


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
    port = _free_port()
    kept = {n: v for n, v in environment().items() if not n.startswith((*PREFIXES, *_SERVERS))}
    told = {"RLG_DEV": "1", "RLG_DEMO": "0", "RLG_DATA": str(folder), "RLG_PORT": str(port),
            "DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": kafka}  # fmt: skip
    url, log = f"http://127.0.0.1:{port}", folder / "product.log"
    process = await asyncio.to_thread(_start, kept | told, folder, log)
    try:
        async with httpx2.AsyncClient(base_url=url, headers=_KEY, timeout=30) as http:
            made = Product(http)
            await _until_ready(made, process, log)
            yield made
    finally:
        await asyncio.to_thread(_stop, process)


def _start(env: Mapping[str, str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start it under the guard of the embedded servers: it ends when we do, in whatever way."""
    script = [sys.executable, "-I", "-S", guard.__file__, str(folder / "product.json")]
    command = [json.dumps(STOP_PLAN), sys.executable, "-m", "services", "all"]
    with log.open("wb") as out:
        return subprocess.Popen(  # noqa: S603 - our own command line
            [*script, *command],
            env=env,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


async def _until_ready(product: Product, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = clock.monotonic() + START_SECONDS
    while not await product.ready():
        assert process.poll() is None, _told("ended at start", log)
        assert clock.monotonic() < ends, _told("is not ready", log)
        await asyncio.sleep(0.1)


def _told(fate: str, log: Path) -> str:
    return f"the product {fate}:\n{log.read_text(encoding='utf-8', errors='replace')}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let go of the guard, which ends the product as Ctrl-C does, and for certain."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
