"""A service: an app, the resources that it opens, its background work, its health; and how several
of them run in one process.

Order of life: resources open in the order of the services, tasks start; at the end readiness goes
false first, tasks are cancelled, then resources close in reverse order.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import JSONResponse, Response

from contracts.problem import Problem
from services.kit import clock, logs, metrics, problems
from services.kit.apidocs import add_docs
from services.kit.settings import SettingsError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

Check = Callable[[], Awaitable[str | None]]
"""Returns None when healthy, else what is missing in a few words."""
MAX_BODY_BYTES = 8 * 1024 * 1024
_log = logs.get(__name__)


@dataclass
class Service:
    """One service as the composition root sees it."""

    name: str
    app: FastAPI
    run: Callable[[], AbstractAsyncContextManager[None]]
    """Open the resources, start the tasks; close both on exit."""
    checks: dict[str, Check] = field(default_factory=dict)
    """What it cannot serve without."""
    soft_checks: dict[str, Check] = field(default_factory=dict)
    """What it serves without, only less well: told by /readyz, which stays 200."""


def new_app(name: str, summary: str) -> FastAPI:
    """Return an app with errors as problems, request log and metrics, and a body limit."""
    app = FastAPI(
        title=f"release-ledger {name}",
        summary=summary,
        version="1",
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
    )
    problems.install(app)
    add_docs(app)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BODY_BYTES)
    app.add_middleware(problems.TooLargeAsProblem)
    app.add_middleware(problems.Edge)
    app.add_middleware(Observe, service=name)
    return app


def add_health(
    app: FastAPI, checks: dict[str, Check], soft: dict[str, Check] | None = None
) -> None:
    """Add /livez (no dependencies), /readyz (503 when a check fails) and /metrics."""

    async def livez() -> Response:
        """Say that the process answers."""
        return JSONResponse({"status": "alive"})

    async def readyz() -> Response:
        """Say whether the service can do its work, what is missing, and what works less well."""
        missing, degraded = await asyncio.gather(_missing(checks), _missing(soft or {}))
        return JSONResponse(
            {
                "status": "not ready" if missing else "degraded" if degraded else "ready",
                "missing": missing,
                "degraded": degraded,
            },
            status_code=503 if missing else 200,
        )

    async def metrics_() -> Response:
        """Give all metrics in the Prometheus text format."""
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)

    app.get("/livez", tags=["operations"])(livez)
    app.get("/readyz", tags=["operations"])(readyz)
    app.get("/metrics", tags=["operations"], response_class=Response)(metrics_)


async def _missing(checks: dict[str, Check]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, check in checks.items():
        try:
            complaint = await asyncio.wait_for(check(), timeout=2)
        except Exception as error:  # noqa: BLE001 - whatever it is, the check did not pass
            complaint = f"{type(error).__name__}: {error}"
        if complaint is not None:
            found[name] = complaint
    return found


@contextlib.asynccontextmanager
async def background(service: str, **tasks: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run endless tasks beside the body; a task that fails is logged and started again.

    Pauses between restarts double from 0.2 s to 10 s, so that a broker that is down costs little.
    """
    running = [
        asyncio.create_task(_endless(service, name, work), name=f"{service}.{name}")
        for name, work in tasks.items()
    ]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _endless(service: str, name: str, work: Callable[[], Awaitable[None]]) -> None:
    pause = 0.2
    while True:
        started = clock.monotonic()
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the work must go on
            # A problem says in words what is missing; anything else needs its traceback.
            trace = None if isinstance(error, Problem) else error
            _log.warning(
                "task.restarting", service=service, task=name, reason=str(error), exc_info=trace
            )
        metrics.count("rlg_task_restarts_total", service=service, task=name)
        pause = 0.2 if clock.monotonic() - started > 60 else min(pause * 2, 10)  # noqa: PLR2004 - a minute of life is healthy
        await asyncio.sleep(pause)


def compose(services: Sequence[Service], root: FastAPI, mounts: dict[str, FastAPI]) -> FastAPI:
    """Return `root` with the services mounted and with their lives tied to its own."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                for service in services:
                    await stack.enter_async_context(service.run())
            except SettingsError as refusal:
                root.state.refusal = refusal  # for whoever tells the person that starts us
                raise
            yield

    root.router.lifespan_context = lifespan
    for path, app in mounts.items():
        root.mount(path, app)
    return root


class Observe:
    """Give each request an id, one log line and one observation by route template (pure ASGI)."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and watch its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = request_id = f"urn:request:{secrets.token_hex(8)}"
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
                self._record(scope, status, clock.monotonic() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        labels = {"service": self._service, "method": scope["method"], "status": str(status)}
        metrics.observe("rlg_http_request_seconds", seconds, route=route, **labels)
        _log.debug("request", route=route, milliseconds=round(seconds * 1000, 1), **labels)
