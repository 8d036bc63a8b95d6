"""Errors: one family of problem details (RFC 9457), the same class on both sides of the wire.

A service raises a `Problem`; `kit.problems` writes it as application/problem+json; `kit.remote`
raises the same class again at the caller. `type` is a URI that leads to docs/problems.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

TYPE_PREFIX = "https://release-ledger.org/problems/"
"""Identifies a problem type; nobody needs to fetch it. Documented in docs/problems.md."""


class Problem(Exception):
    """A request that could not be served, with what was wrong and where.

    `members` are the extension members of RFC 9457 §3.2; `errors` in it, when present, is a list
    of {"pointer": JSON pointer into the request, "detail": text}.
    """

    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "The service failed"
    status: ClassVar[int] = 500

    def __init__(self, detail: str = "", /, **members: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.members = members

    def as_json(self) -> dict[str, Any]:
        """Return the problem details object."""
        body: dict[str, Any] = {
            "type": TYPE_PREFIX + self.slug,
            "title": self.title,
            "status": self.status,
        }
        if self.detail:
            body["detail"] = self.detail
        return body | self.members

    @property
    def headers(self) -> dict[str, str]:
        """Extra response headers."""
        return {}


class Invalid(Problem):
    """The request or an event in it does not follow its schema."""

    slug, title, status = "invalid", "The request is not valid", 422


class Malformed(Problem):
    """The body could not be read at all: not JSON, not I-JSON, not the declared media type."""

    slug, title, status = "malformed", "The body could not be read", 400


class Unauthenticated(Problem):
    """No credentials, or credentials that we do not know or that have expired."""

    slug, title, status = "unauthenticated", "Credentials are missing or not valid", 401

    @property
    def headers(self) -> dict[str, str]:
        """Name the scheme (RFC 9110 §11.6.1)."""
        return {"WWW-Authenticate": 'Bearer realm="release-ledger"'}


class Forbidden(Problem):
    """Known, but not allowed."""

    slug, title, status = "forbidden", "Not allowed", 403


class NotFound(Problem):
    """Nothing is there."""

    slug, title, status = "not-found", "Nothing is there", 404


class MethodNotAllowed(Problem):
    """The resource does not know this method."""

    slug, title, status = "method-not-allowed", "The method is not allowed here", 405


class RequestTimeout(Problem):
    """The request came in too slowly, or stopped half-way. It was not looked at."""

    slug, title, status = "request-timeout", "The request took too long to arrive", 408


class Conflict(Problem):
    """An expectation did not hold: `actual` maps each failing subject to its version."""

    slug, title, status = "conflict", "The history has moved", 409


class IdConflict(Problem):
    """The id is taken by other content, at `position`. Nothing was overwritten."""

    slug, title, status = "id-conflict", "The id is taken by other content", 409


class PreconditionFailed(Problem):
    """What the caller saw is no longer so; `moved` names what changed."""

    slug, title, status = "precondition-failed", "What you saw has changed", 412


class TooLarge(Problem):
    """The body, an event or a batch is beyond its limit."""

    slug, title, status = "too-large", "Too large", 413


class UnsupportedMediaType(Problem):
    """The media type is not one that this resource reads."""

    slug, title, status = "unsupported-media-type", "The media type is not supported", 415


class Unavailable(Problem):
    """Try again: the service, or something that it needs, cannot serve now. Nothing was decided."""

    slug, title, status = "unavailable", "Not available at the moment", 503

    def __init__(self, detail: str = "", /, retry_after_seconds: int = 1, **members: Any) -> None:
        super().__init__(detail, **members)
        self.retry_after_seconds = retry_after_seconds

    @property
    def headers(self) -> dict[str, str]:
        """Say when to try again (RFC 9110 §10.2.3)."""
        return {"Retry-After": str(self.retry_after_seconds)}


ALL: tuple[type[Problem], ...] = (
    Problem, Invalid, Malformed, Unauthenticated, Forbidden, NotFound, MethodNotAllowed,
    RequestTimeout, Conflict, IdConflict, PreconditionFailed, TooLarge, UnsupportedMediaType,
    Unavailable,
)  # fmt: skip
_BY_SLUG = {problem.slug: problem for problem in ALL}


def message(error: Mapping[str, Any]) -> str:
    """Return what one of pydantic's errors says, without the words it puts before those of ours."""
    return str(error["msg"]).removeprefix("Value error, ")


def from_json(body: dict[str, Any], status: int) -> Problem:
    """Make the `Problem` again that a service wrote; an unknown type becomes a plain `Problem`."""
    slug = str(body.get("type", "")).removeprefix(TYPE_PREFIX)
    known = _BY_SLUG.get(slug, Problem)
    members = {k: v for k, v in body.items() if k not in {"type", "title", "status", "detail"}}
    detail = str(body.get("detail") or body.get("title") or f"HTTP status {status}")
    return known(detail, **members)
