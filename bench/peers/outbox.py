"""A plain outbox: one INSERT a transaction. Durable; no order, no versions, no duplicates."""

from __future__ import annotations

from contextlib import AsyncExitStack

from bench.cells import Bench, Figures, Measure
from bench.driving import tidy
from bench.peers.load import Fact, Sender, count_is, in_tasks, senders
from services.kit import database

_TABLE = """
CREATE TABLE outbox (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   uuid        NOT NULL UNIQUE,
    topic      text        NOT NULL,
    payload    bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_INSERT = "INSERT INTO outbox (event_id, topic, payload) VALUES ($1, $2, $3) RETURNING id"


def on_connections(*, ready: bool) -> Measure:
    """Return the cell of 32 connections, a caller each."""
    return lambda bench, seconds: measure(bench, seconds, senders(bench, ready=ready))


async def measure(bench: Bench, seconds: float, some: list[Sender]) -> Figures:
    """Measure so many connections, a caller each."""
    tidy()
    async with (
        bench.servers.copy(template="template0") as url,
        bench.counters(url) as sources,
        AsyncExitStack() as stack,
    ):
        free = {id(one): await database.connection(url, "bench outbox") for one in some}
        for connection in free.values():
            stack.callback(connection.terminate)
        await next(iter(free.values())).execute(_TABLE)

        async def send(sender: Sender, fact: Fact, _: bool) -> int:  # noqa: FBT001 - as all peers
            place = await free[id(sender)].fetchval(_INSERT, fact.id, fact.type, fact.body)
            return int(place)

        figures = await in_tasks(send, some, seconds, sources)
        await count_is(url, "outbox", sum(one.sent for one in some))
    return figures


CELLS: dict[str, Measure] = {
    "outbox_32": on_connections(ready=False),
    "outbox_ready_32": on_connections(ready=True),
}
