"""What the pages ask of the read models (kept by services/projector/store.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from services.projector.measures import KpiView
    from services.projector.places import Environments
    from services.projector.views import (
        Freshness,
        NowView,
        ProjectionView,
        ReleaseFilter,
        ReleasePage,
        ReleaseView,
    )


class Reads(Protocol):
    """The queries behind the console; every answer is of one snapshot."""

    async def freshness(self) -> Freshness:
        """Say how far the read models are behind the ledger."""

    async def projection(self) -> ProjectionView:
        """Say how far the read models are, and what is parked in them."""

    async def now(self, person: str | None) -> NowView:
        """Return the first page; `person` is the principal whose gates come first."""

    async def releases(self, filter: ReleaseFilter, /) -> ReleasePage:  # noqa: A002 - the store's word
        """Return one page of releases, newest activity first."""

    async def release(self, release_id: str) -> ReleaseView:
        """Return one release whole, or raise `NotFound`."""

    async def kpi(
        self, name: str, *, days: int = 90, service: str | None = None, end: datetime
    ) -> KpiView:
        """Return one KPI over the last `days` before `end`."""

    async def environments(self) -> Environments:
        """Return services, environments in order of tier, and what runs where."""

    async def wait_for(self, position: int, timeout: float) -> bool:  # noqa: ASYNC109 - a bound on waiting
        """Wait until the read models hold `position`; False when `timeout` seconds have passed."""
