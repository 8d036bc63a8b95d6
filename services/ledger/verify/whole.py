"""Verifies a ledger whole: its tree, and with a database every row under it, on all cores.

Never passes on an error: whatever is not shown to be right is a finding or an exception. Never
hangs: each portion has a time limit.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from services.kit.tlog import merkle
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.merkle import ProofError, verify_consistency
from services.kit.tlog.tiles import WIDTH, TileReader
from services.ledger.sealing.leaves import Tampered
from services.ledger.sealing.naming import NameChecker
from services.ledger.sealing.shelf import Shelf
from services.ledger.sealing.source import Source
from services.ledger.verify.portion import Portion, check_rows, check_tree, redactions_in
from services.ledger.verify.tally import Broken

BUNDLES = 16
"""Bundles of one portion: 4,096 events."""
PORTION_SECONDS = 300


class Refused(Exception):
    """The ledger is not what was sealed; the message names the first bad position."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker gets. `url` and `naming` (PEM) only where rows are to be compared."""

    head: Checkpoint
    shelf: Shelf
    ledger: str
    url: str | None = None
    naming: bytes = b""
    quick: bool = False


@dataclass
class Report:
    """What was verified. `unsealed`: events in the log behind the tree."""

    head: Checkpoint
    portion: Portion = field(default_factory=Portion)
    unsealed: int = 0

    @property
    def subjects(self) -> int:
        """How many histories are complete."""
        return len(self.portion.tally.spans)


def verify(
    job: Job, workers: int, progress: Callable[[int], None], older: tuple[Checkpoint, ...] = ()
) -> Report:
    """Verify everything under a checkpoint that somebody has opened already.

    `older`: checkpoints seen before; the tree must continue each. `progress` gets the number of
    events after each portion. Raises `Refused`, or what kept it from verifying.
    """
    report = Report(job.head)
    try:
        for old in older:
            _continues(job, old)
        for portion in _portions(job, workers):
            report.portion.join(portion)
            progress(portion.events)
        report.portion.tally.begins()
        if job.url is not None:
            report.unsealed = asyncio.run(_rest(job, report.portion)) - job.head.size
        _excused(report.portion)
    except (Tampered, Broken, ProofError) as error:
        raise Refused(str(error)) from error
    if report.portion.events != job.head.size:
        raise Refused(f"{report.portion.events} events were checked and {job.head.size} are sealed")
    return report


def _continues(job: Job, old: Checkpoint) -> None:
    if old.origin != job.head.origin:
        raise ProofError(f"the older checkpoint is of another log, {old.origin}")
    if old.size > job.head.size:
        raise ProofError(f"a tree of {old.size} was seen before and this one has {job.head.size}")
    read = TileReader(job.head.size, job.head.root, job.shelf.read).read
    proof = merkle.consistency_proof(old.size, job.head.size, read)
    verify_consistency(old.size, job.head.size, old.root, job.head.root, proof)


def _excused(portion: Portion) -> None:
    bare = sorted(set(portion.gone) - set(portion.redacted))
    if bare:
        raise Tampered(bare[0], "its body is gone and no redaction is recorded")


def _portions(job: Job, workers: int) -> Iterator[Portion]:
    """Yield the portions in order; the first bad one raises."""
    count = -(-job.head.size // WIDTH)
    ranges = [range(at, min(at + BUNDLES, count)) for at in range(0, count, BUNDLES)]
    if workers < 2 or len(ranges) < 2:  # noqa: PLR2004 - nothing to do side by side
        yield from (check(job, each) for each in ranges)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        pending = [pool.submit(check, job, each) for each in ranges]
        try:
            for each in pending:
                yield each.result(timeout=PORTION_SECONDS)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def check(job: Job, bundles: range) -> Portion:
    """Check one portion; what a worker does."""
    read = TileReader(job.head.size, job.head.root, job.shelf.read)
    portion, entries = check_tree(read, bundles)
    if job.url is not None:
        asyncio.run(_compare(job, portion, entries, bundles.start * WIDTH))
    return portion


async def _compare(job: Job, portion: Portion, entries: list[bytes], after: int) -> None:
    source = _source(job)
    try:
        for at in range(0, len(entries), WIDTH):
            sealed = entries[at : at + WIDTH]
            rows = await source.rows(after + at, len(sealed))
            names = await source.names(rows)
            check_rows(portion, sealed, rows, names, after + at + 1, quick=job.quick)
            astray = None if job.quick else await source.astray(rows)
            if astray is not None:
                raise Tampered(astray, "a history of one of its subjects does not have it")
    finally:
        await source.close()


async def _rest(job: Job, portion: Portion) -> int:
    """Return the log's head, when its histories have nothing that no event says."""
    source = _source(job)
    try:
        entries = portion.entries if job.quick else await source.entries(job.head.size)
        if entries != portion.entries:
            raise Refused(f"histories have {entries} entries and events say {portion.entries}")
        return await _tail(source, job.head.size, portion)
    finally:
        await source.close()


async def _tail(source: Source, after: int, portion: Portion) -> int:
    """Return the log's head; take redactions that are recorded and not sealed yet."""
    while rows := await source.rows(after, WIDTH):
        for row in rows:
            portion.redacted += redactions_in(row)
        after = rows[-1].position
    return after


def _source(job: Job) -> Source:
    return Source(job.url or "", job.ledger, NameChecker.from_pem(job.naming))
