"""verify: checking a sealed ledger, beside hashing alone; one process, so a figure is of one core.

`whole` makes every leaf again from bodies and compares every column; `quick` checks hashes only;
`tree` reads the published tree without a database. `memory` is what they do to bytes that are read
already: body → commitment → leaf → tree. `hashing` is SHA-256 of the same bytes and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib

from bench.asked import Asked
from bench.cells import Figures
from bench.report import Book, ratio_table
from bench.sealed import Log, filled, log_of, made_keys
from bench.servers import databases
from services.kit import clock
from services.kit.tlog.tiles import Edge
from services.ledger.sealing.leaves import leaf_of
from services.ledger.verify.portion import opens
from services.ledger.verify.whole import verify
from services.ledger.verify.work import Job

NAME = "verify"
CELLS = ("whole", "quick", "tree", "memory", "hashing")
RATIOS = {
    "vs_hashing": ("memory", "hashing"),
    "quick_vs_hashing": ("quick", "hashing"),
    "whole_vs_hashing": ("whole", "hashing"),
}


async def run(asked: Asked) -> str:
    """Measure all cells, print the tables and return the line of JSON."""
    book = Book(NAME, CELLS)
    async with databases() as servers, filled(servers, asked.events) as (url, head):
        with made_keys() as folder:
            async with log_of(url, folder) as log:
                while await log.step():
                    pass
                for cell in asked.order(CELLS):
                    book.note(cell, await _measure(cell, log, url, asked.seconds))
    ratios = {name: book.ratio(*pair, "per_s") for name, pair in RATIOS.items()}
    print(book.table(), ratio_table(ratios), sep="\n\n")
    return book.line(ratios, book.figures() | {"events": float(head)})


async def _measure(cell: str, log: Log, url: str, seconds: float) -> Figures:
    if cell in {"memory", "hashing"}:
        return await _in_memory(log, seconds, leaves=cell == "memory")
    naming, place = log.keys.naming.checker.pem(), None if cell == "tree" else url
    job = Job(log.head(), log.shelf, "main", place, naming, quick=cell == "quick")
    began = clock.monotonic()
    report = await asyncio.to_thread(verify, job, 1, lambda _: None)
    took = clock.monotonic() - began
    return {"per_s": report.portion.events / took, "us": took / report.portion.events * 1e6}


async def _in_memory(log: Log, seconds: float, *, leaves: bool) -> Figures:
    rows = await log.source.rows(0, 4096)
    names = await log.source.names(rows)
    made = [leaf_of(row, names) for row in rows]
    salted = [(row.salt or b"") + (row.body or b"") for row in rows]
    done, began = 0, clock.monotonic()
    while clock.monotonic() - began < seconds:
        if leaves:
            assert [opens(row, names) for row in rows] == made
            Edge().grow(made)
        else:
            for body, leaf in zip(salted, made, strict=True):
                hashlib.sha256(body).digest()
                hashlib.sha256(leaf).digest()
        done += len(rows)
    took = clock.monotonic() - began
    return {"per_s": done / took, "us": took / done * 1e6}
