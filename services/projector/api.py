"""The projector's JSON API: read models as they are, each answer with the position it holds for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request

from contracts.event import parse_time
from contracts.problem import Invalid, Unavailable
from services.kit import clock
from services.kit.identity import Keyring, authenticate
from services.projector.measures import KpiView
from services.projector.places import DeploymentPage, Environments
from services.projector.store import Store
from services.projector.views import (
    Freshness,
    ProjectionView,
    ReleaseFilter,
    ReleasePage,
    ReleaseView,
)

WAIT_SECONDS = 5.0
"""How long a read waits for the position that its caller has seen."""


def add_routes(app: FastAPI, store: Store, keyring: Keyring) -> None:
    """Add the routes; all of them need the scope `read`."""

    async def gate(
        request: Request, min_position: Annotated[int | None, Query(ge=0)] = None
    ) -> None:
        """Let readers in, once the read models hold what they have seen (`min_position`)."""
        authenticate(keyring, request.headers).require("read")
        if min_position is not None and not await store.wait_for(min_position, WAIT_SECONDS):
            raise Unavailable(f"the read models do not hold position {min_position} yet")

    async def releases(asked: Annotated[ReleaseFilter, Query()]) -> ReleasePage:
        """Return releases, newest activity first, with facets."""
        return await store.releases(asked)

    async def release(release: str) -> ReleaseView:
        """Return everything about one release."""
        return await store.release(release)

    async def kpi(
        name: str,
        days: Annotated[int, Query(ge=1, le=730)] = 90,
        service: str | None = None,
        end: str | None = None,
    ) -> KpiView:
        """Return one KPI with its basis: docs/kpis.md."""
        return await store.kpi(name, days=days, service=service, end=_end(end))

    async def environments() -> Environments:
        """Return what runs where."""
        return await store.environments()

    async def deployments(
        unauthorised: bool = False,  # noqa: FBT001, FBT002 - a query parameter
        before: Annotated[int | None, Query(ge=1)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> DeploymentPage:
        """Return deployments; with `unauthorised`, those alone that lack the permit they need."""
        return await store.deployments(unauthorised=unauthorised, before=before, limit=limit)

    async def freshness() -> Freshness:
        """Return how far the read models are behind the ledger."""
        return await store.freshness()

    async def projection() -> ProjectionView:
        """Return how far the read models are, and which subjects are parked in them."""
        return await store.projection()

    router = APIRouter(prefix="/v1", dependencies=[Depends(gate)], tags=["read models"])
    router.get("/releases")(releases)
    router.get("/releases/{release:path}")(release)
    router.get("/kpis/{name}")(kpi)
    router.get("/environments")(environments)
    router.get("/deployments")(deployments)
    router.get("/freshness")(freshness)
    router.get("/projection")(projection)
    app.include_router(router)


def _end(text: str | None) -> datetime:
    try:
        return clock.now() if text is None else parse_time(text)
    except ValueError as error:
        raise Invalid(f"end {error}", errors=[{"pointer": "/end", "detail": str(error)}]) from None
