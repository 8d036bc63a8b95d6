"""The log as sealer and verifier read it: rows after a position, and their subjects' names.

The roles `rlg_sealer` and `rlg_verifier` may read; the first one also keeps new signatures, and
neither can append or change anything. Names stay in memory: a subject's uid never changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contracts.problem import Unavailable
from services.kit import database
from services.ledger.sealing.leaves import Name, Row, Tampered
from services.ledger.sealing.naming import NameChecker, NamingKey, WrongName, uid

_PART = 64
"""Names that one thread makes or checks at a time."""
MAX_NAMES = 200_000
"""Subjects kept in memory; beyond, all are forgotten and read again."""
_COLUMNS = """
SELECT e.position, e.event_uuid, e.source, e.type, e.subject_ids, e.versions, e.occurred_at,
       e.recorded_at, e.principal, e.assurance, e.causation, e.commitment, stored.salt, stored.body,
       stored.body IS NULL AND ledger.redacted_v1($1, e.position) AS redacted
  FROM ledger.event AS e
  LEFT JOIN ledger.event_body AS stored USING (ledger_id, position)
 WHERE e.ledger_id = $1
"""
_ROWS = f"{_COLUMNS} AND e.position > $2 AND e.position <= $2 + $3 ORDER BY e.position"
_AT = f"{_COLUMNS} AND e.position = ANY($2::bigint[]) ORDER BY e.position"
_HISTORY = """
SELECT version, position FROM ledger.history JOIN ledger.subject USING (ledger_id, subject_id)
 WHERE ledger_id = $1 AND key = $2 ORDER BY version
"""
_SIGNATURE = """
SELECT signature FROM ledger.subject_name JOIN ledger.subject USING (ledger_id, subject_id)
 WHERE ledger_id = $1 AND key = $2
"""
_NAMES = """
SELECT subject_id, key, signature FROM ledger.subject
  LEFT JOIN ledger.subject_name USING (ledger_id, subject_id)
 WHERE ledger_id = $1 AND subject_id = ANY($2::bigint[])
"""
_KEEP = """
INSERT INTO ledger.subject_name (ledger_id, subject_id, signature)
SELECT $1, * FROM unnest($2::bigint[], $3::bytea[]) ON CONFLICT DO NOTHING
"""
_ASTRAY = """
SELECT min(position) FROM unnest($2::bigint[], $3::integer[], $4::bigint[])
       AS entry(subject_id, version, position)
 WHERE NOT EXISTS (
       SELECT FROM ledger.history AS h
        WHERE h.subject_id = entry.subject_id AND h.ledger_id = $1 AND h.version = entry.version
          AND h.position = entry.position)
"""
_ENTRIES = "SELECT count(*) FROM ledger.history WHERE ledger_id = $1 AND position <= $2"
_HEAD = "SELECT coalesce(max(position), 0) FROM ledger.event WHERE ledger_id = $1"
_LEDGER = "SELECT ledger_id FROM ledger.ledger WHERE name = $1"


class Source:
    """One ledger's log. Raises `DatabaseError`s, `Unavailable`; again: a new connection."""

    def __init__(self, url: str, ledger: str, naming: NamingKey | NameChecker) -> None:
        """With a `NamingKey` new subjects are named; with a `NameChecker` each must have a name."""
        self._url = url
        self._ledger = ledger
        self._naming = naming if isinstance(naming, NamingKey) else None
        self._checker = naming.checker if isinstance(naming, NamingKey) else naming
        self._id = 0
        self._connection: database.Connection | None = None
        self._names: dict[int, Name] = {}

    async def head(self) -> int:
        """Return the last event's position, 0 when there is none."""
        return int(await (await self._open()).fetchval(_HEAD, self._id))

    async def rows(self, after: int, limit: int) -> list[Row]:
        """Return up to `limit` events after a position, in order."""
        connection = await self._open()
        return [Row(*row) for row in await connection.fetch(_ROWS, self._id, after, limit)]

    async def names(self, rows: Iterable[Row]) -> dict[int, Name]:
        """Return the names of all subjects of some rows; a subject without one is named now.

        Raises `Tampered` when what is stored is not the signature of that subject.
        """
        wanted: dict[int, int] = {}
        for row in rows:
            for subject in row.subject_ids:
                wanted.setdefault(subject, row.position)
        missing = {subject: at for subject, at in wanted.items() if subject not in self._names}
        if missing:
            if len(self._names) > MAX_NAMES:
                self._names.clear()
                missing = wanted
            await self._learn(missing)
        return self._names

    async def at(self, positions: Sequence[int]) -> list[Row]:
        """Return the events at some positions that exist, in order."""
        found = await (await self._open()).fetch(_AT, self._id, list(positions))
        return [Row(*row) for row in found]

    async def history(self, key: str) -> list[tuple[int, int]]:
        """Return version and position of a subject's events by the log, in order of version."""
        found = await (await self._open()).fetch(_HISTORY, self._id, key)
        return [(version, position) for version, position in found]

    async def log_history(self) -> list[Row]:
        """Return what is recorded of the log itself: replaced keys, gaps."""
        return await self.at([at for _, at in await self.history(f"log:{self._ledger}")])

    async def redactions(self, position: int) -> list[int]:
        """Return where redactions of an event are recorded: asked for, and agreed to."""
        return [at for _, at in await self.history(f"event:{position}")]

    async def uid(self, key: str) -> bytes | None:
        """Return a subject's uid, None for one without a name. Raises `Tampered` (position 0)."""
        signature = await (await self._open()).fetchval(_SIGNATURE, self._id, key)
        return None if signature is None else uid(self._signature(key, signature, 0))

    async def astray(self, rows: Sequence[Row]) -> int | None:
        """Return the first position that a history does not have as the events say."""
        named = [
            (subject, version, row.position)
            for row in rows
            for subject, version in zip(row.subject_ids, row.versions, strict=False)
        ]
        columns = [list(column) for column in zip(*named, strict=True)] or [[], [], []]
        found: int | None = await (await self._open()).fetchval(_ASTRAY, self._id, *columns)
        return found

    async def entries(self, head: int) -> int:
        """Return how many entries all histories have up to a position."""
        return int(await (await self._open()).fetchval(_ENTRIES, self._id, head))

    async def aclose(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _learn(self, missing: dict[int, int]) -> None:
        connection = await self._open()
        found = await connection.fetch(_NAMES, self._id, list(missing))
        # OpenSSL lets go of the interpreter meanwhile: names are made and checked on all cores.
        parts = [found[at : at + _PART] for at in range(0, len(found), _PART)]
        made = await asyncio.gather(
            *(asyncio.to_thread(self._signatures, part, missing) for part in parts)
        )
        signatures = [signature for part in made for signature in part]
        fresh = []
        for (subject, key, stored), signature in zip(found, signatures, strict=True):
            self._names[subject] = Name(key, f'["{uid(signature).hex()}",')
            if stored is None:
                fresh.append((subject, signature))
        if fresh:
            await connection.execute(_KEEP, self._id, *_columns(fresh))

    def _signatures(
        self, found: Sequence[Sequence[Any]], missing: Mapping[int, int]
    ) -> list[bytes]:
        return [self._signature(key, stored, missing[subject]) for subject, key, stored in found]

    def _signature(self, key: str, stored: bytes | None, position: int) -> bytes:
        if stored is None and self._naming is not None:
            return self._naming.sign(key)
        if stored is None:
            raise Tampered(position, f"its subject {key} has no uid")
        try:
            self._checker.check(key, stored)
        except WrongName as error:
            raise Tampered(position, str(error)) from None
        return stored

    async def _open(self) -> database.Connection:
        if self._connection is None or self._connection.is_closed():
            what = "verifier" if self._naming is None else "sealer"
            self._connection = await database.connection(
                self._url, f"ledger {what}", role=f"rlg_{what}"
            )
            found = await self._connection.fetchval(_LEDGER, self._ledger)
            if found is None:  # the wrong database, or it is not begun yet: nothing to be read
                await self.aclose()
                raise Unavailable(f"there is no ledger {self._ledger} in this database")
            self._id = int(found)
        return self._connection


def _columns(fresh: Sequence[tuple[int, bytes]]) -> tuple[list[int], list[bytes]]:
    return [subject for subject, _ in fresh], [signature for _, signature in fresh]
