"""Errors as pages for people; programs still get the problem document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from contracts.problem import MethodNotAllowed, NotFound, Problem
from services.kit import logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

    from services.projector.web.rendering import Console

    Handler = Callable[[Request, Exception], Awaitable[Response]]

_log = logs.get(__name__)
_NEXT = {
    401: "Whoever runs this ledger makes keys: python -m services key --scope read.",
    403: "If you think that you should be allowed, ask whoever owns this gate.",
    404: "It may not have been recorded yet, or the address has a mistake in it.",
    405: "Open the page instead of sending to it.",
    422: "Go back and correct it; nothing was recorded.",
    503: "Nothing was decided or lost. Try again in a moment.",
}
_UNEXPECTED = "It is in the log under the number below. Nothing was decided or lost."


def install(app: FastAPI, console: Console) -> None:
    """Make `app` answer a browser's failed request with a page; others as it did before."""
    for kind in (Problem, HTTPException, RequestValidationError, Exception):
        before = app.exception_handlers.get(kind)
        if before is not None:
            app.add_exception_handler(kind, _chooser(console, before))  # type: ignore[arg-type]


def _chooser(console: Console, before: Handler) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        if not _wants_page(request):
            return await before(request, error)
        problem = _problem(request, error)
        page = console.render(
            request, "problem.html", problem.status, problem=problem,
            advice=_NEXT.get(problem.status, _UNEXPECTED),
            request_id=request.scope.get("request_id"),
        )  # fmt: skip
        page.headers.update(problem.headers)
        return page

    return answer


def _wants_page(request: Request) -> bool:
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    return "text/html" in request.headers.get("accept", "") and not path.startswith("/v1/")


def _problem(request: Request, error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        known = {404: NotFound, 405: MethodNotAllowed}.get(error.status_code, Problem)
        return known(f"There is no page {request.url.path}" if known is NotFound else error.detail)
    _log.error("page.failed", exc_info=error, path=request.url.path)
    return Problem()
