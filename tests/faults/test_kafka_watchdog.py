"""The watchdog of a projector that is a process of its own, as a supervisor meets it.

A broker that goes away under a running projector ends nobody: the feed asks the ledger after a few
seconds of silence. One that cannot be met at the start keeps the feed shut; then /readyz says so
and the process ends, for a supervisor to start it again. So does one that cannot write.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import httpx2
import pytest

from deploy.embedded import EmbeddedKafka, default_cache_dir
from services.kit import clock
from tests.faults.kafka_world import World, events, world
from tests.story.served import Process, environment, free_port

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(240)]
STALL = 6
REFILLS_WITHIN = 7.0
"""The silence after which a feed asks the ledger, and a little."""


def projector(here: World, kafka: str, **more: str) -> Process:
    """Start `python -m services projector` for a ledger."""
    env = environment(
        DATABASE_URL=here.place.database, KAFKA_BOOTSTRAP_SERVERS=kafka,
        RLG_LEDGER_URL=here.place.http, RLG_GATEKEEPER_URL="http://127.0.0.1:1",
        RLG_SERVICE_KEY="demo-key", PROJECTOR_LEDGER=here.name,
    )  # fmt: skip
    return Process("projector", free_port(), env | more, here.place.log.with_suffix(".projector"))


async def until_not_ready(process: Process) -> str:
    """Wait until /readyz answers 503; return what it says of the projection."""
    async with asyncio.timeout(60), httpx2.AsyncClient() as http:
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                answer = await http.get(f"{process.url}/readyz", timeout=5)
                if answer.status_code == 503:
                    return str(answer.json()["missing"].get("projection"))
            await asyncio.sleep(0.1)


@contextlib.contextmanager
def gone() -> Iterator[str]:
    """An address where nobody listens."""
    yield f"127.0.0.1:{free_port()}"


@contextlib.contextmanager
def hanging() -> Iterator[str]:
    """An address where the kernel takes connections for somebody who never looks at them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("broker", [gone, hanging], ids=["gone", "hanging"])
async def test_who_cannot_open_the_feed_says_so_and_ends(
    database_url: str, tmp_path: Path, broker: Callable[[], contextlib.AbstractContextManager[str]]
) -> None:
    with broker() as kafka:
        await _ends_itself(database_url, kafka, tmp_path)


async def _ends_itself(database_url: str, kafka: str, logs: Path) -> None:
    async with world(database_url, kafka, logs) as here:
        head = await here.append(events(random.Random("watchdog"), 3))
        process = projector(here, kafka, PROJECTOR_STALL_SECONDS=str(STALL))
        try:
            said = await until_not_ready(process)
            assert said.startswith(f"{head} events wait and the cursor has not moved for"), said
            head = await here.append(events(random.Random("and on"), 3))
            code = await asyncio.to_thread(process.started.wait, 60)
            assert code == os.EX_TEMPFAIL, process.log.read_text()[-3000:]
            log = process.log.read_text()
            assert "process.gives_up" in log
            assert f"{here.name}: {head} events wait" in log
            assert await here.cursor() == 0
            # Started again with the ledger's own feed, nothing is lacking.
            process = projector(here, kafka, RLG_FEED="http")
            await here.projected(30)
            await here.judge_projection()
        finally:
            process.kill()


async def test_who_cannot_write_any_more_ends(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, "nobody:1", tmp_path) as here:
        await here.append(events(random.Random("locked"), 1))
        process = projector(here, "nobody:1", RLG_FEED="http", PROJECTOR_STALL_SECONDS=str(STALL))
        try:
            await here.projected(30)
            sql = await asyncpg.connect(database_url)
            async with sql.transaction():
                await sql.execute("LOCK TABLE projector.entry IN SHARE MODE")  # a dump takes less
                await here.append(events(random.Random("waits"), 1))
                assert "events wait" in await until_not_ready(process)
                assert await asyncio.to_thread(process.started.wait, 60) == os.EX_TEMPFAIL
            await sql.close()
            process.start()
            await here.projected(30)
            await here.judge_projection()
        finally:
            process.kill()


@pytest.mark.kafka
async def test_a_broker_that_freezes_under_a_running_projector_ends_nobody(
    database_url: str, work_dir: Path, tmp_path: Path
) -> None:
    stall = 16
    broker = EmbeddedKafka(
        work_dir / "frozen-kafka", default_cache_dir(os.environ), print, port=free_port()
    )
    await broker.start()
    pid = broker.pid
    assert pid is not None
    try:
        async with world(database_url, broker.bootstrap_servers, tmp_path) as here:
            await here.begin()
            head = await here.append(events(random.Random("freeze"), 2))
            process = projector(here, broker.bootstrap_servers, PROJECTOR_STALL_SECONDS=str(stall))
            try:
                await here.projected(30)
                os.kill(pid, signal.SIGSTOP)
                frozen = clock.monotonic()
                while clock.monotonic() - frozen < 1.3 * stall:
                    head = await here.append(events(random.Random(f"{head}"), 1))
                    await here.projected(REFILLS_WITHIN + 3, to=head)
                assert process.started.poll() is None
                os.kill(pid, signal.SIGCONT)
                await here.append(events(random.Random("after"), 1))
                await here.projected(REFILLS_WITHIN)
                assert httpx2.get(f"{process.url}/readyz", timeout=5).status_code == 200
                await here.judge_projection()
            finally:
                process.kill()
    finally:
        os.kill(pid, signal.SIGCONT)
        await broker.stop()
