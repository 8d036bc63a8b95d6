"""freshness: how long after the answer a fact can be read, beside a bare trip through Kafka.

`events`: 200 events a second naming one release, from the 201 until the read models' position is at
or above the receipt's. `webhooks`: one signed GitHub delivery after another, from the 202 until it
stands in the timeline of its release. Both are upper bounds: they end with the answer to a poll,
and what a poll takes is a figure too. `roundtrip`: 200 records a second through the same broker.
"""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.asked import Asked
from bench.product import Product, product
from bench.report import LOW_PERCENT, Book, latencies, percentile, ratio_table
from bench.roundtrip import Roundtrip, paced, roundtrip
from bench.servers import broker
from bench.workload import report
from deploy.embedded import embedded_postgres
from services.kit import clock

NAME = "freshness"
CELLS = ("events", "webhooks", "roundtrip")
PER_SECOND = 200
PATIENCE_SECONDS = 30
_DATABASE = "bench"


class Watch:
    """Polls the read models' position while somebody waits for one."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._waiting: list[tuple[int, float]] = []
        self.took: list[float] = []
        self.polls: list[float] = []

    def wait_for(self, position: int) -> None:
        """Start the clock for a position."""
        self._waiting.append((position, clock.monotonic()))

    async def run(self, count: int) -> None:
        """Poll until so many positions have become visible."""
        while len(self.took) < count:
            if not self._waiting:
                await asyncio.sleep(0.001)
                continue
            began = clock.monotonic()
            position = await self._product.position()
            now = clock.monotonic()
            self.polls.append(now - began)
            self.took += [now - since for wanted, since in self._waiting if wanted <= position]
            self._waiting = [one for one in self._waiting if one[0] > position]


async def events(product: Product, seconds: float) -> dict[str, float]:
    """Measure events at a steady pace."""
    release, count = _name(), max(1, int(seconds * PER_SECOND))
    await product.plan(release)
    watch = Watch(product)

    async def post(number: int) -> None:
        watch.wait_for(await product.post(report(release, f"{release}.{number}", "test")))

    async with asyncio.timeout(seconds + PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        tasks.create_task(watch.run(count))
        tasks.create_task(paced(post, count, PER_SECOND))
    return latencies(watch.took) | {"poll_ms": percentile(watch.polls, LOW_PERCENT) * 1000}


async def webhooks(product: Product, seconds: float) -> dict[str, float]:
    """Measure deliveries one after another; each is about a release of its own."""
    ends = clock.monotonic() + seconds
    took: list[float] = []
    while not took or clock.monotonic() < ends:
        release = _name()
        await product.plan(release)
        await product.deliver("deployment_status", deployment_started(release))
        since = clock.monotonic()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "deployment.started.v1" not in await product.timeline(release):
                pass
        took.append(clock.monotonic() - since)
    return latencies(took)


async def bare(trip: Roundtrip, seconds: float) -> dict[str, float]:
    """Measure the trip through the broker alone."""
    return latencies(await trip.measure(seconds, PER_SECOND))


def deployment_started(release: str) -> dict[str, Any]:
    """Return a `deployment_status` of GitHub, with the members that matter."""
    number, at = uuid.uuid4().int % 10**9, "2026-03-01T12:00:00Z"
    creator = {"login": "ci", "id": 71, "type": "Bot"}
    deployment = {
        "id": number, "sha": "9fceb02d0ae598e95dc970b74767f19372d61af8", "ref": "main",
        "task": "deploy", "payload": {"release_id": release, "service": "pay"},
        "environment": "production", "created_at": at, "updated_at": at, "creator": creator,
    }  # fmt: skip
    status = {
        "id": number * 10, "state": "in_progress", "environment": "production", "created_at": at,
        "updated_at": at, "description": "", "target_url": "", "log_url": "", "creator": creator,
    }  # fmt: skip
    repository = {"id": 7001, "name": "pay", "full_name": "acme/pay", "default_branch": "main"}
    return {"action": "created", "deployment_status": status, "deployment": deployment,
            "repository": repository, "sender": creator}  # fmt: skip


async def run(asked: Asked) -> str:
    """Measure all cells, print the table and return the line of JSON."""
    book = Book(NAME, CELLS)
    with tempfile.TemporaryDirectory(prefix="rlg-bench-") as name:
        folder = Path(name)
        async with embedded_postgres(folder / "postgres") as server, broker(folder) as kafka:
            await server.ensure_database(_DATABASE)
            url = server.dsn(_DATABASE)
            async with product(folder, url, kafka) as running, roundtrip(kafka) as trip:
                for cell in asked.order(CELLS):
                    book.note(cell, await _measure(cell, running, trip, asked.seconds))
    figures = book.figures()
    shortcuts = {name: figures[f"events_{name}"] for name in ("p50_ms", "p99_ms")}
    ratios = {
        "vs_raw_roundtrip": book.ratio("events", "roundtrip", "p50_ms"),
        "webhook_vs_raw_roundtrip": book.ratio("webhooks", "roundtrip", "p50_ms"),
    }
    print(book.table(), ratio_table(ratios), sep="\n\n")
    return book.line(ratios, shortcuts | figures)


async def _measure(
    cell: str, running: Product, trip: Roundtrip, seconds: float
) -> dict[str, float]:
    measures: dict[str, Callable[[], Awaitable[dict[str, float]]]] = {
        "events": lambda: events(running, seconds),
        "webhooks": lambda: webhooks(running, seconds),
        "roundtrip": lambda: bare(trip, seconds),
    }
    return await measures[cell]()


def _name() -> str:
    return f"pay-{uuid.uuid4().hex[:12]}"
