"""Ledger processes that share one ledger: each an engine and its callers, started together."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bench.cells import Bench, Figures, Measure, check
from bench.driving import tidy
from bench.meters import Window
from bench.report import latencies

ROOT = Path(__file__).resolve().parents[1]
_LINE_BYTES = 64 * 1024 * 1024


class Worker:
    """One process of `bench.worker`: told by lines of JSON, it answers in lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tell(self, said: Mapping[str, Any]) -> None:
        """Write one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(said).encode() + b"\n")
        await self._process.stdin.drain()

    async def answer(self) -> dict[str, Any]:
        """Wait for one line. An AssertionError when the process has ended instead."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "a process of the benchmark has ended before its time; see above"
        answered: dict[str, Any] = json.loads(line)
        return answered


@asynccontextmanager
async def worker(module: str) -> AsyncIterator[Worker]:
    """Run `python -m module` for the time of the block."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=pipe, stdout=pipe, cwd=ROOT, limit=_LINE_BYTES
    )
    try:
        yield Worker(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def in_processes(count: int, callers: int) -> Measure:
    """Return a cell: `callers` shared out to so many processes on one ledger."""

    async def measure(bench: Bench, seconds: float) -> Figures:
        tidy()
        async with bench.servers.copy() as url:
            share = callers // count
            asks = [
                {"url": url, "first": n * share, "callers": share, "seed": bench.chance.random()}
                for n in range(count)
            ]
            answers = await _drive(asks, seconds)
            await check(url, bench.prepared.head + sum(one["appended"] for one in answers))
        return figures(answers, seconds)

    return measure


async def _drive(asks: list[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
    async with AsyncExitStack() as stack:
        some = [await stack.enter_async_context(worker("bench.worker")) for _ in asks]
        for one, ask in zip(some, asks, strict=True):
            await one.tell(ask)
        for one in some:
            await one.answer()  # it is ready
        window = Window.after_warming(seconds)
        for one in some:
            await one.tell({"starts": window.starts, "ends": window.ends})
        return await asyncio.gather(*(one.answer() for one in some))


def figures(answers: list[dict[str, Any]], seconds: float) -> Figures:
    """Return what all processes did together, and how they shared it.

    lowest_share: of the events, by the process that stored the fewest (0.5 of two is fair).
    failed_tries: batches that found the head moved, for each batch that was stored.
    """
    events = [one["events"] for one in answers]
    took = [seconds for one in answers for seconds in one["took"]]
    batches = sum(one["batches"] for one in answers)
    return {
        "per_s": sum(events) / seconds,
        **latencies(took),
        "client_us": sum(one["cpu_us"] for one in answers) / sum(events),
        "peak_mb": max(one["peak_mb"] for one in answers),
        "lowest_share": min(events) / sum(events),
        "failed_tries": sum(one["moved"] for one in answers) / batches,
        "batch_events": sum(one["stored"] for one in answers) / batches,
    }
