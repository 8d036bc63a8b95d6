"""What must hold before an event is taken: each refusal on a real server that deserves it."""

from __future__ import annotations

import asyncio
import struct
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from asyncpg.transaction import Transaction

from deploy.embedded import EmbeddedPostgres
from migrations import run
from services.kit.identity import Keyring
from services.kit.settings import SettingsError, Shared
from services.ledger import service as ledger_service
from services.ledger.preflight import OLDEST_SERVER, Preflight
from services.ledger.service import REVISION
from services.ledger.settings import LedgerSettings
from tests.integration.ledger.conftest import Ledger, submission

pytestmark = pytest.mark.postgres


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def refusal(url: str, **how: Any) -> str:
    """Why a start would be refused; empty: it would not."""
    try:
        await Preflight(url, REVISION, **how).refuse()
    except SettingsError as error:
        return str(error)
    return ""


async def _configure(admin: asyncpg.Connection[Any], setting: str) -> None:
    name = await admin.fetchval("SELECT quote_ident(current_database())")
    await admin.execute(f"ALTER DATABASE {name} {setting}")


async def test_a_sound_server_is_accepted_and_probes_leave_nothing(ledger: Ledger) -> None:
    await ledger.reader.open(["main", "other"])
    await ledger.appender().append_each([submission()])
    heard: list[object] = []
    await ledger.sql.add_listener("ledger_appended", lambda *news: heard.append(news))
    preflight = Preflight(ledger.url, REVISION)
    await preflight.refuse()
    await preflight.rehearse(ledger.reader.ledgers)
    assert await preflight.check() is None
    assert await ledger.check() == 1
    assert heard == []


@pytest.mark.parametrize(
    ("setting", "certified", "told"),
    [
        ("SET synchronous_commit = off", False, "synchronous_commit is off for postgres"),
        ("SET synchronous_commit = local", False, "synchronous_commit is local for postgres"),
        ("SET synchronous_commit = remote_write", True, "certified receipts need a standby"),
        ("SET synchronous_commit = remote_write", False, ""),
        ("SET synchronous_commit = remote_apply", True, ""),
        (
            "SET default_transaction_isolation = 'repeatable read'",
            False,
            "default_transaction_isolation is repeatable read",
        ),
        ("SET default_transaction_isolation = 'serializable'", False, "isolation is serializable"),
    ],
)
async def test_what_a_database_or_a_login_was_configured_to(
    database_url: str, admin: asyncpg.Connection[Any], setting: str, *, certified: bool, told: str
) -> None:
    assert await refusal(database_url, certified=certified) == ""
    await _configure(admin, setting)
    found = await refusal(database_url, certified=certified)
    assert told in found
    assert bool(told) == bool(found)


async def test_an_older_server(database_url: str) -> None:
    found = await refusal(database_url, oldest=OLDEST_SERVER + 900)
    assert found.startswith("the server is PostgreSQL 18")
    assert found.endswith("and 918 is the oldest that we work with")


async def test_a_schema_that_is_older_newer_or_not_there(
    database_url: str, admin: asyncpg.Connection[Any], postgres: EmbeddedPostgres
) -> None:
    for version, told in (
        ("0001", f"the schema is at migration 0001 and this version needs {REVISION}: run"),
        ("9999", "the schema is at migration 9999, which this version does not know"),
    ):
        await admin.execute("UPDATE ledger.alembic_version SET version_num = $1", version)
        assert (await refusal(database_url)).startswith(told)
    # Migrated under a running process: it goes on, the functions that it calls are still there.
    assert await Preflight(database_url, REVISION).check() is None
    name = f"empty_{uuid.uuid4().hex[:8]}"
    await postgres.ensure_database(name)
    assert "has no schema of the ledger yet: run" in await refusal(postgres.dsn(name))


async def test_another_encoding(postgres: EmbeddedPostgres, admin: asyncpg.Connection[Any]) -> None:
    name = f"latin_{uuid.uuid4().hex[:8]}"
    await admin.execute(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1'"
        " LOCALE_PROVIDER libc LOCALE 'C'"
    )
    found = await refusal(postgres.dsn(name))
    assert "the database is encoded in LATIN1: create it with ENCODING 'UTF8'" in found


async def test_a_login_without_our_roles(database_url: str, admin: asyncpg.Connection[Any]) -> None:
    login = f"app_{uuid.uuid4().hex[:8]}"
    await admin.execute(f"CREATE ROLE {login} LOGIN IN ROLE rlg_reader")
    try:
        found = await refusal(database_url.replace("postgres@", f"{login}@"))
    finally:
        await admin.execute(f"DROP ROLE {login}")
    assert found == (
        f"the login {login} is not a member of rlg_appender, rlg_courier: "
        "let a DBA GRANT rlg_appender, rlg_courier to it"
    )


async def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    found = await refusal(f"postgresql://x@/x?host={tmp_path}")
    assert found.startswith("the database at DATABASE_URL does not answer: ")


async def test_a_server_that_may_lose_what_it_acknowledged_and_one_in_recovery(
    tmp_path: Path,
) -> None:
    bad = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
    server = EmbeddedPostgres(tmp_path / "postgres", bad | {"shared_buffers": "16MB"})
    await server.start()
    try:
        absent = await refusal(server.dsn("postgres"))
        assert "the database has no roles rlg_reader, rlg_appender, rlg_courier: run" in absent
        await asyncio.to_thread(run.upgrade, server.dsn("postgres"), "ledger")
        reckless = await refusal(server.dsn("postgres"))
    finally:
        await server.stop()
    assert [sentence.split(",")[0] for sentence in reckless.split("; ")] == [
        "fsync is off",
        "full_page_writes is off",
        "synchronous_commit is off for postgres",
    ]
    (tmp_path / "postgres" / "cluster" / "standby.signal").touch()
    standby = EmbeddedPostgres(tmp_path / "postgres", {"shared_buffers": "16MB"})
    await standby.start()
    try:
        assert await refusal(standby.dsn("postgres")) == (
            "the server is a standby in recovery: DATABASE_URL must name the primary"
        )
    finally:
        await standby.stop()


async def test_a_pooler_between_us_and_the_server(
    database_url: str, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """A pooler gives its clients a key of its own to cancel with: that is how it is found."""

    serving: list[asyncio.Future[Any]] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            at = chunk.find(b"K\0\0\0\x0c")
            if at >= 0:
                chunk = chunk[: at + 5] + struct.pack("!i", 1) + chunk[at + 9 :]
            writer.write(chunk)
        writer.close()
        await writer.wait_closed()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        socket = str(postgres.socket_dir / ".s.PGSQL.5432")
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(socket)
        serving.append(
            asyncio.gather(relay(upstream_reader, writer), relay(reader, upstream_writer))
        )

    pooler = await asyncio.start_unix_server(accept, tmp_path / ".s.PGSQL.5432")
    url = f"{database_url.partition('?')[0]}?host={tmp_path}"
    async with pooler:
        assert (await refusal(url)).startswith("a connection pooler stands between us")
        await asyncio.gather(*serving, return_exceptions=True)


@pytest.mark.parametrize(
    ("sabotage", "told"),
    [
        ("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM rlg_appender", "permission denied"),
        ("ALTER TABLE ledger.event ADD CHECK (source <> '/self-test')", "violates check"),
        ("REVOKE SELECT ON ledger.event FROM rlg_appender", "permission denied for table event"),
    ],
)
async def test_a_ledger_that_cannot_be_appended_to_stops_the_start(
    ledger: Ledger, sabotage: str, told: str
) -> None:
    await ledger.sql.execute(sabotage)
    with pytest.raises(SettingsError, match=f"the self-test of the ledger main failed: .*{told}"):
        await Preflight(ledger.url, REVISION).rehearse(ledger.reader.ledgers)


async def test_a_probe_that_stays_stops_the_start(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transaction, "rollback", Transaction.commit)
    with pytest.raises(SettingsError, match="was rolled back and is there nevertheless"):
        await Preflight(ledger.url, REVISION).rehearse(ledger.reader.ledgers)


async def test_a_busy_ledger_is_waited_for(ledger: Ledger) -> None:
    appender = ledger.appender()

    async def busy() -> None:
        for _ in range(40):
            await appender.append_each([submission()])

    working = asyncio.create_task(busy())
    for _ in range(5):
        await Preflight(ledger.url, REVISION).rehearse(ledger.reader.ledgers)
    await working
    assert await ledger.check() == 40


async def test_the_service_does_not_start_and_a_running_one_says_what_has_become_wrong(
    database_url: str, admin: asyncpg.Connection[Any]
) -> None:
    shared = Shared.model_validate({"DATABASE_URL": database_url})
    service = ledger_service.build(shared, LedgerSettings(), Keyring())
    async with service.run():
        assert await service.checks["preflight"]() is None
        await _configure(admin, "SET synchronous_commit = off")
        assert "synchronous_commit is off" in str(await service.checks["preflight"]())
    again = ledger_service.build(shared, LedgerSettings(), Keyring())
    with pytest.raises(SettingsError, match="synchronous_commit is off for postgres"):
        async with again.run():
            pytest.fail("it has started")
