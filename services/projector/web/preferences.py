"""What a browser keeps for its reader: theme and, in development, the person. And static files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contracts.problem import Forbidden, Invalid, NotFound
from services.projector.web.assets import FOREVER
from services.projector.web.people import COOKIE
from services.projector.web.rendering import THEME_COOKIE, THEMES
from services.projector.web.security import local

if TYPE_CHECKING:
    from fastapi import APIRouter

    from services.projector.web.rendering import Console

_YEAR = 31_536_000


class Preferences:
    """Routes that set a cookie and lead back, and the route of the static files."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def add_to(self, router: APIRouter) -> None:
        """Add the routes."""
        router.post("/theme")(self.theme)
        router.post("/person")(self.person)
        router.get("/static/{version}/{name:path}")(self.static)

    async def theme(self, request: Request) -> Response:
        """Choose system, light or dark."""
        form = await request.form(max_files=0, max_fields=10)
        if form.get("theme") not in THEMES:
            raise Invalid(f"a theme is one of {', '.join(THEMES)}")
        return _keep(request, THEME_COOKIE, str(form["theme"]), str(form.get("next", "/")))

    async def person(self, request: Request) -> Response:
        """Act as another person: development mode only."""
        form = await request.form(max_files=0, max_fields=10)
        if not self._console.shared.dev:
            raise Forbidden("only development mode lets you act as somebody else")
        person = self._console.directory.find(str(form.get("person", "")))
        if person is None:
            raise Invalid("nobody of that name is in the directory")
        return _keep(request, COOKIE, person.id, str(form.get("next", "/")))

    async def static(self, request: Request, version: str, name: str) -> Response:
        """Serve a file under the hash of all files, for ever; another hash gets it uncached."""
        asset = self._console.assets.get(name)
        if asset is None:
            raise NotFound(f"there is no file {name}")
        zipped = asset.zipped if "gzip" in request.headers.get("accept-encoding", "") else None
        known = version == self._console.assets.version
        headers = {
            "Cache-Control": FOREVER if known else "no-cache",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        headers |= {"Content-Encoding": "gzip"} if zipped else {}
        return Response(zipped or asset.body, media_type=asset.media_type, headers=headers)


def _keep(request: Request, cookie: str, value: str, back: str) -> Response:
    answer = RedirectResponse(local(back), 303)
    answer.set_cookie(
        cookie,
        value,
        max_age=_YEAR,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer
