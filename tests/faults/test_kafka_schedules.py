"""Seeded schedules of faults on the whole way from the log to the read models.

Random batches are appended while relays, projectors, the broker and connections to PostgreSQL are
killed, frozen and cut; then everything is held against an independent fold of the ledger.

KAFKA_SCHEDULES: how many in all (default 10, some 80 s). FAULT_SEED: the first seed. A test's name
ends in its seed, and the seed is printed; run that name again to have the same draws.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedKafka, EmbeddedPostgres, default_cache_dir
from services.kit import clock
from tests.faults.conftest import SEED
from tests.faults.kafka_parts import Part, projector, relay, through
from tests.faults.kafka_world import World, batches, events, world
from tests.faults.proxy import Proxy, draw

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(240),
]
SCHEDULES = int(os.environ.get("KAFKA_SCHEDULES", "10"))
BROKER_SHARE = 4
"""Of so many schedules one also kills the broker; a start takes it some seconds."""
_TERMINATED = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database()
   AND application_name ~ '^release-ledger (faults relay|projector)'
"""
_USURPED = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN pg_locks USING (pid)
 WHERE datname = current_database() AND locktype = 'advisory' AND granted
   AND application_name = 'release-ledger projector'
"""


@pytest.fixture(scope="module")
def own_kafka(work_dir: Path) -> Iterator[EmbeddedKafka]:
    """A broker that may be killed."""
    server = EmbeddedKafka(work_dir / "killed-kafka", default_cache_dir(os.environ), print)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server
        runner.run(server.stop())


@dataclass
class Stage:
    """What a schedule can break."""

    here: World
    chance: random.Random
    broker: EmbeddedKafka
    relays: list[Part]
    projectors: list[Part]
    proxies: list[Proxy]
    fired: Counter[str] = field(default_factory=Counter)

    def part(self) -> tuple[str, Part]:
        """Draw a process."""
        kind = self.chance.choice(["relay", "projector"])
        return kind, self.chance.choice(self.relays if kind == "relay" else self.projectors)

    async def kill(self) -> None:
        kind, part = self.part()
        await part.kill()
        self.fired[f"{kind} kill -9"] += 1
        await asyncio.sleep(self.chance.uniform(0, 0.3))
        await part.again()

    async def freeze(self) -> None:
        kind, part = self.part()
        part.signal(signal.SIGSTOP)
        self.fired[f"{kind} SIGSTOP"] += 1
        await asyncio.sleep(self.chance.choice([0.1, 0.5, 1.5]))  # the last is longer than a lease
        part.signal(signal.SIGCONT)

    async def cut(self) -> None:
        self.chance.choice(self.proxies).cut_all()
        self.fired["connections cut"] += 1

    async def fault(self) -> None:
        self.chance.choice(self.proxies).arm(draw(self.chance))
        self.fired["fault armed"] += 1

    async def terminate(self) -> None:
        self.fired["backend terminated"] += len(await self.here.fetch(_TERMINATED))

    async def usurp(self) -> None:
        """Take the right to follow away while a projector stands still with events in its hand."""
        part = self.chance.choice(self.projectors)
        part.signal(signal.SIGSTOP)
        await asyncio.sleep(self.chance.uniform(0.1, 0.5))
        self.fired["right to follow lost"] += len(await self.here.fetch(_USURPED))
        await asyncio.sleep(1.5)  # who stands by has it by now
        part.signal(signal.SIGCONT)

    async def freeze_broker(self) -> None:
        pid = self.broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        self.fired["broker SIGSTOP"] += 1
        await asyncio.sleep(self.chance.uniform(0.1, 1))
        os.kill(pid, signal.SIGCONT)

    async def kill_broker(self) -> None:
        pid = self.broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self.fired["broker kill -9"] += 1
        await asyncio.sleep(self.chance.uniform(0, 1))
        await self.broker.stop()
        await self.broker.start()

    async def disturb(self, how_many: int, *, broker: bool) -> None:
        """Let so many things go wrong, one after the other; `broker`: with the broker, too."""
        usual = [self.kill, self.freeze, self.cut, self.fault, self.fault, self.terminate]
        usual += [self.usurp] * len(self.projectors)
        for _ in range(how_many):
            await asyncio.sleep(self.chance.uniform(0.05, 0.4))
            await self.chance.choice([*usual, self.freeze_broker] if broker else usual)()


@contextlib.asynccontextmanager
async def staged(
    here: World, chance: random.Random, broker: EmbeddedKafka, postgres: EmbeddedPostgres
) -> AsyncIterator[Stage]:
    """Start one or two of each, each with a proxy of its own before PostgreSQL."""
    stage = Stage(here, chance, broker, [], [], [])
    sockets = here.place.log.parent
    async with contextlib.AsyncExitStack() as stack:
        kinds = [relay] * chance.randint(1, 2) + [projector] * chance.choice([1, 2, 2])
        for number, kind in enumerate(kinds):
            proxy = Proxy(sockets / f"p{number}", postgres.socket_dir)
            await proxy.start()
            stack.push_async_callback(proxy.stop)
            stage.proxies.append(proxy)
            part = Part(kind, through(here.place, proxy.dsn(here.place.database)))
            stack.push_async_callback(part.kill)
            (stage.relays if kind is relay else stage.projectors).append(part)
        yield stage


async def append(stage: Stage, stories: int, seconds: float) -> None:
    """Append in batches of drawn sizes, at drawn moments of some seconds."""
    largest = stage.chance.choice([3, 20, 60])
    # Drawn beforehand: what goes wrong beside it must not change what is asked.
    some = list(batches(stage.chance, events(stage.chance, stories), largest))
    moments = sorted(stage.chance.uniform(0, seconds) for _ in some)
    began = clock.monotonic()
    for batch, moment in zip(some, moments, strict=True):
        await asyncio.sleep(max(0, began + moment - clock.monotonic()))
        await stage.here.append(batch)


@pytest.fixture
async def here(database_url: str, own_kafka: EmbeddedKafka, work_dir: Path) -> AsyncIterator[World]:
    folder = work_dir / f"ks-{database_url.rpartition('t_')[2][:8]}"  # short: sockets are in it
    folder.mkdir()
    async with world(database_url, own_kafka.bootstrap_servers, folder) as made:
        await made.begin()
        yield made


@pytest.mark.parametrize("seed", range(SEED, SEED + SCHEDULES))
async def test_everything_is_projected_once_whatever_breaks(
    here: World, own_kafka: EmbeddedKafka, postgres: EmbeddedPostgres, seed: int
) -> None:
    chance = random.Random(f"kafka/{seed}")
    async with staged(here, chance, own_kafka, postgres) as stage:
        appending = append(stage, chance.randint(6, 16), chance.uniform(1.5, 3.5))
        kills = seed % BROKER_SHARE == 0  # then nobody else may touch the broker
        work = [asyncio.create_task(appending)]
        await asyncio.sleep(0)
        disturbing = stage.disturb(chance.randint(3, 8), broker=not kills)
        work.append(asyncio.create_task(disturbing))
        if kills:
            await asyncio.sleep(0.5 + (seed % 7) / 5)  # while events are appended
            await stage.kill_broker()
        await asyncio.gather(*work)
        for proxy in stage.proxies:
            proxy.disarm()
        await here.judge()
    print(f"seed {seed}: {await here.head()} events, {dict(stage.fired)}")  # noqa: T201 - to be given again
