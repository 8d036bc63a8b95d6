"""A relay and a projector in processes of their own, to be killed, frozen and started again.

What runs in them is the product's: the relay with a shorter lease, the projector as its service is
built. Only `halting` is ours: a process that stops itself at a moment that chance seldom meets.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import uvloop
from pydantic import SecretStr

from services.kit import database, service
from services.kit.identity import Keyring, demo_key
from services.kit.kafka import Flight, KafkaFeed, KafkaProducer, Record
from services.kit.remote import Client, HttpLedger
from services.kit.settings import Shared
from services.ledger import api
from services.ledger.appender import Appender
from services.ledger.lease import Claim, Lease
from services.ledger.relay import Relay
from services.ledger.sealing.published import Published
from services.ledger.store import Reader
from services.ledger.wake import Wake
from services.projector import service as projector_service
from services.projector.settings import ProjectorSettings

LEASE = 1.0
Moment: TypeAlias = Literal["read", "sent", "landed"]
"""When a relay stops itself: with a page that it has not sent, with one in the air, or with one
that Kafka has acknowledged and nobody has confirmed."""


@dataclass(frozen=True)
class Place:
    """What a part is told."""

    ledger: str
    database: str
    kafka: str
    http: str
    log: Path


Told = TypeVar("Told", bound=Place)


class Part:
    """One process: at first, and each time that it is started again."""

    _context = multiprocessing.get_context("forkserver")  # imports once, then forks in milliseconds
    _context.set_forkserver_preload(["tests.faults.doors", __name__])

    def __init__(self, run: Callable[..., None], place: Place, *more: Any) -> None:
        self._how = (run, (place, *more))
        self._process = self._started()

    def _started(self) -> Any:
        run, args = self._how
        process = self._context.Process(target=run, args=args, daemon=True)
        process.start()
        return process

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid or 0, number)

    def is_stopped(self) -> bool:
        """Say whether it stands still after a SIGSTOP."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def is_alive(self) -> bool:
        return bool(self._process.is_alive())

    async def kill(self) -> None:
        """kill -9; on return it is gone."""
        self._process.kill()
        await asyncio.to_thread(self._process.join, 10)
        assert not self._process.is_alive()

    async def again(self) -> None:
        await self.kill()
        self._process = self._started()


def relay(place: Place, halting: Moment | None = None, after: int = 0) -> None:
    """Relay until killed; stop once at a moment, with the first page that goes behind `after`."""
    run(place, _relay(place, halting, after))


def projector(place: Place) -> None:
    """Project until killed."""
    run(place, _projector(place))


def run(place: Place, work: Any) -> None:
    """Do the work of a process for as long as it lives; what it says goes to the place's log."""
    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    uvloop.run(work)  # the loop that the product runs on


async def _relay(place: Place, halting: Moment | None, after: int) -> None:
    engine = database.engine(place.database, f"faults relay {os.getpid()}", size=2)
    reader = Reader(engine)
    while True:
        try:
            await reader.open([place.ledger])
            break
        except Exception:  # noqa: BLE001 - connections are cut on purpose
            await asyncio.sleep(0.1)
    row, wake = reader.ledger(place.ledger), Wake(reader)
    halt = _Halt(halting, after)
    producer = _Halting(place.kafka, f"faults-{place.ledger}", halt)
    lease = _HaltingLease(engine, row.id, LEASE)
    lease.halt = halt
    it = Relay(row, reader, wake, lease, producer)
    async with service.background("faults", wake=wake.run, relay=it.run):
        await asyncio.Event().wait()


async def _projector(place: Place) -> None:
    client = Client(place.http, "demo-key")
    ledger = HttpLedger(client)
    shared = Shared(dev=True, DATABASE_URL=SecretStr(place.database))
    feed = KafkaFeed(place.kafka, ledger, epoch_of=ledger.epoch)
    built = projector_service.build(
        shared,
        ProjectorSettings(ledger=place.ledger),
        Keyring([demo_key()]),
        projector_service.Neighbours(feed, ledger, client),
    )
    async with built.run():
        await asyncio.Event().wait()


@dataclass
class _Halt:
    moment: Moment | None
    after: int

    def at(self, moment: Moment, position: int) -> None:
        """Stop this process if this is its moment; it goes on when it is woken."""
        if moment == self.moment and position > self.after:
            self.moment = None
            os.kill(os.getpid(), signal.SIGSTOP)


class _Halting(KafkaProducer):
    def __init__(self, bootstrap: str, name: str, halt: _Halt) -> None:
        super().__init__(bootstrap, name)
        self._halt = halt

    async def begin(self, records: Sequence[Record]) -> Flight:
        last = _position(records[-1]) if records else 0
        self._halt.at("read", last)
        flight = await super().begin(records)
        self._halt.at("sent", last)
        return flight


class _HaltingLease(Lease):
    halt: _Halt

    async def confirm(self, claim: Claim, position: int) -> bool:
        self.halt.at("landed", position)
        return await super().confirm(claim, position)


def _position(record: Record) -> int:
    return int(dict(record.headers)["position"])


def through(place: Told, database_url: str) -> Told:
    """Return the place with its database reached by another way."""
    return replace(place, database=database_url)


def served(reader: Reader, wake: Wake, appender_for: Callable[[str], Appender]) -> service.App:
    """Return the ledger's HTTP side, without what seals."""
    app = service.new_app("ledger", "Ledgers of a fault test.")
    desk = api.Desk(reader, wake, appender_for, Keyring([demo_key()]), Published({}))
    api.add_routes(app, desk)
    return app
