"""A service: an app, the resources that it opens, its background work, its health; and how several
of them run in one process.

Order of life: resources open in the order of the services, tasks start; at the end readiness goes
false first, tasks are cancelled, then resources close in reverse order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import JSONResponse, Response

from contracts.problem import Problem
from services.kit import clock, logs, metrics, problems
from services.kit.apidocs import add_docs
from services.kit.gone import Gone
from services.kit.hot import CLIENT_GONE, Front
from services.kit.observing import Observe
from services.kit.settings import SettingsError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

Check = Callable[[], Awaitable[str | None]]
"""Returns None when healthy, else what is missing in a few words."""
_log = logs.get(__name__)


class App(FastAPI):
    """An app with fronts: hot routes are answered there, all else goes its usual way."""

    fronts: tuple[Front, ...] = ()
    hosts: frozenset[str] | None = None
    """The host names to which a front answers; None: all."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by a front that takes it, else by routing."""
        if scope["type"] == "http":
            for front in self.fronts:
                if (found := front.take(scope)) is not None:
                    await front.answer(found, scope, receive, send, self.hosts)
                    return
        await super().__call__(scope, receive, send)

    def keep_to(self, hosts: frozenset[str]) -> None:
        """Answer requests to these host names only."""
        self.hosts = hosts
        self.add_middleware(problems.Edge, hosts=hosts)


@dataclass
class Service:
    """One service as the composition root sees it."""

    name: str
    app: App
    run: Callable[[], AbstractAsyncContextManager[None]]
    """Open the resources, start the tasks; close both on exit."""
    checks: dict[str, Check] = field(default_factory=dict)
    """What it cannot serve without."""
    soft_checks: dict[str, Check] = field(default_factory=dict)
    """What it serves without, only less well: told by /readyz, which stays 200."""


def new_app(name: str, summary: str) -> App:
    """Return an app with errors as problems, request log and metrics, and a body limit."""
    app = App(
        title=f"release-ledger {name}",
        summary=summary,
        version="1",
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
        responses={"4XX": problems.DESCRIBED, "5XX": problems.DESCRIBED},
    )
    problems.install(app)
    app.add_exception_handler(Gone, _to_nobody)
    add_docs(app)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=problems.MAX_BODY_BYTES)
    app.add_middleware(problems.TooLargeAsProblem)
    app.add_middleware(problems.Edge)
    app.add_middleware(Observe, service=name)
    return app


async def _to_nobody(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


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


def give_up(reason: str) -> None:
    """End the process at once, non-zero: what hangs may hang a clean end too. A supervisor starts
    it again (exit code 75: a temporary fault).
    """
    _log.critical("process.gives_up", reason=reason)
    sys.stderr.flush()
    os._exit(os.EX_TEMPFAIL)


async def _endless(service: str, name: str, work: Callable[[], Awaitable[None]]) -> None:
    pause = 0.2
    while True:
        started = clock.monotonic()
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the work must go on
            # A problem says in words what is missing; anything else needs its traceback.
            trace = None if isinstance(error, Problem | SettingsError) else error
            _log.warning(
                "task.restarting", service=service, task=name, reason=str(error), exc_info=trace
            )
        metrics.count("rlg_task_restarts_total", service=service, task=name)
        pause = 0.2 if clock.monotonic() - started > 60 else min(pause * 2, 10)  # noqa: PLR2004 - a minute of life is healthy
        await asyncio.sleep(pause)


def compose(services: Sequence[Service], root: App, mounts: dict[str, App]) -> App:
    """Return `root` with the services mounted and with their lives tied to its own.

    Their hot routes come to the very front of it.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                for service in services:
                    await stack.enter_async_context(service.run())
            except (SettingsError, Problem) as refusal:
                root.state.refusal = refusal  # for whoever tells the person that starts us
                raise
            yield

    root.router.lifespan_context = lifespan
    for path, app in mounts.items():
        root.mount(path, app)
        root.fronts += tuple(replace(front, prefix=path) for front in app.fronts)
    return root
