"""Certified commits on a real primary and standby: a wait that was cut short is never a success."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.embedded import EmbeddedPostgres, EmbeddedStandby, wait_for_standbys
from services.kit import database
from services.ledger import certify
from tests.faults.servers import SETTINGS, frozen

pytestmark = pytest.mark.postgres
PREPARE = (
    "CREATE ROLE app LOGIN",
    "CREATE ROLE rlg_reader",
    "GRANT rlg_reader TO app",
    "CREATE TABLE kept (word text)",
    "GRANT INSERT, SELECT ON kept TO app",
)
INSERT = "INSERT INTO kept VALUES ($1) RETURNING word"


class Pair:
    def __init__(self, primary: EmbeddedPostgres, standby: EmbeddedStandby, sql: Any) -> None:
        self.primary = primary
        self.standby = standby
        self.sql = sql
        self.url = primary.dsn("postgres").replace("postgres@", "app@")
        self.opened = [sql]
        self.standbys = certify.Standbys(self.url)

    async def connect(self, **settings: str) -> database.Connection:
        """Connect as somebody who may do nothing but write one table."""
        self.opened.append(await database.connection(self.url, "test", certify.SETTINGS | settings))
        return self.opened[-1]

    async def words(self) -> list[str]:
        return [row["word"] for row in await self.sql.fetch("SELECT word FROM kept")]

    async def cut(self, connection: database.Connection, how: str) -> None:
        """Cut the wait of a connection short."""
        await self.waits(connection)
        await self.sql.execute(f"SELECT {how}({connection.get_server_pid()})")

    async def waits(self, connection: database.Connection) -> None:
        """Return when a connection waits for the standby."""
        query = "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $1"
        await self.until(query, connection.get_server_pid())

    async def until(self, query: str, *given: object) -> None:
        while not await self.sql.fetchval(query, *given):  # noqa: ASYNC110 - to look is all we can
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def servers(work_dir: Path) -> Iterator[tuple[EmbeddedPostgres, EmbeddedStandby]]:
    """A primary and its standby for all tests of this file."""
    primary = EmbeddedPostgres(work_dir / "certify" / "primary", SETTINGS)
    standby = EmbeddedStandby(work_dir / "certify" / "standby", primary, "second", SETTINGS)
    with asyncio.Runner() as runner:
        runner.run(primary.start())
        primary.sql_now(*PREPARE)
        runner.run(standby.start())
        yield primary, standby
        runner.run(standby.stop())
        runner.run(primary.stop())


@pytest.fixture
async def pair(servers: tuple[EmbeddedPostgres, EmbeddedStandby]) -> AsyncIterator[Pair]:
    primary, standby = servers
    await wait_for_standbys(primary, f"ANY 1 ({standby.name})")
    sql = await asyncpg.connect(primary.dsn("postgres"))
    await sql.execute("SET synchronous_commit = local")
    await sql.execute("TRUNCATE kept; ALTER ROLE app RESET ALL")
    pair = Pair(primary, standby, sql)
    yield pair
    pair.standbys.close()
    for connection in pair.opened:
        connection.terminate()


async def test_a_commit_and_a_barrier_are_certified_while_the_standby_follows(pair: Pair) -> None:
    connection = await pair.connect()
    async with certify.certified(connection):
        await connection.fetchval(INSERT, "one")
    reached = await pair.sql.fetchval("SELECT pg_current_wal_lsn()")
    await certify.barrier(connection)
    replica = await asyncpg.connect(pair.standby.dsn("postgres"))
    assert await replica.fetchval("SELECT pg_last_wal_receive_lsn() >= $1", reached)
    await replica.close()
    assert await pair.standbys.check() is None


async def test_a_wait_that_was_cancelled_is_stored_and_not_certified_and_neither_is_its_reader(
    pair: Pair,
) -> None:
    connection, reader = await pair.connect(), await pair.connect()
    with frozen(pair.standby):
        cut = asyncio.create_task(pair.cut(connection, "pg_cancel_backend"))
        with pytest.raises(certify.Uncertified, match="canceling wait"):
            async with certify.certified(connection):
                assert await connection.fetchval(INSERT, "one") == "one"  # it says success
        await cut
        assert await pair.words() == ["one"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(certify.barrier(reader), 0.5)
        assert "no synchronous standby confirms" in str(await pair.standbys.check())
    await certify.barrier(connection)
    assert await pair.words() == ["one"]


async def test_a_barrier_whose_own_wait_is_cut_short_proves_nothing(pair: Pair) -> None:
    connection = await pair.connect()
    with frozen(pair.standby):
        cut = asyncio.create_task(pair.cut(connection, "pg_cancel_backend"))
        with pytest.raises(certify.Uncertified, match="canceling wait"):
            await certify.barrier(connection)
        await cut


async def test_a_session_ended_in_the_wait_gives_no_answer_and_leaves_the_row(pair: Pair) -> None:
    connection = await pair.connect()
    with frozen(pair.standby):
        cut = asyncio.create_task(pair.cut(connection, "pg_terminate_backend"))
        with pytest.raises(database.DatabaseError):
            await connection.fetchval(INSERT, "one")
        await cut
        assert await pair.words() == ["one"]


async def test_a_fast_shutdown_in_the_wait_gives_no_answer_and_leaves_the_row(pair: Pair) -> None:
    connection = await pair.connect()
    with frozen(pair.standby):
        inserting = asyncio.create_task(connection.fetchval(INSERT, "one"))
        await pair.waits(connection)
        assert pair.primary.pid is not None
        os.kill(pair.primary.pid, signal.SIGINT)
        with pytest.raises(database.DatabaseError):
            await inserting
    await pair.primary.stop()
    await pair.primary.start()
    again = await asyncpg.connect(pair.primary.dsn("postgres"))
    assert await again.fetchval("SELECT count(*) FROM kept") == 1
    await again.close()


async def test_a_time_out_of_ours_leaves_the_row_too(pair: Pair) -> None:
    connection = await pair.connect()
    with frozen(pair.standby):
        with pytest.raises(TimeoutError):
            await connection.fetchval(INSERT, "one", timeout=0.3)
        await pair.until("SELECT EXISTS (SELECT FROM kept)")  # once the server has cancelled


async def insert(connection: database.Connection) -> None:
    async with certify.certified(connection):
        await connection.fetchval(INSERT, "one")


async def insert_in_a_transaction(connection: database.Connection) -> None:
    await connection.execute("BEGIN")
    await insert(connection)
    async with certify.certified(connection):
        await connection.execute("COMMIT")


@pytest.mark.parametrize("work", [insert, insert_in_a_transaction, certify.barrier])
async def test_a_setting_emptied_in_the_wait_is_found_after_it(
    pair: Pair, work: Callable[[database.Connection], Awaitable[None]]
) -> None:
    connection = await pair.connect()
    with frozen(pair.standby):
        waiting = asyncio.ensure_future(work(connection))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await wait_for_standbys(pair.primary, "")
        with pytest.raises(certify.Uncertified, match="no synchronous standby"):
            await waiting
    assert "no synchronous standby has to confirm" in str(await pair.standbys.check())


@pytest.mark.parametrize(
    "loose", [{"client_min_messages": "error"}, {"synchronous_commit": "local"}]
)
async def test_a_connection_that_would_not_wait_or_not_tell_is_refused(
    pair: Pair, loose: dict[str, str]
) -> None:
    with pytest.raises(certify.Uncertified):
        await certify.require(await pair.connect(**loose))
    (name, value), *_ = loose.items()
    await pair.sql.execute(f"ALTER ROLE app SET {name} = {value}")
    await certify.barrier(await pair.connect())
