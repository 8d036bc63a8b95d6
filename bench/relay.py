"""relay: the log to Kafka, beside raw aiokafka that produces the same bytes.

`relay` is the product's: lease, pages read from PostgreSQL and written as JSON, acks from all
replicas, positions confirmed. `raw_produce` has every record ready in memory and sends all of them
with the same settings of the client before it waits for the first: nothing on aiokafka is faster.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaProducer

from bench.asked import Asked
from bench.cells import Figures
from bench.meters import own_cpu
from bench.ours import working
from bench.report import Book, ratio_table
from bench.sealed import filled
from bench.servers import broker, databases
from contracts import topics
from services.kit import clock, database, metrics
from services.kit.kafka import EVENTS_PARTITION, Flight, KafkaProducer, Record, ensure_topics
from services.kit.kafka.producer import BATCH_BYTES, LARGEST_BYTES
from services.kit.kafka.record import REQUEST_MS
from services.ledger.lease import Lease
from services.ledger.relay import Relay
from services.ledger.store import Reader
from services.ledger.wake import Wake

NAME = "relay"
CELLS = ("relay", "raw_produce")
RATIOS = {"vs_raw_produce": ("relay", "raw_produce")}
POSITION = "rlg_relay_position"
_FORGET = "SET session_replication_role = replica; DELETE FROM ledger.relay"


async def run(asked: Asked) -> str:
    """Measure both cells, print the tables and return the line of JSON."""
    book = Book(NAME, CELLS)
    async with databases() as servers, filled(servers, asked.events) as (url, head):
        with tempfile.TemporaryDirectory(prefix="rlg-bench-") as folder:
            async with broker(Path(folder)) as bootstrap:
                await ensure_topics(bootstrap)
                ready: list[Record] = []
                await relayed(url, bootstrap, head, ready)
                for cell in asked.order(CELLS):
                    cpu, began = (await own_cpu())["client_us"], clock.monotonic()
                    if cell == "relay":
                        await relayed(url, bootstrap, head)
                    else:
                        await _raw(bootstrap, ready)
                    took = clock.monotonic() - began
                    book.note(cell, _figures(head, took, (await own_cpu())["client_us"] - cpu))
    ratios = {name: book.ratio(*pair, "per_s") for name, pair in RATIOS.items()}
    print(book.table(), ratio_table(ratios), sep="\n\n")
    return book.line(ratios, book.figures() | {"events": float(head)})


def _figures(events: int, took: float, cpu_us: float) -> Figures:
    return {"per_s": events / took, "cpu_us": cpu_us / events}


class _Keeping(KafkaProducer):
    """Keeps what it is given, for `raw_produce` to send again."""

    def __init__(self, bootstrap: str, kept: list[Record]) -> None:
        super().__init__(bootstrap, "bench")
        self._kept = kept

    async def begin(self, records: Sequence[Record]) -> Flight:
        self._kept += records
        return await super().begin(records)


async def relayed(url: str, bootstrap: str, head: int, kept: list[Record] | None = None) -> None:
    """Relay the whole ledger, from nothing to the last acknowledgement."""
    connection = await asyncpg.connect(url)
    await connection.execute(_FORGET)
    await connection.close()
    engine = database.engine(url, "bench relay", 2, role="rlg_courier")
    reader = Reader(engine)
    await reader.open(["main"])
    row, wake = reader.ledger("main"), Wake(reader)
    made = KafkaProducer(bootstrap, "bench") if kept is None else _Keeping(bootstrap, kept)
    relay = Relay(row, reader, wake, Lease(engine, row.id), made)
    metrics.gauge(POSITION, 0, ledger="main")
    async with working(wake.run()), working(relay.run()), asyncio.timeout(600):
        while (metrics.REGISTRY.get_sample_value(POSITION, {"ledger": "main"}) or 0) < head:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await reader.close()


async def _raw(bootstrap: str, ready: list[Record]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=REQUEST_MS,
        max_batch_size=BATCH_BYTES,
        max_request_size=LARGEST_BYTES,
    )
    await producer.start()
    try:
        sent = [
            await producer.send(
                topics.EVENTS, value=record.value, key=record.key, partition=EVENTS_PARTITION,
                headers=list(record.headers),
            )
            for record in ready
        ]  # fmt: skip
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
