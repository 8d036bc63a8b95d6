"""The product in three shapes, each started once: the same story is told to all of them."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.embedded import EmbeddedKafka, EmbeddedPostgres, default_cache_dir
from migrations.run import upgrade
from tests.story.served import Shape, all_in_one, apart

SHAPES = (
    pytest.param("one process, fed by Kafka", marks=pytest.mark.kafka),
    pytest.param("three processes, fed by Kafka", marks=pytest.mark.kafka),
    "one process, fed by HTTP",
)


async def _database(postgres: EmbeddedPostgres, name: str) -> str:
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
    finally:
        await admin.close()
    return postgres.dsn(name)


@pytest.fixture(scope="session", params=SHAPES)
def shape(
    request: pytest.FixtureRequest, work_dir: Path, postgres: EmbeddedPostgres
) -> Iterator[Shape]:
    if str(request.param).startswith("one process, fed by Kafka"):
        request.getfixturevalue("kafka")  # skips, or fails under CI=true, where there is no broker
        yield request.getfixturevalue("one_process")
        return
    made = _start(request, work_dir, postgres)
    yield made
    made.stop()


def _start(request: pytest.FixtureRequest, work_dir: Path, postgres: EmbeddedPostgres) -> Shape:
    name = str(request.param)
    if name.endswith("HTTP"):
        return all_in_one(name, work_dir / f"story-http-{uuid.uuid4().hex[:8]}", RLG_FEED="http")
    request.getfixturevalue("kafka")
    again = uuid.uuid4().hex[:8]  # a worker may be given the two files apart, with others between
    url = asyncio.run(_database(postgres, f"story_{again}"))
    upgrade(url)
    folder = work_dir / f"story-{again}"
    folder.mkdir()
    # A broker of its own: the session's one may hold events of other ledgers called `main`.
    broker = EmbeddedKafka(folder / "kafka", default_cache_dir(os.environ))
    runner = asyncio.Runner()
    runner.run(broker.start())
    made = apart(name, folder, url, broker.bootstrap_servers)
    request.addfinalizer(runner.close)
    request.addfinalizer(lambda: runner.run(broker.stop()))
    return made
