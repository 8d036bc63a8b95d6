"""A ledger with webhooks in this process: real PostgreSQL, real routes, no network."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2

from contracts.problem import NotFound
from services.kit import clock, database
from services.kit.identity import Keyring, make_key
from services.kit.service import background, new_app
from services.ledger.appender import Appender
from services.ledger.body import Recorded
from services.ledger.hooks.api import add_routes
from services.ledger.hooks.connections import DEMO_SECRET, Connections, demo
from services.ledger.hooks.deliveries import Hooks
from services.ledger.hooks.signature import sign_github
from services.ledger.hooks.store import HookStore
from services.ledger.store import Reader
from services.ledger.writer import Writer

BEARER = {"authorization": f"Bearer {DEMO_SECRET}"}


@dataclass
class Desk:
    """What a test works with."""

    http: httpx2.AsyncClient
    hooks: Hooks
    reader: Reader
    database: asyncpg.Connection
    keys: dict[str, str]

    async def github(
        self, event: str, payload: Any, *, delivery: str | None = None, raw: bytes | None = None
    ) -> httpx2.Response:
        """Post as GitHub does, with a valid signature over the bytes."""
        body = json.dumps(payload).encode() if raw is None else raw
        headers = {
            "content-type": "application/json",
            "x-github-event": event,
            "x-github-delivery": delivery or str(uuid4()),
            "x-hub-signature-256": sign_github(body, DEMO_SECRET),
        }
        return await self.http.post("/v1/hooks/github", content=body, headers=headers)

    async def alertmanager(self, payload: Any) -> httpx2.Response:
        """Post as Alertmanager does, with a bearer token."""
        return await self.http.post("/v1/hooks/alertmanager", json=payload, headers=BEARER)

    async def map_all(self) -> None:
        """Map until nothing waits."""
        while await self.hooks.map_waiting():
            pass

    async def events(self) -> list[Recorded]:
        """Every event of the ledger."""
        return (await self.reader.page("main", 0, 1000)).events

    async def types(self) -> list[str]:
        """The types of all events, without the prefix."""
        return [name(event) for event in await self.events()]

    async def quarantine(self) -> list[dict[str, Any]]:
        """The list as the API gives it."""
        answer = await self.get("/v1/ledgers/main/quarantine", "read")
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def get(self, path: str, scope: str) -> httpx2.Response:
        """Read with a key of one scope."""
        return await self.http.get(path, headers=self.bearer(scope))

    async def post(self, path: str, scope: str) -> httpx2.Response:
        """Post nothing, with a key of one scope."""
        return await self.http.post(path, headers=self.bearer(scope))

    def bearer(self, scope: str) -> dict[str, str]:
        """The header of a key that has one scope."""
        return {"authorization": f"Bearer {self.keys[scope]}"}


def name(event: Recorded) -> str:
    """An event's type without our prefix."""
    return str(json.loads(event.event)["type"]).removeprefix("org.releaseledger.")


@contextlib.asynccontextmanager
async def open_desk(url: str) -> AsyncIterator[Desk]:
    """Open everything but the mapper's loop, which a test runs when it wants to."""
    engine = database.engine(url, "test")
    reader = Reader(engine)
    await reader.open(["main"])
    appender = Appender(Writer(url, reader.ledger("main")))
    hooks = Hooks(HookStore(url), reader, _only(appender), Connections(demo()))
    keyring, keys = Keyring(), {}
    for scope in ("read", "admin"):
        keys[scope], key = make_key(scope, [scope], 1, clock.now() - timedelta(minutes=1))
        keyring.add(key)
    app = new_app("ledger", "The ledger's webhooks.")
    add_routes(app, hooks, keyring)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    connection = await asyncpg.connect(url)
    await hooks.store.open()
    try:
        async with (
            httpx2.AsyncClient(transport=transport, base_url="http://ledger") as http,
            background("test", append=appender.run),
        ):
            yield Desk(http, hooks, reader, connection, keys)
    finally:
        await hooks.store.close()
        await connection.close()
        await reader.close()


def _only(appender: Appender) -> Any:
    def appender_for(name: str) -> Appender:
        if name != "main":
            raise NotFound(name)
        return appender

    return appender_for
