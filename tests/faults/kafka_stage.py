"""What a round of schedules can break from outside: processes, the broker, PostgreSQL, connections.

A round is a list of steps. Each step hits every schedule of the round while it still appends, for
batches are told at which step they are due.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from deploy.embedded import EmbeddedKafka
from tests.faults.kafka_crowd import ledgers, projectors, relays
from tests.faults.kafka_faulty import STANDS_STILL, Crowd
from tests.faults.kafka_parts import Part, through
from tests.faults.kafka_proxy import KafkaProxy
from tests.faults.kafka_schedule import Schedule
from tests.faults.kafka_world import EVENTS, read_all
from tests.faults.proxy import Proxy, draw
from tests.faults.victim import Victim

_TERMINATED = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name ~ '^release-ledger' AND random() < $1
"""

Step: TypeAlias = Callable[[], Awaitable[None]]


@dataclass
class Servers:
    """A broker and a PostgreSQL that may be killed, and what stands before the broker."""

    broker: EmbeddedKafka
    proxy: KafkaProxy
    kafka: str
    """The proxy's address, to which the broker sends its clients."""
    postgres: Victim


@dataclass
class Topic:
    """What has been on the events topic since an offset, also what was deleted since."""

    kafka: str
    offset: int
    records: list[Any] = field(default_factory=list)

    async def read(self) -> int:
        """Read on to the end; return how much was new."""
        new = await read_all(self.kafka, self.offset)
        self.records += new
        self.offset = new[-1].offset + 1 if new else self.offset
        return len(new)

    async def delete(self) -> None:
        """Delete what we have read."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            await admin.delete_records({EVENTS: RecordsToDelete(before_offset=self.offset)})
        finally:
            await admin.close()


@dataclass
class Stage:
    """The processes of a round."""

    servers: Servers
    place: Crowd
    topic: Topic
    chance: random.Random
    schedules: list[Schedule]
    parts: dict[str, list[Part]] = field(default_factory=dict)
    proxies: list[Proxy] = field(default_factory=list)

    async def play(self, seed: int) -> None:
        """Do the steps of a round: every process dies once, a server too, and some more."""
        deaths: list[Step] = [
            functools.partial(self.kill, kind) for kind in ("ledger", "relay", "projector")
        ]
        more = [self.freeze, self.cut_database, self.arm, self.terminate]
        with_broker = [self.cut_broker, self.stall_broker, self.freeze_broker, self.delete_records]
        server = self.kill_broker if seed % 2 else self.kill_postgres
        steps = [*deaths, server, *self.chance.sample(with_broker, 2), self.chance.choice(more)]
        self.chance.shuffle(steps)
        for number, step in enumerate(steps):
            for schedule in self.schedules:
                schedule.reach(number)
            await asyncio.sleep(self.chance.uniform(0.1, 0.5))
            await step()
        for proxy in self.proxies:
            proxy.disarm()

    def note(self, fault: str) -> None:
        """Count a fault for the schedules that it finds at work."""
        for schedule in self.schedules:
            schedule.met[fault] += schedule.left > 0

    async def kill(self, kind: str) -> None:
        part = self.chance.choice(self.parts[kind])
        self.note(f"{kind} kill -9")
        await part.kill()
        await asyncio.sleep(self.chance.uniform(0, 0.3))
        await part.again()

    async def freeze(self) -> None:
        """Let a relay or a projector stand still; the longest is longer than a lease."""
        kind = self.chance.choice(["relay", "projector"])
        with self._frozen(self.chance.choice(self.parts[kind])):
            self.note(f"{kind} SIGSTOP")
            await asyncio.sleep(self.chance.choice([0.2, STANDS_STILL]))

    async def cut_database(self) -> None:
        """Lose the connections of one process to PostgreSQL."""
        self.note("PostgreSQL connections cut")
        self.chance.choice(self.proxies).cut_all()

    async def arm(self) -> None:
        """Lose connections at drawn messages of PostgreSQL's protocol."""
        for proxy in self.proxies:
            proxy.arm(draw(self.chance), draw(self.chance))
        self.note("PostgreSQL messages lost")

    async def terminate(self) -> None:
        """Let PostgreSQL end half of the sessions: the rights to follow move among processes."""
        sql = await asyncpg.connect(self.servers.postgres.url)
        assert await sql.fetchval(_TERMINATED, 0.5)
        await sql.close()
        self.note("PostgreSQL sessions terminated")

    async def cut_broker(self) -> None:
        if self.servers.proxy.cut_all():
            self.note("Kafka connections cut")

    async def stall_broker(self) -> None:
        """Let nothing pass to and from the broker, and then lose it."""
        self.servers.proxy.hold()
        self.note("Kafka connections stalled, then cut")
        await asyncio.sleep(self.chance.uniform(0.2, 1))
        self.servers.proxy.cut_all()
        self.servers.proxy.let_go()

    async def freeze_broker(self) -> None:
        pid = self.servers.broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        self.note("broker SIGSTOP")
        await asyncio.sleep(self.chance.uniform(0.1, 1))
        os.kill(pid, signal.SIGCONT)

    async def delete_records(self) -> None:
        """Empty the topic while no projector reads; what they lack they get from the ledger."""
        with contextlib.ExitStack() as stack:
            for part in self.parts["projector"]:
                stack.enter_context(self._frozen(part))
            await self.topic.read()
            async with asyncio.timeout(60):
                while not await self.topic.read():  # noqa: ASYNC110 - processes do it
                    await asyncio.sleep(0.2)
            await self.topic.delete()
            self.note("records deleted")

    async def kill_broker(self) -> None:
        pid = self.servers.broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self.note("broker kill -9")
        await asyncio.sleep(self.chance.uniform(0, 0.5))
        await self.servers.broker.stop()
        await self.servers.broker.start()

    async def kill_postgres(self) -> None:
        await self.servers.postgres.kill()
        self.note("PostgreSQL kill -9")
        await asyncio.sleep(self.chance.uniform(0, 0.3))
        await self.servers.postgres.up_again()

    @contextlib.contextmanager
    def _frozen(self, part: Part) -> Iterator[None]:
        part.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            part.signal(signal.SIGCONT)

    async def end(self) -> None:
        """Kill every process."""
        for part in itertools.chain(*self.parts.values()):
            await part.kill()

    @contextlib.asynccontextmanager
    async def playing(self, sockets: Path) -> AsyncIterator[None]:
        """Run the processes, the first of each kind with a proxy before PostgreSQL."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.end)
            kinds: dict[str, Callable[..., None]] = {
                "ledger": ledgers, "relay": relays, "projector": projectors,
            }  # fmt: skip
            for kind, run in kinds.items():
                proxy = Proxy(sockets / kind, self.servers.postgres.server.socket_dir)
                await proxy.start()
                stack.push_async_callback(proxy.stop)
                self.proxies.append(proxy)
                first = through(self._logging(f"{kind}-a"), proxy.dsn(self.place.database))
                if kind == "ledger":
                    self.parts[kind] = [Part(run, first)]
                else:
                    second = self._logging(f"{kind}-b")
                    self.parts[kind] = [Part(run, first, "a"), Part(run, second, "b")]
            yield

    def _logging(self, name: str) -> Crowd:
        return replace(self.place, log=self.place.log / f"{name}.log")
