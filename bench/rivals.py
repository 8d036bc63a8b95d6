"""What the appender is measured against, on the same tables.

`Raw` is the physical limit: the same rows, in batches, by one plain INSERT, and nothing checked.
`Locked` is the design that everybody thinks of first: one transaction an event behind a lock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.workload import SUBJECTS, Call
from services.kit import database
from services.ledger import body
from services.ledger.backlog import MAX_BATCH_EVENTS
from services.ledger.model import Item, Submission
from services.ledger.writer import LOCK

CONNECTIONS = 16
"""Of the locked design. More do not help: the lock lets one work at a time."""
SPLIT_FROM = 8
"""Events outstanding from which two batches fly at once, as in the ledger's own appender."""
SETTINGS = {"synchronous_commit": "on", "enable_seqscan": "off"}
"""As the ledger's own writer has them."""

_INSERT = """
WITH histories AS (
    INSERT INTO ledger.history (ledger_id, subject_id, version, position)
    SELECT $1, subject_id, version, $2 + (entry - 1) / $14 + 1
      FROM unnest($12::bigint[], $13::int[]) WITH ORDINALITY AS flat(subject_id, version, entry)
), bodies AS (
    INSERT INTO ledger.event_body (ledger_id, position, salt, body)
    SELECT $1, $2 + n, salt, body
      FROM unnest($10::bytea[], $11::bytea[]) WITH ORDINALITY AS given(salt, body, n)
)
INSERT INTO ledger.event (
    ledger_id, position, event_uuid, source, type, subject_ids, versions,
    occurred_at, recorded_at, principal, assurance, commitment)
SELECT $1, $2 + n, event_uuid, source, type,
       ($12::bigint[])[(n - 1) * $14 + 1 : n * $14], ($13::int[])[(n - 1) * $14 + 1 : n * $14],
       occurred_at, clock_timestamp(), principal, assurance, commitment
  FROM unnest($3::uuid[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::text[],
              $9::bytea[]) WITH ORDINALITY
           AS given(event_uuid, source, type, occurred_at, principal, assurance, commitment, n)
"""
_LOCK = "SELECT pg_advisory_xact_lock($1, $2)"
_STATE = """
SELECT (SELECT position FROM ledger.event
         WHERE ledger_id = $1 ORDER BY position DESC LIMIT 1) AS head,
       (SELECT position FROM ledger.event
         WHERE event_uuid = $2 AND ledger_id = $1 AND source = $3) AS stored,
       array_agg(s.subject_id ORDER BY n) AS ids, array_agg(h.version ORDER BY n) AS versions
  FROM unnest($4::text[]) WITH ORDINALITY AS asked(key, n)
  JOIN ledger.subject AS s ON s.key = asked.key AND s.ledger_id = $1
 CROSS JOIN LATERAL (
       SELECT version FROM ledger.history WHERE subject_id = s.subject_id AND ledger_id = $1
        ORDER BY version DESC LIMIT 1) AS h
"""


@dataclass(frozen=True)
class Prepared:
    """A ledger in which every subject of the load is known."""

    ledger_id: int
    head: int
    subjects: Mapping[str, int]
    """Key → id."""
    versions: Mapping[str, int]


class Raw:
    """Batches in flight, one a connection; meanwhile the next one gathers. No check of any kind."""

    def __init__(
        self,
        connections: Sequence[database.Connection],
        prepared: Prepared,
        make: Callable[[Submission], Item] = body.make,
    ) -> None:
        self._connections = connections
        self._prepared = prepared
        self._make = make
        self._head = prepared.head
        self._versions = dict(prepared.versions)
        self._queue: deque[tuple[Item, asyncio.Future[dict[str, int]]]] = deque()
        self._flying = 0
        self._news = asyncio.Event()

    async def append(self, calls: Sequence[Call]) -> Sequence[Mapping[str, int]]:
        """See `Design`."""
        loop = asyncio.get_running_loop()
        some = [(self._make(call.submission), loop.create_future()) for call in calls]
        self._queue.extend(some)
        self._news.set()
        return [await answer for _, answer in some]

    async def run(self) -> None:
        """Store batches for ever."""
        async with asyncio.TaskGroup() as tasks:
            for connection in self._connections:
                tasks.create_task(self._fly(connection))

    async def _fly(self, connection: database.Connection) -> None:
        while True:
            await self._news.wait()
            batch = [self._queue.popleft() for _ in range(self._size())]
            if not self._queue:
                self._news.clear()
            if batch:
                await self._store(connection, batch)
            await asyncio.sleep(0)  # as the appender does

    def _size(self) -> int:
        """Return the next batch's size: with two in flight half of all, else they would join."""
        waiting = len(self._queue)
        outstanding = waiting + self._flying
        if len(self._connections) > 1 and outstanding >= SPLIT_FROM:
            waiting = min(waiting, -(-outstanding // len(self._connections)))
        return min(waiting, MAX_BATCH_EVENTS)

    async def _store(
        self,
        connection: database.Connection,
        batch: list[tuple[Item, asyncio.Future[dict[str, int]]]],
    ) -> None:
        items = [item for item, _ in batch]
        versions = [self._next(item) for item in items]
        ids = [self._prepared.subjects[key] for item in items for key in item.subjects]
        flat = [version for one in versions for version in one.values()]
        head, self._head = self._head, self._head + len(items)
        self._flying += len(items)
        rows = _rows(items, ids, flat)
        await connection.execute(_INSERT, self._prepared.ledger_id, head, *rows)
        self._flying -= len(items)
        for (_, answer), one in zip(batch, versions, strict=True):
            answer.set_result(one)

    def _next(self, item: Item) -> dict[str, int]:
        given = {key: self._versions[key] + 1 for key in item.subjects}
        self._versions |= given
        return given


class Locked:
    """Each event in a transaction of its own: lock, read, check, insert."""

    def __init__(self, connections: Sequence[database.Connection], prepared: Prepared) -> None:
        self._ledger = prepared.ledger_id
        self._free = list(connections)
        self._turn = asyncio.Semaphore(len(connections))  # first come, first served

    async def append(self, calls: Sequence[Call]) -> Sequence[Mapping[str, int]]:
        """See `Design`: one event after another, none whose id is stored already."""
        return [await self._append(call) for call in calls]

    async def _append(self, call: Call) -> Mapping[str, int]:
        item = body.make(call.submission)
        async with self._turn:
            connection = self._free.pop()
            try:
                async with connection.transaction():
                    await connection.execute(_LOCK, LOCK, self._ledger)
                    return await self._store(connection, item, call.expect)
            finally:
                self._free.append(connection)

    async def _store(
        self, connection: database.Connection, item: Item, expect: Mapping[str, int]
    ) -> Mapping[str, int]:
        keys = list(item.subjects)
        state = await connection.fetchrow(_STATE, self._ledger, item.uuid, item.source, keys)
        assert state is not None
        found = dict(zip(keys, state["versions"], strict=True))
        if state["stored"] is not None:
            return found
        assert all(found[key] == version for key, version in expect.items())
        versions = [version + 1 for version in state["versions"]]
        rows = _rows([item], state["ids"], versions)
        await connection.execute(_INSERT, self._ledger, state["head"], *rows)
        return dict(zip(keys, versions, strict=True))


@asynccontextmanager
async def raw(
    url: str, prepared: Prepared, flights: int, make: Callable[[Submission], Item] = body.make
) -> AsyncIterator[Raw]:
    """Open `Raw` with so many batches in flight."""
    async with _connections(url, flights) as connections:
        made = Raw(connections, prepared, make)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(made.run())
            yield made
            task.cancel()


@asynccontextmanager
async def locked(url: str, prepared: Prepared) -> AsyncIterator[Locked]:
    """Open `Locked`."""
    async with _connections(url, CONNECTIONS) as connections:
        yield Locked(connections, prepared)


@asynccontextmanager
async def _connections(url: str, count: int) -> AsyncIterator[list[database.Connection]]:
    async with AsyncExitStack() as stack:
        opened = [await database.connection(url, "bench rival", SETTINGS) for _ in range(count)]
        for connection in opened:
            stack.callback(connection.terminate)
        yield opened


def _rows(items: Sequence[Item], ids: Sequence[int], versions: Sequence[int]) -> list[Any]:
    """Return what _INSERT takes after the ledger's id and the head."""
    return [
        [item.uuid for item in items],
        [item.source for item in items],
        [item.type for item in items],
        [item.occurred_at for item in items],
        [item.principal for item in items],
        [item.assurance for item in items],
        [item.commitment for item in items],
        [item.salt for item in items],
        [item.body for item in items],
        ids,
        versions,
        SUBJECTS,
    ]
