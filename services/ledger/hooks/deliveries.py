"""Deliveries: receive → keep the bytes → 202; then map → append → settle, or quarantine.

Promises: a delivery that was answered with 202 is stored and will be mapped, also after a crash.
Facts are appended before the delivery is settled, under ids that come from their natural key; so
doing it twice changes nothing. What cannot be understood is never lost and never refused: its bytes
wait in the quarantine, and `ingest.quarantined` says so in the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from contracts.problem import NotFound, Problem, Unauthenticated, Unavailable
from services.kit import logs, metrics
from services.ledger.appender import Appenders
from services.ledger.hooks.connections import Connection, Connections
from services.ledger.hooks.delivery import Delivery, Incoming, Kept, Settled
from services.ledger.hooks.kinds import KINDS, digest
from services.ledger.hooks.recorder import Recorder
from services.ledger.hooks.store import HookStore
from services.ledger.store import Reader

BATCH = 64
POLL_SECONDS = 1.0
"""How soon a delivery is found that another process stored and did not map."""
PAUSE_SECONDS = 1.0
MOST_AT_ONCE = 200
"""Deliveries that may be on their way into the database; beyond it a sender gets 503."""
_log = logs.get(__name__)


class Hooks:
    """The webhooks of one process. Any number of processes may share a database."""

    def __init__(
        self, store: HookStore, reader: Reader, appender_for: Appenders, connections: Connections
    ) -> None:
        self.store = store
        self.reader = reader
        self._recorder = Recorder(reader, appender_for, connections)
        self._appender_for = appender_for
        self._connections = connections
        self._news = asyncio.Event()
        self._arriving = 0

    def connection(self, name: str) -> Connection:
        """Return a connection, or raise `NotFound`."""
        return self._connections[name]

    async def receive(self, connection: Connection, headers: dict[str, str], raw: bytes) -> Kept:
        """Prove and store one delivery. On `Unauthenticated` nothing is stored."""
        kind = KINDS[connection.adapter]
        if not kind.proves(headers, raw, connection.secret_values):
            _count(connection.name, "unsigned")
            raise Unauthenticated("the signature or the secret does not fit this connection")
        sha256 = digest(raw)
        key, kept_headers = kind.delivery_key(headers, sha256), kind.kept(headers)
        kept = await self._keep(
            Incoming(
                connection.name, connection.ledger, key, kept_headers, raw, sha256, kind.assurance
            )
        )
        _count(connection.name, kept.fate)
        self._news.set()
        return kept

    async def _keep(self, incoming: Incoming) -> Kept:
        if self._arriving >= MOST_AT_ONCE:
            raise Unavailable(f"{self._arriving} deliveries are being stored already")
        self._arriving += 1
        try:
            return await self.store.keep(incoming)
        finally:
            self._arriving -= 1

    async def record(self, delivery: Delivery) -> Settled:
        """Map one delivery that the caller has claimed; see `Recorder.record`."""
        return await self._recorder.record(delivery)

    async def run(self) -> None:
        """Map stored deliveries for ever: at once when one arrives here, else by polling."""
        while True:
            self._news.clear()
            if await self.map_waiting() == 0:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._news.wait(), POLL_SECONDS)

    async def map_waiting(self) -> int:
        """Map one batch and return how many were settled; those left over stay waiting."""
        async with self.store.claim(self._served(), BATCH) as claim:
            settled = await self._map_all(claim.deliveries)
            for one in settled:
                await claim.settle(one)
            unsettled = len(claim.deliveries) - len(settled)
        for one in settled:
            _count(one.delivery.connection, one.state)
        waiting, quarantined = await self.store.counts()
        metrics.gauge("rlg_hook_waiting", waiting)
        metrics.gauge("rlg_quarantine_open", quarantined)
        if unsettled:
            await asyncio.sleep(PAUSE_SECONDS)
        return len(settled)

    def _served(self) -> list[str]:
        """Return the connections whose ledger is here; other processes map the others."""
        return [c.name for c in self._connections.values() if self._has_ledger(c.ledger)]

    def _has_ledger(self, name: str) -> bool:
        try:
            self._appender_for(name)
        except (NotFound, Unavailable):  # not here, or not open yet: its deliveries wait
            return False
        return True

    async def _map_all(self, deliveries: Sequence[Delivery]) -> list[Settled]:
        """Map side by side: all facts reach the appender's queue in the order of arrival."""
        tries = [asyncio.ensure_future(self._map_or_wait(one)) for one in deliveries]
        try:
            return [settled for settled in await asyncio.gather(*tries) if settled is not None]
        finally:
            for one in tries:
                one.cancel()

    async def _map_or_wait(self, delivery: Delivery) -> Settled | None:
        """Return None when the ledger cannot take it now; it stays waiting."""
        try:
            return await self.record(delivery)
        except Problem as error:
            _log.warning("hook.waiting", delivery=delivery.id, reason=error.detail)
            return None


def _count(connection: str, fate: str) -> None:
    metrics.count("rlg_hook_deliveries_total", connection=connection, fate=fate)
