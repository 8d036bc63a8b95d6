"""What every request leaves behind: an id, one observation by route template, one log line."""

from __future__ import annotations

import functools
import logging
import secrets
from typing import TYPE_CHECKING, Any

import structlog

from services.kit import clock, logs, metrics

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logs.get(__name__)
_level = logging.getLogger(__name__)


def new_request_id() -> str:
    """Return what a problem's `instance` and the log lines of one request share."""
    return f"urn:request:{secrets.token_hex(8)}"


def record(service: str, method: str, route: str, status: int, seconds: float) -> None:
    """Take down one answered request; `route` is a template, never a path."""
    _histogram(service, method, route, status).observe(seconds)
    if _level.isEnabledFor(logging.DEBUG):  # six processors would make the line before it is cut
        labels = {"service": service, "method": method, "route": route, "status": str(status)}
        _log.debug("request", milliseconds=round(seconds * 1000, 1), **labels)


@functools.lru_cache(maxsize=1024)
def _histogram(service: str, method: str, route: str, status: int) -> Any:
    labels = {"service": service, "method": method, "route": route, "status": str(status)}
    return metrics.child("rlg_http_request_seconds", **labels)


class Observe:
    """Give each request an id and record it (pure ASGI)."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and watch its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = request_id = new_request_id()
        started, status = clock.monotonic(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                await self._app(scope, receive, watch)
            finally:
                route = getattr(scope.get("route"), "path", "unmatched")
                seconds = clock.monotonic() - started
                record(self._service, scope["method"], route, status, seconds)
