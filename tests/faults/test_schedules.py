"""Hundreds of seeded schedules on a real PostgreSQL, each judged by the oracle (I1–I7)."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedPostgres
from tests.faults import disturb
from tests.faults.conftest import note, seeds
from tests.faults.doors import Door, Engine, EngineProcess
from tests.faults.proxy import Proxy
from tests.faults.record import Record
from tests.faults.schedule import Disturbance, Run, Stage, play
from tests.faults.workload import Workload

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


async def setting(stage: Stage, seed: int, family: str) -> Run:
    chance = random.Random(f"{family}/{seed}")
    row = await stage.ledger()
    workload = Workload(chance, largest=chance.choice([2, 5, 20]))
    return Run(stage, row, chance, workload, [], Record(row.name))


async def played(run: Run, *disturbances: Disturbance) -> None:
    callers = run.chance.randint(2, 6)
    await play(run, callers=callers, calls=run.chance.randint(2, 5), disturbances=disturbances)
    note(run.record, run.fired)


@contextlib.asynccontextmanager
async def proxies(postgres: EmbeddedPostgres, how_many: int) -> AsyncIterator[Sequence[Proxy]]:
    with tempfile.TemporaryDirectory(prefix="rlg-px-") as place:
        some = [Proxy(Path(place) / str(n), postgres.socket_dir) for n in range(how_many)]
        for proxy in some:
            await proxy.start()
        try:
            yield some
        finally:
            for proxy in some:
                await proxy.stop()


@pytest.mark.parametrize("seed", seeds(0.2))
async def test_many_callers_on_several_engines(stage: Stage, seed: int) -> None:
    run = await setting(stage, seed, "crowd")
    run.doors += [Engine(stage.url, run.row) for _ in range(run.chance.randint(1, 3))]
    run.impatience = run.chance.choice([0, 0, 0.2])
    await played(run)


@pytest.mark.parametrize("seed", seeds(0.5))
async def test_connections_cut_at_any_step(
    stage: Stage, postgres: EmbeddedPostgres, seed: int
) -> None:
    run = await setting(stage, seed, "cut")
    async with proxies(postgres, run.chance.randint(1, 2)) as some:
        run.doors += [Engine(proxy.dsn(stage.url), run.row) for proxy in some]
        await played(run, disturb.cuts(some, run.chance.randint(1, 8)))


@pytest.mark.parametrize("seed", seeds(0.1))
async def test_backends_that_are_terminated(stage: Stage, seed: int) -> None:
    run = await setting(stage, seed, "backend")
    run.doors += [Engine(stage.url, run.row) for _ in range(run.chance.randint(1, 2))]
    await played(run, disturb.terminated_backends)


@pytest.mark.parametrize("seed", seeds(0.1))
async def test_engine_processes_that_are_killed(stage: Stage, work_dir: Path, seed: int) -> None:
    run = await setting(stage, seed, "kill")

    async def engine() -> Door:
        return await EngineProcess(stage.url, run.row, work_dir).open()

    async def replace(_: Run, index: int) -> None:
        run.doors[index] = await engine()

    run.doors += [await engine() for _ in range(run.chance.randint(1, 2))]
    await played(run, disturb.killed_engine(replace))


@pytest.mark.parametrize("seed", seeds(0.07))
async def test_engine_processes_that_freeze(stage: Stage, work_dir: Path, seed: int) -> None:
    run = await setting(stage, seed, "freeze")
    run.doors += [await EngineProcess(stage.url, run.row, work_dir).open() for _ in range(2)]
    await played(run, disturb.stopped_engine)
