"""The embedded servers: data outlives every kind of end, and no server outlives its run."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.embedded import (
    EmbeddedKafka,
    EmbeddedPostgres,
    EmbeddedUnavailable,
    default_cache_dir,
    embedded_postgres,
    guard,
)

ROOT = Path(__file__).parents[3]
CACHE = default_cache_dir(os.environ)
RUN = """
import asyncio, sys
from pathlib import Path
from deploy.embedded import EmbeddedKafka, EmbeddedPostgres

async def main(kind, home, cache):
    kinds = {"postgres": EmbeddedPostgres, "kafka": EmbeddedKafka}
    more = [Path(cache)] if kind == "kafka" else []
    server = kinds[kind](Path(home), *more)
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(300)

asyncio.run(main(*sys.argv[1:]))
"""


@contextmanager
def other_run(kind: str, home: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a server in another process, as `make run` would; yield that and the server's pid."""
    command = [sys.executable, "-c", RUN, kind, str(home), str(CACHE)]
    run = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert run.stdout is not None
    try:
        yield run, int(run.stdout.readline().split()[0])
    finally:
        run.kill()
        run.wait()
        run.stdout.close()


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while guard.started_at(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    return guard.started_at(pid) is None


async def put_row(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.dsn("postgres"))
    await connection.execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('ledger')")
    await connection.close()


async def kept_rows(server: EmbeddedPostgres) -> list[str]:
    connection = await asyncpg.connect(server.dsn("postgres"))
    rows = await connection.fetch("SELECT word FROM kept")
    await connection.close()
    return [row["word"] for row in rows]


async def put_record(server: EmbeddedKafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic("kept", num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=server.bootstrap_servers, acks="all") as producer:
        await producer.send_and_wait("kept", b"ledger")


async def kept_record(server: EmbeddedKafka) -> bytes | None:
    consumer = AIOKafkaConsumer(
        "kept", bootstrap_servers=server.bootstrap_servers, auto_offset_reset="earliest"
    )
    async with consumer:
        value: bytes | None = (await asyncio.wait_for(consumer.getone(), 20)).value
        return value


async def test_postgres_keeps_its_rows_and_its_address_between_starts(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path / "pg") as server:
        await put_row(server)
        pid, address = server.pid, server.dsn("postgres")
    assert pid is not None
    assert guard.started_at(pid) is None
    async with embedded_postgres(tmp_path / "pg", {"work_mem": "5MB"}) as server:
        assert await kept_rows(server) == ["ledger"]
        assert server.dsn("postgres") == address


async def test_postgres_works_with_sqlalchemy_in_a_deep_directory(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path / ("deep" * 20) / ("er" * 30)) as server:
        await server.ensure_database("release ledger")
        await server.ensure_database("release ledger")
        engine = create_async_engine(server.url("release ledger"))
        async with engine.connect() as connection:
            assert (await connection.execute(text("SHOW fsync"))).scalar() == "on"
        await engine.dispose()
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700
    server.socket_dir.rmdir()


@pytest.mark.kafka
async def test_kafka_keeps_its_records_between_starts_and_after_kill_9(
    tmp_path: Path, kafka_cache: Path
) -> None:
    server = EmbeddedKafka(tmp_path / "kafka", kafka_cache, print)
    await server.start()
    try:
        await put_record(server)
        address = server.bootstrap_servers
        await server.stop()
        await server.start()
        assert server.bootstrap_servers == address
        assert await kept_record(server) == b"ledger"
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.stop()
        await server.start()
        assert await kept_record(server) == b"ledger"
    finally:
        await server.stop()


@pytest.mark.kafka
async def test_both_start_side_by_side(tmp_path: Path, kafka_cache: Path) -> None:
    postgres, kafka = (
        EmbeddedPostgres(tmp_path / "pg"),
        EmbeddedKafka(tmp_path / "kafka", kafka_cache),
    )
    try:
        await asyncio.gather(postgres.start(), kafka.start())
        assert postgres.pid
        assert kafka.pid
    finally:
        await asyncio.gather(postgres.stop(), kafka.stop())


@pytest.mark.parametrize("kind", ["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_no_server_outlives_a_killed_process_group(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    if kind == "kafka":
        request.getfixturevalue("kafka_cache")
    with other_run(kind, tmp_path / kind) as (run, server_pid):
        os.killpg(run.pid, signal.SIGKILL)
        assert gone_within(server_pid, 15)


async def test_the_next_start_clears_what_a_killed_run_and_a_killed_guard_left(
    tmp_path: Path,
) -> None:
    home = tmp_path / "pg"
    with other_run("postgres", home) as (run, server_pid):
        await put_row(EmbeddedPostgres(home))
        os.kill(guard.read_record(home / "run.json")["guard"][0], signal.SIGKILL)
        os.killpg(run.pid, signal.SIGKILL)
        assert guard.started_at(server_pid) is not None
        async with embedded_postgres(home) as server:
            assert guard.started_at(server_pid) is None
            assert await kept_rows(server) == ["ledger"]


async def test_everything_killed_at_once_loses_no_committed_row(tmp_path: Path) -> None:
    home = tmp_path / "pg"
    with other_run("postgres", home) as (run, server_pid):
        await put_row(EmbeddedPostgres(home))
        os.kill(guard.read_record(home / "run.json")["guard"][0], signal.SIGKILL)
        os.kill(server_pid, signal.SIGKILL)
        os.killpg(run.pid, signal.SIGKILL)
        async with embedded_postgres(home) as server:
            assert await kept_rows(server) == ["ledger"]


async def test_a_reused_pid_in_the_stale_files_hits_nobody(tmp_path: Path) -> None:
    home = tmp_path / "pg"
    async with embedded_postgres(home) as server:
        await put_row(server)
        pid_file = (home / "cluster" / "postmaster.pid").read_text("utf-8")
    bystander = subprocess.Popen(["/bin/sleep", "60"])  # noqa: ASYNC220 - back at once
    try:
        guard.write_record(home / "run.json", {"server": (bystander.pid, "another start")})
        stale = "\n".join((str(bystander.pid), *pid_file.splitlines()[1:]))
        for left in (home / "cluster" / "postmaster.pid", home / "socket" / ".s.PGSQL.5432.lock"):
            left.write_text(stale)
        async with embedded_postgres(home) as server:
            assert await kept_rows(server) == ["ledger"]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_a_second_run_on_the_directory_is_refused_by_pid(tmp_path: Path) -> None:
    with other_run("postgres", tmp_path / "pg") as (run, server_pid):
        with pytest.raises(
            EmbeddedUnavailable, match=f"in use by process {run.pid}; stop that run first"
        ):
            await EmbeddedPostgres(tmp_path / "pg").start()
        assert guard.started_at(server_pid) is not None
