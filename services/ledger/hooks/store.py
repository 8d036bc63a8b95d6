"""PostgreSQL: deliveries as they came, and the quarantine. Plain asyncpg: 202 costs one statement.

Bytes and headers never change; a trigger holds everybody to that. States: see `delivery`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from contracts.problem import NotFound, Unavailable
from services.kit.database import DatabaseError
from services.ledger.hooks import adapter
from services.ledger.hooks.delivery import Delivery, Incoming, Kept, Settled
from services.ledger.pool import Pool

WAIT_SECONDS = 2.0
"""How long a sender waits for a connection to the database before it is told to come again."""

_KEEP = """
INSERT INTO ledger.hook_delivery
       (connection, ledger, delivery_key, headers, raw, raw_sha256, assurance)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (connection, delivery_key) DO NOTHING RETURNING delivery_id
"""
_KNOWN = """
SELECT delivery_id, raw_sha256 FROM ledger.hook_delivery WHERE connection = $1 AND delivery_key = $2
"""
_COLUMNS = """
delivery_id, connection, ledger, delivery_key, headers, raw, raw_sha256, assurance, received_at
"""
_CLAIM = f"""
SELECT {_COLUMNS} FROM ledger.hook_delivery
 WHERE state = 'waiting' AND connection = ANY($1)
 ORDER BY delivery_id LIMIT $2 FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - only our own column names
_CLAIM_ONE = f"""
SELECT {_COLUMNS} FROM ledger.hook_delivery WHERE delivery_id = $1 FOR UPDATE
"""  # noqa: S608 - as above
_SETTLE = """
UPDATE ledger.hook_delivery
   SET state = $2, positions = $3, adapter_version = $4, settled_at = clock_timestamp()
 WHERE delivery_id = $1
"""
_OPEN = """
INSERT INTO ledger.quarantine (delivery_id, reason, adapter_version) VALUES ($1, $2, $3)
ON CONFLICT (delivery_id) DO UPDATE
   SET reason = excluded.reason, adapter_version = excluded.adapter_version, state = 'open'
"""
_CLOSE = """
UPDATE ledger.quarantine SET state = 'replayed', replayed_at = clock_timestamp(), replayed_by = $2
 WHERE delivery_id = $1
"""
_ITEM = """
SELECT quarantine_id AS id, connection, received_at, opened_at, reason, raw_sha256,
       length(raw) AS size, q.state, q.adapter_version, positions, replayed_at, replayed_by
  FROM ledger.quarantine q JOIN ledger.hook_delivery d USING (delivery_id)
"""
_LIST = f"""{_ITEM} WHERE ledger = $1 AND quarantine_id > $2 AND ($3::text IS NULL OR q.state = $3)
 ORDER BY quarantine_id LIMIT $4"""
_ONE = f"{_ITEM} WHERE ledger = $1 AND quarantine_id = $2"
_BYTES = """
SELECT delivery_id, headers, raw
  FROM ledger.quarantine JOIN ledger.hook_delivery USING (delivery_id) WHERE quarantine_id = $1
"""
_COUNTS = """
SELECT (SELECT count(*) FROM ledger.hook_delivery WHERE state = 'waiting') AS waiting,
       (SELECT count(*) FROM ledger.quarantine WHERE state = 'open') AS open
"""


class HookStore:
    """Deliveries and quarantine of one database; `open` before use, `close` after."""

    def __init__(self, url: str, size: int = 4) -> None:
        self._url = url
        self._size = size
        self._pool: Pool | None = None

    async def open(self) -> None:
        """Lend connections from now on; a database that is away now may come back."""
        self._pool = Pool(self._url, "hooks", self._size, role="rlg_courier")

    async def close(self) -> None:
        """Close the connections; nobody uses them any more."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def keep(self, incoming: Incoming) -> Kept:
        """Store a delivery once. On return it is committed; `Unavailable` when it cannot be.

        The same key again is a duplicate. The same key with other bytes is kept beside the first
        one: nothing is overwritten, nothing is lost.
        """
        async with self._connected() as connection:
            kept = await _keep(connection, incoming, incoming.key)
            other_bytes = f"{incoming.key} sha256:{incoming.raw_sha256}"
            return kept or await _keep_surely(connection, incoming, other_bytes)

    @contextlib.asynccontextmanager
    async def claim(self, connections: Sequence[str], limit: int) -> AsyncIterator[Claim]:
        """Lock waiting deliveries, oldest first; other processes pass over them meanwhile.

        Leaving the block commits what was settled; a failure leaves everything waiting.
        """
        async with self._connected() as connection, connection.transaction():
            rows = await connection.fetch(_CLAIM, connections, limit)
            yield Claim(connection, list(map(_delivery, rows)))

    @contextlib.asynccontextmanager
    async def claim_one(self, delivery_id: int) -> AsyncIterator[Claim]:
        """Lock one delivery, whatever its state."""
        async with self._connected() as connection, connection.transaction():
            row = await connection.fetchrow(_CLAIM_ONE, delivery_id)
            yield Claim(connection, [_delivery(row)])

    async def counts(self) -> tuple[int, int]:
        """Return (deliveries that wait, open quarantine items)."""
        async with self._connected() as connection:
            row = await connection.fetchrow(_COUNTS)
        return row["waiting"], row["open"]

    async def quarantined(
        self, ledger: str, after: int, limit: int, state: str | None
    ) -> list[dict[str, Any]]:
        """Return items of the quarantine in order of id."""
        async with self._connected() as connection:
            return [dict(row) for row in await connection.fetch(_LIST, ledger, after, state, limit)]

    async def item(self, ledger: str, quarantine_id: int) -> dict[str, Any]:
        """Return one item, or raise `NotFound`."""
        async with self._connected() as connection:
            row = await connection.fetchrow(_ONE, ledger, quarantine_id)
        if row is None:
            raise NotFound(f"there is no quarantined delivery {quarantine_id}")
        return dict(row)

    async def content(self, quarantine_id: int) -> tuple[int, dict[str, str], bytes]:
        """Return (delivery id, kept headers, raw bytes) of an item that exists."""
        async with self._connected() as connection:
            row = await connection.fetchrow(_BYTES, quarantine_id)
        return row["delivery_id"], json.loads(row["headers"]), row["raw"]

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        """Lend a connection; whatever the database does wrong is `Unavailable`."""
        if self._pool is None:
            raise Unavailable("the ledger is starting")
        try:
            async with self._pool.connection(WAIT_SECONDS) as connection:
                yield connection
        except DatabaseError as error:
            raise Unavailable("the database does not take it; try again") from error


class Claim:
    """Locked deliveries inside a transaction."""

    def __init__(self, connection: Any, deliveries: list[Delivery]) -> None:
        self._connection = connection
        self.deliveries = deliveries

    async def settle(self, settled: Settled) -> None:
        """Write down what became of a delivery; a reason opens an item in the quarantine."""
        positions = list(settled.positions)
        about = (settled.delivery.id, settled.state, positions, adapter.VERSION)
        await self._connection.execute(_SETTLE, *about)
        if settled.reason is not None:
            await self._connection.execute(
                _OPEN, settled.delivery.id, settled.reason, adapter.VERSION
            )

    async def close(self, settled: Settled, principal: str) -> None:
        """Write down that a replay succeeded, and who asked for it."""
        await self._connection.execute(_CLOSE, settled.delivery.id, principal)


async def _keep(connection: Any, incoming: Incoming, key: str) -> Kept | None:
    """Store under `key`, or return None when other bytes stand there."""
    headers = json.dumps(dict(incoming.headers))
    stored = await connection.fetchval(
        _KEEP, incoming.connection, incoming.ledger, key, headers, incoming.raw,
        incoming.raw_sha256, incoming.assurance,
    )  # fmt: skip
    if stored is not None:
        return Kept(stored, "stored")
    known = await connection.fetchrow(_KNOWN, incoming.connection, key)
    same = known["raw_sha256"] == incoming.raw_sha256
    return Kept(known["delivery_id"], "duplicate") if same else None


async def _keep_surely(connection: Any, incoming: Incoming, key: str) -> Kept:
    """Store under a key that holds the digest, so that only the same bytes can stand there."""
    kept = await _keep(connection, incoming, key)
    if kept is None:
        raise Unavailable("the delivery could not be stored")
    return kept


def _delivery(row: Mapping[str, Any]) -> Delivery:
    return Delivery(
        connection=row["connection"],
        ledger=row["ledger"],
        key=row["delivery_key"],
        headers=json.loads(row["headers"]),
        raw=row["raw"],
        raw_sha256=row["raw_sha256"],
        assurance=row["assurance"],
        id=row["delivery_id"],
        received_at=row["received_at"],
    )
