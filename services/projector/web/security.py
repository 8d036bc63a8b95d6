"""Forms and headers: who may post to us from a browser, and what a page of ours may load.

The guard follows Fetch Metadata (W3C) with the Origin header (RFC 6454) as the second opinion and
fails closed: a browser too old to say where a form comes from cannot post.

Outside development mode nobody reads without a key: the browser asks for it (HTTP Basic, RFC 7617:
any user name, an API key with the scope `read` as the password). People sign in, and so decide,
once single sign-on is there; a key never decides.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi.security import HTTPBasic
from starlette.requests import Request

from contracts.problem import Forbidden, Unauthenticated

if TYPE_CHECKING:
    from services.kit.identity import Keyring

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class KeyNeeded(Unauthenticated):
    """The console is not for everybody; the browser shall ask for a key."""

    @property
    def headers(self) -> dict[str, str]:
        """Let the browser ask."""
        return {"WWW-Authenticate": 'Basic realm="release-ledger", charset="UTF-8"'}


def admission(keyring: Keyring | None) -> Callable[[Request], Awaitable[None]]:
    """Return the check of who may look: anybody where there is no keyring (development mode)."""
    basic = HTTPBasic(auto_error=False)

    async def admit(request: Request) -> None:
        if keyring is None:
            return
        given = await basic(request)
        key = keyring.find(given.password) if given else None
        if key is None or "read" not in key.scopes:
            raise KeyNeeded("give an API key with the scope read as the password")

    return admit


async def guard(request: Request) -> None:
    """Refuse a form that does not come from a page of ours. Raises `Forbidden`."""
    if request.method in SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is None:
        raise Forbidden("the browser does not say which page this form comes from")
    if site not in {None, "same-origin"} or not _is_ours(origin, request):
        raise Forbidden("this form was sent from another site")


def _is_ours(origin: str | None, request: Request) -> bool:
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def nonce() -> str:
    """Return a fresh nonce for one page."""
    return secrets.token_urlsafe(16)


def headers(page_nonce: str) -> dict[str, str]:
    """Return the headers of a page: only our own files, scripts only with this page's nonce."""
    policy = (
        "default-src 'none'",
        f"script-src 'nonce-{page_nonce}'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
        "Vary": "Accept, Cookie",
    }


def local(path: str) -> str:
    """Return `path` when it leads to a page of ours, else the first page (no open redirect)."""
    inside = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if inside and path.isprintable() else "/"
