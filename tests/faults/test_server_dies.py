"""kill −9 of PostgreSQL with all its backends: nothing acknowledged is lost (I4)."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from services.kit import database
from services.ledger.store import Reader
from tests.faults.conftest import TRAPS, note, seeds
from tests.faults.doors import Engine, EngineProcess
from tests.faults.record import Record
from tests.faults.schedule import Run, Stage, play
from tests.faults.victim import Victim
from tests.faults.workload import Workload

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture(scope="module")
def victim(work_dir: Path) -> Iterator[Victim]:
    made = Victim(work_dir / "victim")
    with asyncio.Runner() as runner:
        runner.run(made.start())
        runner.run(_trap(made.url))
        yield made
        runner.run(made.stop())


async def _trap(url: str) -> None:
    sql = await asyncpg.connect(url)
    await sql.execute(TRAPS)
    await sql.close()


@contextlib.asynccontextmanager
async def staged(url: str) -> AsyncIterator[Stage]:
    """A stage whose own connections outlive the server."""
    engine = database.engine(url, "faults", size=2)
    stage = Stage(url, Reader(engine))
    yield stage
    await stage.reader.close()


@pytest.mark.parametrize("seed", seeds(0.03))
async def test_postgres_that_is_killed(victim: Victim, work_dir: Path, seed: int) -> None:
    async with staged(victim.url) as stage:
        chance = random.Random(f"postgres/{seed}")
        row = await stage.ledger()
        run = Run(stage, row, chance, Workload(chance, poison=False), [], Record(row.name))
        run.doors.append(Engine(stage.url, row))
        if chance.random() < 0.5:
            run.doors.append(await EngineProcess(stage.url, row, work_dir).open())

        async def kill(run: Run) -> None:
            await asyncio.sleep(run.chance.uniform(0, 0.3))
            await victim.kill()
            run.fired.append("PostgreSQL kill -9")
            await victim.up_again()

        await play(run, callers=chance.randint(2, 6), calls=6, disturbances=[kill])
        note(run.record, run.fired)
