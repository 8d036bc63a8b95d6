"""Kafka records that could not be taken in, kept as deliveries: seen, counted, tried again. Pure.

The connection of a ledger's own (`kafka.<ledger>`) is not one that anybody can send to: only the
ingest keeps deliveries under it. They hold the record whole, headers and key too.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from contracts import topics
from contracts.problem import Problem
from contracts.record import Record
from services.ledger import kafka_binding
from services.ledger.hooks.adapter import CannotMap, Fact, Mapped, Scope
from services.ledger.hooks.delivery import Incoming
from services.ledger.sources import ASSURANCE

PREFIX = "kafka."


def connection_of(ledger: str) -> str:
    """Return the connection under which a ledger's rejected records are kept."""
    return f"{PREFIX}{ledger}"


def incoming(record: Record, ledger: str, digest: str) -> Incoming:
    """Return a record as a delivery; its place in the topic is the key of the delivery."""
    headers = {"headers": json.dumps([[name, _text(raw)] for name, raw in record.headers])}
    if record.key is not None:
        headers["key"] = _text(record.key)
    if record.value is None:
        headers["tombstone"] = "true"
    if record.topic != topics.INGEST:
        headers["topic"] = record.topic
    place = f"{record.topic}/{record.partition}/{record.offset}"
    raw = record.value or b""
    return Incoming(connection_of(ledger), ledger, place, headers, raw, digest, ASSURANCE)


def record_of(headers: Mapping[str, str], raw: bytes) -> Record:
    """Return the record again."""
    named = tuple((str(name), _bytes(text)) for name, text in json.loads(headers["headers"]))
    value = None if "tombstone" in headers else raw
    key = headers.get("key")
    topic = headers.get("topic", topics.INGEST)
    return Record(topic, value, None if key is None else _bytes(key), named)


def map_delivery(headers: Mapping[str, str], raw: bytes, scope: Scope) -> Mapped:
    """See `adapter.Adapter`: read the record as the ingest does."""
    record = record_of(headers, raw)
    ledger = kafka_binding.ledger_of(record)
    if connection_of(ledger) != scope.connection:
        raise CannotMap(f"it names the ledger {ledger[:100]}, which is not here")
    try:
        event = kafka_binding.read(record)
        principal = scope.sources.admit(record.topic, ledger, event)
        return Mapped((Fact(event.as_json()),), principal=principal)
    except Problem as problem:
        raise CannotMap(f"{problem.slug}: {problem}") from None


def _text(raw: bytes) -> str:
    """Write bytes as text; what is not UTF-8 in base64, behind a mark that UTF-8 text never has."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    plain = text.encode() == raw and not text.startswith("base64:")
    return text if plain else f"base64:{base64.b64encode(raw).decode()}"


def _bytes(text: str) -> bytes:
    marked = text.startswith("base64:")
    return base64.b64decode(text.removeprefix("base64:")) if marked else text.encode()
