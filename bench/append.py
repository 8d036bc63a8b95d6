"""append: the ledger's appender beside the physical limit, naive designs and peers.

Closed loop, in process, no HTTP. A round measures every cell once, each on a fresh database.
`raw` and `locked` make their rows as the appender does (validation, JSON, salt, hash); `ready` is
`raw` with rows that were made beforehand. Sending an id again means nothing to `raw` and to the
peers, so there it is a new one.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest import mock

from bench import workload
from bench.asked import Asked
from bench.cells import SLOW_COMMIT, Bench, Figures, Measure, MissingPeer, ledger
from bench.driving import tidy
from bench.ours import ours, prepare
from bench.peers import message_db, outbox, recorders, uma
from bench.processes import in_processes
from bench.report import Book, Spread, ratio_table
from bench.rivals import locked, raw
from bench.servers import databases
from services.ledger import body

NAME = "append"
CALLERS = 128
BATCH = 100
_GIVE_UP = "is left out, its ratios are null"


def _ours(callers: int, size: int = 1, settings: dict[str, str] | None = None) -> Measure:
    return ledger(lambda _, url: ours(url), callers, size=size, settings=settings)


def _fresh(callers: int) -> Measure:
    return ledger(lambda _, url: ours(url), callers, again=0)


def _raw(callers: int, flights: int = 1, size: int = 1) -> Measure:
    return ledger(lambda b, url: raw(url, b.prepared, flights), callers, size=size, again=0)


def _ready(callers: int) -> Measure:
    return ledger(lambda b, url: raw(url, b.prepared, 1, b.made_before), callers, again=0)


def _locked(callers: int, settings: dict[str, str] | None = None) -> Measure:
    return ledger(lambda b, url: locked(url, b.prepared), callers, settings=settings)


async def _uncommitted(bench: Bench, seconds: float) -> Figures:
    """Append as ever, but for salt and hash of each event: constants take their place.

    Nothing comes twice here: by its commitment the ledger tells the same from another.
    """
    constant = SimpleNamespace(digest=lambda: bytes(32))
    hashing = SimpleNamespace(sha256=lambda _: constant)
    salting = SimpleNamespace(token_bytes=bytes)
    with mock.patch.object(body, "hashlib", hashing), mock.patch.object(body, "secrets", salting):
        return await _fresh(CALLERS)(bench, seconds)


CELLS: dict[str, Measure] = {
    **{f"append_{n}": _ours(n) for n in (1, 16, 32, CALLERS)},
    **{f"raw_{n}": _raw(n) for n in (1, 16, CALLERS)},
    "committed_128": _fresh(CALLERS),
    "uncommitted_128": _uncommitted,
    "raw2_128": _raw(CALLERS, flights=2),
    "ready_128": _ready(CALLERS),
    "locked_128": _locked(CALLERS),
    "append_128_slow_commit": _ours(CALLERS, settings=SLOW_COMMIT),
    "locked_128_slow_commit": _locked(CALLERS, SLOW_COMMIT),
    "append_batch100": _ours(1, size=BATCH),
    "raw_batch100": _raw(1, size=BATCH),
    "one_process": in_processes(1, CALLERS),
    "two_processes": in_processes(2, CALLERS),
    **recorders.CELLS,
    **message_db.CELLS,
    **uma.CELLS,
    **outbox.CELLS,
}
RATIOS = {
    "vs_raw_128": ("append_128", "raw_128"),
    "vs_raw_16": ("append_16", "raw_16"),
    "vs_raw_1": ("append_1", "raw_1"),
    "vs_raw2_128": ("append_128", "raw2_128"),
    "vs_ready_128": ("append_128", "ready_128"),
    "vs_uncommitted_128": ("committed_128", "uncommitted_128"),
    "vs_locked_128": ("append_128", "locked_128"),
    "vs_locked_128_slow_commit": ("append_128_slow_commit", "locked_128_slow_commit"),
    "batch100_vs_raw": ("append_batch100", "raw_batch100"),
    "two_processes_vs_one": ("two_processes", "one_process"),
    "vs_eventsourcing_32": ("append_32", "eventsourcing_functions_32"),
    "vs_eventsourcing_default_32": ("append_32", "eventsourcing_32"),
    "vs_eventsourcing_dcb_32": ("append_32", "eventsourcing_dcb_32"),
    "vs_message_db_32": ("append_32", "message_db_32"),
    "vs_message_db_14_32": ("append_32", "message_db_14_32"),
    "vs_umadb_32": ("append_32", "umadb_32"),
    "vs_umadb_ready_32": ("append_32", "umadb_ready_32"),
    "vs_outbox_32": ("append_32", "outbox_32"),
    "vs_outbox_ready_32": ("append_32", "outbox_ready_32"),
}


async def run(asked: Asked) -> str:
    """Measure all cells, print the tables and return the line of JSON."""
    book, missing = Book(NAME, list(CELLS)), set[str]()
    events = workload.templates(CALLERS)
    async with databases() as servers:
        made = {s.event.data["run_id"]: body.make(s) for s in workload.first_submissions(events)}
        known = await prepare(servers.template, events)
        bench = Bench(servers, known, events, made, asked.chance)
        tidy()
        for cell in asked.order(CELLS):
            if cell not in missing:
                await _note(book, bench, cell, asked.seconds, missing)
    ratios = _ratios(book)
    print(book.table(), ratio_table(ratios), sep="\n\n")
    bare = ratios["vs_uncommitted_128"]
    cost = {} if bare is None else {"commitment_cost": 1 - bare.middle}
    return book.line(ratios, book.figures() | cost)


async def _note(book: Book, bench: Bench, cell: str, seconds: float, missing: set[str]) -> None:
    """Measure one cell once; a peer that is not here is named and left out for good."""
    try:
        book.note(cell, await CELLS[cell](bench, seconds))
    except MissingPeer as reason:
        missing.add(cell)
        print(f"!! {cell} {_GIVE_UP}: {reason}", file=sys.stderr, flush=True)


def _ratios(book: Book) -> dict[str, Spread | None]:
    return {name: book.ratio(*pair, "per_s") for name, pair in RATIOS.items()}
