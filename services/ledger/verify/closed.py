"""Compares the present log with one that a declared gap has closed."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.merkle import ProofError
from services.kit.tlog.tiles import WIDTH, TileReader
from services.ledger.sealing import gap
from services.ledger.sealing.leaves import Row
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
    row = asyncio.run(_at(job, first))
    declared = json.loads(row.body)["event"] if row is not None and row.body else {}
    data = declared.get("data", {})
    if (
        row is None
        or (row.type, row.source) != (gap.TYPE, gap.SOURCE)
        or (data.get("first"), data.get("last")) != (first, old.size)
        or Checkpoint.parse(data["closed"].partition("\n\n")[0].encode() + b"\n") != old
    ):
        raise Refused(f"position {first}: the closed log had another event, and no gap is declared")
    return first


def _first_difference(before: TileReader, now: TileReader, both: int, size: int) -> int:
    for index in range(-(-both // WIDTH)):
        theirs, ours = before.entries(index), now.entries(index)
        for offset, (old, new) in enumerate(zip(theirs, ours, strict=False), index * WIDTH + 1):
            if old != new:
                return offset
    return min(both, size) + 1


async def _at(job: Job, position: int) -> Row | None:
    async with aclosing(job.source()) as source:
        found = await source.at([position])
    return found[0] if found else None
