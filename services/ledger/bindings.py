"""CloudEvents over HTTP: request headers and body → events, one by one, good or bad.

Sources: CloudEvents 1.0.2 HTTP Protocol Binding §3 (binary, structured, batched), JSON Event
Format; RFC 7230 §3.2.6 (quoted strings). NDJSON, one event a line, is ours.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from contracts import catalogue, ijson
from contracts.event import MAX_BATCH, Event
from contracts.problem import Invalid, Malformed, Problem, TooLarge, UnsupportedMediaType

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"
_ATTRIBUTE = "ce-"
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sent:
    """The events of one request, each read or with what is wrong with it."""

    events: list[Event | Problem]
    single: bool
    """True when the request was about one event, so that its problem is the answer."""


def read(headers: Mapping[str, str], raw: bytes) -> Sent:
    """Read a request. Raises `Malformed`, `TooLarge` or `UnsupportedMediaType` for all of it."""
    media_type = _media_type(headers.get("content-type", ""))
    if media_type == BATCH:
        return _batch(_loads(raw))
    if media_type == STRUCTURED:
        return Sent([_event(_loads(raw))], single=True)
    if "ce-specversion" in headers:
        return Sent([_event(_binary(headers, raw), vouched=False)], single=True)
    if media_type in {NDJSON, "application/ndjson"}:
        return _lines(raw)
    if media_type == "application/json":
        value = _loads(raw)
        return _batch(value) if isinstance(value, list) else Sent([_event(value)], single=True)
    named = media_type or "none"
    raise UnsupportedMediaType(
        f"the content type is {named}; send {STRUCTURED}, {BATCH}, {NDJSON}, application/json, "
        "or binary mode with ce- headers"
    )


def loads(raw: bytes) -> ijson.Json:
    """Read the JSON of a whole request, or raise `Malformed` with the pointer."""
    return _loads(raw)


def _media_type(content_type: str) -> str:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in {"utf-8", "utf8", "us-ascii"}:
            raise UnsupportedMediaType(f"the charset {value} is not read; send UTF-8")
    return media_type


def _loads(raw: bytes) -> ijson.Json:
    try:
        return ijson.loads(raw)
    except ijson.NotIJson as error:
        errors = [{"pointer": error.pointer, "detail": error.detail}]
        raise Malformed(error.detail, errors=errors) from None


def _event(value: Any, *, vouched: bool = True) -> Event | Problem:
    try:
        return catalogue.parse(value, vouched=vouched)
    except Invalid as problem:
        return problem


def _batch(value: ijson.Json) -> Sent:
    if not isinstance(value, list):
        raise Malformed("a batch is a JSON array of events")
    check_count(len(value))
    return Sent([_event(item) for item in value], single=False)


def _lines(raw: bytes) -> Sent:
    lines = [line for line in raw.split(b"\n") if line.strip()]
    check_count(len(lines))
    return Sent([_line(line) for line in lines], single=False)


def _line(line: bytes) -> Event | Problem:
    try:
        return _event(_loads(line))
    except Malformed as problem:
        return problem


def check_count(count: int) -> None:
    """Raise `TooLarge` for more events than one request may have."""
    if count > MAX_BATCH:
        raise TooLarge(f"{count} events; at most {MAX_BATCH} are allowed at once", limit=MAX_BATCH)


def _binary(headers: Mapping[str, str], raw: bytes) -> dict[str, Any]:
    """Read binary mode: `ce-` headers are the attributes, the body is the data."""
    attributes: dict[str, Any] = {
        name.removeprefix(_ATTRIBUTE): _header_value(name, value)
        for name, value in _each_once(headers)
    }
    if content_type := headers.get("content-type"):
        attributes["datacontenttype"] = content_type
    if raw:
        name, value = _data(content_type or "", raw)
        attributes[name] = value
    return attributes


def _each_once(headers: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    seen: set[str] = set()
    for name, value in headers.items():
        if name.startswith(_ATTRIBUTE):
            if name in seen:
                raise Malformed(f"the header {name} stands twice")
            if name in {"ce-data", "ce-data_base64", "ce-datacontenttype"}:
                raise Malformed(f"the header {name} is not allowed: the body has the data")
            seen.add(name)
            yield name, value


def _header_value(name: str, value: str) -> str:
    """Undo the quoting and one round of percent-encoding (HTTP binding §3.1.3.2)."""
    value = value.strip()
    if quoted := _QUOTED.fullmatch(value):
        value = re.sub(r"\\(.)", r"\1", quoted[1])
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        raise Malformed(f"the header {name} is not percent-encoded UTF-8") from None


def _data(content_type: str, raw: bytes) -> tuple[str, Any]:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.endswith(("/json", "+json")):
        return "data", _loads(raw)
    return "data_base64", base64.b64encode(raw).decode()
