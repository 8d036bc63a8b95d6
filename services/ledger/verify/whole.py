"""Verifies a ledger, or a stretch of it: its tree, and with a database every row under it.

Never passes on an error: whatever is not shown to be right is a finding or an exception. Never
hangs: each portion has a time limit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from services.kit.tlog import merkle
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.merkle import ProofError, verify_consistency
from services.kit.tlog.tiles import WIDTH
from services.ledger.sealing import rotation
from services.ledger.sealing.leaves import Tampered
from services.ledger.sealing.source import Source
from services.ledger.verify.portion import Portion, check_rows, removals_in
from services.ledger.verify.tally import Broken
from services.ledger.verify.work import Job, portions


class Refused(Exception):
    """The ledger is not what was sealed; the message names the first bad position."""


@dataclass
class Report:
    """What was verified. `unsealed`: events in the log behind the tree."""

    head: Checkpoint
    portion: Portion = field(default_factory=Portion)
    unsealed: int | None = None
    """None where nobody has looked."""

    @property
    def subjects(self) -> int:
        """How many histories were met."""
        return len(self.portion.tally.spans)


Progress = Callable[[int], None]
"""Told the number of events after each portion."""


def verify(
    job: Job,
    workers: int,
    progress: Progress,
    older: tuple[Checkpoint, ...] = (),
    stretch: range | None = None,
) -> Report:
    """Verify everything under a checkpoint that somebody has opened already.

    `older`: checkpoints seen before; the tree must continue each. `stretch`: these bundles alone;
    histories are then whole within them, and what lies elsewhere is not looked at. Raises
    `Refused`, or what kept it from verifying.
    """
    report = Report(job.head)
    bundles = range(-(-job.head.size // WIDTH)) if stretch is None else stretch
    try:
        for old in older:
            continues(job, old)
        for portion in portions(job, bundles, workers):
            report.portion.join(portion)
            progress(portion.events)
        if stretch is None:
            report.portion.tally.begins()
        if job.url is not None:
            asyncio.run(_beside(job, report, whole=stretch is None))
        excused(report.portion)
    except (Tampered, Broken, ProofError) as error:
        raise Refused(str(error)) from error
    wanted = min(bundles.stop * WIDTH, job.head.size) - bundles.start * WIDTH
    if report.portion.events != wanted:
        raise Refused(f"{report.portion.events} events were checked and {wanted} are sealed")
    return report


def excused(portion: Portion) -> None:
    """Raise `Tampered` for a body that is gone without a proper record of its redaction."""
    bare = portion.unexcused()
    if bare:
        said = "its body is gone and no redaction is recorded that two people have agreed to"
        raise Tampered(bare[0], said)


async def find_records(job: Job, source: Source, portion: Portion) -> None:
    """Look for the records of redactions outside of what was checked, and check those too."""
    read = job.tree()
    for position in portion.unexcused():
        for row in await source.at(await source.redactions(position)):
            if row.position <= job.head.size:
                index, offset = divmod(row.position - 1, WIDTH)
                sealed = [read.entries(index)[offset]]
                check_rows(portion, sealed, [row], await source.names([row]), row.position)
            else:
                portion.removals |= removals_in(row.body)


def continues(job: Job, old: Checkpoint) -> None:
    """Raise `ProofError` unless the tree continues an older one."""
    if old.origin != job.head.origin:
        raise ProofError(
            f"the older checkpoint is of another log, {old.origin}; if a gap has closed that one, "
            "compare with --closed"
        )
    if old.size > job.head.size:
        raise ProofError(f"a tree of {old.size} was seen before and this one has {job.head.size}")
    proof = merkle.consistency_proof(old.size, job.head.size, job.tree().read)
    verify_consistency(old.size, job.head.size, old.root, job.head.root, proof)


async def _beside(job: Job, report: Report, *, whole: bool) -> None:
    """Check what no portion can: that histories have nothing more, and where redactions stand."""
    portion = report.portion
    async with contextlib.aclosing(job.source()) as source:
        await key_holds(job, source)
        if not whole:
            await find_records(job, source, portion)
            return
        entries = portion.entries if job.quick else await source.entries(job.head.size)
        if entries != portion.entries:
            raise Refused(f"histories have {entries} entries and events say {portion.entries}")
        report.unsealed = await _tail(source, job.head.size, portion) - job.head.size


async def key_holds(job: Job, source: Source) -> None:
    """Raise `Refused` when the log says that the key which opened its head has ended before it."""
    told = await source.log_history()
    ended = rotation.last(row for row in told if row.position <= job.head.size)
    if job.key and ended is not None and ended[1] != job.key:
        raise Refused(
            f"position {ended[0]}: the log's key was replaced there, and one that had ended has "
            f"signed this tree of {job.head.size}"
        )


async def _tail(source: Source, after: int, portion: Portion) -> int:
    """Return the log's head; take redactions that are recorded and not sealed yet."""
    while rows := await source.rows(after, WIDTH):
        for row in rows:
            portion.removals |= removals_in(row.body)
        after = rows[-1].position
    return after
