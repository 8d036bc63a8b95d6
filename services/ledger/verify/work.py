"""The work of verifying, cut into portions and spread over processes."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.tiles import WIDTH, TileReader
from services.ledger.sealing.leaves import Tampered
from services.ledger.sealing.naming import NameChecker
from services.ledger.sealing.shelf import Readable
from services.ledger.sealing.source import Source
from services.ledger.verify.portion import Portion, check_rows, check_tree

BUNDLES = 16
"""Bundles of one portion: 4,096 events."""
PORTION_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker gets. `url` and `naming` (PEM) only where rows are to be compared.

    `only`: a subject's uid; the leaves that name it are handed back (`Portion.found`). `key`: the
    vkey that has opened the head.
    """

    head: Checkpoint
    shelf: Readable
    ledger: str
    url: str | None = None
    naming: bytes = b""
    quick: bool = False
    only: bytes = b""
    key: str = ""

    def source(self) -> Source:
        """Open the database."""
        return Source(self.url or "", self.ledger, NameChecker.from_pem(self.naming))

    def tree(self) -> TileReader:
        """Open the tree."""
        return TileReader(self.head.size, self.head.root, self.shelf.read)


class Worker:
    """One process's connection, and the names that it has checked: none is checked twice."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._loop = asyncio.Runner()
        self._source = None if job.url is None else job.source()

    def check(self, bundles: range) -> Portion:
        """Check one portion. Raises what does not hold."""
        portion, entries = check_tree(self._job.tree(), bundles)
        if self._job.only:
            named = b'["%s",' % self._job.only.hex().encode()
            start = bundles.start * WIDTH + 1
            portion.found = [(n, e) for n, e in enumerate(entries, start) if named in e]
        elif self._source is not None:
            self._loop.run(self._compare(self._source, portion, entries, bundles.start * WIDTH))
        return portion

    def close(self) -> None:
        """Close the connection."""
        if self._source is not None:
            self._loop.run(self._source.aclose())
        self._loop.close()

    async def _compare(
        self, source: Source, portion: Portion, entries: Sequence[bytes], after: int
    ) -> None:
        quick = self._job.quick
        for at in range(0, len(entries), WIDTH):
            sealed = entries[at : at + WIDTH]
            rows = await source.rows(after + at, len(sealed))
            names = await source.names(rows)
            check_rows(portion, sealed, rows, names, after + at + 1, quick=quick)
            astray = None if quick else await source.astray(rows)
            if astray is not None:
                raise Tampered(astray, "a history of one of its subjects does not have it")


def portions(job: Job, bundles: range, workers: int) -> Iterator[Portion]:
    """Yield the portions of some bundles in order; the first bad one raises.

    With several workers `TimeoutError` for one that takes longer than `PORTION_SECONDS`.
    """
    ranges = [
        range(at, min(at + BUNDLES, bundles.stop))
        for at in range(bundles.start, bundles.stop, BUNDLES)
    ]
    if workers < 2 or len(ranges) < 2:  # noqa: PLR2004 - nothing to do side by side
        with closing(Worker(job)) as worker:
            yield from map(worker.check, ranges)
        return
    spawn = multiprocessing.get_context("spawn")
    pool, whole = ProcessPoolExecutor(workers, spawn, _begin, (job,)), False
    try:
        for each in [pool.submit(_check, each) for each in ranges]:
            yield each.result(timeout=PORTION_SECONDS)
        whole = True
    finally:
        if not whole:  # one that hangs would be waited for, for ever
            for process in list(pool._processes.values()):  # noqa: SLF001 - `kill_workers` of 3.14
                process.kill()
        pool.shutdown(cancel_futures=True)


_here: list[Worker] = []
"""The worker of this process."""


def _begin(job: Job) -> None:
    _here.append(Worker(job))


def _check(bundles: range) -> Portion:
    return _here[0].check(bundles)
