"""`python -m bench.load`: a cheap HTTP/1.1 client with keep-alive, told over its standard input.

First line: `Task`. It renders its requests, connects and answers {}. Second line {starts, ends} (of
the machine's monotonic clock): every connection sends, waits for the answer, sends again. All
servers meet this same client, so what it costs is the same for all of them.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import httptools
import uvloop

from bench import meters, workload
from bench.meters import Window
from services.kit import clock

_GOOD = (200, 201)
_ID_CHARS = 36


@dataclass(frozen=True)
class Task:
    """What to send."""

    port: int
    key: str
    connections: int
    kind: Literal["post", "get", "ask"]
    targets: Sequence[str]
    """Where to: for `get` each request draws one."""
    size: int
    """Events a request."""
    seed: int
    accept: str = "application/json"
    bodies: Sequence[str] = ()
    """JSON documents: for `ask` each request draws one; no two connections share any."""


class Requests:
    """The requests of one connection, rendered but for the ids."""

    def __init__(self, task: Task, number: int) -> None:
        self._task = task
        self._chance = random.Random(f"{task.seed}/{number}")
        events = workload.templates_of(number) if task.kind == "post" else []
        self._events = [_around_id(event.as_json()) for event in events]
        self._bodies = [body.encode() for body in task.bodies[number :: task.connections]]
        self._last: bytes | None = None
        self.appended = 0
        """Events, or questions, that were sent for the first time."""

    def next(self) -> bytes:
        """Return the next request."""
        if self._task.kind == "get":
            return self._head("GET", self._chance.choice(self._task.targets))
        if self._task.kind == "ask":
            self.appended += 1
            return self._post("application/json", self._chance.choice(self._bodies))
        events = [self._event() for _ in range(self._task.size)]
        single = self._task.size == 1
        body = events[0] if single else b"[" + b",".join(events) + b"]"
        return self._post(f"application/cloudevents{'' if single else '-batch'}+json", body)

    def _post(self, media_type: str, body: bytes) -> bytes:
        lines = f"content-type: {media_type}\r\ncontent-length: {len(body)}\r\n"
        return self._head("POST", self._task.targets[0], lines) + body

    def _head(self, method: str, target: str, lines: str = "") -> bytes:
        return (
            f"{method} {target} HTTP/1.1\r\nhost: 127.0.0.1:{self._task.port}\r\n"
            f"authorization: Bearer {self._task.key}\r\n"
            f"accept: {self._task.accept}\r\n{lines}\r\n"
        ).encode()

    def _event(self) -> bytes:
        """Return an event: a new one, or now and then the last one once more."""
        if self._last is not None and self._chance.random() < workload.AGAIN:
            return self._last
        before, after = self._chance.choice(self._events)
        self._last = b"".join((before, str(uuid.uuid4()).encode(), after))
        self.appended += 1
        return self._last


def _around_id(event: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return what stands before and after the id."""
    text = json.dumps(event, separators=(",", ":")).encode()
    start = text.index(event["id"].encode())
    return text[:start], text[start + _ID_CHARS :]


class Connection(asyncio.Protocol):
    """One connection in a closed loop; `done` ends with the first answer after the window."""

    def __init__(self, requests: Requests, size: int) -> None:
        self._requests = requests
        self._size = size
        self._parser = httptools.HttpResponseParser(self)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def start(self, window: Window) -> None:
        """Send the first request."""
        self._window = window
        self._send()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def _send(self) -> None:
        request = self._requests.next()
        self._began = clock.monotonic()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """See httptools: an answer is whole."""
        self._window.note(self._began, self._size)
        status = self._parser.get_status_code()
        if status not in _GOOD:
            self.done.set_exception(AssertionError(f"the server has answered {status}"))
        elif clock.monotonic() < self._window.ends:
            self._send()
        else:
            self.done.set_result(None)

    def connection_lost(self, _: Exception | None) -> None:
        """See asyncio."""
        if not self.done.done():
            self.done.set_exception(AssertionError("the server has closed a connection"))


async def main() -> None:
    """Do one task."""
    task = Task(**await _line())
    requests = [Requests(task, number) for number in range(task.connections)]
    connections = [await _connected(task, one) for one in requests]
    print("{}", flush=True)
    told = await _line()
    window, cpu = Window(told["starts"], told["ends"]), time.process_time()
    for connection in connections:
        connection.start(window)
    await asyncio.gather(*(connection.done for connection in connections))
    for connection in connections:
        connection.close()
    said = {
        "events": window.events,
        "took": window.took,
        "appended": sum(one.appended for one in requests),
        "cpu_us": (time.process_time() - cpu) * 1e6,
        "peak_mb": meters.peak_mb(),
    }
    print(json.dumps(said), flush=True)


async def _connected(task: Task, requests: Requests) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: Connection(requests, task.size), "127.0.0.1", task.port
    )
    return connection


async def _line() -> dict[str, Any]:
    line = await asyncio.to_thread(sys.stdin.readline)
    told: dict[str, Any] = json.loads(line)
    return told


if __name__ == "__main__":
    uvloop.run(main())
