"""A ledger served over HTTP, what becomes of it in Kafka and in the read models, and the judge.

The judge folds the whole history once, in memory, and compares every table; triggers of our own
write down each move of a cursor, each event that is applied and each confirmation of a relay, so
that something done twice is seen even where it changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError

from contracts import catalogue, topics, upcasting
from contracts.event import RecordedEvent
from services.kit import clock
from services.kit.kafka import ensure_topics
from services.ledger.model import Submission
from services.projector import tables
from services.projector.readmodels.fact import canonical
from tests.faults.kafka_parts import Place, served
from tests.integration.kafka.live import ORIGIN, LiveLedger, live_ledger
from tests.integration.running.served import listening_at
from tests.unit.projector.recorded import Log, fold, story

EVENTS = TopicPartition(topics.EVENTS, 0)
SETTLED_SECONDS = 75.0
AUDIT = """
CREATE SCHEMA audit;
CREATE TABLE audit.done (
  n bigserial PRIMARY KEY, what text, ledger text, was bigint, now bigint, fencing bigint,
  who text DEFAULT current_setting('application_name'), xact xid8 DEFAULT pg_current_xact_id());
CREATE FUNCTION audit.cursor() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN INSERT INTO audit.done (what, ledger, was, now, fencing)
  VALUES ('cursor', NEW.ledger, OLD.position, NEW.position, NEW.fencing); RETURN NULL; END $$;
CREATE TRIGGER audit AFTER UPDATE ON projector.cursor FOR EACH ROW
  WHEN (OLD.position <> NEW.position) EXECUTE FUNCTION audit.cursor();
CREATE FUNCTION audit.entry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN INSERT INTO audit.done (what, ledger, now)
  VALUES ('entry', NEW.ledger, NEW.position); RETURN NULL; END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON projector.entry FOR EACH ROW
  EXECUTE FUNCTION audit.entry();
CREATE FUNCTION audit.relay() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN INSERT INTO audit.done (what, ledger, was, now, fencing)
  SELECT 'relay', name, OLD.confirmed, NEW.confirmed, NEW.fencing FROM ledger.ledger
   WHERE ledger_id = NEW.ledger_id; RETURN NULL; END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON ledger.relay FOR EACH ROW
  EXECUTE FUNCTION audit.relay();
"""
_DONE = "SELECT * FROM audit.done WHERE what = $1 AND ledger = $2 ORDER BY n"


@dataclass
class Requests:
    """What was asked of the ledger over HTTP."""

    app: Any
    pages: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.pages += scope["type"] == "http" and scope["path"].endswith("/events")
        await self.app(scope, receive, send)


class World:
    """One ledger of a fresh name, its HTTP side, its place on a topic that may hold others."""

    def __init__(self, ledger: LiveLedger, place: Place, requests: Requests) -> None:
        self.ledger = ledger
        self.name = ledger.name
        self.place = place
        self.requests = requests
        self._begins_at = 0

    async def begin(self) -> None:
        """Remember where the topic ends before anything of this ledger is on it."""
        await ensure_topics(self.place.kafka)
        async with consumer(self.place.kafka) as topic:
            self._begins_at = (await topic.end_offsets([EVENTS]))[EVENTS]

    async def append(self, events: Iterable[dict[str, Any]]) -> int:
        """Append a batch; return the head."""
        some = [Submission(catalogue.parse(event), ORIGIN) for event in events]
        outcomes = await self.ledger.appender.append_each(some)
        assert all(outcome.kind == "appended" for outcome in outcomes), outcomes
        return await self.head()

    async def head(self) -> int:
        return (await self.ledger.reader.head(self.name))[0]

    async def history(self) -> list[RecordedEvent]:
        events: list[RecordedEvent] = []
        while True:
            page = await self.ledger.page(self.name, len(events), limit=500)
            events += page.events
            if len(events) >= page.head:
                return events

    async def relayed(self, seconds: float = SETTLED_SECONDS) -> None:
        """Wait until Kafka has everything for sure."""
        async with _limit(seconds, "relayed"):
            while await self.ledger.confirmed() < await self.head():  # noqa: ASYNC110 - a process does it
                await asyncio.sleep(0.05)

    async def cursor(self) -> int:
        found = await self.fetch(
            "SELECT position FROM projector.cursor WHERE ledger = $1", self.name
        )
        return int(found[0]["position"]) if found else 0

    async def projected(self, seconds: float = SETTLED_SECONDS, to: int | None = None) -> None:
        """Wait until the cursor stands at a position, or at the head."""
        async with _limit(seconds, "projected"):
            while await self.cursor() < (to or await self.head()):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        sql = await asyncpg.connect(self.ledger.url)
        try:
            return list(await sql.fetch(query, *args))
        finally:
            await sql.close()

    async def done(self, what: str) -> list[Any]:
        return await self.fetch(_DONE, what, self.name)

    async def parked(self) -> dict[int, str]:
        query = "SELECT position, error FROM projector.parked WHERE ledger = $1"
        return {row["position"]: row["error"] for row in await self.fetch(query, self.name)}

    async def on_the_topic(self, records: list[Any] | None = None) -> list[RecordedEvent]:
        """Return this ledger's events as they stand on the topic, repetitions included.

        `records`: what is known of the topic already, and is not there any more, perhaps.
        """
        found = []
        if records is None:
            records = await read_all(self.place.kafka, self._begins_at)
        for record in records:
            if dict(record.headers).get(topics.HEADER_LEDGER) == self.name.encode():
                with contextlib.suppress(ValidationError):  # a test's own: the relay's are compared
                    event = RecordedEvent.model_validate_json(record.value or b"")
                    assert dict(record.headers)[topics.HEADER_POSITION] == b"%d" % event.position
                    found.append(event)
        return found

    async def judge(self) -> None:
        """Settle and hold everything against the ledger."""
        await self.relayed()
        await self.projected()
        history = await self.history()
        await self.judge_relay(history)
        await self.judge_projection(history)

    async def judge_relay(
        self, history: list[RecordedEvent], records: list[Any] | None = None
    ) -> None:
        _judge_topic(await self.on_the_topic(records), history)
        _judge_confirmations(await self.done("relay"), len(history))

    async def judge_projection(self, history: list[RecordedEvent] | None = None) -> None:
        history = history or await self.history()
        parked = _parked(history)
        readable = [event for event in history if event.position not in parked]
        assert set(await self.parked()) == parked
        await self._judge_rows(fold(readable))
        moves, entries = await self.done("cursor"), await self.done("entry")
        assert [move["was"] for move in moves] == [0, *[move["now"] for move in moves]][:-1]
        assert await self.cursor() == len(history)
        assert moves[-1]["now"] == len(history)
        fencing = [move["fencing"] for move in moves]
        assert fencing == sorted(fencing)
        applied = sorted(entry["now"] for entry in entries)
        assert applied == [event.position for event in readable], "each event once"
        moved = {move["xact"]: range(move["was"] + 1, move["now"] + 1) for move in moves}
        for entry in entries:
            assert entry["now"] in moved[entry["xact"]], "rows move with the cursor"

    async def _judge_rows(self, folded: dict[str, list[dict[str, Any]]]) -> None:
        for name, table in tables.READ_MODELS.items():
            times, columns = tables.times(table), [c.name for c in table.columns]
            place = tables.named(table, tables.SLOTS[0])
            raw = await self.fetch(
                f"SELECT CAST(to_jsonb(t) AS text) AS row FROM {place} t WHERE ledger = $1",  # noqa: S608 - our own names
                self.name,
            )
            expected = [
                {c: {"ledger": self.name, **row}.get(c) for c in columns}
                for row in folded.get(name, [])
            ]
            found = [_with_times(row["row"], times) for row in raw]
            pairs = zip(_in_order(found), _in_order(expected), strict=True)
            wrong = [(theirs, ours) for theirs, ours in pairs if theirs != ours]
            assert not wrong, f"rows of {name}, first as stored and then as folded: {wrong}"


def _judge_topic(on_topic: list[RecordedEvent], history: list[RecordedEvent]) -> None:
    positions = [event.position for event in on_topic]
    first = list(dict.fromkeys(positions))
    assert first == list(range(1, len(history) + 1)), "at least once, in order of first appearance"
    for event in on_topic:
        assert event == history[event.position - 1]


def _judge_confirmations(rows: Sequence[Any], head: int) -> None:
    confirmed = [row["now"] for row in rows]
    assert confirmed == sorted(confirmed)
    fencing = [row["fencing"] for row in rows]
    assert fencing == sorted(fencing)
    assert confirmed[-1] == head
    claimed: dict[int, str] = {}
    for row in rows:
        holder = claimed.setdefault(row["fencing"], row["who"])
        assert row["who"] == holder, f"{row['who']} writes under the token of {holder}"


def _parked(history: Iterable[RecordedEvent]) -> set[int]:
    """Return what nobody can read yet, and all that comes after it of the same subject."""
    positions, subjects = set(), set()
    for event in history:
        subject = next(iter(event.versions))
        if subject in subjects or not _is_readable(event):
            subjects.add(subject)
            positions.add(event.position)
    return positions


def _is_readable(event: RecordedEvent) -> bool:
    try:
        upcasting.read(event)
    except upcasting.CannotRead:
        return False
    return True


def _with_times(raw: str, times: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(raw)
    return row | {column: canonical(row[column]) for column in times}


def _in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


@contextlib.asynccontextmanager
async def _limit(seconds: float, what: str) -> AsyncIterator[None]:
    began = clock.monotonic()
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise AssertionError(f"not {what} in {clock.monotonic() - began:.0f} s") from None


@contextlib.asynccontextmanager
async def consumer(kafka: str) -> AsyncIterator[AIOKafkaConsumer]:
    made = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await made.start()
    try:
        made.assign([EVENTS])
        yield made
    finally:
        await made.stop()


async def read_all(kafka: str, offset: int = 0) -> list[Any]:
    """Return what the events topic holds from an offset to its end."""
    found: list[Any] = []
    async with consumer(kafka) as topic:
        end = (await topic.end_offsets([EVENTS]))[EVENTS]
        topic.seek(EVENTS, max(offset, (await topic.beginning_offsets([EVENTS]))[EVENTS]))
        while await topic.position(EVENTS) < end:
            for records in (await topic.getmany(timeout_ms=1000)).values():
                found += records
    return found


async def audit(database_url: str) -> None:
    """Put our triggers into a database."""
    sql = await asyncpg.connect(database_url)
    if not await sql.fetchval("SELECT to_regclass('audit.done') IS NOT NULL"):
        await sql.execute(AUDIT)
    await sql.close()


@contextlib.asynccontextmanager
async def onlooker(database_url: str, kafka: str, http: str, name: str) -> AsyncIterator[World]:
    """Look at a ledger that the product serves by itself."""
    await audit(database_url)
    ledger = LiveLedger(database_url)
    ledger.name = name
    await ledger.open()
    try:
        place = Place(name, database_url, kafka, http, Path(os.devnull))
        yield World(ledger, place, Requests(None))
    finally:
        await ledger.reader.close()


@contextlib.asynccontextmanager
async def world(database_url: str, kafka: str, logs: Path) -> AsyncIterator[World]:
    """Open a ledger and serve it on a real port for the time of the block."""
    await audit(database_url)
    async with live_ledger(database_url) as ledger:
        requests = Requests(served(ledger.reader, ledger.wake, lambda _: ledger.appender))
        async with listening_at(requests) as port:  # type: ignore[arg-type]  # any ASGI app
            log = logs / f"{ledger.name}.log"
            http = f"http://127.0.0.1:{port}"
            made = World(ledger, Place(ledger.name, database_url, kafka, http, log), requests)
            yield made


def events(chance: random.Random, stories: int) -> list[dict[str, Any]]:
    """Return the lives of some releases, told at the same time, with strangers between."""
    told: list[list[dict[str, Any]]] = []
    for number in range(1, stories + 1):
        log = Log()
        story(log, number, chance.choice(["pay", "web", "shop"]), at=number * 3)
        told.append([dict(event.event) for event in log.events])
    mixed: list[dict[str, Any]] = []
    while any(told):
        mixed.append(chance.choice([one for one in told if one]).pop(0))
        if chance.random() < 0.1:
            subject = f"release:pay-{chance.randint(1, stories)}"
            mixed.append({"specversion": "1.0", "type": "com.example.note", "subject": subject})
    return [event | {"id": f"{chance.getrandbits(64):x}", "source": "/faults"} for event in mixed]


def batches(
    chance: random.Random, some: list[dict[str, Any]], largest: int
) -> Iterable[list[dict[str, Any]]]:
    """Cut a list into batches of drawn sizes."""
    left = list(some)
    while left:
        size = chance.randint(1, largest)
        yield left[:size]
        left = left[size:]
