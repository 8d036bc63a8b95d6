"""What can go wrong beside the callers of a schedule. Each runs until the callers are done."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from tests.faults.doors import EngineProcess
from tests.faults.proxy import Fault, Proxy, draw
from tests.faults.schedule import Disturbance, Run

_WRITERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'release-ledger%writer%' || $1
"""


async def _while_it_lasts(run: Run, least: float, most: float) -> bool:
    """Wait a drawn time; False when the callers are done before."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(run.chance.uniform(least, most)):
            await run.over.wait()
    return not run.over.is_set()


def cuts(proxies: Sequence[Proxy], how_many: int) -> Disturbance:
    """Arm drawn faults, one after the other."""

    async def disturb(run: Run) -> None:
        armed: list[Fault] = []
        for _ in range(how_many):
            armed.append(draw(run.chance))
            run.chance.choice(proxies).arm(armed[-1])
            if not await _while_it_lasts(run, 0, 0.06):
                break
        for proxy in proxies:
            await run.over.wait()
            proxy.disarm()
        run.fired += [str(fault) for fault in armed if fault.fired]

    return disturb


async def terminated_backends(run: Run) -> None:
    """End the writers' server processes at random moments."""
    sql = await asyncpg.connect(run.stage.url)
    try:
        for _ in range(run.chance.randint(1, 5)):
            if not await _while_it_lasts(run, 0.005, 0.15):
                break
            ended = await sql.fetch(_WRITERS, run.row.name)
            run.fired += ["backend terminated"] * len(ended)
    finally:
        await sql.close()


def killed_engine(replace: Callable[[Run, int], Awaitable[None]]) -> Disturbance:
    """Kill −9 an engine's process at a random moment and start another one in its place."""

    async def disturb(run: Run) -> None:
        for _ in range(run.chance.randint(1, 3)):
            if not await _while_it_lasts(run, 0.01, 0.2):
                break
            index = run.chance.randrange(len(run.doors))
            victim = run.doors[index]
            assert isinstance(victim, EngineProcess)
            victim.signal(signal.SIGKILL)
            run.fired.append("engine kill -9")
            await victim.stop()
            await replace(run, index)

    return disturb


async def stopped_engine(run: Run) -> None:
    """Freeze an engine's process for a while (SIGSTOP), while others go on, and wake it again."""
    for _ in range(run.chance.randint(1, 3)):
        if not await _while_it_lasts(run, 0.005, 0.1):
            break
        victim = run.chance.choice(run.doors)
        assert isinstance(victim, EngineProcess)
        victim.signal(signal.SIGSTOP)
        run.fired.append("engine SIGSTOP")
        await asyncio.sleep(run.chance.uniform(0.01, 0.3))
        victim.signal(signal.SIGCONT)
