"""The queries of one answer: all of them see the same ledger position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, func, or_, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit import clock
from services.projector import answers, kpis, tables, views, window
from services.projector.generations import Generation
from services.projector.readmodels.releases import OPEN
from services.projector.readmodels.rows import Row

TIMELINE = 1000
"""Most entries of a release that one answer holds, the newest."""
_CARDS = 200
_R = tables.release.c


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Asks for rows; `generation` says which read models."""

    connection: AsyncConnection
    ledger: str
    generation: Generation

    def mine(self, table: Table) -> ColumnElement[bool]:
        """Return the condition that a row is of our ledger."""
        return table.c.ledger == self.ledger

    def all(self, table: Table, *where: ColumnElement[bool]) -> Select[Any]:
        """Return the query for rows of a table, without their ledger."""
        columns = [column for column in table.c if column.name != "ledger"]
        return select(*columns).where(self.mine(table), *where)

    async def rows(self, query: Select[Any]) -> list[Row]:
        """Return what a query finds."""
        return [answers.plain(row) for row in (await self.connection.execute(query)).mappings()]

    async def count(self, table: Table, *where: ColumnElement[bool]) -> int:
        """Return how many rows there are."""
        query = select(func.count()).where(self.mine(table), *where)
        return int((await self.connection.execute(query)).scalar_one())

    async def cursor(self) -> Row | None:
        """Return how far the read models are; None before the first start."""
        query = self.all(tables.cursor, tables.cursor.c.projection == self.generation.cursor)
        return next(iter(await self.rows(query)), None)

    async def freshness(self) -> views.Freshness:
        """Say how far they are behind the ledger."""
        parked = await self.count(tables.parked)
        return answers.freshness(self.ledger, await self.cursor(), parked, clock.now())

    async def cells(self) -> list[Row]:
        """Return what runs where."""
        order = (tables.cell.c.service, tables.cell.c.environment)
        return await self.rows(self.all(tables.cell).order_by(*order))

    async def in_state(self, states: Sequence[str], limit: int) -> list[Row]:
        """Return releases in some states, newest activity first."""
        query = self.all(tables.release, _R.state.in_(states))
        return await self.rows(query.order_by(_R.last_position.desc()).limit(limit))

    async def open(self, kind: str) -> list[dict[str, Any]]:
        """Return the matters of a kind that are open now, the newest first."""
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
            "parked": tables.parked_subjects(self.ledger, f"release:{name}"),
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
