"""http: the ledger over HTTP beside the same store behind the least that could serve it.

Each cell: a fresh copy of the prepared ledger, a server process on it, the load in another process.
64 connections with an event a request, 8 with batches of 100. Client, server and PostgreSQL share
the machine's cores.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from bench import meters, workload
from bench.asked import Asked
from bench.cells import Figures, check
from bench.load import Task
from bench.meters import Counters, Window, metered
from bench.ours import prepare
from bench.processes import worker
from bench.product import ledger_alone
from bench.report import Book, ratio_table
from bench.running import Running, running
from bench.servers import Databases, databases
from services.kit import database

NAME = "http"
SINGLE, BATCH, BATCH_CONNECTIONS = 64, 100, 8
EVENTS = "/v1/ledgers/main/events"
Serves: TypeAlias = Callable[[Path, str], AbstractAsyncContextManager[tuple[Running, str]]]
"""Folder and database → the server and a key."""


def beside(kind: str) -> Serves:
    """Return what starts `bench.bare`."""

    @asynccontextmanager
    async def serve(folder: Path, url: str) -> AsyncIterator[tuple[Running, str]]:
        async with running(["bench.bare", kind, url, "{port}"], folder, {}) as server:
            await server.until(server.answers)
            yield server, "none"

    return serve


CELLS: dict[str, tuple[Serves, str, int, int]] = {
    "single": (ledger_alone, EVENTS, SINGLE, 1),
    "single_bare": (beside("bare"), "/", SINGLE, 1),
    "single_model": (beside("model"), "/events", SINGLE, 1),
    "single_one_connection": (ledger_alone, EVENTS, 1, 1),
    "batch": (ledger_alone, EVENTS, BATCH_CONNECTIONS, BATCH),
    "batch_bare": (beside("bare"), "/", BATCH_CONNECTIONS, BATCH),
}
"""Server, target, connections, events a request."""
RATIOS = {
    "http_single_vs_bare": ("single", "single_bare"),
    "http_batch_vs_bare": ("batch", "batch_bare"),
    "http_vs_fastapi_model": ("single", "single_model"),
    "http_batch_vs_single": ("batch", "single"),
}


async def run(asked: Asked) -> str:
    """Measure all cells, print the tables and return the line of JSON."""
    book = Book(NAME, list(CELLS))
    with tempfile.TemporaryDirectory(prefix="rlg-bench-") as folder:
        async with databases() as servers:
            known = await prepare(servers.template, workload.templates(SINGLE))
            for cell in asked.order(CELLS):
                serves, target, connections, size = CELLS[cell]
                seed = asked.chance.randrange(2**32)
                async with servers.copy() as url, serves(Path(folder), url) as (server, key):
                    task = Task(server.port, key, connections, "post", [target], size, seed)
                    figures, sent = await load(servers, url, server, task, asked.seconds)
                    await check(url, known.head + sent)
                book.note(cell, figures)
    ratios = {name: book.ratio(*pair, "per_s") for name, pair in RATIOS.items()}
    print(book.table(), ratio_table(ratios), sep="\n\n")
    return book.line(ratios, book.figures())


async def load(
    servers: Databases, url: str, server: Running, task: Task, seconds: float
) -> tuple[Figures, int]:
    """Put a server under load; return all figures, and how many events it has appended.

    client_us is the load's own, engine_us the server's, server_us PostgreSQL's; peak_mb is the
    server's.
    """
    connection = await database.connection(url, "bench meters")
    sources: list[Counters] = [
        meters.of_process(server.pid, "engine_us"),
        meters.of_postgres(connection, servers.pid),
    ]
    try:
        figures, sent = await driven(task, seconds, sources)
    finally:
        connection.terminate()
    return figures | {"peak_mb": meters.peak_mb(server.pid)}, sent


async def driven(task: Task, seconds: float, sources: Sequence[Counters]) -> tuple[Figures, int]:
    """Let `bench.load` do a task; return what it and the counters say, and how much it has sent."""
    async with worker("bench.load") as one:
        await one.tell(asdict(task))
        await one.answer()  # it is connected
        window = Window.after_warming(seconds)
        await one.tell({"starts": window.starts, "ends": window.ends})
        said: dict[str, float] = {}
        figures = await metered(window, sources, _answer(one.answer(), window, said))
    return figures | {"client_us": said["client_us"]}, int(said["appended"])


async def _answer(
    answer: Awaitable[dict[str, object]], window: Window, said: dict[str, float]
) -> None:
    """Take over what the load has counted in its process."""
    given = await answer
    took, events = given["took"], given["events"]
    assert isinstance(took, list)
    assert isinstance(events, int)
    window.took, window.events = took, events
    said["client_us"] = float(str(given["cpu_us"])) / max(1, events)
    said["appended"] = float(str(given["appended"]))
