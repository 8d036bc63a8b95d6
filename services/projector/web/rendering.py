"""Templates to responses: what every page gets, and the headers that every page has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from starlette.responses import HTMLResponse, Response

from services.projector.web import charts, presenting, security, words
from services.projector.web.people import COOKIE, Directory, Person

if TYPE_CHECKING:
    from starlette.requests import Request

    from services.kit.ports import Shelf
    from services.kit.remote import Client
    from services.kit.settings import Shared
    from services.projector.views import Freshness
    from services.projector.web.assets import Assets
    from services.projector.web.reads import Reads

THEMES = ("system", "light", "dark")
THEME_COOKIE = "rlg_theme"
BEHIND_SECONDS, STOPPED_SECONDS = 30, 300
"""From here on the header is amber, and red."""


@dataclass(frozen=True)
class Console:
    """What the routes share: where data come from, who looks, how pages are made."""

    store: Reads
    gatekeeper: Client
    ledger: Shelf
    shared: Shared
    directory: Directory
    assets: Assets
    templates: jinja2.Environment

    def viewer(self, request: Request) -> Person | None:
        """Return who looks: in development the chosen person, else nobody (no sign-in yet)."""
        if not self.shared.dev or not self.directory.people:
            return None
        return self.directory.find(request.cookies.get(COOKIE)) or self.directory.people[0]

    async def page(
        self, request: Request, template: str, status: int = 200, **context: Any
    ) -> Response:
        """Render a page with its header, which shows how fresh the data are."""
        context.setdefault("freshness", await self.store.freshness())
        return self.render(request, template, status, **context)

    def render(
        self, request: Request, template: str, status: int = 200, **context: Any
    ) -> Response:
        """Render a page from what is given, without asking the store."""
        nonce = security.nonce()
        frame = self._frame(request) | {"nonce": nonce, "freshness": None}
        text = self.templates.get_template(template).render(**(frame | context))
        return HTMLResponse(text, status, security.headers(nonce))

    def _frame(self, request: Request) -> dict[str, Any]:
        base = request.scope.get("root_path", "")
        origin = f"{request.url.scheme}://{request.url.netloc}"
        theme = request.cookies.get(THEME_COOKIE)
        return {
            "base": base,
            "static": f"{base}/static/{self.assets.version}",
            "api": _api(request),
            "here": _here(request),
            "as_json": str(request.url.include_query_params(format="json")),
            "ledger_url": self.shared.ledger_url or f"{origin}/ledger",
            "dev": self.shared.dev,
            "theme": theme if theme in THEMES else "system",
            "themes": THEMES,
            "viewer": self.viewer(request),
            "directory": self.directory,
        }


def _api(request: Request) -> str:
    """Return where the projector's API is: `/projector` beside the other services, else here."""
    mounted: str | None = request.scope.get("app_root_path")
    return "" if mounted is None else f"{mounted}/projector"


def _here(request: Request) -> str:
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")


def level(freshness: Freshness) -> str:
    """Return `live`, `behind`, `late` or `stopped`."""
    if freshness.events_behind == 0:
        return "live"
    if freshness.seconds_behind > STOPPED_SECONDS:
        return "stopped"
    return "late" if freshness.seconds_behind > BEHIND_SECONDS else "behind"


def environment() -> jinja2.Environment:
    """Return the template environment: everything is escaped, an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(presenting.FILTERS)
    made.globals.update(
        word=words.word,
        reached=words.reached,
        count=words.count,
        stages=words.STAGES,
        assurance=words.ASSURANCE,
        figure=presenting.figure,
        named=presenting.named,
        chart=charts.chart,
        share=charts.share,
        level=level,
    )
    return made
