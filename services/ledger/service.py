"""The ledger put together: connections, one appender a ledger, webhooks, Kafka, the app."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from contracts.problem import Unavailable
from services.kit import database, logs, service
from services.kit.identity import Keyring
from services.kit.kafka import KafkaProducer, Record, ensure_topics
from services.kit.settings import SettingsError, Shared
from services.ledger import api, health, proofs, redactions
from services.ledger.appender import Appender
from services.ledger.certify import Standbys
from services.ledger.databases import Database
from services.ledger.fence import Fence
from services.ledger.hooks import api as hooks_api
from services.ledger.hooks import connections, kafka_records
from services.ledger.hooks.deliveries import Hooks
from services.ledger.hooks.kinds import digest
from services.ledger.hooks.store import HookStore
from services.ledger.ingest import Ingest
from services.ledger.lease import Lease
from services.ledger.preflight import Away, Preflight
from services.ledger.relay import Relay
from services.ledger.sealing.service import ALONE, Seals
from services.ledger.sealing.where import Neighbours
from services.ledger.settings import LedgerSettings
from services.ledger.sources import Sources
from services.ledger.store import Reader
from services.ledger.tables import LedgerRow
from services.ledger.wake import Wake
from services.ledger.writer import Writer

NAME = "ledger"
REVISION = "0009"
"""The migration that this code is written for."""
ENGINE_SIZE = 2
"""Connections of each database for what is seldom asked; reads and appends have their own."""
Tasks: TypeAlias = dict[str, Callable[[], Awaitable[None]]]
_log = logs.get(__name__)


def build(
    shared: Shared, settings: LedgerSettings, keyring: Keyring,
    neighbours: Neighbours = ALONE,
) -> service.Service:  # fmt: skip
    """Return the service; nothing is opened before its `run`. `neighbours` may be witnesses."""
    parts = _Parts(shared, settings, neighbours)
    app = service.new_app(NAME, "The append-only log: events in, histories and proofs out.")
    told = parts.seals.told
    api.add_routes(app, api.Desk(parts.reader, parts.wake, parts.appender_for, keyring, *told))
    app.include_router(proofs.router)
    app.include_router(redactions.router)
    hooks_api.add_routes(app, parts.hooks, keyring)
    hard, soft = health.checks(parts.reader.placement, parts.preflights)
    (soft or hard).update(health.safety(parts.reader.placement, parts.standbys, parts.fence))
    # The HTTP path needs no broker: without one only the readers behind Kafka fall behind.
    soft["kafka"] = parts.check_kafka
    soft["sealing"] = functools.partial(parts.seals.check, parts.reader)
    service.add_health(app, hard, soft)
    return service.Service(NAME, app, parts.run, hard, soft)


class _Parts:
    """What the service consists of; `run` opens it, works, and closes it."""

    def __init__(self, shared: Shared, settings: LedgerSettings, neighbours: Neighbours) -> None:
        if shared.database_url is None:
            raise SettingsError("DATABASE_URL is not set; the ledger needs a PostgreSQL")
        url = shared.database_url.get_secret_value()
        self._settings = settings
        self._bootstrap = shared.kafka_bootstrap_servers
        self._appenders: dict[str, Appender] = {}
        self._admitted: set[str] = set()
        self._admitting = asyncio.Lock()
        self._relays: dict[str, Relay] = {}
        self._no_topics: str | None = None
        """Why there are no topics to work on, as of the last look."""
        self.reader = _reader(url, settings)
        self.preflights = {
            base: Preflight(base.url, REVISION, name=base.name, certified=settings.certified)
            for base in self.reader.placement.databases
        }
        self.fence = Fence(settings.min_epochs)
        bases = self.reader.placement.databases if settings.certified else ()
        self.standbys = {base: Standbys(base.url) for base in bases}
        self.wake = Wake(self.reader)
        self.seals = Seals(
            shared, settings, lambda name: settings.elsewhere.get(name, url), neighbours
        )
        registered = connections.read_sources(settings.sources_file, dev=shared.dev)
        self._ingest = self._new_ingest(registered)
        file, names = settings.connections_file, settings.ledgers
        known = connections.read(file, names, registered, dev=shared.dev)
        self.hooks = Hooks(HookStore(url), self.reader, self.appender_for, known)

    def appender_for(self, name: str) -> Appender:
        """Return the appender of a ledger. Raises `NotFound`, `Unavailable` before it is open."""
        row = self.reader.ledger(name)
        if name not in self._admitted:
            raise Unavailable(f"the ledger {name} is not admitted yet; /readyz says why")
        if name not in self._appenders:
            self._appenders[name] = self._appender(row)
        return self._appenders[name]

    def _appender(self, row: LedgerRow) -> Appender:
        url = self.reader.placement.home(row.name).url
        writer = Writer(url, row, certified=self._settings.certified)
        return Appender(writer, self._settings.queue_events)

    def _new_ingest(self, registered: Sources) -> Ingest | None:
        if self._bootstrap is None:
            return None
        rejected, keep = KafkaProducer(self._bootstrap, "ledger-ingest"), self._quarantine
        return Ingest(self._bootstrap, self.appender_for, rejected, keep=keep, sources=registered)

    async def _quarantine(self, record: Record, ledger: str) -> None:
        """Keep a record that the ingest could not take in; a ledger of ours shows it."""
        served = self._settings.ledgers
        home = ledger if ledger in served else served[0]
        raw = digest(record.value or b"")
        await self.hooks.store.keep(kafka_records.incoming(record, home, raw))

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Open what needs opening and work in the background until the block ends."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.reader.close)
            for standbys in self.standbys.values():
                stack.callback(standbys.close)
            stack.push_async_callback(self.hooks.store.close)
            await self._open()
            await self.hooks.store.open()
            tasks = self._appending() | self._waking() | self._kafka() | await self.seals.tasks()
            tasks["redactions"] = functools.partial(redactions.sweep, self.reader)
            work = service.background(NAME, hooks=self.hooks.run, **tasks)
            await stack.enter_async_context(work)
            yield

    async def _open(self) -> None:
        """Open the ledgers whose database answers; the others open when theirs does."""
        for base, preflight in self.preflights.items():
            await self._refuse(base, preflight)
        try:
            await self.reader.open(self._settings.ledgers)
        except Unavailable as problem:
            if not self.reader.ledgers:
                raise
            _log.warning("ledgers.not_all_open", reason=problem.detail)
        for row in self.reader.ledgers:
            await self._admit(row.name)

    async def _refuse(self, base: Database, preflight: Preflight) -> None:
        """Refuse a database that is not as it must be; one of several may be away for now."""
        try:
            await preflight.refuse()
        except Away:
            if len(self.preflights) == 1:
                raise
            _log.warning("database.away", database=base.name)

    async def _admit(self, name: str) -> None:
        """Open a ledger and let appends and the relay at it once each check of a start has passed.

        Whoever is second waits, and a check that failed is made again by the next one who asks.
        """
        async with self._admitting:
            if name in self._admitted:
                return
            preflight = self.preflights[self.reader.placement.home(name)]
            await preflight.refuse()
            await self.reader.open([name])
            row = self.fence.admit(self.reader.ledger(name))
            await self.seals.refuse_short(name, (await self.reader.head(name))[0])
            await preflight.rehearse([row])
            self._admitted.add(name)

    def _appending(self) -> Tasks:
        return {
            f"append_{name}": functools.partial(self._append, name)
            for name in self._settings.ledgers
        }

    async def _append(self, name: str) -> None:
        await self._admit(name)
        await self.appender_for(name).run()

    def _waking(self) -> Tasks:
        return {
            f"wake_{number}": functools.partial(self.wake.run, base)
            for number, base in enumerate(self.reader.placement.databases)
        }

    def _kafka(self) -> Tasks:
        """Return the relays and the ingest; nothing where there is no broker."""
        if self._ingest is None:
            return {}
        tasks: Tasks = {"ingest": functools.partial(self._with_topics, self._ingest.run)}
        for name in self._settings.ledgers:
            tasks[f"relay_{name}"] = functools.partial(self._relay, name)
        return tasks

    async def _with_topics(self, run: Callable[[], Awaitable[None]]) -> None:
        """Work only on topics that are there and fit; `background` tries again if they are not."""
        try:
            await ensure_topics(str(self._bootstrap))
        except Exception as error:
            self._no_topics = str(error) or type(error).__name__
            raise
        self._no_topics = None
        await run()

    async def _relay(self, name: str) -> None:
        await self._admit(name)
        if name not in self._relays:
            self._relays[name] = self._new_relay(self.reader.ledger(name))
        await self._with_topics(self._relays[name].run)

    def _new_relay(self, row: LedgerRow) -> Relay:
        base = self.reader.placement.home(row.name)
        producer = KafkaProducer(str(self._bootstrap), f"ledger-relay-{row.name}")
        lease, standbys = Lease(base.engine, row.id), self.standbys.get(base)
        return Relay(
            row, self.reader, self.wake, lease, producer, fence=self.fence, standbys=standbys
        )

    async def check_kafka(self) -> str | None:
        """Return None when relays and ingest work, or when there is no broker to work with."""
        if self._ingest is None:
            return None
        complaints = [self._no_topics, await self._ingest.check()]
        for name in self._settings.ledgers:
            relay = self._relays.get(name)
            complaints.append(await relay.check() if relay else f"nobody relays {name} yet")
        return next((complaint for complaint in complaints if complaint), None)


def _reader(url: str, settings: LedgerSettings) -> Reader:
    """Return the reader of all ledgers: one engine for each database, however many are in it."""
    engines = {
        place: database.engine(place, "ledger courier", ENGINE_SIZE, role="rlg_courier")
        for place in dict.fromkeys([url, *settings.elsewhere.values()])
    }
    elsewhere = {name: engines[place] for name, place in settings.elsewhere.items() if place != url}
    return Reader(engines[url], elsewhere, settings.pool_size)
