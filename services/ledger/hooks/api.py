"""Routes of the webhooks and of the quarantine."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from contracts.event import format_time
from contracts.problem import TooLarge
from services.kit.identity import Keyring, authenticate
from services.ledger.hooks.deliveries import Hooks
from services.ledger.hooks.quarantine import Quarantine

MAX_DELIVERY_BYTES = 1024 * 1024
ItemId = Annotated[int, Path(ge=1, lt=2**63)]
_TAGS: list[Any] = ["webhooks"]


class Accepted(BaseModel):
    """A delivery is stored: now, or already before (duplicate)."""

    delivery: int
    fate: Literal["stored", "duplicate"]


class QuarantineItem(BaseModel):
    """A delivery with good credentials that was not, or not wholly, understood."""

    model_config = ConfigDict(extra="ignore")

    id: int
    connection: str
    received_at: str
    reason: str
    raw_sha256: str
    size: int
    state: Literal["open", "replayed"]
    adapter_version: str
    positions: list[int]
    """Where the facts stand that could be read from it."""
    replayed_by: str | None = None


class QuarantineContent(QuarantineItem):
    """The same with what was sent."""

    headers: dict[str, str]
    raw_base64: str


class QuarantinePage(BaseModel):
    """Items in order of id; ask again with `after` = the last id."""

    items: list[QuarantineItem]
    open: int
    """How many are open in all ledgers of this database."""


def add_routes(app: FastAPI, hooks: Hooks, keyring: Keyring) -> None:
    """Add the routes. Webhooks prove themselves; the quarantine needs an API key."""
    _add_hooks(app, hooks)
    _add_quarantine(app, Quarantine(hooks), keyring)


def _add_hooks(app: FastAPI, hooks: Hooks) -> None:
    @app.post("/v1/hooks/{connection}", status_code=202, response_model=Accepted, tags=_TAGS)
    async def receive(connection: str, request: Request) -> Response:
        """Take a webhook: prove the sender over the raw bytes, store them, answer.

        Never refused for its content: what cannot be understood goes to the quarantine.
        """
        known = hooks.connection(connection)
        raw = await _body(request)
        kept = await hooks.receive(known, dict(request.headers), raw)
        return JSONResponse({"delivery": kept.id, "fate": kept.fate}, status_code=202)


def _add_quarantine(app: FastAPI, quarantine: Quarantine, keyring: Keyring) -> None:
    base = "/v1/ledgers/{ledger}/quarantine"

    @app.get(base, tags=_TAGS)
    async def list_quarantine(
        request: Request,
        ledger: str,
        after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        state: Literal["open", "replayed"] | None = None,
    ) -> QuarantinePage:
        """List quarantined deliveries. Scope: read."""
        authenticate(keyring, request.headers).require("read")
        rows, still_open = await quarantine.page(ledger, after, limit, state)
        return QuarantinePage(items=[_item(row) for row in rows], open=still_open)

    @app.get(base + "/{item}", tags=_TAGS)
    async def get_quarantined(request: Request, ledger: str, item: ItemId) -> QuarantineContent:
        """Show what was sent; unvetted bytes that may name people. Scope: admin."""
        authenticate(keyring, request.headers).require("admin")
        row, headers, raw = await quarantine.content(ledger, item)
        content = {"headers": headers, "raw_base64": base64.b64encode(raw).decode()}
        return QuarantineContent.model_validate(_members(row) | content)

    @app.post(base + "/{item}/replay", tags=_TAGS)
    async def replay_quarantined(request: Request, ledger: str, item: ItemId) -> QuarantineItem:
        """Map it again with today's adapter. `state` says whether that helped. Scope: admin."""
        principal = authenticate(keyring, request.headers)
        principal.require("admin")
        return _item(await quarantine.replay(ledger, item, principal.id))


def _members(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"received_at": format_time(row["received_at"])}


def _item(row: dict[str, Any]) -> QuarantineItem:
    return QuarantineItem.model_validate(_members(row))


async def _body(request: Request) -> bytes:
    """Read the body up to the limit; stop at the first byte beyond it."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_DELIVERY_BYTES:
            raise TooLarge(f"a delivery has at most {MAX_DELIVERY_BYTES} bytes")
    return bytes(body)
