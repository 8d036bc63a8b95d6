"""Seeded schedules of faults on the whole way from the log to the read models.

A schedule is one ledger: random batches, and what goes wrong with its relay and its projector
alone. Schedules play in rounds, many at once in the same few processes, so that one expensive
fault – kill -9 of a process, of the broker, of PostgreSQL – hits all of them. Then each is held
against an independent fold of its ledger.

KAFKA_SCHEDULES: how many in all (default 200). FAULT_SEED: the first round. A test's name ends in
its round; run that name again to have the same draws.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedKafka, default_cache_dir
from services.kit.kafka import ensure_topics
from services.kit.remote import Client
from tests.faults.conftest import SEED, note_schedules
from tests.faults.kafka_faulty import Crowd
from tests.faults.kafka_proxy import KafkaProxy
from tests.faults.kafka_schedule import Schedule
from tests.faults.kafka_stage import Servers, Stage, Topic
from tests.faults.kafka_world import audit
from tests.faults.victim import Victim
from tests.story.served import free_port

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(420),
]
SCHEDULES = int(os.environ.get("KAFKA_SCHEDULES", "200"))
A_ROUND = 50
"""Schedules that play at once."""
STEPS = 7
ROUNDS = range(SEED, SEED + -(-SCHEDULES // A_ROUND))


@pytest.fixture(scope="module")
def servers(work_dir: Path) -> Iterator[Servers]:
    """A broker and a PostgreSQL that may be killed."""
    port = free_port()
    victim = Victim(work_dir / "killed-pg", {"max_connections": "400"})
    broker = EmbeddedKafka(
        work_dir / "killed-kafka", default_cache_dir(os.environ), advertised_port=port
    )
    with asyncio.Runner() as runner:

        async def start() -> Servers:
            await asyncio.gather(broker.start(), victim.start())
            await audit(victim.url)
            own = int(broker.bootstrap_servers.rpartition(":")[2])
            return Servers(broker, KafkaProxy(port, own), f"127.0.0.1:{port}", victim)

        yield runner.run(start())
        runner.run(broker.stop())
        runner.run(victim.stop())


@pytest.fixture
async def stage(
    servers: Servers, work_dir: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Stage]:
    """The processes of a round, and the schedules that play on them."""
    seed = request.getfixturevalue("seed")
    folder = work_dir / f"ks{seed}"  # short: sockets are in it
    folder.mkdir()
    schedules = [Schedule(f"{seed}/{number}", STEPS) for number in range(A_ROUND)]
    place = Crowd(
        ledger="", database=servers.postgres.url, kafka=servers.kafka,
        http=f"http://127.0.0.1:{free_port()}", log=folder,
        ledgers=tuple(each.name for each in schedules), seed=str(seed), notes=folder / "notes",
    )  # fmt: skip
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(servers.proxy.listening())
        await ensure_topics(servers.kafka)
        topic = Topic(servers.kafka, 0)
        await topic.read()
        topic.records.clear()
        made = Stage(servers, place, topic, random.Random(f"round/{seed}"), schedules)
        await stack.enter_async_context(made.playing(folder))
        yield made


@pytest.mark.parametrize("seed", ROUNDS)
async def test_everything_is_projected_once_whatever_breaks(stage: Stage, seed: int) -> None:
    client = Client(stage.place.http, "demo-key")
    appending = [asyncio.create_task(each.append(client)) for each in stage.schedules]
    try:
        await stage.play(seed)
        await asyncio.gather(*appending)
        fired = await judge(stage)
    finally:
        for task in appending:
            task.cancel()
        await asyncio.gather(*appending, return_exceptions=True)
        await client.close()
    print(f"round {seed}: {dict(fired)}")  # noqa: T201 - to be given again
    note_schedules(len(stage.schedules), fired)


async def judge(stage: Stage) -> Counter[str]:
    """Settle, and hold each schedule against its ledger; return what happened to all of them."""
    await asyncio.gather(*(each.open(stage.place) for each in stage.schedules))
    for each in stage.schedules:
        await each.settled()
    await stage.end()  # the judge needs the processors
    await stage.topic.read()
    notes = stage.place.notes.read_text().splitlines()
    for each in stage.schedules:
        each.met.update(line.partition(" ")[2] for line in notes if line.startswith(each.name))
        await each.judge(stage.topic.records)
    return sum((each.met for each in stage.schedules), Counter())
