"""Hot routes: answered in front of an app, before its middleware, routing and models.

Promises: a request that a front takes is answered as the app would answer it, with the same guard,
limits, problems, request id and metrics, because both call the same handler; one that it does not
take reaches the app untouched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response

from contracts.problem import Problem
from services.kit import clock, problems
from services.kit.gone import Gone, UnlessGone
from services.kit.observing import new_request_id, record

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

CLIENT_GONE = 499
"""Recorded, never sent: nobody is there to read a status. The number is nginx's."""


@dataclass(slots=True)
class Ask:
    """One request as a handler sees it, by whichever way it came in."""

    headers: Mapping[str, str]
    """By lower-case name; `items()` gives a header that stands twice both times."""
    path: str
    receive: Receive

    async def body(self) -> bytes:
        """Return the whole body. Raises `TooLarge`, or `Gone` when it ends before its end."""
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > problems.MAX_BODY_BYTES:
            raise problems.body_too_large()
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Gone
            parts.append(message.get("body", b""))
            size, more = size + len(parts[-1]), message.get("more_body", False)
            if size > problems.MAX_BODY_BYTES:
                raise problems.body_too_large()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def unless_gone(self) -> UnlessGone:
        """Return a block that is cancelled, and raises `Gone`, once the client is not there."""
        return UnlessGone(self.receive)


class Answer(Response):
    """A response of bytes that are there already; its headers are written once."""

    def __init__(
        self, body: bytes, status: int = 200, media_type: bytes = b"application/json",
        *more: tuple[bytes, bytes],
    ) -> None:  # fmt: skip
        self.status_code = status
        self.body = body
        self.background = None
        length = b"%d" % len(body)
        self.raw_headers = [(b"content-length", length), (b"content-type", media_type), *more]


Handler: TypeAlias = Callable[[Ask], Awaitable[Response]]
Finder: TypeAlias = Callable[["Scope", str], tuple[str, Handler] | None]
"""Takes the scope and the path below the mount; returns the route template and its handler."""


@dataclass(frozen=True, slots=True)
class Front:
    """The hot routes of one service."""

    service: str
    find: Finder
    prefix: str = ""
    """Where the service is mounted."""

    def take(self, scope: Scope) -> tuple[str, Handler] | None:
        """Return template and handler for a request, or None: it is the app's."""
        path: str = scope["path"]
        if not path.startswith(self.prefix):
            return None
        return self.find(scope, path[len(self.prefix) :])

    async def answer(
        self, found: tuple[str, Handler], scope: Scope, receive: Receive, send: Send,
        hosts: frozenset[str] | None,
    ) -> None:  # fmt: skip
        """Answer one request."""
        template, handler = found
        scope["request_id"] = request_id = new_request_id()
        started, status = clock.monotonic(), CLIENT_GONE
        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                answer = await _respond(handler, scope, receive, hosts)
                status = answer.status_code
                await send({"type": "http.response.start", "status": status,
                            "headers": answer.raw_headers})  # fmt: skip
                await send({"type": "http.response.body", "body": answer.body})
            except Gone:
                pass
            finally:
                seconds = clock.monotonic() - started
                record(self.service, scope["method"], template, status, seconds)


async def _respond(
    handler: Handler, scope: Scope, receive: Receive, hosts: frozenset[str] | None
) -> Response:
    request_id = scope["request_id"]
    try:
        if (fault := problems.fault(scope, hosts)) is not None:
            return problems.response(fault, request_id)
        return await handler(Ask(_headers(scope), scope["path"], receive))
    except Problem as problem:
        return problems.response(problem, request_id)
    except Gone:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a problem
        return problems.unexpected(error, scope["path"], request_id)


def _headers(scope: Scope) -> Mapping[str, str]:
    raw: list[tuple[bytes, bytes]] = scope["headers"]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    return headers if len(headers) == len(raw) else Headers(raw=raw)
