"""Any course of calls, restarts and lost connections on the real appender, drawn by hypothesis.

The schedules beside this file find what needs many callers; this one makes what it finds small.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from deploy.embedded import EmbeddedPostgres
from services.kit import database
from services.ledger.store import Reader
from tests.faults.doors import Engine
from tests.faults.proxy import Fault, Proxy, draw
from tests.faults.record import LATE_POISON, POISON, Record
from tests.faults.schedule import Run, Stage
from tests.faults.workload import FINE, Ask, Workload

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


def event(number: int, type_: str, subjects: list[str], content: str) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": f"id-{number}", "source": "/a", "type": type_,
        "subjects": ",".join(subjects), "data": content,
    }  # fmt: skip


names = st.sampled_from(["s:1", "s:2", "s:3", "s:4"])
events = st.builds(
    event,
    st.integers(1, 12),
    st.sampled_from([FINE] * 8 + [POISON, LATE_POISON]),
    st.lists(names, min_size=1, max_size=3, unique=True),
    st.sampled_from("xxxxy"),
)
expectations = st.dictionaries(names, st.integers(0, 4), max_size=2)
asks = st.builds(Ask, st.lists(events, min_size=1, max_size=4), st.none() | expectations)
faults = st.integers(0, 1 << 32).map(lambda seed: draw(random.Random(seed)))


class Appending(RuleBasedStateMachine):
    """Two engines on one ledger, each behind a proxy."""

    url: ClassVar[str]
    proxies: ClassVar[list[Proxy]]
    runner: ClassVar[asyncio.Runner]

    def __init__(self) -> None:
        super().__init__()
        self.run = self.runner.run(self._begin())

    async def _begin(self) -> Run:
        stage = Stage(self.url, Reader(database.engine(self.url, "machine", size=2)))
        row = await stage.ledger()
        run = Run(stage, row, random.Random(0), Workload(random.Random(0)), [], Record(row.name))
        run.doors += [Engine(proxy.dsn(self.url), row) for proxy in self.proxies]
        return run

    @rule(which=st.integers(0, 1), ask=asks)
    def one(self, which: int, ask: Ask) -> None:
        self.runner.run(self.run.ask(self.run.doors[which], ask))

    @rule(some=st.lists(st.tuples(st.integers(0, 1), asks), min_size=2, max_size=5))
    def together(self, some: list[tuple[int, Ask]]) -> None:
        async def all_at_once() -> None:
            await asyncio.gather(*(self.run.ask(self.run.doors[which], ask) for which, ask in some))

        self.runner.run(all_at_once())

    @rule(which=st.integers(0, 1), fault=faults)
    def break_next(self, which: int, fault: Fault) -> None:
        self.proxies[which].arm(fault)

    @rule(which=st.integers(0, 1))
    def restart(self, which: int) -> None:
        async def again() -> None:
            await self.run.doors[which].stop()
            self.run.doors[which] = Engine(self.proxies[which].dsn(self.url), self.run.row)

        self.runner.run(again())

    def teardown(self) -> None:
        self.runner.run(self._end())

    async def _end(self) -> None:
        for proxy in self.proxies:
            proxy.disarm()
        for door in self.run.doors:
            await door.stop()
        await self.run.settle()
        await self.run.stage.reader.close()
        for door in self.run.doors:
            assert not door.falls, door.falls  # type: ignore[attr-defined]


@pytest.fixture
def machine(
    fault_database: str, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[type[Appending]]:
    with asyncio.Runner() as runner:
        place = tmp_path_factory.mktemp("px")
        Appending.url, Appending.runner = fault_database, runner
        Appending.proxies = [Proxy(place / str(n), postgres.socket_dir) for n in range(2)]
        for proxy in Appending.proxies:
            runner.run(proxy.start())
        yield Appending
        for proxy in Appending.proxies:
            runner.run(proxy.stop())


def test_any_course_of_calls_and_faults_is_explained_by_a_serial_ledger(
    machine: type[Appending],
) -> None:
    few = settings(
        max_examples=12, stateful_step_count=10, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=few)
