"""Many ledgers in a few processes: one that appends and serves them, relays, projectors.

What runs is the product's. What goes wrong with a ledger alone is drawn in `kafka_faulty`; what
hits whole processes is done to them from outside.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from collections.abc import Awaitable, Callable

from services.kit import database, listening
from services.kit.kafka import KafkaFeed
from services.kit.remote import Client, HttpLedger
from services.ledger.appender import Appender
from services.ledger.relay import Relay
from services.ledger.store import Reader
from services.ledger.wake import Wake
from services.ledger.writer import Writer
from services.projector.following import Follower
from services.projector.generations import Generation, Generations
from services.projector.runner import Runner
from services.projector.writing import Projection
from tests.faults.kafka_faulty import Crowd, FaultyFeed, FaultyLease, FaultyProducer, Mischief
from tests.faults.kafka_parts import run, served

SILENCE = 1.5
PAUSE = 0.2
"""Between two starts of a task: a service's own pauses double up to 10 s, for nothing here."""
RESTARTED = 0.3
"""Share of the tasks that are stopped in order once."""
Work = Callable[[], Awaitable[None]]


def ledgers(place: Crowd) -> None:
    """Take events in and serve them over HTTP until killed."""
    run(place, _ledgers(place))


def relays(place: Crowd, who: str) -> None:
    """Relay until killed."""
    run(place, _relays(place, who))


def projectors(place: Crowd, who: str) -> None:
    """Project until killed."""
    run(place, _projectors(place, who))


async def _ledgers(place: Crowd) -> None:
    reader = await _opened(place, "ledger")
    appenders = {n: Appender(Writer(place.database, reader.ledger(n))) for n in place.ledgers}
    wake = Wake(reader)
    server = listening.server(served(reader, wake, appenders.__getitem__), grace_seconds=1)
    port = socket.create_server(("127.0.0.1", place.port))
    serving = functools.partial(server.serve, sockets=[port])
    await _all(serving, wake.run, *(appender.run for appender in appenders.values()))


async def _relays(place: Crowd, who: str) -> None:
    reader = await _opened(place, "relay")
    wake, engine = Wake(reader), _engine(place, "relay lease")
    works: list[Work] = []
    for name in place.ledgers:
        trouble = Mischief(place, name, FaultyProducer.KINDS + FaultyLease.KINDS, f"relay {who}")
        row = reader.ledger(name)
        lease = FaultyLease(engine, row.id, trouble)
        producer = FaultyProducer(place.kafka, f"faults-{name}", trouble)
        relay = Relay(row, reader, wake, lease, producer)
        works.append(_restless(relay.run, trouble, "relay restarted"))
    await _all(wake.run, *works)


async def _projectors(place: Crowd, who: str) -> None:
    ledger = HttpLedger(Client(place.http, "demo-key"))
    size = len(place.ledgers) + 8  # each holds one for as long as it follows
    engine = database.engine(place.database, "projector", size, role="rlg_projector")

    def follower(name: str) -> Work:
        trouble = Mischief(place, name, FaultyFeed.KINDS, f"projector {who}")
        kafka = KafkaFeed(place.kafka, ledger, epoch_of=ledger.epoch, silence=SILENCE)
        feed = FaultyFeed(kafka, trouble, place.database)

        def runner_of(generation: Generation) -> Runner:
            return Runner(Projection(engine, name, generation), feed, ledger)

        following = Follower(Generations(engine, name), runner_of)
        return _restless(following.run, trouble, "projector restarted")

    await _all(*map(follower, place.ledgers))


async def _opened(place: Crowd, kind: str) -> Reader:
    """Open the ledgers, as soon as the database lets us."""
    reader = Reader(_engine(place, kind))
    while True:
        try:
            await reader.open(place.ledgers)
        except Exception:  # noqa: BLE001 - connections are cut on purpose
            await asyncio.sleep(PAUSE)
        else:
            return reader


def _engine(place: Crowd, kind: str) -> database.Engine:
    return database.engine(place.database, f"faults {kind} {os.getpid()}", size=8)


async def _all(*works: Work) -> None:
    """Do all of it for ever; what fails says why and begins again."""
    await asyncio.gather(*map(_endless, works))


async def _endless(work: Work) -> None:
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the judge says whether it went well
            print(f"again after {error!r}", flush=True)  # noqa: T201 - into the process's log
        await asyncio.sleep(PAUSE)


def _restless(work: Work, trouble: Mischief, kind: str) -> Work:
    """Let the work be stopped in order, once, at a drawn moment."""
    moments = [trouble.chance.uniform(0.5, 5)] if trouble.chance.random() < RESTARTED else []

    async def stopped() -> None:
        limit = asyncio.timeout(moments.pop() if moments else None)
        try:
            async with limit:
                await work()
        except TimeoutError:
            if not limit.expired():
                raise
            trouble.note(kind)

    return stopped
