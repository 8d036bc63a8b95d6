"""`python -m bench.bare KIND URL PORT`: the same appender and reader behind other HTTP edges.

Of each KIND as little as it takes: no authentication, no limits, no problems, no metrics.
bare – pure ASGI: reads the body, makes the events with the ledger's own functions, appends, answers
{"position": n} or {"positions": […]}. model – a plain FastAPI route: pydantic model in, pydantic
model out; and GET /events: a page as a pydantic response model. All run under the product's own
server loop (uvicorn, uvloop, httptools, the same settings of the garbage collector).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias, cast

import uvloop
from fastapi import FastAPI

from bench.ours import LEDGER, appender
from bench.workload import ORIGIN
from contracts import catalogue
from contracts.append import Result
from contracts.event import Event, Page, RecordedEvent, format_time
from services import run
from services.kit.settings import Shared
from services.ledger import bindings
from services.ledger.appender import Appender
from services.ledger.body import Recorded
from services.ledger.model import Submission
from services.ledger.store import Reader

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
_HEADERS = [(b"content-type", b"application/json")]


class Bare:
    """The least that appends over HTTP."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        body = b"" if scope["method"] == "GET" else await self._append(await _body(receive))
        length = (b"content-length", b"%d" % len(body))
        start = {"type": "http.response.start", "status": 201, "headers": [*_HEADERS, length]}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _append(self, raw: bytes) -> bytes:
        sent = bindings.loads(raw)
        events = sent if isinstance(sent, list) else [sent]
        submissions = [Submission(catalogue.parse(one), ORIGIN) for one in events]
        outcomes = await self._appender.append_each(submissions)
        positions = [one.receipt.position for one in outcomes if one.receipt is not None]
        assert len(positions) == len(events), outcomes
        if events is sent:
            return json.dumps({"positions": positions}).encode()
        return b'{"position":%d}' % positions[0]


async def _body(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


async def _live(receive: Receive, send: Send) -> None:
    for _ in range(2):
        asked = (await receive())["type"]
        await send({"type": f"{asked}.complete"})


def model(appender: Appender, reader: Reader) -> FastAPI:
    """Return the app as the tutorial of FastAPI would have it."""
    app = FastAPI()

    @app.post("/events", status_code=201)
    async def append(event: Event) -> Result:
        (outcome,) = await appender.append_each([Submission(event, ORIGIN)])
        assert outcome.kind in {"appended", "duplicate"}, outcome
        receipt = None if outcome.receipt is None else outcome.receipt.as_model()
        return Result.model_validate({"outcome": outcome.kind, "receipt": receipt})

    @app.get("/events")
    async def page(after: int = 0, limit: int = 100) -> Page:
        window = await reader.page(LEDGER, after, limit)
        events = [_as_model(one) for one in window.events]
        return Page(events=events, head=window.head, scanned_to=window.scanned_to)

    return app


def _as_model(one: Recorded) -> RecordedEvent:
    return RecordedEvent.model_validate(
        {
            "position": one.position,
            "versions": one.versions,
            "recorded_at": format_time(one.recorded_at),
            "commitment": one.commitment.hex(),
            "event": json.loads(one.event),
            **one.origin,
        }
    )


async def main(kind: str, url: str, port: int) -> None:
    """Serve until told to stop."""
    taken = run.take_port(Shared(port=port))
    async with appender(url) as (made, reader):
        app = Bare(made) if kind == "bare" else model(made, reader)
        await run.serve(cast("FastAPI", app), taken, lambda _: asyncio.sleep(0))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
