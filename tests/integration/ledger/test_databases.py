"""Several ledgers: in one database, in several, with one of them away, and none that moves."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from sqlalchemy.engine import make_url

from contracts.problem import NotFound, Unavailable
from deploy.embedded import EmbeddedPostgres
from services.kit import clock, database
from services.kit.identity import Keyring, demo_key
from services.kit.settings import SettingsError, Shared
from services.ledger import settling
from services.ledger.appender import Appender
from services.ledger.service import build
from services.ledger.settings import LedgerSettings
from services.ledger.store import Reader
from services.ledger.writer import LOCK, Writer
from tests.integration.ledger.bulk import fill
from tests.integration.ledger.conftest import Ledger, submission
from tests.story.served import ROOT, environment

pytestmark = pytest.mark.postgres
EVENT = {"specversion": "1.0", "source": "/s", "type": "x.y", "subject": "change:acme/pay@1"}
NOWHERE = "postgresql://nobody@/x?host=/nowhere"


class Other:
    """A second migrated database that can be shut and opened again."""

    def __init__(self, admin: asyncpg.Connection[Any], name: str, url: str) -> None:
        self._admin = admin
        self._name = name
        self.url = url

    async def shut(self) -> None:
        await self._admin.execute(f'ALTER DATABASE "{self._name}" ALLOW_CONNECTIONS false')
        await self._admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", self._name
        )

    async def reopen(self) -> None:
        await self._admin.execute(f'ALTER DATABASE "{self._name}" ALLOW_CONNECTIONS true')


@pytest.fixture
async def other(postgres: EmbeddedPostgres, template_database: str) -> AsyncIterator[Other]:
    name = f"t_{uuid.uuid4().hex[:16]}"
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}"')
    yield Other(admin, name, postgres.dsn(name))
    await admin.close()


@contextlib.asynccontextmanager
async def readers(url: str, **elsewhere: str) -> AsyncIterator[Reader]:
    """A reader with ledgers in other databases."""
    engines = {name: database.engine(place, "test") for name, place in elsewhere.items()}
    reader = Reader(database.engine(url, "test"), engines)
    try:
        yield reader
    finally:
        await reader.close()


@contextlib.asynccontextmanager
async def served(url: str, databases: str, names: str) -> AsyncIterator[httpx2.AsyncClient]:
    settings = LedgerSettings(names=names, databases=databases)
    service = build(Shared(DATABASE_URL=url), settings, Keyring([demo_key()]))
    async with (
        service.run(),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=service.app),
            base_url="http://ledger",
            headers={"authorization": "Bearer demo-key"},
        ) as client,
    ):
        yield client


async def append(http: httpx2.AsyncClient, ledger: str, id_: int) -> int:
    answer = await http.post(f"/v1/ledgers/{ledger}/events", json={**EVENT, "id": str(id_)})
    return answer.status_code


async def read(http: httpx2.AsyncClient, ledger: str) -> list[int] | int:
    answer = await http.get(f"/v1/ledgers/{ledger}/events")
    if answer.status_code != 200:
        return int(answer.status_code)
    return [event["position"] for event in answer.json()["events"]]


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    deadline = clock.monotonic() + seconds
    while not await condition():
        assert clock.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_ledger_lives_in_the_database_that_the_settings_name(
    database_url: str, other: Other
) -> None:
    async with served(database_url, f"acme={other.url}", "main,acme") as http:
        assert [await append(http, "main", 1), await append(http, "acme", 1)] == [201, 201]
        assert await append(http, "acme", 2) == 201
        assert (await read(http, "main"), await read(http, "acme")) == ([1], [1, 2])
        poll = asyncio.create_task(http.get("/v1/ledgers/acme/events?after=2&wait=20"))
        await asyncio.sleep(0.3)
        started = clock.monotonic()
        await append(http, "acme", 3)
        assert [e["position"] for e in (await poll).json()["events"]] == [3]
        assert clock.monotonic() - started < 0.9  # woken, not polled
        ready = (await http.get("/readyz")).json()
        assert ready == {"status": "ready", "missing": {}, "degraded": {}}
    for url, count in ((database_url, 1), (other.url, 3)):
        sql = await asyncpg.connect(url)
        assert await sql.fetchval("SELECT count(*) FROM ledger.event") == count
        assert await sql.fetchval("SELECT count(*) FROM ledger.ledger") == 1
        await sql.close()


async def test_one_database_that_goes_away_takes_only_its_own_ledgers_along(
    database_url: str, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "GIVE_UP_SECONDS", 0.5)
    async with served(database_url, f"acme={other.url}", "main,acme") as http:
        assert [await append(http, "main", 1), await append(http, "acme", 1)] == [201, 201]
        await other.shut()
        assert await read(http, "acme") == 503
        assert await append(http, "acme", 2) == 503
        assert await append(http, "main", 2) == 201
        assert await read(http, "main") == [1, 2]
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert list(ready.json()["degraded"]) == ["database of acme", "epoch of acme"]
        await other.reopen()
        await until(lambda: _is(read(http, "acme"), [1]))
        assert await append(http, "acme", 2) == 201


async def _is(answer: Awaitable[Any], wanted: Any) -> bool:
    return bool(await answer == wanted)


async def test_a_database_that_is_away_at_the_start_is_opened_when_it_comes(
    database_url: str, other: Other
) -> None:
    async with readers(database_url, acme=other.url) as reader:
        await reader.open(["main", "acme"])
    await other.shut()
    async with served(database_url, f"acme={other.url}", "main,acme") as http:
        assert await append(http, "main", 1) == 201
        assert [await append(http, "acme", 1), await read(http, "acme")] == [503, 503]
        assert await read(http, "nope") == 404
        await other.reopen()
        await until(lambda: _is(append(http, "acme", 1), 201))
        await until(lambda: _is(_status(http), "ready"))


async def _status(http: httpx2.AsyncClient) -> str:
    return str((await http.get("/readyz")).json()["status"])


async def test_the_main_database_may_be_the_one_that_is_away(
    database_url: str, other: Other
) -> None:
    async with readers(database_url, main=other.url) as reader:
        await reader.open(["acme", "main"])
    await other.shut()
    async with served(other.url, f"acme={database_url}", "main,acme") as http:
        assert [await append(http, "acme", 1), await append(http, "main", 1)] == [201, 503]


async def test_with_no_database_at_all_the_service_does_not_start() -> None:
    with pytest.raises(Unavailable):
        async with served(NOWHERE, f"acme={NOWHERE}1", "main,acme"):
            pass


async def test_a_ledger_never_moves_silently(database_url: str, other: Other) -> None:
    async with readers(database_url) as reader:
        await reader.open(["acme"])
        writing = Appender(Writer(database_url, reader.ledger("acme")))
        task = asyncio.create_task(writing.run())
        await writing.append_each([submission()])
        task.cancel()
    says = "acme has events in the database of DATABASE_URL, and the settings say that it lives in"
    with pytest.raises(SettingsError, match=says):
        async with served(database_url, f"acme={other.url}", "main,acme"):
            pass
    says = "acme has events in the database of beta, and the settings say .* of DATABASE_URL"
    async with readers(other.url, beta=database_url) as reader:
        with pytest.raises(SettingsError, match=says):
            await reader.open(["acme", "beta"])
        assert reader.ledgers == []
    sql = await asyncpg.connect(other.url)
    assert await sql.fetchval("SELECT count(*) FROM ledger.ledger") == 0
    await sql.close()


async def test_a_refused_start_ends_with_the_sentence(
    database_url: str, other: Other, tmp_path: Path
) -> None:
    async with readers(database_url) as reader:
        await reader.open(["acme"])
        sql = await asyncpg.connect(database_url)
        await fill(sql, reader.ledger("acme").id, 3)
        await sql.close()
    env = environment(
        DATABASE_URL=other.url,
        LEDGER_NAMES="acme,beta",
        LEDGER_DATABASES=f"beta={database_url}",
        RLG_PORT="0",
        RLG_DEV="1",
        RLG_DATA=str(tmp_path),
    )
    command = [sys.executable, "-m", "services", "ledger"]
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    said = (await process.communicate())[1].decode().splitlines()
    assert process.returncode == 1
    assert said[-1].startswith("release-ledger: the ledger acme has events in the database of beta")


async def test_two_urls_of_one_database_are_one_place(database_url: str) -> None:
    async with readers(database_url) as reader:
        await reader.open(["acme"])
        writing = Appender(Writer(database_url, reader.ledger("acme")))
        task = asyncio.create_task(writing.run())
        await writing.append_each([submission()])
        task.cancel()
    url = make_url(database_url).set(password="x").render_as_string(hide_password=False)
    assert url != database_url
    async with readers(database_url, acme=url) as reader:
        await reader.open(["main", "acme"])
        assert (await reader.head("acme"))[0] == 1


async def test_a_ledger_is_not_created_while_a_database_that_may_have_it_is_away(
    database_url: str, other: Other
) -> None:
    async with readers(database_url, acme=NOWHERE) as reader:
        with pytest.raises(Unavailable):
            await reader.open(["main", "acme"])
        for name in ("main", "acme"):
            with pytest.raises(Unavailable):
                await reader.page(name, 0)
        with pytest.raises(NotFound):
            await reader.page("nope", 0)
    async with readers(database_url, acme=other.url) as reader:
        await reader.open(["main", "acme"])
        assert len(reader.ledgers) == 2


async def test_the_ledgers_of_one_database_are_independent(ledger: Ledger) -> None:
    reader = ledger.reader
    await reader.open(["main", "other"])
    appenders = {
        name: Appender(Writer(ledger.url, reader.ledger(name))) for name in ("main", "other")
    }
    running = [asyncio.create_task(one.run()) for one in appenders.values()]

    async def many(name: str, caller: int) -> None:
        for n in range(15):
            same = submission("s:1", f"s:{caller}", id=f"{caller}-{n}")
            (outcome,) = await appenders[name].append_each([same])
            assert outcome.kind == "appended"

    await asyncio.gather(*(many(name, caller) for name in appenders for caller in range(8)))
    for name in appenders:
        page = await reader.page(name, 0, 1000)
        assert [event.position for event in page.events] == list(range(1, 121))
        history = await reader.history(name, "s:1", limit=1000)
        assert [event.versions["s:1"] for event in history.events] == list(range(1, 121))
        assert {len(event.versions) for event in history.events} == {1, 2}
    for task in running:
        task.cancel()


async def test_an_append_to_one_ledger_does_not_wait_for_the_lock_of_another(
    ledger: Ledger,
) -> None:
    reader = ledger.reader
    await reader.open(["main", "other"])
    appenders = [Appender(Writer(ledger.url, row)) for row in reader.ledgers]
    running = [asyncio.create_task(one.run()) for one in appenders]
    async with ledger.sql.transaction():
        held = reader.ledger("main").id
        await ledger.sql.execute("SELECT pg_advisory_xact_lock($1, $2)", LOCK, held)
        waiting = asyncio.create_task(appenders[0].append_each([submission()]))
        (outcome,) = await asyncio.wait_for(appenders[1].append_each([submission()]), 3)
        assert outcome.kind == "appended"
        assert not waiting.done()
    assert (await waiting)[0].kind == "appended"
    for task in running:
        task.cancel()


async def test_a_primary_that_was_replaced_is_not_admitted_however_often_it_is_tried(
    database_url: str, other: Other
) -> None:
    async with readers(database_url, acme=other.url) as reader:
        await reader.open(["main", "acme"])
    await other.shut()
    settings = LedgerSettings(names="main,acme", databases=f"acme={other.url}", min_epoch="acme=2")
    service = build(Shared(DATABASE_URL=database_url), settings, Keyring([demo_key()]))
    transport = httpx2.ASGITransport(app=service.app)
    who = {"authorization": "Bearer demo-key"}
    async with (
        service.run(),
        httpx2.AsyncClient(transport=transport, base_url="http://ledger", headers=who) as http,
    ):
        assert await append(http, "acme", 1) == 503
        await other.reopen()
        for _ in range(8):  # tried again and again, by the appender's task and by callers
            await asyncio.sleep(0.3)
            assert await append(http, "acme", 1) == 503
        degraded = (await http.get("/readyz")).json()["degraded"]
        assert "a primary that was replaced" in str(degraded)
        assert await append(http, "main", 1) == 201
