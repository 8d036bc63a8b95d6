"""Kafka records in: what the binding reads, and what a rejected record keeps."""

from __future__ import annotations

import pytest

from contracts import ijson, topics
from contracts.problem import Invalid, Malformed, TooLarge
from services.kit.kafka import Record
from services.ledger import kafka_binding
from services.ledger.hooks import kafka_records
from services.ledger.hooks.adapter import CannotMap, Scope
from services.ledger.ingest import KEPT_BYTES, _rejected
from services.ledger.ingest import _read as _taken
from services.ledger.sources import OPEN

CE = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "urn:x", "ce_type": "t.x",
      "ce_subject": "thing:one"}  # fmt: skip
ATTRIBUTES = {name.removeprefix("ce_"): value for name, value in CE.items()}


def record(value: bytes | None, *more: tuple[str, bytes], **headers: str) -> Record:
    named = [(name.replace("__", "-"), text.encode()) for name, text in headers.items()]
    return Record(topics.INGEST, value, b"key", (*named, *more), partition=0, offset=7)


def test_content_type_alone_decides_the_mode() -> None:
    both = record(
        ijson.dumps({**ATTRIBUTES, "id": "structured"}),
        content__type="Application/CloudEvents+JSON; charset=utf-8",
        **CE,
    )
    assert kafka_binding.read(both).id == "structured"


@pytest.mark.parametrize("media_type", ["application/json", "application/vnd.x+json", "text/json"])
def test_json_data_is_read(media_type: str) -> None:
    event = kafka_binding.read(record(b'{"a": [1]}', content__type=media_type, **CE))
    assert event.as_json() == ATTRIBUTES | {"datacontenttype": media_type, "data": {"a": [1]}}


@pytest.mark.parametrize("content_type", [{}, {"content__type": "text/plain"}])
def test_other_data_stays_bytes(content_type: dict[str, str]) -> None:
    event = kafka_binding.read(record(b"hello", **content_type, **CE))
    assert (event.data, event.data_base64) == (None, "aGVsbG8=")


@pytest.mark.parametrize(
    "more",
    [("ce_id", b"2"), ("ce_data", b"{}"), ("ce_datacontenttype", b"text/x"), ("ce_x", b"\xff")],
)
def test_ambiguous_headers_are_refused(more: tuple[str, bytes]) -> None:
    with pytest.raises(Malformed, match=more[0]):
        kafka_binding.read(record(b"", more, **CE))


def test_bad_attribute_names_are_refused() -> None:
    with pytest.raises(Invalid, match="extension name"):
        kafka_binding.read(record(None, ("ce_Not-A-Name", b"1"), **CE))


def test_what_is_too_large_is_not_even_parsed() -> None:
    value = b'{"a":' * 1_000_000
    with pytest.raises(TooLarge):
        kafka_binding.read(record(value, content__type="application/cloudevents+json"))


def test_a_record_that_nobody_foresaw_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_binding, "read", lambda _: 1 / 0)
    item = _taken(record(b"x"), OPEN)
    assert str(item.problem) == "could not be read: ZeroDivisionError"


def test_a_rejected_record_keeps_everything_and_says_why_once() -> None:
    again = record(b"\xff", (topics.HEADER_REASON, b"an old one"), ledger="main", other="1")
    sent = _rejected(_taken(again, OPEN))
    assert (sent.topic, sent.value, sent.key) == (topics.REJECTED, b"\xff", b"key")
    headers = [name for name, _ in sent.headers]
    assert headers == ["ledger", "other", topics.HEADER_REASON, topics.HEADER_OFFSET]
    assert (sent.header(topics.HEADER_OFFSET), sent.header("ledger")) == ("0/7", "main")
    assert str(sent.header(topics.HEADER_REASON)).startswith("malformed: not a CloudEvent")


def test_a_rejected_record_fits_the_topic_however_large_it_was() -> None:
    sent = _rejected(_taken(record(b"x" * 50_000_000, big="y" * 3_000_000), OPEN))
    assert len(sent.value or b"") == KEPT_BYTES // 2
    assert [name for name, _ in sent.headers] == [topics.HEADER_REASON, topics.HEADER_OFFSET]


@pytest.mark.parametrize(("named", "kept_by", "taken"), [
    ({}, "main", True), ({}, "acme", False), ({"ledger": "acme"}, "acme", True),
    ({"ledger": "acme"}, "main", False),
])  # fmt: skip
def test_a_replay_is_for_the_ledger_that_the_record_names(
    named: dict[str, str], kept_by: str, *, taken: bool
) -> None:
    """Also when another one shows it, because that one is not served here."""
    sent = record(b"{}", content__type="application/json", **CE, **named)
    kept = kafka_records.incoming(sent, kept_by, "0" * 64)
    scope = Scope(kept.connection, sources=OPEN)
    if taken:
        assert len(kafka_records.map_delivery(kept.headers, kept.raw, scope).facts) == 1
    else:
        with pytest.raises(CannotMap, match="which is not here"):
            kafka_records.map_delivery(kept.headers, kept.raw, scope)
