"""seal: sealing a full ledger as fast as it goes, beside hashing alone and beside appending.

`seal` is the whole sealer: rows read, every body hashed, columns and subjects compared, tree, files
and state flushed, checkpoint signed; its subjects have been named before. `seal_new` names all of
them too, one RSA signature each. `hashing` is the least that any log must do: SHA-256 of each body
and of each leaf, and the tree in memory. `tree` is what the sealer does with leaves that are made
already (tree, files, state, checkpoint), and `tessera` the same by Tessera's POSIX driver, with our
leaves and batches. `append_128` is our appender with 128 callers on the same server: a sealer that
is slower than that would fall behind. `beside` is both at once in one process: the rate of the
appends, and the lag, from the moment at which a position could be read until a published checkpoint
covered it.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path

from bench import workload
from bench.asked import Asked
from bench.cells import Figures, MissingPeer, measured
from bench.meters import own_cpu
from bench.ours import known, ours, working
from bench.peers import tessera
from bench.report import Book, latencies, ratio_table
from bench.sealed import Log, filled, log_of, made_keys
from bench.servers import databases
from services.kit import clock, database
from services.kit.tlog.checkpoint import Checkpoint, sign
from services.kit.tlog.tiles import Edge
from services.ledger.sealing.leaves import leaf_of
from services.ledger.sealing.sealer import BATCH
from services.ledger.sealing.shelf import CHECKPOINT, stage
from services.ledger.sealing.state import State

NAME = "seal"
CELLS = ("seal", "seal_new", "hashing", "tree", "tessera", "append_128", "beside")
LEAVES = 40_000
"""Sealed by `tree` and `tessera`."""
CALLERS = 128
RATIOS = {
    "vs_append": ("seal", "append_128"),
    "new_vs_append": ("seal_new", "append_128"),
    "vs_hashing": ("seal", "hashing"),
    "vs_tessera": ("seal", "tessera"),
    "tree_vs_tessera": ("tree", "tessera"),
}


async def run(asked: Asked) -> str:
    """Measure all cells, print the tables and return the line of JSON."""
    book = Book(NAME, CELLS)
    async with databases() as servers, filled(servers, asked.events) as (url, head):
        with made_keys() as folder:
            await _name(url, folder)
            program = await _tessera()
            for cell in asked.order(CELLS):
                if cell == "tessera" and program is None:
                    continue
                if cell in {"append_128", "beside"}:
                    async with servers.copy() as other:
                        if cell == "beside":
                            book.note(cell, await _beside(folder, other, asked))
                        else:
                            book.note(cell, await _append(other, asked))
                    continue
                async with log_of(url, folder, anew=cell == "seal_new") as log:
                    if cell in {"tree", "tessera"}:
                        leaves = await _leaves(log)
                        if cell == "tree":
                            book.note(cell, await asyncio.to_thread(_tree, log, leaves))
                        elif program is not None:
                            book.note(cell, await tessera.seal(program, leaves))
                        continue
                    work = _hashing if cell == "hashing" else _seal
                    book.note(cell, await work(log, asked.seconds))
    ratios = {name: book.ratio(*pair, "per_s") for name, pair in RATIOS.items()}
    print(book.table(), ratio_table(ratios), sep="\n\n")
    return book.line(ratios, book.figures() | {"events": float(head)})


async def _name(url: str, folder: Path) -> None:
    """Name every subject once, so that `seal` meets none that is new."""
    async with log_of(url, folder) as log:
        while await log.step():
            pass


async def _seal(log: Log, seconds: float) -> Figures:
    sealed, began, cpu = 0, clock.monotonic(), (await own_cpu())["client_us"]
    while clock.monotonic() - began < seconds:
        more = await log.step()
        if not more:
            break
        sealed += more
    took = clock.monotonic() - began
    assert log.head().size == sealed
    spent = (await own_cpu())["client_us"] - cpu
    return {"per_s": sealed / took, "sealed": sealed, "cpu_us": spent / sealed}


async def _hashing(log: Log, seconds: float) -> Figures:
    rows = await log.source.rows(0, 4096)
    names = await log.source.names(rows)
    leaves = [leaf_of(row, names) for row in rows]
    done, edge, began = 0, Edge(), clock.monotonic()
    while clock.monotonic() - began < seconds:
        for row in rows:
            hashlib.sha256((row.salt or b"") + (row.body or b"")).digest()
        edge, _ = edge.grow(leaves)
        done += len(rows)
    return {"per_s": done / (clock.monotonic() - began), "sealed": done}


async def _tessera() -> Path | None:
    try:
        return await tessera.build()
    except MissingPeer as reason:
        print(f"!! tessera is left out, its ratios are null: {reason}", file=sys.stderr, flush=True)
        return None


async def _leaves(log: Log) -> list[bytes]:
    """Return the first leaves of the log, over and over."""
    rows = await log.source.rows(0, LEAVES)
    names = await log.source.names(rows)
    made = [leaf_of(row, names) for row in rows]
    return [made[number % len(made)] for number in range(LEAVES)]


def _tree(log: Log, leaves: list[bytes]) -> Figures:
    """Do what the sealer does with its leaves, in the order in which it does it."""
    edge, state = Edge(), log.states.load(log.keys.origin)
    assert state is not None
    began = clock.monotonic()
    for at in range(0, len(leaves), BATCH):
        edge, files = edge.grow(leaves[at : at + BATCH])
        head = Checkpoint(log.keys.origin, edge.size, edge.root)
        note = sign(head, log.keys.signer)
        fresh = State(edge.size, edge.root, note.content)
        stage(log.shelf, "staged.tar", files)
        log.states.swap(log.keys.origin, state, fresh)
        for path, content in files.items():
            log.shelf.write(path, content)
        log.shelf.drop("staged.tar")
        log.shelf.replace(CHECKPOINT, note.content)
        state = fresh
    return {"per_s": len(leaves) / (clock.monotonic() - began), "sealed": float(len(leaves))}


async def _beside(folder: Path, url: str, asked: Asked) -> Figures:
    async with log_of(url, folder, anew=True) as log:
        while await log.step():  # what the template holds was there before
            pass
        lags: list[float] = []
        async with working(log.run()), working(_watch(url, log, lags)):
            figures = await _append(url, asked)
            await asyncio.sleep(2)
        behind = log.head().size
    return figures | latencies(lags) | {"sealed": behind}


async def _watch(url: str, log: Log, lags: list[float]) -> None:
    """Take down how long each head that was seen took to be covered."""
    connection = await database.connection(url, "bench lag")
    waiting: list[tuple[int, float]] = []
    try:
        while True:
            head = await connection.fetchval("SELECT max(position) FROM ledger.event")
            now, size = clock.monotonic(), log.head().size
            lags += [now - since for position, since in waiting if position <= size]
            waiting = [one for one in waiting if one[0] > size]
            if head > size and (not waiting or head > waiting[-1][0]):
                waiting.append((head, now))
            await asyncio.sleep(0.01)
    finally:
        connection.terminate()


async def _append(url: str, asked: Asked) -> Figures:
    events = workload.templates(CALLERS)
    state = await known(url)
    callers = workload.callers(events, state.versions, asked.chance.randrange(2**32))
    async with ours(url) as design:
        figures = await measured(design, callers, asked.seconds, [own_cpu])
    return {"per_s": figures["per_s"]}
