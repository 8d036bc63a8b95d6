"""Migrations: each schema by itself, again without effect, by several processes at once."""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory

from deploy.embedded import EmbeddedPostgres
from migrations import run
from services.ledger.service import REVISION

pytestmark = pytest.mark.postgres
ROOT = Path(__file__).parents[3]
UPGRADE = "import sys; from migrations.run import upgrade; upgrade(sys.argv[1], 'ledger')"


async def _empty(postgres: EmbeddedPostgres) -> str:
    name = f"m_{uuid.uuid4().hex[:12]}"
    await postgres.ensure_database(name)
    return postgres.dsn(name)


async def _schemas(url: str) -> set[str]:
    sql = await asyncpg.connect(url)
    rows = await sql.fetch("SELECT schemaname FROM pg_tables WHERE tablename = 'alembic_version'")
    await sql.close()
    return {row["schemaname"] for row in rows}


async def test_one_section_leaves_the_others_alone_and_again_is_nothing(
    postgres: EmbeddedPostgres,
) -> None:
    url = await _empty(postgres)
    await asyncio.to_thread(run.upgrade, url, "ledger")
    assert await _schemas(url) == {"ledger"}
    await asyncio.to_thread(run.upgrade, url, "ledger")
    await asyncio.to_thread(run.upgrade, url)
    assert await _schemas(url) == set(run.present())


async def test_processes_that_migrate_at_once_wait_for_each_other(
    postgres: EmbeddedPostgres,
) -> None:
    url = await _empty(postgres)
    workers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", UPGRADE, url, cwd=ROOT)
        for _ in range(3)
    ]
    assert [await worker.wait() for worker in workers] == [0, 0, 0]
    assert await _schemas(url) == {"ledger"}


@pytest.mark.parametrize("name", run.present())
def test_each_line_has_one_head_and_numbered_revisions(name: str) -> None:
    script = ScriptDirectory.from_config(run.config(name, "postgresql://unused"))
    revisions = sorted(revision.revision for revision in script.walk_revisions())
    assert revisions == [f"{n:04}" for n in range(1, len(revisions) + 1)]
    assert script.get_heads() == [revisions[-1]]
    if name == "ledger":
        assert revisions[-1] == REVISION


async def test_a_database_of_the_first_version_gets_roles_and_keeps_its_rows(
    postgres: EmbeddedPostgres,
) -> None:
    url = await _empty(postgres)
    await asyncio.to_thread(command.upgrade, run.config("ledger", url), "0003")
    sql = await asyncpg.connect(url)
    await sql.execute("INSERT INTO ledger.ledger (ledger_id, name) VALUES (1, 'main')")
    await asyncio.to_thread(run.upgrade, url)
    await sql.execute("SET ROLE rlg_reader")
    assert await sql.fetchval("SELECT name FROM ledger.ledger") == "main"
    assert await sql.fetchval("SELECT version_num FROM ledger.alembic_version") == REVISION
    await sql.close()


async def test_what_only_grows_is_vacuumed_early_and_frozen_at_once(database_url: str) -> None:
    sql = await asyncpg.connect(database_url)
    options = {
        row["name"]: set(row["options"])
        for row in await sql.fetch(
            "SELECT c.relname AS name, c.reloptions AS options FROM pg_class c"
            "  JOIN pg_class t ON c.oid IN (t.oid, t.reltoastrelid)"
            " WHERE t.relname = ANY($1) AND t.relnamespace = 'ledger'::regnamespace"
            "   AND c.reloptions IS NOT NULL",
            ["event", "event_body", "subject", "history"],
        )
    }
    await sql.close()
    assert len(options) == 5  # four tables, and the TOAST table of the bodies
    for given in options.values():
        assert {
            "autovacuum_freeze_min_age=0",
            "autovacuum_vacuum_insert_threshold=20000",
            "autovacuum_vacuum_insert_scale_factor=0.02",
        } <= given
