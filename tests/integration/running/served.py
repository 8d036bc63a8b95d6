"""The ledger's HTTP side on a real port, before an appender that the test holds in its hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from contracts.problem import NotFound
from services.kit import listening
from services.kit.identity import Keyring, demo_key
from services.kit.service import App, new_app
from services.ledger import api
from services.ledger.appender import Appender
from services.ledger.model import Outcome, Stored, Submission
from services.ledger.receipt import Acknowledgement
from services.ledger.sealing.published import Published
from services.ledger.store import Reader
from services.ledger.wake import Wake

EVENTS = "/v1/ledgers/main/events"


@dataclass
class HeldAppender:
    """Answers when its gate is open; remembers what was asked and what was given up."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)
    failure: Exception | None = None

    async def append_each(
        self, items: Sequence[Submission], *, deadline: float | None = None
    ) -> list[Outcome]:
        ids = [item.event.id for item in items]
        self.asked += ids
        self.deadlines.append(deadline)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.given_up += ids
            raise
        if self.failure is not None:
            raise self.failure
        return [Outcome("appended", _receipt(number, id_)) for number, id_ in enumerate(ids, 1)]

    async def append_group(
        self, items: Sequence[Submission], expect: Mapping[str, int], *,
        deadline: float | None = None,
    ) -> list[Outcome]:  # fmt: skip
        del expect
        return await self.append_each(items, deadline=deadline)


def _receipt(position: int, event_id: str) -> Acknowledgement:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    stored = Stored(position, b"s" * 16, bytes(32), {"a:1": position}, moment)
    return Acknowledgement("main", event_id, "/s", stored)


def app_on(appender: HeldAppender | Appender) -> App:
    """Return a ledger's app whose reader is none: it appends only."""

    def appender_for(ledger: str) -> Appender:
        if ledger != "main":
            raise NotFound(f"there is no ledger {ledger!r} here")
        return cast("Appender", appender)

    app = new_app("ledger", "A ledger on an appender of the test's.")
    nobody = cast("Any", None)
    reader, wake = cast("Reader", nobody), cast("Wake", nobody)
    api.add_routes(app, api.Desk(reader, wake, appender_for, Keyring([demo_key()]), Published({})))
    return app


@contextlib.asynccontextmanager
async def listening_at(app: App) -> AsyncIterator[int]:
    """Serve an app on a free port of loopback; yield the port."""
    port = socket.create_server(("127.0.0.1", 0))
    server = listening.server(app, grace_seconds=1)
    serving = asyncio.create_task(server.serve(sockets=[port]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has a flag and no event
        await asyncio.sleep(0.005)
    yield port.getsockname()[1]
    server.should_exit = True
    await serving


def event(id_: str, **attributes: Any) -> bytes:
    whole = {"specversion": "1.0", "id": id_, "source": "/s", "type": "x.y", "subject": "a:1"}
    return json.dumps(whole | attributes).encode()


def post(body: bytes, *headers: str, path: str = EVENTS, length: int | None = None) -> bytes:
    """Return a whole request; `length` is what it declares, where that differs."""
    lines = [
        f"POST {path} HTTP/1.1", "host: localhost", "authorization: Bearer demo-key",
        "content-type: application/cloudevents+json", *headers,
    ]  # fmt: skip
    if not any(header.startswith("transfer-encoding") for header in headers):
        lines.append(f"content-length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answered:
        """Read one answer with a content length."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(": ") for line in head[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        body = await self.reader.readexactly(int(headers["content-length"]))
        return Answered(int(head[0].split()[1]), headers, body)

    async def send_for_ever(self, piece: bytes, pause: float = 0.001) -> None:
        """Send until the connection breaks."""
        while True:
            await self.send(piece)
            await asyncio.sleep(pause)

    async def is_closed(self) -> bool:
        """Wait until the server has closed the connection; say whether it said no more."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), 10) == b""
        return True

    def close(self) -> None:
        self.writer.close()


@contextlib.asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    """Open one raw connection."""
    opened = Wire(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield opened
    finally:
        opened.close()


async def until(condition: Any) -> None:
    """Wait until something holds; the test's own limit ends it if it never does."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens inside the server
        await asyncio.sleep(0.005)
