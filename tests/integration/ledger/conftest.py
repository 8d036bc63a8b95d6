"""A real ledger without HTTP in front: as many appenders on it as a test wants."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from contracts import catalogue
from contracts.event import Origin
from services.kit import database
from services.ledger.appender import Appender, Submission
from services.ledger.store import Reader
from services.ledger.writer import Writer

ORIGIN = Origin(principal="key:test", assurance="A2")


def submission(*subjects: str, **attributes: Any) -> Submission:
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "/test",
        "type": "org.example.happened",
        "subjects": ",".join(subjects or ("thing:1",)),
        "data": {"n": 1},
    }
    return Submission(catalogue.parse(event | attributes), ORIGIN)


class Ledger:
    """One ledger on a database of the test's own."""

    def __init__(self, url: str, sql: asyncpg.Connection[Any], reader: Reader) -> None:
        self.url = url
        self.sql = sql
        self.reader = reader
        self._running: list[asyncio.Task[None]] = []

    def writer(self) -> Writer:
        return Writer(self.url, self.reader.ledger("main"))

    def appender(self, writer: Writer | None = None) -> Appender:
        """Start one more appender, as another process would."""
        appender = Appender(writer or self.writer())
        self._running.append(asyncio.create_task(appender.run()))
        return appender

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def check(self) -> int:
        """Check I1, I2, I3 and the commitments over everything stored; return the head."""
        rows = await self.sql.fetch(
            "SELECT e.*, b.salt, b.body FROM ledger.event e LEFT JOIN ledger.event_body b"
            " USING (ledger_id, position) ORDER BY position"
        )
        assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))
        assert len({(row["event_uuid"], row["source"]) for row in rows}) == len(rows)
        moments = [row["recorded_at"] for row in rows]
        assert moments == sorted(moments)
        for row in rows:
            assert hashlib.sha256(row["salt"] + row["body"]).digest() == row["commitment"]
        await self._check_histories(rows)
        return len(rows)

    async def _check_histories(self, rows: Sequence[Any]) -> None:
        named: dict[int, list[tuple[int, int]]] = {}
        for row in rows:
            for subject, version in zip(row["subject_ids"], row["versions"], strict=True):
                named.setdefault(subject, []).append((version, row["position"]))
        stored: dict[int, list[tuple[int, int]]] = {}
        for row in await self.sql.fetch(
            "SELECT * FROM ledger.history ORDER BY subject_id, version"
        ):
            stored.setdefault(row["subject_id"], []).append((row["version"], row["position"]))
        assert stored == named
        for history in stored.values():
            assert [version for version, _ in history] == list(range(1, len(history) + 1))
        subjects = await self.sql.fetch("SELECT subject_id FROM ledger.subject")
        assert {row["subject_id"] for row in subjects} == set(stored)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    engine = database.engine(database_url, "test")
    reader = Reader(engine)
    await reader.open(["main"])
    sql = await asyncpg.connect(database_url)
    opened = Ledger(database_url, sql, reader)
    yield opened
    await opened.stop()
    await reader.close()
    await sql.close()
