"""What the ingest could not take in is where people look, and can be tried again."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from contracts import ijson, topics
from services.kit.identity import Keyring, demo_key
from services.kit.kafka import KafkaProducer, Record
from services.kit.settings import Shared
from services.ledger import kafka_binding
from services.ledger.hooks import kafka_records
from services.ledger.hooks.kinds import digest
from services.ledger.service import build
from services.ledger.settings import LedgerSettings
from tests.integration.kafka.live import event, make_topic

MAIN = "/v1/ledgers/main"
JSON = (("content-type", b"application/cloudevents+json"),)
NAMES = st.text(max_size=6) | st.just("base64:x")
VALUES = st.binary(max_size=8) | st.just(b"base64:AA==") | st.text(max_size=6).map(str.encode)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), VALUES | st.none(), VALUES | st.none())
def test_a_record_is_kept_whole(
    headers: list[tuple[str, bytes]], key: bytes | None, value: bytes | None
) -> None:
    record = Record(topics.INGEST, value, key, tuple(headers), 3, 7)
    kept = kafka_records.incoming(record, "main", digest(value or b""))
    again = kafka_records.record_of(kept.headers, kept.raw)
    assert (again.value, again.key, again.headers) == (value, key, tuple(headers))
    assert kept.key == f"{topics.INGEST}/3/7"


@pytest.fixture
async def http(broker: str, database_url: str, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    shared = Shared(
        data=tmp_path, dev=True, DATABASE_URL=SecretStr(database_url),
        KAFKA_BOOTSTRAP_SERVERS=broker,
    )  # fmt: skip
    built = build(shared, LedgerSettings(), Keyring([demo_key()]))
    async with (
        built.run(),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=built.app),
            base_url="http://ledger",
            headers={"authorization": "Bearer demo-key"},
        ) as client,
    ):
        yield client


async def waiting(http: httpx2.AsyncClient, text: str) -> dict[str, Any]:
    """Return the quarantined item whose reason has a text, as soon as it is there."""
    async with asyncio.timeout(30):
        while True:
            found = (await http.get(f"{MAIN}/quarantine?limit=500")).json()
            for item in found["items"]:
                if text in item["reason"]:
                    return dict(item)
            await asyncio.sleep(0.1)


@pytest.mark.kafka
async def test_a_record_that_was_refused_waits_in_the_quarantine_and_is_tried_again(
    http: httpx2.AsyncClient, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_binding, "MAX_RECORD_BYTES", 300)
    good = event("thing:quarantined", data={"text": "x" * 400})
    value = ijson.dumps(good)
    await producer.deliver([Record(topics.INGEST, value, headers=JSON)])
    item = await waiting(http, "too-large")
    assert (item["connection"], item["state"], item["size"]) == ("kafka.main", "open", len(value))
    content = (await http.get(f"{MAIN}/quarantine/{item['id']}")).json()
    assert base64.b64decode(content["raw_base64"]) == value
    monkeypatch.undo()
    again = (await http.post(f"{MAIN}/quarantine/{item['id']}/replay")).json()
    assert again["state"] == "replayed"
    recorded = (await http.get(f"{MAIN}/events/{again['positions'][0]}")).json()
    assert recorded["event"] == good
    assert (recorded["principal"], recorded["assurance"]) == ("kafka:ledger.ingest.v1", "A1")


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("record", "said"),
    [
        (Record(topics.INGEST, b"\xff\x00", headers=JSON), "malformed"),
        (Record(topics.INGEST, None, b"tombstone"), "no value"),
        (Record(topics.INGEST, b"", headers=(("x", b"\xff"),)), "not a CloudEvent"),
        (
            Record(topics.INGEST, ijson.dumps(event()), headers=(*JSON, ("ledger", b"elsewhere"))),
            "names the ledger elsewhere",
        ),
    ],
    ids=["nonsense", "tombstone", "empty", "another ledger"],
)
async def test_whatever_it_is_it_can_be_seen(
    http: httpx2.AsyncClient, producer: KafkaProducer, record: Record, said: str
) -> None:
    await producer.deliver([record])
    item = await waiting(http, said)
    assert item["connection"] == "kafka.main"


@pytest.mark.kafka
async def test_nobody_can_send_to_that_connection(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/v1/hooks/kafka.main", content=b"{}")
    assert answer.status_code == 401


@pytest.mark.kafka
async def test_what_was_not_registered_is_replayed_once_it_is(
    broker: str, database_url: str, producer: KafkaProducer, tmp_path: Path
) -> None:
    """Refused, quarantined, refused again; after the operator's entry and a start it is taken."""
    shared = Shared(
        data=tmp_path, dev=True, DATABASE_URL=SecretStr(database_url),
        KAFKA_BOOTSTRAP_SERVERS=broker,
    )  # fmt: skip
    topic, good = f"ci.{tmp_path.name}", event("thing:late")
    await make_topic(broker, topic)
    known = [{"name": "ci", "topic": topic, "sources": ["*"], "types": ["none"], "subjects": ["*"]}]
    file = tmp_path / "sources.json"

    @contextlib.asynccontextmanager
    async def started() -> AsyncIterator[httpx2.AsyncClient]:
        file.write_text(json.dumps(known))
        built = build(shared, LedgerSettings(sources_file=file), Keyring([demo_key()]))
        async with built.run(), httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=built.app), base_url="http://ledger",
            headers={"authorization": "Bearer demo-key"},
        ) as client:  # fmt: skip
            yield client

    async with started() as http:
        await producer.deliver([Record(topic, ijson.dumps(good), None, JSON, 0)])
        item = await waiting(http, f"registered for {topic} may write the type {good['type']}")
        again = (await http.post(f"{MAIN}/quarantine/{item['id']}/replay")).json()
        assert again["state"] == "open"
    known[0]["types"] = ["com.example.*"]
    async with started() as http:
        again = (await http.post(f"{MAIN}/quarantine/{item['id']}/replay")).json()
        assert again["state"] == "replayed"
        recorded = (await http.get(f"{MAIN}/events/{again['positions'][0]}")).json()
        assert (recorded["principal"], recorded["assurance"]) == ("kafka:ci", "A1")
