"""Every database that a ledger lives in is brought up to date."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg
import pytest

from deploy.embedded import EmbeddedPostgres
from services import assembly
from services.ledger.service import REVISION
from services.run import migrate

pytestmark = pytest.mark.postgres


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> list[str]:
    """Two empty databases."""
    names = [f"e_{uuid.uuid4().hex[:16]}" for _ in range(2)]
    for name in names:
        asyncio.run(postgres.ensure_database(name))
    return [postgres.dsn(name) for name in names]


def told(monkeypatch: pytest.MonkeyPatch, url: str, databases: str) -> assembly.Settings:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("LEDGER_NAMES", "main,acme,beta")
    monkeypatch.setenv("LEDGER_DATABASES", databases)
    return assembly.Settings.load()


async def schemas(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        "SELECT nspname FROM pg_namespace"
        " WHERE nspname IN ('ledger', 'projector', 'gatekeeper') ORDER BY 1"
    )
    found = await connection.fetchval("SELECT version_num FROM ledger.alembic_version")
    await connection.close()
    assert found >= REVISION
    return [row["nspname"] for row in rows]


def test_each_database_gets_what_lives_in_it(
    empty: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main, other = empty
    settings = told(monkeypatch, main, f"acme={other} beta={other}")
    assert migrate(settings) == []
    assert asyncio.run(schemas(main)) == ["gatekeeper", "ledger", "projector"]
    assert asyncio.run(schemas(other)) == ["ledger"]
    assert migrate(settings) == []


def test_a_database_that_is_away_is_named_and_holds_nobody_up(
    empty: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main, other = empty
    nowhere = "postgresql://u:secret@/x?host=/nowhere"
    (complaint,) = migrate(told(monkeypatch, main, f"acme={nowhere} beta={other}"))
    assert complaint.startswith("the database of acme was not migrated")
    assert "secret" not in complaint
    assert asyncio.run(schemas(other)) == ["ledger"]
