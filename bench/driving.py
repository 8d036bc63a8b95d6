"""The closed loop: each caller asks, waits for the answer, asks again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from bench.meters import Window
from bench.workload import Call, Caller
from services import run
from services.kit import clock


class Design(Protocol):
    """One way to append."""

    async def append(self, calls: Sequence[Call], /) -> Sequence[Mapping[str, int]]:
        """Store the events of one request durably; return the versions of each one's subjects."""


async def drive(design: Design, callers: Sequence[Caller], window: Window, size: int = 1) -> None:
    """Let the callers send requests of `size` events from now to the end of the window."""

    async def work(caller: Caller) -> None:
        while (began := clock.monotonic()) < window.ends:
            calls = caller.request(size)
            for call, versions in zip(calls, await design.append(calls), strict=True):
                caller.learn(call, versions)
            window.note(began, size)

    async with asyncio.TaskGroup() as tasks:
        for caller in callers:
            tasks.create_task(work(caller))


def tidy() -> None:
    """Let nobody pay for what the cell before has left, or for the load's own objects.

    The collector's thresholds are those of the served ledger, for every cell in this process.
    """
    run.collect_less()
