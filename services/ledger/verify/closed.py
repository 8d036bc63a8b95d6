"""Compares the present log with one that a declared gap has closed."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.merkle import ProofError
from services.kit.tlog.tiles import WIDTH, TileReader
from services.ledger.sealing.leaves import Row
from services.ledger.sealing.rotation import GAP, GAPS
from services.ledger.sealing.shelf import Readable
from services.ledger.verify.whole import Refused
from services.ledger.verify.work import Job


def check_closed(job: Job, old: Checkpoint, shelf: Readable) -> int:
    """Return the first position that only the closed log has as it was, and that is declared lost.

    `old`: the closed log's last checkpoint, opened. Raises `Refused` for a difference that nobody
    has declared.
    """
    before, now = TileReader(old.size, old.root, shelf.read), job.tree()
    try:
        first = _first_difference(before, now, min(old.size, job.head.size), old.size)
    except ProofError as error:
        raise Refused(str(error)) from error
    for row in asyncio.run(_told(job)):
        if (row.type, row.source) == (GAP, GAPS) and row.body is not None:
            data = json.loads(row.body)["event"]["data"]
            text = data["closed"].partition("\n\n")[0].encode() + b"\n"
            if (data["first"], data["last"]) == (first, old.size) and Checkpoint.parse(text) == old:
                return first
    raise Refused(f"position {first}: the closed log had another event, and no gap is declared")


def _first_difference(before: TileReader, now: TileReader, both: int, size: int) -> int:
    for index in range(-(-both // WIDTH)):
        theirs, ours = before.entries(index), now.entries(index)
        for offset, (old, new) in enumerate(zip(theirs, ours, strict=False), index * WIDTH + 1):
            if old != new:
                return offset
    return min(both, size) + 1


async def _told(job: Job) -> list[Row]:
    """Return what the log says of itself, as far as it is sealed and so was compared."""
    async with aclosing(job.source()) as source:
        return [row for row in await source.log_history() if row.position <= job.head.size]
