from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.datastructures import Headers

from contracts.event import Event
from contracts.problem import Malformed, Problem, TooLarge, UnsupportedMediaType
from services.ledger import bindings

EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t.t", "subject": "a:1"}


def read(raw: bytes | object, content_type: str | None, **headers: str) -> bindings.Sent:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        named["content-type"] = content_type
    return bindings.read(
        Headers(named), raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    )


def binary(raw: bytes, content_type: str | None, **headers: str) -> Event:
    ce = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/s", "ce_type": "t.t"}
    sent = read(raw, content_type, **(ce | {"ce_subject": "a:1"} | headers))
    assert sent.single
    (event,) = sent.events
    assert isinstance(event, Event), event
    return event


@pytest.mark.parametrize(
    "content_type",
    ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=UTF-8",
     "application/json"],
)  # fmt: skip
def test_structured(content_type: str) -> None:
    sent = read(EVENT, content_type)
    assert sent.single
    assert [e.as_json() for e in sent.events if isinstance(e, Event)] == [EVENT]


@pytest.mark.parametrize("content_type", ["application/cloudevents-batch+json", "application/json"])
def test_a_batch_keeps_its_order_and_each_item_has_its_own_pointers(content_type: str) -> None:
    sent = read([EVENT, {**EVENT, "id": ""}, 3, EVENT], content_type)
    assert not sent.single
    good, no_id, number, again = sent.events
    assert isinstance(good, Event)
    assert isinstance(again, Event)
    assert isinstance(no_id, Problem)
    assert no_id.members["errors"][0]["pointer"] == "/id"
    assert isinstance(number, Problem)


def test_ndjson_reads_line_by_line_so_that_a_bad_line_harms_no_other() -> None:
    line = json.dumps(EVENT).encode()
    sent = read(line + b"\r\n\n{bad\n" + line, "application/x-ndjson")
    assert [type(e) for e in sent.events] == [Event, Malformed, Event]


def test_binary_with_json_data() -> None:
    event = binary(b'{"a": [1]}', "application/vnd.acme+json; charset=utf-8", ce_myext="5")
    assert event.data == {"a": [1]}
    assert event.extensions == {"myext": "5"}
    assert event.datacontenttype == "application/vnd.acme+json; charset=utf-8"


def test_binary_with_bytes_and_with_nothing() -> None:
    event = binary(b"\x00\xff", "application/octet-stream")
    assert event.data_base64 == "AP8="
    bare = binary(b"", None)
    assert bare.as_json() == EVENT


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ('"quoted \\"text\\""', 'quoted "text"'),
        ("100%25", "100%"),
        ("a+b", "a+b"),
    ],
)
def test_header_values_are_decoded_as_the_binding_says(header: str, value: str) -> None:
    assert binary(b"", None, ce_note=header).extensions["note"] == value


@pytest.mark.parametrize(
    ("raw", "content_type", "headers", "kind"),
    [
        (b"{", "application/json", {}, Malformed),
        (b'{"a":1,"a":1}', "application/cloudevents+json", {}, Malformed),
        (EVENT, "application/cloudevents-batch+json", {}, Malformed),
        (EVENT, "text/plain", {}, UnsupportedMediaType),
        (EVENT, None, {}, UnsupportedMediaType),
        (EVENT, "application/json; charset=utf-16", {}, UnsupportedMediaType),
        ([EVENT] * 501, "application/json", {}, TooLarge),
        (b"{}\n" * 501, "application/x-ndjson", {}, TooLarge),
        (b"[", "application/json", {"ce_specversion": "1.0"}, Malformed),
        (b"", None, {"ce_specversion": "1.0", "ce_note": "%FF"}, Malformed),
        (b"", None, {"ce_specversion": "1.0", "ce_data": "1"}, Malformed),
    ],
)
def test_what_cannot_be_read(
    raw: Any, content_type: str | None, headers: dict[str, str], kind: type[Problem]
) -> None:
    with pytest.raises(kind):
        read(raw, content_type, **headers)


def test_an_attribute_twice_is_refused() -> None:
    raw = [(b"ce-specversion", b"1.0"), (b"ce-id", b"1"), (b"ce-id", b"2")]
    with pytest.raises(Malformed):
        bindings.read(Headers(raw=raw), b"")
