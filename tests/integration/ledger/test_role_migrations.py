"""Roles belong to the cluster: who creates them, when several do, and when nobody may."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.embedded import EmbeddedPostgres
from migrations import roles, run
from services import __main__ as command
from services.kit.identity import Keyring
from services.kit.settings import Shared
from services.ledger import service as ledger_service
from services.ledger.settings import LedgerSettings
from tests.integration.ledger.test_migrations import UPGRADE

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server of the test's own that has never seen our roles."""
    server = EmbeddedPostgres(tmp_path / "postgres", {"shared_buffers": "16MB"})
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def admin(cluster: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(cluster.dsn("postgres"))
    yield connection
    await connection.close()


async def _database(cluster: EmbeddedPostgres, admin: asyncpg.Connection[Any], owner: str) -> str:
    await admin.execute(f'CREATE DATABASE "of_{owner}" OWNER {owner}')
    return cluster.dsn(f"of_{owner}").replace("postgres@", f"{owner}@")


async def _ours(admin: asyncpg.Connection[Any]) -> list[str]:
    found = await admin.fetch("SELECT rolname FROM pg_roles WHERE rolname LIKE 'rlg%'")
    return sorted(row["rolname"] for row in found)


async def test_databases_of_one_cluster_that_migrate_at_once_create_the_roles_once(
    cluster: EmbeddedPostgres, admin: asyncpg.Connection[Any]
) -> None:
    urls = []
    for name in ("one", "two", "three"):
        await cluster.ensure_database(name)
        urls.append(cluster.dsn(name))
    workers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", UPGRADE, url, cwd=ROOT)
        for url in urls
    ]
    assert [await worker.wait() for worker in workers] == [0, 0, 0]
    assert await _ours(admin) == sorted(roles.ROLES)
    assert not await admin.fetchval(
        "SELECT bool_or(rolcanlogin OR rolsuper OR rolcreaterole OR rolbypassrls OR rolreplication)"
        "  FROM pg_roles WHERE rolname LIKE 'rlg%'"
    )


async def test_a_role_that_another_transaction_is_just_creating_is_waited_for(
    cluster: EmbeddedPostgres, admin: asyncpg.Connection[Any]
) -> None:
    await cluster.ensure_database("late")
    other = admin.transaction()
    await other.start()
    await admin.execute("CREATE ROLE rlg_reader NOLOGIN")
    migrating = asyncio.create_task(asyncio.to_thread(run.upgrade, cluster.dsn("late"), "ledger"))
    while not await admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        assert not migrating.done()
        await asyncio.sleep(0.05)
    await other.commit()
    await migrating
    assert await _ours(admin) == sorted(roles.ROLES)


async def test_a_login_that_may_not_create_roles_says_what_the_dba_has_to_run(
    cluster: EmbeddedPostgres,
    admin: asyncpg.Connection[Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await admin.execute("CREATE ROLE weak LOGIN")
    url = await _database(cluster, admin, "weak")
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setattr(sys, "argv", ["services", "migrate"])
    with pytest.raises(SystemExit, match="1"):
        await asyncio.to_thread(command.main)
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("release-ledger: the roles rlg_owner, rlg_appender, ")
    assert await _ours(admin) == []
    await admin.execute(told.partition("let a superuser run: ")[2])
    await asyncio.to_thread(run.upgrade, url)
    await asyncio.to_thread(run.upgrade, url)
    assert await _owners(url) == {"rlg_owner"}


async def test_a_login_that_is_no_member_of_the_owner_is_told_so(
    cluster: EmbeddedPostgres, admin: asyncpg.Connection[Any]
) -> None:
    for role in roles.ROLES:
        await admin.execute(f"CREATE ROLE {role} NOLOGIN")
    await admin.execute("CREATE ROLE stranger LOGIN")
    url = await _database(cluster, admin, "stranger")
    with pytest.raises(roles.MigrationRefused, match='run: GRANT rlg_owner TO "stranger";'):
        await asyncio.to_thread(run.upgrade, url)


async def test_one_login_that_may_create_roles_is_enough_for_all(
    cluster: EmbeddedPostgres, admin: asyncpg.Connection[Any]
) -> None:
    await admin.execute("CREATE ROLE alone LOGIN CREATEROLE")
    url = await _database(cluster, admin, "alone")
    await asyncio.to_thread(run.upgrade, url)
    assert await _owners(url) == {"rlg_owner"}
    shared = Shared.model_validate({"DATABASE_URL": url})
    service = ledger_service.build(shared, LedgerSettings(), Keyring())
    async with service.run():
        assert {await check() for check in service.checks.values()} == {None}


async def _owners(url: str) -> set[str]:
    sql = await asyncpg.connect(url)
    rows = await sql.fetch(
        "SELECT relowner::regrole::text AS owner FROM pg_class c JOIN pg_namespace n"
        "    ON n.oid = relnamespace AND nspname IN ('ledger', 'projector', 'gatekeeper')"
        " UNION SELECT nspowner::regrole::text FROM pg_namespace"
        "        WHERE nspname IN ('ledger', 'projector', 'gatekeeper')"
    )
    await sql.close()
    return {row["owner"] for row in rows}
