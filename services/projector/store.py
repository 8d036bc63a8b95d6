"""The queries that the API and the console ask; what the runner writes is in `writing`.

Every answer is of one snapshot, and so of one ledger position.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime

from sqlalchemy import true
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.problem import NotFound
from services.kit import clock
from services.projector import (
    answers,
    generations,
    kpis,
    measures,
    places,
    tables,
    views,
    window,
)
from services.projector.snapshot import Snapshot

_RECENT, _POLL_SECONDS = 8, 0.05
_MOVING = ("building", "waiting", "approved", "deploying")
_OUTCOMES = ("deployed", "failed", "rolled_back", "completed", "cancelled", "rejected")
_R = tables.release.c


class Store:
    """Answers from the read models of one ledger."""

    def __init__(self, engine: AsyncEngine, ledger: str = "main") -> None:
        self._engine = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self.ledger = ledger

    async def freshness(self) -> views.Freshness:
        """Say how far the read models are behind the ledger."""
        async with self._snapshot() as ask:
            return await ask.freshness()

    async def projection(self) -> views.ProjectionView:
        """Say how far the read models are, and what is parked in them."""
        async with self._snapshot() as ask:
            parked = await ask.rows(tables.parked_subjects(self.ledger))
            number, fresh = ask.generation.number, await ask.freshness()
            return answers.projection(generations.NAME, number, fresh, parked)

    async def now(self, person: str | None) -> views.NowView:
        """Answer the first page: what waits for `person` (None: for anybody), moves, is blocked."""
        async with self._snapshot() as ask:
            cards = await ask.gates()
            mine = [pair for pair in cards if answers.waits_for(*pair, person)]
            others = [pair for pair in cards if pair not in mine and answers.stands(*pair)]
            here = answers.cells(await ask.cells())
            newest = ask.all(tables.entry).order_by(tables.entry.c.position.desc()).limit(_RECENT)
            return views.NowView(
                needs_you=[answers.card(*pair) for pair in mine],
                blocked=[answers.card(*pair) for pair in others],
                moving=[answers.release_row(row) for row in await ask.in_state(_MOVING, 20)],
                latest=[answers.release_row(row) for row in await ask.in_state(_OUTCOMES, 10)],
                freezes=await ask.open("freeze"),
                exceptions=await ask.open("exception"),
                incidents=await ask.open("incident"),
                services=here.services,
                environments=here.environments,
                matrix=here.cells,
                recent=[views.TimelineEntry(**row) for row in await ask.rows(newest)],
                events=(await ask.cursor() or {"position": 0})["position"],
            )

    async def releases(self, filter: views.ReleaseFilter) -> views.ReleasePage:  # noqa: A002 - the console's word
        """Return releases, newest activity first, and how many there are of each kind."""
        wanted = tables.narrowed(**filter.model_dump(include={"q", "service", *tables.FACETS}))
        here = true() if filter.before is None else _R.last_position < filter.before
        async with self._snapshot() as ask:
            listed = ask.all(tables.release, here, *wanted.values())
            newest = listed.order_by(_R.last_position.desc()).limit(filter.limit + 1)
            rows = await ask.rows(newest)
            page = rows[: filter.limit]
            return views.ReleasePage(
                releases=[answers.release_row(row) for row in page],
                next_before=page[-1]["last_position"] if len(rows) > len(page) else None,
                facets=await ask.facets(wanted),
                total=await ask.count(tables.release, *wanted.values()),
            )

    async def release(self, release_id: str) -> views.ReleaseView:
        """Return everything about one release, or raise `NotFound`."""
        async with self._snapshot() as ask:
            for row in await ask.rows(ask.all(tables.release, _R.release_id == release_id)):
                return answers.release(row, await ask.parts(row))
            parked = await ask.rows(tables.parked_subjects(self.ledger, f"release:{release_id}"))
        for one in parked:
            since = f"whatever is said of {release_id!r} is parked since position {one['position']}"
            detail = f"{since}: {one['error']}; see the projection, and the ledger itself"
            raise NotFound(detail, release=release_id, parked_from=one["position"])
        raise NotFound(f"there is no release {release_id!r}", release=release_id)

    async def kpi(
        self, name: str, *, days: int = 90, service: str | None = None, end: datetime
    ) -> measures.KpiView:
        """Return `deployment-frequency` or `change-lead-time`, or raise `NotFound`."""
        if name not in kpis.KPIS:
            raise NotFound(f"there is no KPI {name!r}; there are {', '.join(kpis.KPIS)}")
        async with self._snapshot() as ask:
            held = await ask.cursor() or {"position": 0, "head": None}
            asked = window.Asked(days, end, clock.now(), service, held["position"], held["head"])
            return kpis.KPIS[name](asked, await ask.history(asked, name == "change-lead-time"))

    async def deployments(
        self, *, unauthorised: bool, before: int | None, limit: int
    ) -> places.DeploymentPage:
        """Return deployments, newest activity first; or only those without the permit they need."""
        d = tables.deployment.c
        here = true() if before is None else d.position < before
        which = d.unauthorised.is_not(None) if unauthorised else true()
        async with self._snapshot() as ask:
            asked = ask.all(tables.deployment, here, which).order_by(d.position.desc())
            return answers.deployments(await ask.rows(asked.limit(limit + 1)), limit)

    async def environments(self) -> places.Environments:
        """Return services, environments in order of tier, and what runs where."""
        async with self._snapshot() as ask:
            return answers.cells(await ask.cells())

    async def wait_for(self, position: int, timeout: float) -> bool:  # noqa: ASYNC109 - the promise is an answer, not an error
        """Wait until the read models hold `position`; False when `timeout` seconds have passed."""
        ends = clock.monotonic() + timeout
        while True:
            async with self._snapshot() as ask:
                cursor = await ask.cursor()
            if cursor is not None and cursor["position"] >= position:
                return True
            if clock.monotonic() >= ends:
                return position <= 0
            await asyncio.sleep(_POLL_SECONDS)

    @contextlib.asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Snapshot]:
        async with self._engine.connect() as connection:
            live = await generations.live(connection, self.ledger)
            await connection.execution_options(**tables.at(live.slot))
            yield Snapshot(connection, self.ledger, live)
