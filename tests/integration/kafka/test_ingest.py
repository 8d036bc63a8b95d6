"""Ingest on a real broker and a real log: nothing lost, nothing twice, nothing bad in the way."""

from __future__ import annotations

import asyncio
import functools
import json
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts import ijson, topics
from contracts.problem import NotFound, Unavailable
from services.kit import clock
from services.kit.kafka import KafkaProducer, Record
from services.ledger.appender import Appender, Outcome, Submission
from services.ledger.ingest import Ingest
from services.ledger.sources import OPEN, Source, Sources
from tests.integration.kafka.live import LiveLedger, event, make_topic, running, until

pytestmark = pytest.mark.kafka
STRUCTURED = "application/cloudevents+json; charset=UTF-8"
TICKET = {
    "specversion": "1.0",
    "source": "https://planner.example.org",
    "type": "org.releaseledger.ticket.closed.v1",
}


class Harness:
    """An ingest of one ledger with a group of its own, and what it is sent."""

    def __init__(self, broker: str, ledger: LiveLedger, producer: KafkaProducer) -> None:
        self.broker = broker
        self.ledger = ledger
        self.producer = producer
        self.group = f"test-{uuid.uuid4().hex}"
        self.wrap: Any = lambda appender: appender

    def ingest(self, sources: Sources = OPEN) -> Ingest:
        rejects = KafkaProducer(self.broker, "rejects")
        return Ingest(self.broker, self.appender, rejects, self.group, sources=sources)

    def appender(self, name: str) -> Appender:
        if name != self.ledger.name:
            raise NotFound(f"there is no ledger {name!r} here")
        appender: Appender = self.wrap(self.ledger.appender)
        return appender

    async def send(
        self, value: bytes | None, headers: dict[str, str], key: bytes | None = None
    ) -> None:
        named = {topics.HEADER_LEDGER: self.ledger.name} | headers
        record = Record(topics.INGEST, value, key, tuple((n, t.encode()) for n, t in named.items()))
        await self.producer.deliver([record])

    async def structured(self, attributes: Any, **headers: str) -> None:
        await self.send(ijson.dumps(attributes), {"content-type": STRUCTURED} | headers)

    async def recorded(self, count: int) -> list[dict[str, Any]]:
        """Return the events of the ledger as soon as there are so many."""
        page = await self.ledger.page(self.ledger.name, 0)
        deadline = clock.monotonic() + 10
        while len(page.events) < count:
            assert clock.monotonic() < deadline, f"{len(page.events)} of {count} events"
            page = await self.ledger.page(self.ledger.name, 0, wait=0)
            await asyncio.sleep(0.02)
        return [one.event for one in page.events]

    async def rejected(self, count: int) -> list[tuple[str, dict[str, str], bytes]]:
        """Return (reason, headers, value) of our rejected records, in order."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.broker)
        await consumer.start()
        place = TopicPartition(topics.REJECTED, 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        found: list[tuple[str, dict[str, str], bytes]] = []
        try:
            async with asyncio.timeout(10):
                while len(found) < count:
                    record = await consumer.getone()
                    headers = {n: v.decode("utf-8", "replace") for n, v in record.headers}
                    if headers.get("ledger", "").startswith(self.ledger.name):
                        found.append((headers[topics.HEADER_REASON], headers, record.value))
        finally:
            await consumer.stop()
        return found


@pytest.fixture
def harness(broker: str, ledger: LiveLedger, producer: KafkaProducer) -> Harness:
    return Harness(broker, ledger, producer)


async def test_structured_and_binary_events_are_recorded(harness: Harness) -> None:
    structured = event("thing:structured", time="2026-03-01T12:00:00Z")
    loud = event("thing:loud")
    async with running(harness.ingest().run()):
        await harness.structured(structured)
        await harness.structured(loud, ce_id="repeated-by-a-bridge", ce_subject="thing:other")
        await harness.send(
            b'{"n": 2}',
            _binary("b-1", "application/json")
            | {"ce_subject": "thing:größe", "ce_trace": "00-abc"},
        )
        await harness.send(b"\x00\x01", _binary("b-2", "application/octet-stream"))
        await harness.send(None, _binary("b-3", "text/plain"), key=b"k")
        recorded = await harness.recorded(5)
    assert recorded[:2] == [structured, loud]
    assert recorded[2] == {
        "specversion": "1.0",
        "id": "b-1",
        "source": "https://ci.example.org/",
        "type": "com.example.built",
        "subject": "thing:größe",
        "trace": "00-abc",
        "datacontenttype": "application/json",
        "data": {"n": 2},
    }
    assert recorded[3]["data_base64"] == "AAE="
    assert "data" not in recorded[4]
    page = await harness.ledger.page(harness.ledger.name, 0)
    assert {(e.principal, e.assurance) for e in page.events} == {("kafka:ledger.ingest.v1", "A1")}


async def test_what_can_never_be_recorded_is_set_aside_with_its_bytes(harness: Harness) -> None:
    bad: list[tuple[str, bytes | None, dict[str, str]]] = [
        ("malformed: the value is not I-JSON", b"{nope", {"content-type": STRUCTURED}),
        ("invalid: /id: Field required", b'{"specversion":"1.0"}', {"content-type": STRUCTURED}),
        ("invalid: /data/ticket_id", json.dumps(TICKET | {"id": "1", "data": {}}).encode(),
         {"content-type": STRUCTURED}),
        ("malformed: the record has no value", None, {}),
        ("malformed: the record has no value", None, {"content-type": STRUCTURED}),
        ("malformed: not a CloudEvent", b"hello", {"content-type": "text/plain"}),
        ("unsupported-media-type", b"Obj", {"content-type": "application/cloudevents+avro"}),
        ("unsupported-media-type", b"[]", {"content-type": "application/cloudevents-batch+json"}),
        ("too-large: the event has", ijson.dumps(event(data="x" * 300_000)),
         {"content-type": STRUCTURED}),
        ("forbidden: to write org.releaseledger.role.assigned.v1 needs the scope role:write",
         ijson.dumps(event(type="org.releaseledger.role.assigned.v1", subject="role:cab",
                           data={"scope": "*", "role": "cab", "principal": "idp:me"})),
         {"content-type": STRUCTURED}),
        ("not-found: there is no ledger", ijson.dumps(event()),
         {"content-type": STRUCTURED, "ledger": f"{harness.ledger.name}-unknown"}),
    ]  # fmt: skip
    async with running(harness.ingest().run()):
        for _, value, headers in bad:
            await harness.send(value, headers, key=b"key")
        good = event()
        await harness.structured(good)
        assert await harness.recorded(1) == [good]  # nothing bad stands in the way
        rejected = await harness.rejected(len(bad))
    for (expected, value, _), (reason, headers, kept) in zip(bad, rejected, strict=True):
        assert reason.startswith(expected)
        assert kept == (value or b"")
        assert topics.HEADER_OFFSET in headers
    assert len({headers[topics.HEADER_OFFSET] for _, headers, _ in rejected}) == len(bad)


async def test_an_event_sent_twice_is_recorded_once(harness: Harness) -> None:
    twice, other = event(), event()
    async with running(harness.ingest().run()):
        await harness.structured(twice)
        await harness.structured(twice)
        await harness.structured(twice | {"data": {"n": 2}})
        await harness.structured(other)
        assert await harness.recorded(2) == [twice, other]
        [(reason, _, _)] = await harness.rejected(1)
    assert reason.startswith("id-conflict: ")


class Unwilling(Appender):
    """Takes events and then says that it does not know, or does not take them at all."""

    def __init__(self, appender: Appender, answers: list[bool]) -> None:
        self._appender = appender
        self._answers = answers

    async def append_each(
        self,
        items: Sequence[Submission],
        *,
        deadline: float | None = None,  # noqa: ARG002
    ) -> list[Outcome]:
        mine = any(item.event.source == "urn:unwilling" for item in items)
        taken = self._answers.pop(0) if self._answers and mine else None
        if taken is not False:
            outcomes = await self._appender.append_each(items)
        if taken is not None:
            raise Unavailable("try again")
        return outcomes


async def test_what_time_can_mend_is_tried_again_and_not_lost(harness: Harness) -> None:
    answers = [False, True, False]
    harness.wrap = lambda appender: Unwilling(appender, answers)
    sent = [event(source="urn:unwilling") for _ in range(3)]
    ingest = harness.ingest()
    async with running(ingest.run()):
        for one in sent:
            await harness.structured(one)
        assert sorted(e["id"] for e in await harness.recorded(3)) == sorted(e["id"] for e in sent)

        async def healthy() -> bool:
            return not answers and await ingest.check() is None

        await until(healthy, what="healthy again")
    assert len((await harness.ledger.page(harness.ledger.name, 0)).events) == 3


async def test_a_restart_goes_on_behind_what_was_committed(harness: Harness) -> None:
    seen: list[str] = []

    class Watching(Unwilling):
        async def append_each(
            self,
            items: Sequence[Submission],
            *,
            deadline: float | None = None,  # noqa: ARG002
        ) -> list[Outcome]:
            seen.extend(item.event.id for item in items)
            return await super().append_each(items)

    harness.wrap = lambda appender: Watching(appender, [])
    first, second = event(), event()
    async with running(harness.ingest().run()):
        await harness.structured(first)
        await harness.recorded(1)
        await asyncio.sleep(0.3)  # the commit follows the append
    await harness.structured(second)
    async with running(harness.ingest().run()):
        await harness.recorded(2)
    assert seen.count(first["id"]) == 1
    assert seen[-1] == second["id"]


class Hanging(Unwilling):
    """Takes the events and then never comes back: the process may be killed now."""

    def __init__(self, appender: Appender, after: int) -> None:
        super().__init__(appender, [])
        self._after = after
        self.taken = asyncio.Event()

    async def append_each(
        self,
        items: Sequence[Submission],
        *,
        deadline: float | None = None,  # noqa: ARG002
    ) -> list[Outcome]:
        outcomes = await super().append_each(items[: self._after])
        self.taken.set()
        await asyncio.sleep(3600)
        return outcomes


async def test_killed_between_append_and_commit_it_is_recorded_once(harness: Harness) -> None:
    sent = [event() for _ in range(60)]
    for one in sent:
        await harness.structured(one)
    for after in (15, 40):
        hanging = Hanging(harness.ledger.appender, after)
        harness.wrap = lambda _, hanging=hanging: hanging
        async with running(harness.ingest().run()):
            await asyncio.wait_for(hanging.taken.wait(), 10)
        assert len(await harness.recorded(after)) == after
    harness.wrap = lambda appender: appender
    async with running(harness.ingest().run()):
        assert await harness.recorded(60) == sent


class Late(Unwilling):
    """Lets the first batch wait, as a process does that was stopped with its work in hand."""

    def __init__(self, appender: Appender) -> None:
        super().__init__(appender, [])
        self.taken, self.go_on = asyncio.Event(), asyncio.Event()

    async def append_each(
        self,
        items: Sequence[Submission],
        *,
        deadline: float | None = None,
    ) -> list[Outcome]:
        self.taken.set()
        await self.go_on.wait()
        return await super().append_each(items, deadline=deadline)


async def test_a_reader_that_stood_still_too_long_loses_its_place_and_doubles_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused past max.poll.interval: another one takes over, and what the first one still had in
    hand is known by its id; it cannot commit, ends, and joins again."""
    hasty = functools.partial(AIOKafkaConsumer, max_poll_interval_ms=1_500)
    monkeypatch.setattr("services.kit.kafka.reader.AIOKafkaConsumer", hasty)
    late = Late(harness.ledger.appender)
    harness.wrap = lambda _: late
    sent = [event() for _ in range(5)]
    for one in sent:
        await harness.structured(one)
    stopped = asyncio.create_task(harness.ingest().run())
    await asyncio.wait_for(late.taken.wait(), 10)
    await asyncio.sleep(2)
    harness.wrap = lambda appender: appender
    async with running(harness.ingest().run()):
        assert await harness.recorded(5) == sent
        late.go_on.set()
        with pytest.raises(Unavailable, match="CommitFailedError"):
            await asyncio.wait_for(stopped, 10)
        async with running(harness.ingest().run()):
            await harness.structured(more := event())
            assert await harness.recorded(6) == [*sent, more]


async def test_good_and_bad_records_of_one_batch_go_their_own_ways(harness: Harness) -> None:
    """Whatever stands between them, good ones are recorded in their order, all in one append."""
    batches: list[int] = []

    class Counting(Unwilling):
        async def append_each(
            self,
            items: Sequence[Submission],
            *,
            deadline: float | None = None,
        ) -> list[Outcome]:
            batches.append(len(items))
            return await super().append_each(items, deadline=deadline)

    harness.wrap = lambda appender: Counting(appender, [])
    good = [event() for _ in range(4)]
    clash = good[1] | {"data": {"n": 2}}
    values: list[Any] = [
        good[0],
        b"{nope",
        good[1],
        clash,
        good[2],
        {"specversion": "1.0"},
        good[1],
        good[3],
    ]
    named = ((topics.HEADER_LEDGER, harness.ledger.name.encode()),
             (topics.HEADER_CONTENT_TYPE, STRUCTURED.encode()))  # fmt: skip
    raw = [value if isinstance(value, bytes) else ijson.dumps(value) for value in values]
    await harness.producer.deliver([Record(topics.INGEST, value, None, named) for value in raw])
    async with running(harness.ingest().run()):
        assert await harness.recorded(4) == good
        rejected = await harness.rejected(3)
    assert [value for _, _, value in sorted(rejected)] == sorted([raw[1], raw[3], raw[5]])
    assert {reason.partition(":")[0] for reason, _, _ in rejected} == {
        "malformed", "invalid", "id-conflict",
    }  # fmt: skip
    assert batches == [6], "two of the eight could not be read, and one append took the rest"


def _binary(id_: str, content_type: str) -> dict[str, str]:
    return {
        "content-type": content_type,
        "ce_specversion": "1.0",
        "ce_id": id_,
        "ce_source": "https://ci.example.org/",
        "ce_type": "com.example.built",
        "ce_subject": "thing:one",
    }


async def test_registered_sources_write_by_topics_of_their_own(
    harness: Harness, producer: KafkaProducer
) -> None:
    """What fits is taken in order under its source's name; the rest says which part fits nobody."""
    topic = f"ci.{uuid.uuid4().hex}"
    ci = Source(
        name="ci", topic=topic, ledgers=(harness.ledger.name,), sources=("https://ci.example/*",),
        types=("com.example.*",), subjects=("release:pay-*",),
    )  # fmt: skip
    usual = {"source": "https://ci.example/7"}
    sent = [
        event("release:pay-1", id="a", **usual),
        event("release:web-1", id="b", **usual),
        event("release:pay-1", id="c", source="https://eve.example/"),
        event("release:pay-1", id="d", **usual, type="other.type"),
        event("release:pay-2", id="e", **usual),
    ]
    named = ((topics.HEADER_LEDGER, harness.ledger.name.encode()),
             (topics.HEADER_CONTENT_TYPE, STRUCTURED.encode()))  # fmt: skip
    await make_topic(harness.broker, topic)
    async with running(harness.ingest(Sources([ci])).run()):
        await producer.deliver([Record(topic, ijson.dumps(each), None, named, 0) for each in sent])
        await harness.structured(event("release:pay-1", id="f", **usual))  # by the common topic
        assert [each["id"] for each in await harness.recorded(2)] == ["a", "e"]
        rejected = await harness.rejected(4)
    page = await harness.ledger.page(harness.ledger.name, 0)
    assert {(each.principal, each.assurance) for each in page.events} == {("kafka:ci", "A1")}
    told = {json.loads(value)["id"]: (reason, headers) for reason, headers, value in rejected}
    assert "may write the subject release:web-1" in told["b"][0]
    assert "may write the source https://eve.example/" in told["c"][0]
    assert "may write the type other.type" in told["d"][0]
    assert "no source is registered for ledger.ingest.v1" in told["f"][0]
    assert told["b"][1][topics.HEADER_OFFSET] == f"{topic}/0/1"


async def test_a_registered_topic_that_is_missing_holds_up_nobody(harness: Harness) -> None:
    """Its owners may make it later: what comes by another topic is taken meanwhile."""
    fields = {"ledgers": (harness.ledger.name,), "sources": ("*",), "types": ("*",),
              "subjects": ("*",)}  # fmt: skip
    known = [Source(name="late", topic=f"late.{uuid.uuid4().hex}", **fields)]
    known.append(Source(name="known", **fields))
    async with running(harness.ingest(Sources(known)).run()):
        await harness.structured(event("thing:1", id="here"))
        assert [each["id"] for each in await harness.recorded(1)] == ["here"]


async def test_no_record_can_claim_an_assurance(harness: Harness) -> None:
    """Neither by an attribute nor by a header: what comes this way is A1."""
    async with running(harness.ingest().run()):
        await harness.structured(event("thing:1", assurance="A3"), **{"rlg-assurance": "A3"})
        await harness.recorded(1)
    page = await harness.ledger.page(harness.ledger.name, 0)
    assert {each.assurance for each in page.events} == {"A1"}
