"""The pages that only read: now, releases, release, flow, read models, event."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contracts.event import OURS, RecordedEvent
from contracts.problem import Invalid, NotFound, Problem
from services.kit import clock
from services.projector.views import Freshness, GateView, ReleaseFilter, ReleaseView
from services.projector.web.people import Person

if TYPE_CHECKING:
    from fastapi import APIRouter

    from services.projector.web.rendering import Console

WAIT_SECONDS = 5.0
"""How long the page after a decision waits for the read models to hold it."""
WINDOWS = (7, 30, 90)
KPIS = ("deployment-frequency", "change-lead-time")
_REDACTED = f"{OURS}event.redacted.v1"
_OPEN = frozenset({"pending", "fail"})
"""A rejection can be taken back by whoever made it."""
_OVER = frozenset({"completed", "cancelled"})
_VOTED = "approval.decided.v1"
FACETS = ("state", "service", "risk", "release_type")


class Pages:
    """Routes over the read models."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def add_to(self, router: APIRouter) -> None:
        """Add the routes. Ids may hold slashes, so that the path takes the rest of the URL."""
        router.get("/")(self.now)
        router.get("/freshness")(self.freshness)
        router.get("/releases")(self.releases)
        router.get("/releases/{release_id:path}")(self.release)
        router.get("/flow")(self.flow)
        router.get("/projection")(self.projection)
        router.get("/events/{position}")(self.event)

    async def now(self, request: Request) -> Response:
        """Show what needs the viewer, what moves, what is blocked, and what runs where."""
        viewer = self._console.viewer(request)
        view = await self._console.store.now(viewer.id if viewer else None)
        view = view.model_copy(update={"quarantined": await self._quarantined()})
        template = "now.html" if view.events else "first_run.html"
        return _as_json(request, view) or await self._console.page(
            request, template, view=view, cells={(c.service, c.environment): c for c in view.matrix}
        )

    async def _quarantined(self) -> int | None:
        """Ask the ledger; a page without that number is better than no page."""
        name = (await self._console.store.freshness()).ledger
        with contextlib.suppress(Problem):
            return await self._console.ledger.quarantined(name)
        return None

    async def freshness(self, request: Request) -> Response:
        """Answer the header's question: what is new since `at`, the position of the open page."""
        freshness = await self._console.store.freshness()
        opened_at = _position(request, "at")
        shown = freshness.position if opened_at is None else opened_at
        return self._console.render(request, "freshness.html", freshness=freshness, shown=shown)

    async def releases(self, request: Request) -> Response:
        """List releases, narrowed by search and facets."""
        wanted = _filter(request)
        # The log knows people by their ids only; the names stand in the directory.
        person = self._console.directory.named(wanted.q)
        asked = wanted.model_copy(update={"q": person.id if person else wanted.q.strip()})
        page = await self._console.store.releases(asked)
        return _as_json(request, page) or await self._console.page(
            request, "releases.html", page=page, wanted=wanted, link=_linker(wanted), facets=FACETS
        )

    async def release(self, request: Request, release_id: str) -> Response:
        """Show one release whole; `?after=` waits until the page holds that position."""
        position = _position(request, "after")
        if position is not None:
            await self._console.store.wait_for(position, WAIT_SECONDS)
        return await self.release_page(request, release_id, after=position)

    async def release_page(
        self, request: Request, release_id: str, status: int = 200, **context: Any
    ) -> Response:
        """Render a release, with the outcome of a form where there was one."""
        view = await self._console.store.release(release_id)
        viewer = self._console.viewer(request)
        after: int | None = context.setdefault("after", None)
        context.setdefault("attempt", None)
        outcome = _outcome(view, after)
        return _as_json(request, view) or await self._console.page(
            request, "release.html", status, view=view, outcome=outcome,
            may={gate.gate: may_decide(gate, viewer) for gate in view.gates},
            spoke={gate.gate: has_spoken(gate, view, viewer) for gate in view.gates},
            who_can=who_can,
            positions={entry.position for entry in view.timeline}, **context,
        )  # fmt: skip

    async def flow(self, request: Request) -> Response:
        """Show the KPIs with everything that they rest on."""
        asked = request.query_params
        days = _position(request, "days") or 90
        if days not in WINDOWS:
            raise Invalid(f"days is one of {', '.join(map(str, WINDOWS))}")
        service, end = asked.get("service") or None, clock.now()
        store = self._console.store
        kpis = [await store.kpi(name, days=days, service=service, end=end) for name in KPIS]
        services = (await store.environments()).services
        return _as_json(request, *kpis) or await self._console.page(
            request, "flow.html", kpis=kpis, days=days, service=service,
            services=services, windows=WINDOWS,
        )  # fmt: skip

    async def projection(self, request: Request) -> Response:
        """Show how far the read models are, what is parked in them, and how it comes back."""
        view = await self._console.store.projection()
        return _as_json(request, view) or await self._console.page(
            request, "projection.html", view=view
        )

    async def event(self, request: Request, position: str) -> Response:
        """Show one recorded event as the ledger has it."""
        if not is_position(position):
            raise NotFound(f"{position[:40]} is not a position")
        freshness: Freshness = await self._console.store.freshness()
        recorded = await self._console.ledger.event(freshness.ledger, int(position))
        return _as_json(request, recorded) or await self._console.page(
            request, "event.html", recorded=recorded, freshness=freshness,
            redaction=await self._redaction(freshness.ledger, recorded),
        )  # fmt: skip

    async def _redaction(self, ledger: str, recorded: RecordedEvent) -> RecordedEvent | None:
        """Return the event that says who had an event's content removed, and why."""
        if not recorded.redacted:
            return None
        history = await self._console.ledger.history(ledger, f"event:{recorded.position}")
        return next((e for e in history.events if e.type == _REDACTED), None)


def is_position(text: str) -> bool:
    """Say whether a text can be a position: up to fifteen digits are beyond any ledger."""
    return text.isascii() and text.isdecimal() and len(text) <= 15  # noqa: PLR2004


def may_decide(gate: GateView, viewer: Person | None) -> bool:
    """Say whether the newest decision names the viewer among those who could open the gate."""
    return viewer is not None and viewer.id in who_can(gate)


def has_spoken(gate: GateView, view: ReleaseView, viewer: Person | None) -> bool:
    """Say whether a vote of the viewer counts at a gate of a release that is not over."""
    counts = {position for rule in gate.decision.rules for position in rule.evidence}
    return (
        viewer is not None
        and view.row.state not in _OVER
        and any(
            entry.position in counts and entry.type == _VOTED and entry.principal == viewer.id
            for entry in view.timeline
        )
    )


def who_can(gate: GateView) -> list[str]:
    """Return the people whose approval a gate still waits for, each once."""
    asked = (r for r in gate.decision.rules if r.type == "approvals" and r.status in _OPEN)
    return list(dict.fromkeys(person for rule in asked for person in rule.who))


def _outcome(view: ReleaseView, after: int | None) -> GateView | None:
    """Return the gate whose decision stands at `after`, or the newest one recorded since."""
    if after is None:
        return None
    since = [gate for gate in view.gates if gate.position >= after]
    return min(since, key=lambda gate: gate.position, default=None)


def _position(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    return int(text) if is_position(text) else None


def _as_json(request: Request, *views: BaseModel) -> Response | None:
    """Return what the page would show as JSON, when the address ends in `format=json`."""
    if request.query_params.get("format") != "json":
        return None
    if len(views) == 1:
        return Response(views[0].model_dump_json(), media_type="application/json")
    return JSONResponse([view.model_dump(mode="json") for view in views])


def _filter(request: Request) -> ReleaseFilter:
    before = request.query_params.get("before", "")
    if before and not is_position(before):
        raise Invalid("before: is not a position")
    known = {k: v for k, v in request.query_params.items() if k in ReleaseFilter.model_fields and v}
    try:
        return ReleaseFilter.model_validate(known)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Invalid(f"{first['loc'][0]}: {first['msg']}") from None


def _linker(wanted: ReleaseFilter) -> Any:
    """Return a function that makes the address of the same list with one thing changed."""

    def link(**changed: str | int | None) -> str:
        kept = wanted.model_dump(exclude_defaults=True, exclude={"before"})
        query = urlencode({k: v for k, v in (kept | changed).items() if v})
        return f"?{query}" if query else "?"

    return link
