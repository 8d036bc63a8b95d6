"""PostgreSQL, reading: pages, single events, histories, for all ledgers (SQLAlchemy Core).

The log only grows, and without gaps. So "read the head, then read what is at or below it" gives
the same as one snapshot of both, without holding a transaction open.
The writer stands in `services.ledger.writer`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.problem import NotFound, Unavailable
from services.ledger.body import HistoryWindow, Recorded, Window, event_uuid
from services.ledger.tables import (
    CREATE,
    HEAD,
    KEYS,
    RECORDED,
    LedgerRow,
    at_same_position,
    event,
    history,
    ledger,
    sizes,
    subject,
)

__all__ = ["HistoryWindow", "Reader", "Window"]

SCAN = 20_000
"""Positions that one filtered page looks at; `scanned_to` says how far it came."""
PAGE_BYTES = 8 * 1024 * 1024
"""A page ends early when its bodies have so many bytes, but never without an event."""


class Reader:
    """Reads all ledgers of one database. Ledgers are named; an unknown name raises `NotFound`."""

    def __init__(self, engine: AsyncEngine, courier: AsyncEngine | None = None) -> None:
        """Read through `engine`; create missing ledgers through `courier`, if that is another."""
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._courier = (courier or engine).execution_options(isolation_level="AUTOCOMMIT")
        self._ledgers: dict[str, LedgerRow] = {}

    async def open(self, names: Iterable[str]) -> None:
        """Create the ledgers that are missing and remember them; only these can be read."""
        async with self._connected(self._courier) as connection:
            for name in names:
                self._ledgers[name] = await _ensure(connection, name)

    @property
    def ledgers(self) -> Sequence[LedgerRow]:
        """The ledgers that were opened."""
        return list(self._ledgers.values())

    def ledger(self, name: str) -> LedgerRow:
        """Return an open ledger."""
        try:
            return self._ledgers[name]
        except KeyError:
            raise NotFound(f"there is no ledger {name!r} here") from None

    async def head(self, name: str) -> tuple[int, str]:
        """Return the last position and its commitment in hex; (0, "") for an empty ledger."""
        row = self.ledger(name)
        async with self._connected() as connection:
            found = (await connection.execute(HEAD, {"id": row.id})).one_or_none()
        return (0, "") if found is None else (found.position, found.commitment.hex())

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
        row = self.ledger(name)
        async with self._connected() as connection:
            head = await _head(connection, row)
            until = head if type_ is None else min(head, after + SCAN)
            query = sizes(row.id).where(event.c.position > after, event.c.position <= until)
            if type_ is not None:
                query = query.where(event.c.type == type_)
            if subject_ is not None:
                query = query.join(history, at_same_position(history)).where(
                    history.c.subject_id == await _subject_id(connection, row, subject_)
                )
            found = await _pick(connection, query.order_by(event.c.position), limit)
            events = await _fetch(connection, row, found.positions)
        scanned_to = found.positions[-1] if found.more else max(until, after)
        return Window(events, head, scanned_to)

    async def at(self, name: str, position: int) -> Recorded:
        """Return the event at a position, or raise `NotFound`."""
        found = await self.many(name, [position])
        if not found:
            raise NotFound(f"the ledger {name} has no position {position}")
        return found[0]

    async def many(self, name: str, positions: Sequence[int]) -> list[Recorded]:
        """Return the events at the given positions that exist, in order of position."""
        row = self.ledger(name)
        async with self._connected() as connection:
            return await _fetch(connection, row, positions)

    async def by_id(self, name: str, source: str, event_id: str) -> Recorded:
        """Return the event that has this source and id, or raise `NotFound`."""
        query = select(event.c.position).where(
            event.c.event_uuid == event_uuid(event_id),
            event.c.source == source,
            event.c.ledger_id == self.ledger(name).id,
        )
        async with self._connected() as connection:
            position = (await connection.execute(query)).scalar_one_or_none()
        if position is None:
            raise NotFound(f"the ledger {name} has no event {event_id!r} from {source!r}")
        return await self.at(name, position)

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
        row = self.ledger(name)
        async with self._connected() as connection:
            head = await _head(connection, row)
            of_subject = (
                history.c.ledger_id == row.id,
                history.c.subject_id == await _subject_id(connection, row, key),
                history.c.position <= (min(as_of, head) if isinstance(as_of, int) else head),
            )
            last = select(history.c.version).where(*of_subject)
            if isinstance(as_of, datetime):
                last = last.join(event, at_same_position(history))
                last = last.where(event.c.recorded_at <= as_of)
            last = last.order_by(history.c.version.desc()).limit(1)
            version = (await connection.execute(last)).scalar_one_or_none() or 0
            query = sizes(row.id).join(history, at_same_position(history)).where(*of_subject)
            query = query.where(history.c.version > after_version, history.c.version <= version)
            found = await _pick(connection, query.order_by(history.c.version), limit)
            events = await _fetch(connection, row, found.positions)
        return HistoryWindow(events, version, head)

    async def revision(self) -> str | None:
        """Return the schema's migration, or None where there is no schema yet."""
        async with self._connected() as connection:
            if (
                await connection.scalar(text("SELECT to_regclass('ledger.alembic_version')"))
                is None
            ):
                return None
            found = await connection.scalar(text("SELECT version_num FROM ledger.alembic_version"))
        return None if found is None else str(found)

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    @contextlib.asynccontextmanager
    async def _connected(self, engine: AsyncEngine | None = None) -> AsyncIterator[AsyncConnection]:
        try:
            async with (engine or self._engine).connect() as connection:
                yield connection
        except (DBAPIError, PoolTimeoutError, OSError) as error:
            if isinstance(error, DBAPIError) and not _is_away(error):
                raise
            raise Unavailable("the database does not answer") from error


@dataclass(frozen=True, slots=True)
class _Picked:
    """Positions for a page, and whether the query had more than the page may hold."""

    positions: list[int]
    more: bool


def _is_away(error: DBAPIError) -> bool:
    """Say whether the server is at fault (SQLSTATE classes 08, 53, 57), not the statement."""
    state = str(getattr(error.orig, "sqlstate", None) or "08")
    return error.connection_invalidated or state.startswith(("08", "53", "57"))


async def _ensure(connection: AsyncConnection, name: str) -> LedgerRow:
    query = select(ledger.c.ledger_id, ledger.c.name, ledger.c.epoch).where(ledger.c.name == name)
    while True:  # two processes may create different ledgers at once; the loser of a number retries
        found = (await connection.execute(query)).one_or_none()
        if found is not None:
            return LedgerRow(found.ledger_id, found.name, found.epoch)
        await connection.execute(CREATE, {"name": name})


async def _head(connection: AsyncConnection, row: LedgerRow) -> int:
    found = (await connection.execute(HEAD, {"id": row.id})).one_or_none()
    return 0 if found is None else int(found.position)


async def _subject_id(connection: AsyncConnection, row: LedgerRow, key: str) -> int:
    query = select(subject.c.subject_id).where(subject.c.key == key, subject.c.ledger_id == row.id)
    return int(await connection.scalar(query) or 0)  # 0 is nobody's id


async def _pick(connection: AsyncConnection, query: Any, limit: int) -> _Picked:
    rows = (await connection.execute(query.limit(limit + 1))).all()
    positions: list[int] = []
    size = 0
    for found in rows[:limit]:
        size += found.size
        if positions and size > PAGE_BYTES:
            break
        positions.append(found.position)
    return _Picked(positions, more=len(positions) < len(rows))


async def _fetch(
    connection: AsyncConnection, row: LedgerRow, positions: Sequence[int]
) -> list[Recorded]:
    if not positions:
        return []
    wanted = {"ledger": row.id, "wanted": positions}
    rows = (await connection.execute(RECORDED, wanted)).all()
    ids = {"ledger": row.id, "wanted": list({id_ for found in rows for id_ in found.subject_ids})}
    keys = {found.subject_id: found.key for found in await connection.execute(KEYS, ids)}
    return [
        Recorded(
            position=found.position,
            versions={keys[i]: v for i, v in zip(found.subject_ids, found.versions, strict=True)},
            recorded_at=found.recorded_at,
            commitment=found.commitment,
            body=found.body,
        )
        for found in rows
    ]
