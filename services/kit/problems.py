"""Errors out: every failure of every route leaves as application/problem+json (RFC 9457)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import _RequestBodyLimitResponseSent
from starlette.responses import Response

from contracts import ijson
from contracts.problem import (
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    Problem,
    TooLarge,
    UnsupportedMediaType,
    message,
)
from services.kit import logs

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"
DESCRIBED: dict[str, Any] = {
    "description": "A problem (RFC 9457): what was wrong and where; each is in docs/problems.md",
    "content": {
        MEDIA_TYPE: {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status"],
                "properties": {
                    "type": {"type": "string", "format": "uri"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "instance": {"type": "string", "format": "uri"},
                    "errors": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "pointer": {"type": "string", "format": "json-pointer"},
                                "detail": {"type": "string"},
                            },
                        },
                    },
                },
            }
        }
    },
}
"""A failure as OpenAPI tells of it."""
MAX_BODY_BYTES = 8 * 1024 * 1024
_log = logs.get(__name__)
_BY_STATUS: dict[int, type[Problem]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: TooLarge,
    415: UnsupportedMediaType,
}


def install(app: FastAPI) -> None:
    """Make `app` answer every failure, also unknown paths, as a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def response(problem: Problem, instance: str | None = None) -> Response:
    """Return the response for a problem."""
    body = problem.as_json() | ({} if instance is None else {"instance": instance})
    return Response(
        json.dumps(body, ensure_ascii=False),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def body_too_large() -> TooLarge:
    """Return the problem of a request whose body is beyond what any route reads."""
    detail = f"the body has more than {MAX_BODY_BYTES} bytes"
    return TooLarge(detail, limit=MAX_BODY_BYTES)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - the framework calls us for nothing else
    return response(error, request.scope.get("request_id"))


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    errors = [
        {
            "pointer": ijson.pointer(item["loc"][1:]),
            "in": str(item["loc"][0]),
            "detail": message(item),
        }
        for item in error.errors()
    ]
    where = f"{errors[0]['pointer']}: " if errors[0]["pointer"] else ""
    problem = Invalid(where + errors[0]["detail"], errors=errors)
    return response(problem, request.scope.get("request_id"))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    kind = _BY_STATUS.get(error.status_code)
    detail = f"{request.method} {request.url.path}" if error.status_code in {404, 405} else ""
    problem = kind(detail) if kind else _other(error)
    answer = response(problem, request.scope.get("request_id"))
    answer.headers.update(error.headers or {})  # Allow, for one: RFC 9110 §15.5.6 demands it
    return answer


def _other(error: HTTPException) -> Problem:
    problem = Problem(error.detail)
    problem.status = error.status_code  # type: ignore[misc]  # one of Starlette's own, not in our family
    problem.title = error.detail  # type: ignore[misc]
    return problem


async def _unexpected(request: Request, error: Exception) -> Response:
    if isinstance(error, _RequestBodyLimitResponseSent):  # the limit answered, of a mounting app
        return response(body_too_large(), request.scope.get("request_id"))
    return unexpected(error, request.url.path, request.scope.get("request_id"))


def unexpected(error: Exception, path: str, request_id: str | None) -> Response:
    """Say nothing about the inside; the log has it under the same id."""
    _log.error("request.failed", exc_info=error, path=path)
    return response(Problem(), request_id)


def fault(scope: Scope, hosts: frozenset[str] | None) -> Problem | None:
    """Return what is wrong with a request's address or `Host`, if anything: see `Edge`."""
    if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
        return Invalid("the address holds the NUL character")
    if hosts is None:
        return None
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    if urlsplit(f"//{host}").hostname not in hosts:
        return Forbidden(f"development mode answers on loopback only, not as {host!r}")
    return None


class Edge:
    """Refuse what no route can serve (pure ASGI): NUL, which no column holds, and foreign hosts.

    `hosts`, where given, are the only names under which we answer. Without that a page of another
    site could reach us on loopback by pointing its own name at it (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None = None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with a problem."""
        problem = fault(scope, self._hosts) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await response(problem, scope.get("request_id"))(scope, receive, send)


class TooLargeAsProblem:
    """Turn the body limit's own plain-text 413 into a problem (pure ASGI): it has no hook."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, but replace a plain-text 413."""
        replaced = False

        async def watch(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and _is_plain_413(message):
                replaced = True
                await response(body_too_large(), scope.get("request_id"))(scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(scope, receive, watch)


def _is_plain_413(message: Message) -> bool:
    kind: bytes = dict(message.get("headers", ())).get(b"content-type", b"")
    return bool(message["status"] == TooLarge.status and kind.startswith(b"text/plain"))
