"""What stands on the events topic, or is missing there, never stops or bends a projection.

Each strange record has a fate that can be seen: the broker refuses it, the feed fills the gap from
the ledger over HTTP (rlg_feed_gaps_total), the runner starts again and says so
(rlg_task_restarts_total), or the event is parked. The broker is this module's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from pydantic import SecretStr

from contracts import catalogue, topics
from contracts.event import MAX_EVENT_BYTES, OURS
from deploy.embedded import EmbeddedKafka, default_cache_dir
from services.kit import service
from services.kit.identity import Keyring, demo_key
from services.kit.kafka import KafkaFeed, KafkaProducer, Record, Undelivered
from services.kit.metrics import REGISTRY
from services.kit.remote import Client, HttpLedger
from services.kit.settings import Shared
from services.projector import service as projector_service
from services.projector.settings import ProjectorSettings
from tests.faults.kafka_parts import Part, projector
from tests.faults.kafka_world import EVENTS, World, consumer, events
from tests.integration.kafka.live import running

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def broker(work_dir: Path) -> Iterator[str]:
    server = EmbeddedKafka(work_dir / "strange-kafka", default_cache_dir(os.environ), print)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server.bootstrap_servers
        runner.run(server.stop())


@contextlib.asynccontextmanager
async def projecting(here: World) -> AsyncIterator[service.Service]:
    """Run the projector's service in this process, so that its metrics can be read."""
    client = Client(here.place.http, "demo-key")
    ledger = HttpLedger(client)
    built = projector_service.build(
        Shared(dev=True, DATABASE_URL=SecretStr(here.place.database)),
        ProjectorSettings(ledger=here.name),
        Keyring([demo_key()]),
        projector_service.Neighbours(
            KafkaFeed(here.place.kafka, ledger, epoch_of=ledger.epoch), ledger, client
        ),
    )
    async with built.run():
        yield built
    await client.close()


async def send(here: World, *records: Record) -> None:
    producer = KafkaProducer(here.place.kafka, "stranger")
    try:
        await producer.deliver(records)
    finally:
        await producer.close()


def gaps(here: World) -> float:
    return REGISTRY.get_sample_value("rlg_feed_gaps_total", {"ledger": here.name}) or 0


def restarts() -> float:
    labels = {"service": "projector", "task": "follow"}
    return REGISTRY.get_sample_value("rlg_task_restarts_total", labels) or 0


def note(here: World, **more: Any) -> dict[str, Any]:
    """Return an event of a type that we do not know."""
    number = random.getrandbits(64)
    return {
        "specversion": "1.0", "id": f"{number:x}", "source": f"/{here.name}",
        "type": "com.example.note", "subject": "release:pay-1", "data": {"n": 1},
    } | more  # fmt: skip


async def next_record(here: World) -> Record:
    """Return a record such as the relay would send for the next position, which nobody has yet."""
    last = (await here.ledger.reader.page(here.name, await here.head() - 1)).events[-1]
    record = here.ledger.relay(here.place.kafka)._record(last, b"1")
    return with_header(record, topics.HEADER_POSITION, b"%d" % (last.position + 1))


def with_header(record: Record, name: str, raw: bytes | None) -> Record:
    kept = tuple(pair for pair in record.headers if pair[0] != name)
    return replace(record, headers=kept if raw is None else ((name, raw), *kept))


STRANGE: dict[str, Callable[[Record], Record]] = {
    "tombstone": lambda r: replace(r, value=None),
    "empty value": lambda r: replace(r, value=b""),
    "no headers": lambda r: replace(r, headers=()),
    "a header twice": lambda r: replace(r, headers=(*r.headers, (topics.HEADER_EPOCH, b"x"))),
    "headers that are no text": lambda r: with_header(r, topics.HEADER_LEDGER, b"\xff\xfe"),
    "a header of 100 kB": lambda r: with_header(r, topics.HEADER_COMMITMENT, b"f" * 100_000),
    "a position beyond 64 bits": lambda r: with_header(r, topics.HEADER_POSITION, b"9" * 30),
    "a position far ahead": lambda r: with_header(r, topics.HEADER_POSITION, b"1000000"),
    "another epoch": lambda r: with_header(r, topics.HEADER_EPOCH, b"7"),
    "gzip inside of the value": lambda r: replace(r, value=gzip.compress(r.value or b"")),
    "no key": lambda r: replace(r, key=None, value=b"{}"),
}
UNNAMED = {"no headers", "headers that are no text", "a header twice", "a position beyond 64 bits"}
"""What names no position. All others name one that the ledger has not: a contradiction."""


@pytest.mark.parametrize("how", STRANGE)
async def test_a_strange_record_is_told_and_passed(
    here: World, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What contradicts the ledger makes the runner open everything anew; the rest is a gap."""
    some = events(random.Random(how), 4)
    async with running(here.ledger.relay(here.place.kafka).run()), projecting(here):
        await here.append(some[:30])
        await here.projected(10)
        restarted = restarts()
        capsys.readouterr()
        await send(here, STRANGE[how](await next_record(here)))
        await told(capsys, "feed.gap" if how in UNNAMED else "task.restarting")
        assert (restarts() == restarted) == (how in UNNAMED)
        await here.append(some[30:])
        await here.projected(10)
        await here.judge_projection()


@pytest.mark.parametrize("how", ["tombstone", "empty value", "no headers", "a header of 100 kB"])
async def test_a_strange_record_in_a_record_s_place_is_filled_from_the_ledger(
    here: World, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay's own records arrive so: the gap is counted, and nothing starts again."""
    some, bent = events(random.Random(how), 4), list[bytes]()
    usual = KafkaProducer.begin

    async def bending(self: KafkaProducer, records: Any) -> Any:
        if records and not bent:
            bent.append(b"")
            records = [STRANGE[how](records[0]), *records[1:]]
        return await usual(self, records)

    async with running(here.ledger.relay(here.place.kafka).run()), projecting(here):
        await here.append(some[:30])
        await here.projected(10)
        await asyncio.sleep(0.3)  # the projector listens
        filled, restarted = gaps(here), restarts()
        monkeypatch.setattr(KafkaProducer, "begin", bending)
        await here.append(some[30:])
        await here.projected(10)
        assert bent
        assert (gaps(here), restarts()) == (filled + 1, restarted)
        await here.judge_projection()


async def test_a_flood_of_contradictions_holds_nothing_up(here: World) -> None:
    some = events(random.Random("flood"), 6)
    async with running(here.ledger.relay(here.place.kafka).run()), projecting(here):
        for start in range(0, len(some), 3):
            await here.append(some[start : start + 3])
            await send(here, STRANGE["a position far ahead"](await next_record(here)))
        await here.projected(15)  # no pause between two starts is longer than ten seconds
        await here.judge_projection()


async def told(capsys: pytest.CaptureFixture[str], what: str, seconds: float = 10) -> None:
    """Wait until the log says something."""
    said = ""
    try:
        async with asyncio.timeout(seconds):
            while what not in said:
                await asyncio.sleep(0.05)
                said += capsys.readouterr().out
    except TimeoutError:
        raise AssertionError(f"{what} was never told:\n{said}") from None


async def test_what_no_version_of_us_wrote_yet(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A type that nobody knows is told in the timeline; a later version of ours is parked."""
    some = events(random.Random("future"), 2)
    planned = next(e for e in some if e["type"] == f"{OURS}release.planned.v1")
    later = planned | {"type": f"{OURS}release.planned.v9", "id": "later"}
    other = planned | {"type": f"{OURS}moon.landed.v1", "id": "other"}
    async with running(here.ledger.relay(here.place.kafka).run()), projecting(here):
        await here.append(some[:10])
        await here.projected(10)
        with monkeypatch.context() as future:  # a ledger of later knows them
            model = catalogue.model_of(f"{OURS}release.planned.v1")
            future.setattr(
                catalogue,
                "CATALOGUE",
                {**catalogue.CATALOGUE, later["type"]: model, other["type"]: model},
            )
            head = await here.append([note(here), later, other])
        await here.append(some[10:])
        await here.projected(10)
        parked = await here.parked()
        assert min(parked) == head - 1
        assert "release.planned.v9 is newer than this catalogue" in parked[head - 1]
        await here.judge()


async def test_the_largest_event_gets_through(here: World) -> None:
    async with running(here.ledger.relay(here.place.kafka).run()), projecting(here):
        for text in ("x", "é", "\u2028", '"', "\\"):
            length = MAX_EVENT_BYTES - 1000
            shown = len(text.encode()) if text.isprintable() and text not in '"\\' else 6
            await here.append([note(here, data={"text": text * (length // max(shown, 2))})])
        await here.projected(10)
        await here.judge()


async def test_a_record_of_two_mebibytes_is_refused_by_the_broker(here: World) -> None:
    async with running(here.ledger.relay(here.place.kafka).run()), projecting(here):
        await here.append(events(random.Random(1), 1))
        await here.projected(10)
        huge = replace(await next_record(here), value=b"x" * (2 * MIB - 4096))
        with pytest.raises(Undelivered, match="MessageSizeTooLarge"):
            await send(here, huge)
        await here.append([note(here)])
        await here.projected(10)
        await here.judge()


async def test_a_record_of_two_mebibytes_that_a_topic_lets_in_is_a_gap(here: World) -> None:
    async with (
        running(here.ledger.relay(here.place.kafka).run()),
        projecting(here),
        configured(here, {"max.message.bytes": str(4 * MIB)}),
    ):
        await here.append(events(random.Random(2), 1))
        await here.projected(10)
        seen = gaps(here) + restarts()
        value = os.urandom(MIB - 4096).hex().encode()
        await send(here, replace(await next_record(here), value=value))
        await here.append([note(here)])
        await here.projected(10)
        # It shows a position that the ledger may not have yet: then the feed is opened anew.
        assert gaps(here) + restarts() > seen
        await here.judge()


@contextlib.asynccontextmanager
async def configured(here: World, settings: dict[str, str]) -> AsyncIterator[None]:
    """Change settings of the events topic for a block; the others of it are the broker's then."""
    await _configure(here, settings)
    try:
        yield
    finally:
        await _configure(here, {"max.message.bytes": str(MIB)})


async def _configure(here: World, settings: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=here.place.kafka)
    await admin.start()
    try:
        place = ConfigResource(ConfigResourceType.TOPIC, topics.EVENTS, settings)
        await admin.alter_configs([place])
    finally:
        await admin.close()


async def test_a_relay_that_compresses_is_read(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compressing(**how: Any) -> AIOKafkaProducer:
        return AIOKafkaProducer(**how, compression_type="gzip")

    monkeypatch.setattr("services.kit.kafka.producer.AIOKafkaProducer", compressing)
    async with projecting(here):
        await here.append(events(random.Random(3), 2))
        await here.projected(10)
        async with running(here.ledger.relay(here.place.kafka).run()):
            filled = gaps(here)
            await here.append(events(random.Random(4), 2))
            await here.projected(4)
            assert gaps(here) == filled, "what was compressed was not believed"
            await here.judge()


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
async def test_a_topic_that_its_broker_compresses_is_read(here: World, codec: str) -> None:
    async with (
        configured(here, {"compression.type": codec}),
        running(here.ledger.relay(here.place.kafka).run()),
        projecting(here),
    ):
        await here.append(events(random.Random(5), 1))
        await here.projected(10)
        restarted, filled = restarts(), gaps(here)
        for _ in range(3):
            await here.append([note(here)])
            await here.projected(10)
        assert (restarts(), gaps(here)) == (restarted, filled), "what was compressed was not read"
        await here.judge_projection()


async def delete_all(here: World) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=here.place.kafka)
    await admin.start()
    try:
        async with consumer(here.place.kafka) as topic:
            end = (await topic.end_offsets([EVENTS]))[EVENTS]
            await admin.delete_records({EVENTS: RecordsToDelete(before_offset=end)})
            assert (await topic.beginning_offsets([EVENTS]))[EVENTS] == end
    finally:
        await admin.close()


@pytest.mark.parametrize("behind", [True, False], ids=["more comes", "nothing more comes"])
async def test_records_deleted_under_a_reader_come_from_the_ledger_over_http(
    here: World, *, behind: bool
) -> None:
    """The projector's process stands still while the topic loses what it has not read."""
    some = events(random.Random("deleted"), 8)
    async with running(here.ledger.relay(here.place.kafka).run()):
        part = Part(projector, here.place)
        try:
            await here.append(some[:40])
            await here.projected(15)
            part.signal(signal.SIGSTOP)
            for start in (40, 70):  # the first answers a request of before, and is in its socket
                await here.append(some[start : start + 30])
                await here.relayed(10)
            await delete_all(here)
            asked, cursor = here.requests.pages, await here.cursor()
            assert cursor == 40
            part.signal(signal.SIGCONT)
            if behind:
                await here.append(some[100:])
            await here.projected(15)
            assert here.requests.pages > asked
            await here.judge_projection()
        finally:
            await part.kill()


async def test_a_projector_that_starts_on_an_emptied_topic(here: World) -> None:
    some = events(random.Random("emptied"), 8)
    async with running(here.ledger.relay(here.place.kafka).run()):
        await here.append(some)
        await here.relayed(10)
        await delete_all(here)
        async with projecting(here):
            await here.projected(10)
            await here.append([note(here)])
            await here.projected(3)
            await here.judge_projection()
