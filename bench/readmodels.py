"""runner, rebuild: events into the five read models, beside reading the same and nothing else.

`runner` is the product's on a Kafka feed: the records are in the topic already, from the ledger's
first event to its last; rows, entries and cursor are committed. `raw_consume` reads the same
records with aiokafka and decodes each with the standard library's JSON. `eventsourcing_runner` is
a peer (`peers/projection.py`) on the same tables, with the first of the same events.

`rebuild` is the product's, over HTTP from a ledger in a process of its own, with its check and the
flip. `keyset_read` reads the same rows of the ledger by asyncpg, 1,000 a page, each after the last
position of the page before: what a reader in SQL would have to do at least.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias
from unittest import mock

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.asked import Asked
from bench.cells import MissingPeer
from bench.driving import tidy
from bench.meters import forget_peak, own_cpu, peak_mb
from bench.ours import working
from bench.product import ledger_alone
from bench.relay import relayed
from bench.report import Book, ratio_table
from bench.sealed import filled
from bench.servers import Databases, broker, databases
from contracts import topics
from contracts.event import Page
from services.kit import clock, database
from services.kit.kafka import EVENTS_PARTITION, KafkaFeed, ensure_topics, feed
from services.kit.kafka.reader import Tail
from services.kit.remote import Client, HttpLedger
from services.projector.generations import NAME as PROJECTION
from services.projector.rebuilding import PAGE, Rebuild
from services.projector.runner import Runner
from services.projector.writing import Projection

RUNNER, REBUILD = "runner", "rebuild"
RAW, PEER = "raw_consume", "eventsourcing_runner"
CELLS = (RUNNER, RAW, PEER)
RATIOS = {"vs_raw_consume": (RUNNER, RAW), "vs_eventsourcing_runner": (RUNNER, PEER)}
EVENTS = 50_000
"""Unless asked for: a cell of ours takes half a minute or less."""
PEER_EVENTS = 10_000
"""At most, for the peer, which is slower: a rate is what counts."""
_PLACE = TopicPartition(topics.EVENTS, EVENTS_PARTITION)
_EMPTY = """
DROP TABLE IF EXISTS public.readmodels_tracking;
DELETE FROM projector.cursor; DELETE FROM projector.generation;
TRUNCATE {0}
"""
_TABLES = """
SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables
 WHERE schemaname IN ('projector', 'projector_b') AND tablename NOT IN ('cursor', 'generation')
"""
_CURSOR = "SELECT position FROM projector.cursor WHERE projection = $1"
_KEYSET = """
SELECT e.*, stored.body FROM ledger.event AS e
  JOIN ledger.event_body AS stored USING (ledger_id, position)
 WHERE e.ledger_id = 1 AND e.position > $1 AND stored.position > $1 ORDER BY e.position LIMIT $2
"""


class _NoPages:
    """A ledger that is never asked: Kafka has everything."""

    def __init__(self, head: int) -> None:
        self._head = head

    async def page(self, _ledger: str, after: int, **_: object) -> Page:
        return Page(events=[], head=self._head, scanned_to=after)


@contextlib.asynccontextmanager
async def _from_the_first(bootstrap: str, *_: object) -> AsyncIterator[Tail]:
    """Listen as the product does, but at the topic's first record."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([_PLACE])
        await consumer.seek_to_beginning(_PLACE)
        yield Tail(bootstrap, consumer)
    finally:
        await consumer.stop()


Cell: TypeAlias = tuple[int, Callable[[], Awaitable[float]]]
"""How many events, and what projects or reads them all and returns when the last one was there."""


async def run_runner(asked: Asked) -> str:
    """Measure `runner`, `raw_consume` and `eventsourcing_runner`."""
    book = Book(RUNNER, CELLS)
    async with databases() as servers, filled(servers, asked.events) as (url, head):
        with tempfile.TemporaryDirectory(prefix="rlg-bench-") as folder:
            async with broker(Path(folder)) as bootstrap:
                await ensure_topics(bootstrap)
                await relayed(url, bootstrap, head)
                cells: dict[str, Cell] = {
                    RUNNER: (head, partial(_project, url, bootstrap, head)),
                    RAW: (head, partial(_consume, bootstrap, head)),
                }
                try:
                    cells[PEER] = await _peer(servers, url, bootstrap, min(head, PEER_EVENTS))
                except MissingPeer as reason:
                    print(f"!! {PEER} is left out, its ratio is null: {reason}", file=sys.stderr)
                for cell in asked.order(cells):
                    await _empty(url)
                    events, measure = cells[cell]
                    tidy()
                    cpu, began = (await own_cpu())["client_us"], clock.monotonic()
                    took = await measure() - began
                    spent = (await own_cpu())["client_us"] - cpu
                    figures = {"events": events, "per_s": events / took, "cpu_us": spent / events}
                    book.note(cell, figures)
    ratios = {name: book.ratio(*pair, "per_s") for name, pair in RATIOS.items()}
    print(book.table(), ratio_table(ratios), sep="\n\n")
    return book.line(ratios, book.figures())


async def run_rebuild(asked: Asked) -> str:
    """Measure `rebuild` and `keyset_read`; `peak_mb` at a tenth of the way, and at the end."""
    book = Book(REBUILD, (REBUILD, "keyset_read"))
    with tempfile.TemporaryDirectory(prefix="rlg-bench-") as folder:
        async with (
            databases() as servers,
            filled(servers, asked.events) as (url, head),
            ledger_alone(Path(folder), url) as (server, key),
        ):
            for cell in asked.order((REBUILD, "keyset_read")):
                await _empty(url)
                tidy()
                began = clock.monotonic()
                if cell == REBUILD:
                    client = Client(server.url, key)
                    memory = await _rebuild(url, client, head)
                    await client.close()
                else:
                    memory = await _keyset(url, head)
                took = clock.monotonic() - began
                book.note(cell, {"per_s": head / took, "seconds": took} | memory)
    ratios = {"time_vs_keyset_read": book.ratio(REBUILD, "keyset_read", "seconds")}
    print(book.table(), ratio_table(ratios), sep="\n\n")
    return book.line(ratios, book.figures() | {"events": float(head)})


async def _empty(url: str) -> None:
    """Forget all read models."""
    owner = await asyncpg.connect(url)
    await owner.execute(_EMPTY.format(await owner.fetchval(_TABLES)))
    await owner.execute("VACUUM ANALYZE")
    await owner.close()


async def _project(url: str, bootstrap: str, head: int) -> float:
    engine = database.engine(url, "bench projector", 5, role="rlg_projector")
    reading = await asyncpg.connect(url)
    pages = _NoPages(head)
    with mock.patch.object(feed, "tail", _from_the_first):
        runner = Runner(Projection(engine, "main"), KafkaFeed(bootstrap, pages), pages)  # type: ignore[arg-type]  # all that it asks of a ledger
        async with working(runner.run()), asyncio.timeout(3600):
            while await reading.fetchval(_CURSOR, PROJECTION) != head:  # noqa: ASYNC110 - a row tells
                await asyncio.sleep(0.1)
            ended = clock.monotonic()
    await reading.close()
    await engine.dispose()
    return ended


async def _consume(bootstrap: str, count: int, kept: list[bytes] | None = None) -> float:
    """Read and decode the first records of the topic, and keep their bytes if asked to."""
    async with _from_the_first(bootstrap) as tail:
        seen = 0
        while seen < count:
            for record in await tail.read(feed.LIMIT, 5):
                json.loads(record.value or b"null")
                seen += 1
                if kept is not None:
                    kept.append(record.value or b"")
        return clock.monotonic()


async def _peer(servers: Databases, url: str, bootstrap: str, count: int) -> Cell:
    """Store the first events in the peer's own store."""
    try:
        from bench.peers import projection  # noqa: PLC0415 - the peer may be missing
    except ImportError as error:
        raise MissingPeer(f"eventsourcing is not installed ({error}); try `make bench`") from None
    values: list[bytes] = []
    await _consume(bootstrap, count, values)
    environment = await projection.store(servers, url, values[:count])
    return count, partial(projection.project, environment, count)


async def _rebuild(url: str, client: Client, head: int) -> dict[str, float]:
    engine = database.engine(url, "bench rebuild", 5, role="rlg_projector")
    early: list[float] = []

    def told(position: int, _head: int) -> None:
        if not early and position >= head // 10:
            early.append(peak_mb())

    forget_peak()
    try:
        await Rebuild(engine, HttpLedger(client), "main", told).run()
    finally:
        await client.close()
        await engine.dispose()
    return {"early_mb": early[0], "peak_mb": peak_mb()}


async def _keyset(url: str, head: int) -> dict[str, float]:
    connection, after = await asyncpg.connect(url), 0
    while after < head:
        after = (await connection.fetch(_KEYSET, after, PAGE))[-1]["position"]
    await connection.close()
    return {}
