"""The queries that the API and the console ask; what the runner writes is in `writing`.

Every answer is of one snapshot, and so of one ledger position.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, func, or_, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.problem import NotFound
from services.kit import clock
from services.projector import answers, generations, kpis, measures, tables, views, window
from services.projector.generations import Generation
from services.projector.readmodels.releases import OPEN
from services.projector.readmodels.rows import Row

TIMELINE = 1000
"""Most entries of a release that one answer holds, the newest."""
_CARDS, _RECENT, _POLL_SECONDS = 200, 8, 0.05
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
            services, environments, matrix = answers.cells(await ask.cells())
            newest = ask.all(tables.entry).order_by(tables.entry.c.position.desc()).limit(_RECENT)
            return views.NowView(
                needs_you=[answers.card(*pair) for pair in mine],
                blocked=[answers.card(*pair) for pair in others],
                moving=[answers.release_row(row) for row in await ask.in_state(_MOVING, 20)],
                latest=[answers.release_row(row) for row in await ask.in_state(_OUTCOMES, 10)],
                freezes=await ask.open("freeze"),
                exceptions=await ask.open("exception"),
                incidents=await ask.open("incident"),
                services=services,
                environments=environments,
                matrix=matrix,
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

    async def environments(self) -> tuple[list[str], list[str], list[views.Cell]]:
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
    async def _snapshot(self) -> AsyncIterator[_Ask]:
        async with self._engine.connect() as connection:
            live = await generations.live(connection, self.ledger)
            await connection.execution_options(**tables.at(live.slot))
            yield _Ask(connection, self.ledger, live)


@dataclass(frozen=True, slots=True)
class _Ask:
    """The queries of one answer, in one snapshot."""

    _connection: AsyncConnection
    _ledger: str
    generation: Generation

    def mine(self, table: Table) -> ColumnElement[bool]:
        return table.c.ledger == self._ledger

    def all(self, table: Table, *where: ColumnElement[bool]) -> Select[Any]:
        columns = [column for column in table.c if column.name != "ledger"]
        return select(*columns).where(self.mine(table), *where)

    async def rows(self, query: Select[Any]) -> list[Row]:
        return [answers.plain(row) for row in (await self._connection.execute(query)).mappings()]

    async def count(self, table: Table, *where: ColumnElement[bool]) -> int:
        query = select(func.count()).where(self.mine(table), *where)
        return int((await self._connection.execute(query)).scalar_one())

    async def cursor(self) -> Row | None:
        query = self.all(tables.cursor, tables.cursor.c.projection == self.generation.cursor)
        return next(iter(await self.rows(query)), None)

    async def freshness(self) -> views.Freshness:
        parked = await self.count(tables.parked)
        return answers.freshness(self._ledger, await self.cursor(), parked, clock.now())

    async def cells(self) -> list[Row]:
        order = (tables.cell.c.service, tables.cell.c.environment)
        return await self.rows(self.all(tables.cell).order_by(*order))

    async def in_state(self, states: Sequence[str], limit: int) -> list[Row]:
        query = self.all(tables.release, _R.state.in_(states))
        return await self.rows(query.order_by(_R.last_position.desc()).limit(limit))

    async def open(self, kind: str) -> list[dict[str, Any]]:
        c = tables.matter.c
        lasting = or_(c.until.is_(None), c.until > clock.now())
        query = self.all(tables.matter, c.kind == kind, c.open, lasting)
        return [answers.matter(row) for row in await self.rows(query.order_by(c.position.desc()))]

    async def gates(self) -> list[tuple[Row, Row]]:
        """Return the gates that are not open, with their releases; the longest waiting first."""
        c = tables.gate.c
        gates = await self.rows(
            self.all(tables.gate, c.verdict.in_(("pending", "deny")))
            .join(tables.release, and_(self.mine(tables.release), _R.release_id == c.release_id))
            .where(_R.state.in_((*OPEN, "deploying")), ~_R.closed)
            .order_by(c.since)
            .limit(_CARDS)
        )
        wanted = _R.release_id.in_({row["release_id"] for row in gates})
        releases = {
            row["release_id"]: row for row in await self.rows(self.all(tables.release, wanted))
        }
        return [(row, releases[row["release_id"]]) for row in gates]

    async def facets(self, wanted: dict[str, ColumnElement[bool]]) -> dict[str, list[views.Facet]]:
        """Count each value under the other filters, so that a filter can be changed."""
        found = {}
        for name, column in {"service": func.unnest(_R.services), **tables.FACETS}.items():
            others = [condition for other, condition in wanted.items() if other != name]
            query = select(column.label("value"), func.count().label("n"))
            query = query.where(self.mine(tables.release), *others).group_by("value")
            rows = await self.rows(query.order_by(func.count().desc(), "value"))
            found[name] = [views.Facet(value=r["value"], count=r["n"]) for r in rows if r["value"]]
        return found

    async def parts(self, release: Row) -> dict[str, list[Row]]:
        """Return what belongs to a release: gates, timeline, deployments, changes, matters."""
        gate, deployment, change = tables.gate.c, tables.deployment.c, tables.change.c
        name, linked = release["release_id"], release["linked"]
        own = [key.partition(":")[2] for key in linked if key.startswith("deployment:")]
        c, keys = tables.matter.c, [tuple(key.split(":", 1)) for key in linked]
        queries = {
            "gate": self.all(tables.gate, gate.release_id == name).order_by(gate.position),
            "entry": self.all(tables.entry, tables.told_of(name, linked))
            .order_by(tables.entry.c.position.desc())
            .limit(TIMELINE),
            "deployment": self.all(
                tables.deployment,
                or_(
                    deployment.release_id == name,
                    deployment.deployment_id.in_(own),
                    deployment.remediates.in_(own),
                ),
            ).order_by(deployment.position.desc()),
            "change": self.all(tables.change, tables.changes_of(linked)).order_by(change.position),
            "parked": tables.parked_subjects(self._ledger, f"release:{name}"),
            "matter": self.all(tables.matter, tuple_(c.kind, c.key).in_(keys)).order_by(c.position),
        }
        return {part: await self.rows(query) for part, query in queries.items()}

    async def history(self, asked: window.Asked, with_commits: bool) -> kpis.History:  # noqa: FBT001
        """Return the rows that a KPI is computed from."""
        d, commit, change = tables.deployment.c, tables.commit.c, tables.change.c
        chosen = true() if asked.service is None else d.service == asked.service
        won = self.all(
            tables.deployment, d.tier == "production", d.state == "success",
            d.finished_at < asked.end, chosen,
        ).order_by(d.position)  # fmt: skip
        known = self.all(tables.service)
        onboarded = {row["service"]: row["first_at"] for row in await self.rows(known)}
        deployments = await self.rows(won)
        if not with_commits:
            return kpis.History(deployments, onboarded)
        repos = {row["repo"] for row in deployments}
        where = true() if None in repos else commit.repo.in_(repos)
        pushed = self.all(tables.commit, where).order_by(commit.position, commit.ordinal)
        merged = self.all(tables.change, change.merge_sha.is_not(None)).order_by(change.position)
        work = await self.rows(pushed), await self.rows(merged)
        return kpis.History(deployments, onboarded, *work)
