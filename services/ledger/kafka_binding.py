"""CloudEvents in Kafka records: the receiving half of the "Kafka Protocol Binding" 1.0.2.

Structured (§3.3): the header `content-type` starts with `application/cloudevents`, and then nothing
else counts, even when `ce_` headers repeat the attributes. Binary (§3.2): every attribute is a
header `ce_<name>`, `content-type` is `datacontenttype`, the value is the data as it stands.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from contracts import catalogue, ijson, topics
from contracts.event import MAX_EVENT_BYTES
from contracts.problem import Malformed, TooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from contracts.event import Event
    from contracts.record import Record

STRUCTURED = "application/cloudevents"
PREFIX = "ce_"
DEFAULT_LEDGER = "main"
NO_HEADERS = ("data", "data_base64", "datacontenttype")
MAX_RECORD_BYTES = 4 * MAX_EVENT_BYTES
"""What we are willing to parse: white space and escapes may shrink it to a legal event."""


def ledger_of(record: Record) -> str:
    """Return the ledger that a record names; without the header it is `main`."""
    return record.header(topics.HEADER_LEDGER) or DEFAULT_LEDGER


def read(record: Record) -> Event:
    """Return the event of a record, checked against the catalogue.

    Raises `Malformed`, `TooLarge`, `UnsupportedMediaType` or `Invalid`: never to be tried again.
    """
    if len(record.value or b"") > MAX_RECORD_BYTES:
        raise TooLarge(f"the record has more than {MAX_RECORD_BYTES} bytes", limit=MAX_RECORD_BYTES)
    media_type = _essence(record.header(topics.HEADER_CONTENT_TYPE))
    if media_type.startswith(STRUCTURED):
        return catalogue.parse(_structured(record, media_type))
    return catalogue.parse(_binary(record))


def _structured(record: Record, media_type: str) -> ijson.Json:
    if media_type != f"{STRUCTURED}+json":
        raise UnsupportedMediaType(f"{media_type} is not read here; send {STRUCTURED}+json")
    if record.value is None:
        raise Malformed("the record has no value")
    return _json(record.value)


def _binary(record: Record) -> dict[str, ijson.Json]:
    named = [(name, raw) for name, raw in record.headers if name.startswith(PREFIX)]
    if not named:
        raise Malformed(
            "the record has no value"
            if record.value is None
            else f"not a CloudEvent: no {PREFIX} headers, and content-type is not {STRUCTURED}+json"
        )
    attributes: dict[str, ijson.Json] = {}
    for name, raw in named:
        attribute = name.removeprefix(PREFIX)
        if attribute in attributes or attribute in NO_HEADERS:
            raise Malformed(f"the header {name} stands twice, or says what the value says")
        attributes[attribute] = _text(name, raw)
    content_type = record.header(topics.HEADER_CONTENT_TYPE)
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    if record.value is not None:
        attributes |= _data(record.value, _essence(content_type))
    return attributes


def _data(value: bytes, media_type: str) -> dict[str, ijson.Json]:
    """Return the member that holds the data, by the same rule as over HTTP."""
    if media_type.endswith(("/json", "+json")):
        return {"data": _json(value)}
    return {"data_base64": base64.b64encode(value).decode()}


def _json(value: bytes) -> ijson.Json:
    try:
        return ijson.loads(value)
    except ijson.NotIJson as error:
        where = f" at {error.pointer}" if error.pointer else ""
        raise Malformed(f"the value is not I-JSON: {error.detail}{where}") from None


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Malformed(f"{name} is not UTF-8") from None


def _essence(content_type: str | None) -> str:
    """Return a media type without its parameters, in lower case."""
    return (content_type or "").partition(";")[0].strip().lower()
