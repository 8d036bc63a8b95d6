"""pack: the evidence pack of one release out of a large ledger, beside copying the same bytes.

`whole` has the entries of the whole tree in it, `own` the release's events and proofs alone. `copy`
writes the bytes of the whole pack's files into a zip that is not compressed: the least that any
program would do. `grown_mb` is by how much the process grew at most while it packed.
"""

from __future__ import annotations

import io
import zipfile

from bench import meters
from bench.asked import Asked
from bench.cells import Figures
from bench.report import Book, ratio_table
from bench.sealed import Log, filled, log_of, made_keys
from bench.servers import databases
from services.kit import clock, database
from services.ledger.evidence.collect import collect
from services.ledger.evidence.pack import Contents, write
from services.ledger.sealing.published import Published
from services.ledger.store import Reader

NAME = "pack"
CELLS = ("whole", "own", "copy")
_RELEASE = """
SELECT s.key FROM ledger.subject AS s JOIN ledger.history AS h USING (ledger_id, subject_id)
 WHERE s.key LIKE 'release:%' GROUP BY s.key ORDER BY abs(count(*) - 60), s.key LIMIT 1
"""


async def run(asked: Asked) -> str:
    """Measure all cells, print the tables and return the line of JSON."""
    book = Book(NAME, CELLS)
    async with databases() as servers, filled(servers, asked.events) as (url, head):
        with made_keys() as folder:
            async with log_of(url, folder) as log:
                while await log.step():
                    pass
                await _measure(book, asked, log, url, folder)
    ratios = {"vs_copy": book.ratio("copy", "whole", "s")}
    print(book.table(), ratio_table(ratios), sep="\n\n")
    return book.line(ratios, book.figures() | {"ledger_events": float(head)})


async def _measure(book: Book, asked: Asked, log: Log, url: str, folder: object) -> None:
    engine = database.engine(url, "bench pack", role="rlg_courier")
    reader = Reader(engine)
    await reader.open(["main"])
    connection = await database.connection(url, "bench release")
    subject = str(await connection.fetchval(_RELEASE))
    connection.terminate()
    published = Published({"main": log.shelf}, {"main": folder})  # type: ignore[dict-item]
    try:
        for cell in asked.order(CELLS):
            book.note(cell, await _pack(cell, log, reader, published, subject))
    finally:
        await reader.close()


async def _pack(cell: str, log: Log, reader: Reader, published: Published, subject: str) -> Figures:
    published.look("main")
    sealed, signer = published.newest("main"), published.signer("main")
    assert sealed is not None
    assert signer is not None
    base, row = reader.placement.home("main"), reader.ledger("main")
    meters.forget_peak()
    base_mb = meters.peak_mb()
    began = clock.monotonic()
    contents = Contents(
        subject, log.head(), sealed, await collect(base, row.id, subject, sealed.size),
        published.trust("main"), log.shelf, signer, cell != "own",
    )  # fmt: skip
    if cell == "copy":
        return _copied(b"".join(write(contents)))
    size = sum(len(part) for part in write(contents))
    took = clock.monotonic() - began
    events = float(len(contents.collected.rows))
    grown = meters.peak_mb() - base_mb
    return {"s": took, "mb": size / 1e6, "events": events, "grown_mb": grown}


def _copied(content: bytes) -> Figures:
    """Copy the files of a pack into another zip, from memory."""
    with zipfile.ZipFile(io.BytesIO(content)) as pack:
        files = {name: pack.read(name) for name in pack.namelist()}
    began, out = clock.monotonic(), io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    took = clock.monotonic() - began
    return {"s": took, "mb": len(out.getvalue()) / 1e6, "events": 0.0, "grown_mb": 0.0}
