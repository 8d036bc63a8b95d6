"""The HTTP server: uvicorn on httptools, with limits on how slowly a client may send.

uvicorn itself ends idle connections between requests and nothing else: a client that sends a head
or a body byte by byte could hold its connection for ever. Here such a client gets 408 (nothing,
when it has sent nothing at all) and is cut off. Answering is not limited: long polls take their
time. Every refusal of the protocol itself is a problem document too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from contracts.problem import Malformed, Problem, RequestTimeout, TooLarge
from services.kit import problems

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HEAD_SECONDS = 10.0
"""How long a request's head may take; also how long a new connection may say nothing."""
BODY_SECONDS = 20.0
"""How long a body may take, and a second more for each `BODY_BYTES_PER_SECOND` received."""
BODY_BYTES_PER_SECOND = 1024
KEEP_ALIVE_SECONDS = 5
"""How long a connection may be idle between requests."""
MAX_HEAD_BYTES = 64 * 1024
"""Of a head, beyond the first piece that the socket gave."""
MAX_IGNORED_BYTES = 16 * 1024 * 1024
"""What we still take in of a body after it has been answered, so that the answer is read."""
TICKS = 5
"""Connections are looked at every so many ticks of uvicorn, a tenth of a second each."""


class Protocol(HttpToolsProtocol):
    """One connection. It knows since when it has been waiting for its client to send."""

    _since: float | None = None
    _received = 0
    _in_body = False
    _asked = False
    """A first head has come: uvicorn has a `cycle` from then on."""
    _ignored = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait_for(body=False)

    def data_received(self, data: bytes) -> None:
        """Take in what the client sent."""
        if self._since is None:
            self._wait_for(body=False)
        self._received += len(data)
        super().data_received(data)
        if not self._in_body and self._received > MAX_HEAD_BYTES:
            self._refuse(TooLarge(f"the head has more than {MAX_HEAD_BYTES} bytes"))

    def on_message_begin(self) -> None:
        """Wait for the rest of the head."""
        self._wait_for(body=False)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Wait for the body."""
        self._wait_for(body=True)
        super().on_headers_complete()
        self._asked = True

    def on_body(self, body: bytes) -> None:
        """Take in a part of a body, up to a limit also of one that is answered already."""
        super().on_body(body)
        if self.cycle.response_complete:
            self._ignored += len(body)
            if self._ignored > MAX_IGNORED_BYTES:
                self.transport.close()

    def on_message_complete(self) -> None:
        """Wait for nothing: now it is our turn."""
        self._since, self._in_body, self._received = None, False, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse(Malformed(msg))

    def cut_off_if_late(self, now: float) -> None:
        """Refuse a request that has taken too long to arrive. `now` is the loop's time."""
        if self._since is None or self.transport.is_closing():
            return
        if self._in_body and self.flow.read_paused:
            self._since = now  # it is us who do not read
            return
        if not self._in_body and self._asked and not self.cycle.response_complete:
            return  # a head behind a request that is being answered
        rate = self._received / BODY_BYTES_PER_SECOND
        allowed = BODY_SECONDS + rate if self._in_body else HEAD_SECONDS
        if now - self._since > allowed:
            self._refuse(RequestTimeout() if self._received or self._in_body else None)

    def _wait_for(self, *, body: bool) -> None:
        self._since, self._in_body, self._received = self.loop.time(), body, 0

    def _refuse(self, problem: Problem | None) -> None:
        """Close the connection, with an answer where there was none and somebody may read it."""
        if self.transport.is_closing():
            return
        started = self._in_body and self._asked and self.cycle.response_started
        if problem is not None and not started:
            self.transport.write(_written(problem))
        self.transport.close()


def _written(problem: Problem) -> bytes:
    answer = problems.response(problem)
    answer.headers["connection"] = "close"
    lines = [b": ".join(header) for header in answer.raw_headers]
    head = b"HTTP/1.1 %d %s" % (problem.status, problem.title.encode())
    return b"\r\n".join([head, *lines, b"", bytes(answer.body)])


class Server(uvicorn.Server):
    """Looks after its connections, and leaves signals to us: uvicorn's own handling would cut the
    end of the other servers short.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Cut off clients that are late; see `uvicorn.Server.on_tick`."""
        if counter % TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Protocol):
                    connection.cut_off_if_late(now)
        return await super().on_tick(counter)


def server(app: ASGIApp, grace_seconds: int) -> Server:
    """Return a server for `app`, not yet started; at its end open requests have so many seconds."""
    return Server(
        uvicorn.Config(
            app,
            loop="none",
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=grace_seconds,
        )
    )
