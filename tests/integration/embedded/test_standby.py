"""The embedded standby: follows, catches up, replaces its primary, and is no orphan either."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.embedded import (
    EmbeddedPostgres,
    EmbeddedStandby,
    EmbeddedUnavailable,
    guard,
    wait_for_standbys,
)

pytestmark = pytest.mark.postgres


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[EmbeddedPostgres, EmbeddedStandby]]:
    primary = EmbeddedPostgres(tmp_path / "primary")
    standby = EmbeddedStandby(tmp_path / "stand'by", primary, "second")
    await primary.start()
    try:
        await standby.start()
        yield primary, standby
    finally:
        await standby.stop()
        await primary.stop()


async def ask(server: EmbeddedPostgres, query: str) -> Any:
    connection = await asyncpg.connect(server.dsn("postgres"))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_a_standby_follows_in_step_and_is_a_primary_once_promoted(
    pair: tuple[EmbeddedPostgres, EmbeddedStandby],
) -> None:
    primary, standby = pair
    await wait_for_standbys(primary, f"ANY 1 ({standby.name})")
    await primary.sql("CREATE TABLE kept (word text)", "INSERT INTO kept VALUES ('ledger')")
    assert await ask(primary, "SELECT sync_state FROM pg_stat_replication") == "quorum"
    assert await ask(standby, "SELECT pg_is_in_recovery()") is True
    assert standby.socket_dir.stat().st_mode & 0o777 == 0o700
    assert primary.pid is not None
    os.kill(primary.pid, signal.SIGKILL)
    await primary.stop()
    await standby.promote()
    assert await ask(standby, "SELECT word FROM kept") == "ledger"
    await standby.sql("INSERT INTO kept VALUES ('and on')")
    await standby.stop()
    await standby.start()
    assert await ask(standby, "SELECT count(*) FROM kept") == 2
    assert await ask(standby, "SELECT pg_is_in_recovery()") is False


async def test_a_standby_catches_up_after_an_outage_and_starts_without_its_primary(
    pair: tuple[EmbeddedPostgres, EmbeddedStandby],
) -> None:
    primary, standby = pair
    pid = standby.pid
    await standby.stop()
    assert pid is not None
    assert guard.started_at(pid) is None
    await primary.sql("CREATE TABLE missed (word text)", "SELECT pg_switch_wal()", "CHECKPOINT")
    await standby.start()
    await wait_for_standbys(primary, standby.name)
    await primary.sql("INSERT INTO missed VALUES ('caught up')")
    await primary.stop()
    await standby.stop()
    await standby.start()
    assert await ask(standby, "SELECT word FROM missed") == "caught up"


async def test_a_primary_that_is_away_is_one_sentence_and_leaves_no_half_a_cluster(
    tmp_path: Path,
) -> None:
    standby = EmbeddedStandby(tmp_path / "b", EmbeddedPostgres(tmp_path / "a"), "second")
    (tmp_path / "a").mkdir()
    with pytest.raises(EmbeddedUnavailable, match="A statement of the superuser failed"):
        await standby.start()
    assert not (tmp_path / "b" / "cluster").exists()
    with pytest.raises(ValueError, match="not a standby's name"):
        EmbeddedStandby(tmp_path / "b", EmbeddedPostgres(tmp_path / "a"), "two words")
