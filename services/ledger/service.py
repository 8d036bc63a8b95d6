"""The ledger put together: connections, one appender a ledger, webhooks, Kafka, the app."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from contracts.problem import NotFound
from services.kit import database, service
from services.kit.identity import Keyring
from services.kit.kafka import KafkaProducer, ensure_topics
from services.kit.settings import SettingsError, Shared
from services.ledger import api
from services.ledger.appender import Appender
from services.ledger.hooks import api as hooks_api
from services.ledger.hooks import connections
from services.ledger.hooks.deliveries import Hooks
from services.ledger.hooks.store import HookStore
from services.ledger.ingest import Ingest
from services.ledger.lease import Lease
from services.ledger.preflight import Preflight
from services.ledger.relay import Relay
from services.ledger.settings import LedgerSettings
from services.ledger.store import Reader
from services.ledger.wake import Wake
from services.ledger.writer import Writer

NAME = "ledger"
REVISION = "0005"
"""The migration that this code is written for."""
Tasks: TypeAlias = dict[str, Callable[[], Awaitable[None]]]


def build(shared: Shared, settings: LedgerSettings, keyring: Keyring) -> service.Service:
    """Return the service; nothing is opened before its `run`."""
    parts = _Parts(shared, settings)
    app = service.new_app(NAME, "The append-only log: events in, histories and proofs out.")
    api.add_routes(app, api.Desk(parts.reader, parts.wake, parts.appender_for, keyring))
    hooks_api.add_routes(app, parts.hooks, keyring)
    checks: dict[str, service.Check] = {
        "database": database.reachable(parts.engine),
        "preflight": parts.preflight.check,
    }
    # The HTTP path needs no broker: without one only the readers behind Kafka fall behind.
    soft: dict[str, service.Check] = {"kafka": parts.check_kafka}
    service.add_health(app, checks, soft)
    return service.Service(NAME, app, parts.run, checks, soft)


class _Parts:
    """What the service consists of; `run` opens it, works, and closes it."""

    def __init__(self, shared: Shared, settings: LedgerSettings) -> None:
        if shared.database_url is None:
            raise SettingsError("DATABASE_URL is not set; the ledger needs a PostgreSQL")
        self._url = shared.database_url.get_secret_value()
        self._settings = settings
        self._bootstrap = shared.kafka_bootstrap_servers
        self._appenders: dict[str, Appender] = {}
        self._kafka_checks: list[service.Check] = []
        self.preflight = Preflight(self._url, REVISION)
        self.engine = database.engine(self._url, NAME, settings.pool_size, role="rlg_reader")
        self.courier = database.engine(self._url, "ledger courier", 2, role="rlg_courier")
        self.reader = Reader(self.engine, self.courier)
        self.wake = Wake(self._url, self.reader)
        known = connections.read(settings.connections_file, dev=shared.dev)
        self.hooks = Hooks(HookStore(self._url), self.reader, self.appender_for, known)

    def appender_for(self, name: str) -> Appender:
        """Return the appender of a ledger, or raise `NotFound`."""
        try:
            return self._appenders[name]
        except KeyError:
            raise NotFound(f"there is no ledger {name!r} here") from None

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Open what needs opening and work in the background until the block ends."""
        async with contextlib.AsyncExitStack() as stack:
            await self.preflight.refuse()
            stack.push_async_callback(self.courier.dispose)
            stack.push_async_callback(self.reader.close)
            await self.reader.open(self._settings.ledgers)
            await self.preflight.rehearse(self.reader.ledgers)
            await self.hooks.store.open()
            stack.push_async_callback(self.hooks.store.close)
            tasks = self._appending() | self._kafka()
            work = service.background(NAME, wake=self.wake.run, hooks=self.hooks.run, **tasks)
            await stack.enter_async_context(work)
            yield

    def _appending(self) -> Tasks:
        for row in self.reader.ledgers:
            writer = Writer(self._url, row)
            self._appenders[row.name] = Appender(writer, self._settings.queue_events)
        return {f"append_{name}": appender.run for name, appender in self._appenders.items()}

    def _kafka(self) -> Tasks:
        """Return the relays and the ingest; nothing where there is no broker."""
        if self._bootstrap is None:
            return {}
        rejected = KafkaProducer(self._bootstrap, "ledger-ingest")
        ingest = Ingest(self._bootstrap, self.appender_for, rejected)
        relays = {row.name: self._relay(row.name, self._bootstrap) for row in self.reader.ledgers}
        self._kafka_checks = [ingest.check, *(relay.check for relay in relays.values())]
        work = {"ingest": ingest.run, **{f"relay_{name}": r.run for name, r in relays.items()}}
        return {name: functools.partial(self._with_topics, run) for name, run in work.items()}

    async def _with_topics(self, run: Callable[[], Awaitable[None]]) -> None:
        """Work only on topics that are there and fit; `background` tries again if they are not."""
        await ensure_topics(str(self._bootstrap))
        await run()

    def _relay(self, name: str, bootstrap: str) -> Relay:
        row = self.reader.ledger(name)
        producer = KafkaProducer(bootstrap, f"ledger-relay-{name}")
        return Relay(row, self.reader, self.wake, Lease(self.courier, row.id), producer)

    async def check_kafka(self) -> str | None:
        """Return None when relays and ingest work, or when there is no broker to work with."""
        complaints = [await check() for check in self._kafka_checks]
        return next((complaint for complaint in complaints if complaint), None)
