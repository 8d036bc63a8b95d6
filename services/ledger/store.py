"""PostgreSQL, reading: pages, single events, histories, for all ledgers that this process serves.

A page's head and its events come from one snapshot, of one statement: see `queries`. No transaction
is held between two calls. The writer stands in `services.ledger.writer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.leaf import event_uuid
from contracts.problem import NotFound
from services.ledger import queries
from services.ledger.body import HistoryWindow, Recorded, Window
from services.ledger.databases import Database
from services.ledger.placement import Placement
from services.ledger.tables import LedgerRow

__all__ = ["HistoryWindow", "Reader", "Window"]

SCAN = 20_000
"""Positions that one filtered page looks at; `scanned_to` says how far it came."""
SCAN_VERSIONS = 2_000
"""The same for a page by subject and type: so many events of the subject."""
PAGE_BYTES = 8 * 1024 * 1024
"""A page ends early when its bodies have so many bytes, but never without an event."""
_FURTHEST = 2**63 - 1
_position = itemgetter("position")


class Reader:
    """Reads ledgers by name, each in its database; an unknown name raises `NotFound`.

    A ledger whose database is away raises `Unavailable`; the others are not touched by that.
    """

    def __init__(
        self, engine: AsyncEngine, elsewhere: Mapping[str, AsyncEngine] | None = None, size: int = 5
    ) -> None:
        """`elsewhere`: ledgers that live in other databases; `size`: connections for each."""
        main = Database(engine, "DATABASE_URL", size)
        self.placement = Placement(main, _databases(elsewhere or {}, size))

    async def open(self, names: Iterable[str]) -> None:
        """Create the ledgers that are missing; only what was opened can be read.

        For what it raises see `Placement.open`.
        """
        await self.placement.open(names)

    @property
    def ledgers(self) -> Sequence[LedgerRow]:
        """The ledgers that were opened."""
        return self.placement.ledgers

    def ledger(self, name: str) -> LedgerRow:
        """Return an open ledger."""
        return self.placement.ledger(name)

    async def head(self, name: str) -> tuple[int, str]:
        """Return the last position and its commitment in hex; (0, "") for an empty ledger."""
        rows = await self._ask(name, queries.HEAD)
        return (rows[0]["position"], rows[0]["commitment"].hex()) if rows else (0, "")

    async def page(
        self,
        name: str,
        after: int,
        limit: int = 100,
        *,
        type_: str | None = None,
        subject_: str | None = None,
    ) -> Window:
        """Return up to `limit` events after a position, in order; filters leave some out."""
        asked = (limit, PAGE_BYTES, after)
        if subject_ is not None and type_ is not None:
            both = (subject_, type_, SCAN_VERSIONS)
            rows = await self._ask(name, queries.AFTER_BY_BOTH, *asked, *both)
        elif subject_ is not None:
            rows = await self._ask(name, queries.AFTER_BY_SUBJECT, *asked, subject_)
        elif type_ is not None:
            furthest = min(after + SCAN, _FURTHEST)
            rows = await self._ask(name, queries.AFTER_BY_TYPE, *asked, type_, furthest)
        else:
            rows = await self._ask(name, queries.AFTER, *asked)
        events, more = _events(rows)
        events = await self._stand_in(name, events)
        scanned_to = events[-1].position if more else max(rows[0]["until"], after)
        return Window(events, rows[0]["head"], scanned_to)

    async def at(self, name: str, position: int) -> Recorded:
        """Return the event at a position, or raise `NotFound`."""
        found = await self.many(name, [position])
        if not found:
            raise NotFound(f"the ledger {name} has no position {position}")
        return found[0]

    async def many(self, name: str, positions: Sequence[int]) -> list[Recorded]:
        """Return the events at the given positions that exist, in order of position."""
        rows = await self._ask(name, queries.MANY, list(positions))
        return await self._stand_in(name, [_recorded(row, row["keys"]) for row in rows])

    async def by_id(self, name: str, source: str, event_id: str) -> Recorded:
        """Return the event that has this source and id, or raise `NotFound`."""
        rows = await self._ask(name, queries.BY_ID, event_uuid(event_id), source)
        if not rows:
            raise NotFound(f"the ledger {name} has no event {event_id!r} from {source!r}")
        return (await self._stand_in(name, [_recorded(rows[0], rows[0]["keys"])]))[0]

    async def history(
        self,
        name: str,
        key: str,
        *,
        after_version: int = 0,
        as_of: int | datetime | None = None,
        limit: int = 100,
    ) -> HistoryWindow:
        """Return a subject's events in order of version, as of a position or a time."""
        asked = (limit, PAGE_BYTES, key, after_version)
        if as_of is None:
            rows = await self._ask(name, queries.HISTORY, *asked)
        elif isinstance(as_of, datetime):
            rows = await self._ask(name, queries.HISTORY_AS_OF, *asked, as_of)
        else:
            rows = await self._ask(name, queries.HISTORY_AT, *asked, as_of)
        events = await self._stand_in(name, _events(rows)[0])
        return HistoryWindow(events, rows[0]["until"], rows[0]["head"])

    async def histories(
        self, name: str, keys: Sequence[str], as_of: int, limit: int = 100
    ) -> list[HistoryWindow]:
        """Return the beginnings of several histories as of a position, in one statement."""
        found: list[list[Any]] = [[] for _ in keys]
        asked = (limit, PAGE_BYTES, list(keys), as_of)
        for row in await self._ask(name, queries.HISTORIES_AT, *asked):
            found[row["asked"] - 1].append(row)
        return [
            HistoryWindow(
                await self._stand_in(name, _events(rows)[0]), rows[0]["until"], rows[0]["head"]
            )
            for rows in found
        ]

    async def close(self) -> None:
        """Close the connections."""
        for base in self.placement.databases:
            await base.close()

    async def _stand_in(self, name: str, events: list[Recorded]) -> list[Recorded]:
        """Return the events, with what is left of those that were redacted in their place."""
        gone = [each.position for each in events if each.redacted]
        if not gone:
            return events
        left = {row["position"]: row for row in await self._ask(name, queries.STAND_IN, gone)}
        return [each.standing_in(left[each.position]) if each.redacted else each for each in events]

    async def _ask(self, name: str, query: str, *values: Any) -> list[Any]:
        ledger_id = self.placement.ledger(name).id
        async with self.placement.home(name).reading() as connection:
            return list(await connection.fetch(query, ledger_id, *values))


def _databases(engines: Mapping[str, AsyncEngine], size: int) -> dict[str, Database]:
    """Return the database of each ledger; ledgers that share an engine share it."""
    names: dict[AsyncEngine, list[str]] = {}
    for name, engine in engines.items():
        names.setdefault(engine, []).append(name)
    made = {engine: Database(engine, ", ".join(some), size) for engine, some in names.items()}
    return {name: made[engine] for name, engine in engines.items()}


def _events(rows: Sequence[Any]) -> tuple[list[Recorded], bool]:
    """Return a page's events and whether there are more behind them."""
    found = sorted((row for row in rows if row["position"] is not None), key=_position)
    if not found:
        return [], False
    keys = dict(zip(found[0]["ids"] or (), found[0]["keys"] or (), strict=True))
    fitting = [row for row in found if row["fits"]]
    events = [_recorded(row, [keys[id_] for id_ in row["subject_ids"]]) for row in fitting]
    return events, len(fitting) < len(found)


def _recorded(row: Any, keys: Iterable[str]) -> Recorded:
    return Recorded(
        position=row["position"],
        versions=dict(zip(keys, row["versions"], strict=True)),
        recorded_at=row["recorded_at"],
        commitment=row["commitment"],
        body=row["body"] or b"",
        redacted=row["body"] is None,
    )
