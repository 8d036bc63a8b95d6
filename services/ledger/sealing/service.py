"""The sealers of a process put together: keys, places, tasks. Also the process `sealer` itself."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from contracts import topics
from contracts.problem import Unavailable
from services.kit import service
from services.kit.kafka import KafkaProducer, Record, ensure_topics
from services.kit.settings import SettingsError, Shared
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.note import Ed25519Signer, Note
from services.kit.tlog.policy import NotAPolicy, Policy
from services.ledger.sealing import keys
from services.ledger.sealing.anchor import Anchorer, Authority, authority
from services.ledger.sealing.published import Published
from services.ledger.sealing.rotation import Rotation
from services.ledger.sealing.sealer import Places, Sealer, Turned, unwitnessed
from services.ledger.sealing.site import too_short
from services.ledger.sealing.source import Source
from services.ledger.sealing.where import Neighbours, Where, prepare, seals_here
from services.ledger.sealing.witnesses import Witnesses
from services.ledger.settings import LedgerSettings
from services.ledger.store import Reader

NAME = "sealer"
ALONE = Neighbours()
Tasks: TypeAlias = dict[str, Callable[[], Awaitable[None]]]


def _record(name: str, note: Note) -> Record:
    headers = (
        (topics.HEADER_LEDGER, name.encode()),
        (topics.HEADER_CONTENT_TYPE, b"text/plain; charset=utf-8"),
    )
    return Record(topics.CHECKPOINTS, note.content, name.encode(), headers)


class Seals:
    """The proof in the process that answers: what is published, receipts, and maybe the sealers."""

    def __init__(
        self, shared: Shared, settings: LedgerSettings, url_of: Callable[[str], str],
        neighbours: Neighbours = ALONE,
    ) -> None:  # fmt: skip
        self._where = Where(shared, settings)
        self._ledgers = settings.ledgers
        self._published = Published(
            {name: self._where.shelf(name) for name in self._ledgers},
            {name: self._where.keys(name) for name in self._ledgers},
        )
        self._signs: dict[str, Callable[[bytes], str]] = {}
        here = seals_here(shared, settings)
        self._sealing = Sealing(shared, settings, url_of, neighbours) if here else None

    @property
    def told(self) -> tuple[Published, dict[str, Callable[[bytes], str]]]:
        """What answers are written with: see `hot.Desk`."""
        return self._published, self._signs

    async def tasks(self) -> Tasks:
        """Read the keys for receipts; return what looks at the shelf, and the sealers."""
        tasks: Tasks = {"published": self._published.run}
        if self._sealing is not None:
            await self._sealing.prepare()
            tasks |= self._sealing.tasks()
        for name in self._ledgers:
            key = keys.receipts(self._where.keys(name))
            if key is not None:
                self._signs[name] = functools.partial(_signed, key)
        return tasks

    async def refuse_short(self, ledger: str, head: int) -> None:
        """Raise `SettingsError` when the log has fewer events than were sealed.

        It was restored from an old copy. Appending would give positions that are taken a second
        meaning, and every witness would call that tampering.
        """
        try:
            await asyncio.to_thread(self._published.look, ledger)
        except OSError as error:
            raise Unavailable(f"what was sealed of {ledger} cannot be read: {error}") from error
        newest = self._published.newest(ledger)
        if newest is not None and newest.size > head:
            raise too_short(ledger, head, newest.size)

    async def check(self, reader: Reader) -> str | None:
        """Return what keeps events from being sealed, for /readyz."""
        said = None if self._sealing is None else await self._sealing.check()
        for row in reader.ledgers:
            with contextlib.suppress(Unavailable):  # the database has a check of its own
                head = (await reader.head(row.name))[0]
                said = said or self._published.behind(row.name, head)
        return said


def _signed(key: Ed25519Signer, text: bytes) -> str:
    return key.sign(text).line.decode().rstrip("\n")


class Sealing:
    """One sealer for each ledger. Raises `SettingsError` when a key is missing."""

    def __init__(
        self, shared: Shared, settings: LedgerSettings, url_of: Callable[[str], str],
        neighbours: Neighbours = ALONE,
    ) -> None:  # fmt: skip
        """`neighbours`: who can be a witness here."""
        self._shared = shared
        self._settings = settings
        self._url_of = url_of
        self._neighbours = neighbours
        self._witnesses: dict[str, Witnesses] = {}
        self._where = Where(shared, settings)
        self._sealers: dict[str, Sealer] = {}
        self._notes: dict[str, Note] = {}
        self._news = asyncio.Event()

    def tasks(self) -> Tasks:
        """Return one endless task for each ledger."""
        tasks: Tasks = {
            f"seal_{name}": functools.partial(self._seal, name) for name in self._settings.ledgers
        }
        stamps = authority(self._settings)
        if stamps is not None:
            for name in self._settings.ledgers:
                tasks[f"anchor_{name}"] = functools.partial(self._anchor, name, stamps)
        if self._shared.kafka_bootstrap_servers is not None:
            tasks["checkpoints"] = self._deliver
        return tasks

    async def check(self) -> str | None:
        """Return what keeps a ledger from being sealed, for /readyz."""
        troubles = [(name, each.trouble) for name, each in self._sealers.items()]
        troubles += [(name, each.trouble) for name, each in self._witnesses.items()]
        said = [f"{name}: {trouble}" for name, trouble in troubles if trouble]
        return "; ".join(said) or None

    async def prepare(self) -> None:
        """In development mode, make keys and begin the log of a ledger that has neither."""
        if self._shared.dev:
            for name in self._settings.ledgers:
                await asyncio.to_thread(prepare, self._where, name, self._neighbours)

    async def _seal(self, name: str) -> None:
        """Seal for ever. Whatever ended a sealer, the next one reads keys and policy again."""
        while True:
            if name in self._witnesses:
                await self._witnesses[name].close()
            ended, self._sealers[name] = self._sealers.get(name), self._sealer(name)
            self._sealers[name].trouble = ended.trouble if ended else None
            with contextlib.suppress(Turned):  # its key was replaced
                await self._sealers[name].run()

    def _sealer(self, name: str) -> Sealer:
        own = keys.sealer(self._where.keys(name))
        places = Places(
            source=Source(self._url_of(name), name, own.naming),
            states=self._where.states(),
            shelf=self._where.shelf(name),
            keys=own,
            cosign=self._cosigner(name),
            announce=functools.partial(self._announce, name),
            rotation=Rotation(self._where.keys(name)),
        )
        return Sealer(name, places, self._settings.seal_seconds)

    async def _anchor(self, name: str, stamps: Authority) -> None:
        client = self._neighbours.dial(stamps.url)
        try:
            await Anchorer(name, self._where.shelf(name), client, stamps).run()
        finally:
            await client.close()

    def _cosigner(self, name: str) -> Callable[[Note, Checkpoint], Awaitable[Note]]:
        """Return how a checkpoint is cosigned: by the witnesses of `<ledger>/policy`, if any."""
        file = self._where.keys(name) / keys.POLICY
        if not file.exists():
            return unwitnessed
        try:
            policy = Policy.parse(file.read_text(encoding="utf-8"))
        except NotAPolicy as error:
            raise SettingsError(f"{file}: {error}") from None
        required, shelf = self._settings.witness_required, self._where.shelf(name)
        self._witnesses[name] = Witnesses(
            name, policy, shelf, self._neighbours.dial, required=required
        )
        return self._witnesses[name].cosign

    async def _announce(self, name: str, note: Note, _size: int) -> None:
        """Hand a checkpoint to Kafka's task; one that is still waiting is covered by this one."""
        self._notes[name] = note
        self._news.set()

    async def _deliver(self) -> None:
        """Deliver checkpoints for ever. A broker that is down never holds up the sealers."""
        bootstrap = str(self._shared.kafka_bootstrap_servers)
        await ensure_topics(bootstrap)
        producer = KafkaProducer(bootstrap, "checkpoints")
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                for name, note in list(self._notes.items()):
                    await producer.deliver([_record(name, note)])
                    if self._notes.get(name) is note:
                        del self._notes[name]
        finally:
            self._news.set()  # what was not delivered is tried again
            await producer.close()


def build(shared: Shared, settings: LedgerSettings) -> service.Service:
    """Return the sealer as a process of its own: it serves its health and nothing else."""
    if shared.database_url is None:
        raise SettingsError("DATABASE_URL is not set; the sealer reads the log from there")
    main = shared.database_url.get_secret_value()
    sealing = Sealing(shared, settings, lambda name: settings.elsewhere.get(name, main))
    app = service.new_app(NAME, "Seals the ledgers: Merkle tree, checkpoints, tiles.")
    hard: dict[str, service.Check] = {"sealing": sealing.check}
    service.add_health(app, hard, {})

    @contextlib.asynccontextmanager
    async def run() -> AsyncIterator[None]:
        await sealing.prepare()
        async with service.background(NAME, **sealing.tasks()):
            yield

    return service.Service(NAME, app, run, hard, {})
