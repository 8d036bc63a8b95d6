"""read: pages, histories and single events over HTTP, beside response models on the same reader.

Both servers run all the time on one ledger of about 50,000 events; nothing is written meanwhile.
16 connections; `ndjson` has one, which takes the last 2,000 events as a stream.
"""

from __future__ import annotations

import json
import random
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2

from bench import workload
from bench.asked import Asked
from bench.edge import EVENTS, beside, load
from bench.load import Task
from bench.ours import prepare
from bench.preload import preload
from bench.product import ledger_alone
from bench.report import Book, ratio_table
from bench.running import Running
from bench.servers import Databases, databases
from services.kit import database

NAME = "read"
CELLS = ("page_100", "page_100_model", "history_100", "by_id", "ndjson")
RATIOS = {"page_spliced_vs_model": ("page_100", "page_100_model")}
SIZE, PAGE, EXPORT = 50_000, 100, 2_000
CONNECTIONS = 16
_TARGETS = 256
_CALLERS = 64


@dataclass(frozen=True)
class Library:
    """A ledger to read from and the two servers in front of it."""

    servers: Databases
    url: str
    ours: tuple[Running, str]
    theirs: tuple[Running, str]
    targets: dict[str, list[str]]
    chance: random.Random

    async def measure(self, cell: str, seconds: float) -> dict[str, float]:
        """Measure one cell; per_s are events."""
        server, key = self.theirs if cell.endswith("_model") else self.ours
        size = {"by_id": 1, "ndjson": EXPORT}.get(cell, PAGE)
        connections = 1 if cell == "ndjson" else CONNECTIONS
        accept = "application/x-ndjson" if cell == "ndjson" else "application/json"
        seed = self.chance.randrange(2**32)
        task = Task(server.port, key, connections, "get", self.targets[cell], size, seed, accept)
        figures, _ = await load(self.servers, self.url, server, task, seconds)
        return figures

    async def check(self) -> None:
        """Both servers say the same about the same page."""
        answers = []
        for (server, key), cell in ((self.ours, "page_100"), (self.theirs, "page_100_model")):
            async with httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}) as http:
                answer = await http.get(server.url + self.targets[cell][0], timeout=30)
                answers.append(json.loads(answer.content))
        for event in answers[1]["events"]:
            del event["via"], event["redacted"]  # null or false in the model, left out in ours
        answers[1].pop("checkpoint")  # null: nothing is sealed here
        assert answers[0] == answers[1]
        assert len(answers[0]["events"]) == PAGE


async def run(asked: Asked) -> str:
    """Measure all cells, print the tables and return the line of JSON."""
    book = Book(NAME, CELLS)
    async with databases() as servers, AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rlg-bench-")))
        known = await prepare(servers.template, workload.templates(_CALLERS))
        url = await stack.enter_async_context(servers.copy())
        head = await preload(url, known.ledger_id, known.head, SIZE)
        library = Library(
            servers,
            url,
            await stack.enter_async_context(ledger_alone(folder, url)),
            await stack.enter_async_context(beside("model")(folder, url)),
            await _targets(url, head, asked.chance),
            asked.chance,
        )
        await library.check()
        for cell in asked.order(CELLS):
            book.note(cell, await library.measure(cell, asked.seconds))
    ratios = {name: book.ratio(*pair, "per_s") for name, pair in RATIOS.items()}
    print(book.table(), ratio_table(ratios), sep="\n\n")
    return book.line(ratios, book.figures())


async def _targets(url: str, head: int, chance: random.Random) -> dict[str, list[str]]:
    """Draw what is asked for; both pages have the same."""
    connection = await database.connection(url, "bench read")
    try:
        rows = await connection.fetch(
            "SELECT event_uuid, source FROM ledger.event WHERE position = ANY($1::bigint[])",
            [chance.randrange(1, head) for _ in range(_TARGETS)],
        )
        last = await connection.fetchval(
            "SELECT max(version) FROM ledger.history JOIN ledger.subject USING (subject_id)"
            " WHERE key = 'environment:test'"
        )
    finally:
        await connection.close()
    afters = [chance.randrange(head - PAGE) for _ in range(_TARGETS)]
    versions = [chance.randrange(last - PAGE) for _ in range(_TARGETS)]
    subject = "/v1/ledgers/main/subjects/environment%3Atest/history"
    return {
        "page_100": [f"{EVENTS}?after={after}&limit={PAGE}" for after in afters],
        "page_100_model": [f"/events?after={after}&limit={PAGE}" for after in afters],
        "history_100": [f"{subject}?after_version={n}&limit={PAGE}" for n in versions],
        "by_id": [f"{EVENTS}/by-id?source={r['source']}&id={r['event_uuid']}" for r in rows],
        "ndjson": [f"{EVENTS}?after={head - EXPORT}"],
    }
