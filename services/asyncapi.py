"""The Kafka topics as AsyncAPI 3.0: generated from the catalogue, drift-tested with the rest."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import BaseModel

from contracts import topics
from contracts.catalogue import CATALOGUE
from contracts.event import OURS


def asyncapi() -> str:
    """Return the Kafka topics as AsyncAPI 3.0; `action` is as seen from the ledger."""
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "release-ledger",
            "version": "1",
            "description": "Events in and out by Kafka. Values are UTF-8 JSON.",
            "license": {
                "name": "Apache 2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": "application/json",
        "channels": {
            "ingest": _channel(topics.INGEST, _INGEST, [*map(_message_name, CATALOGUE), "foreign"]),
            "rejected": _channel(topics.REJECTED, _REJECTED, ["rejected"]),
            "events": _channel(topics.EVENTS, _EVENTS, ["recorded"]),
            "checkpoints": _channel(topics.CHECKPOINTS, _CHECKPOINTS, ["checkpoint"]),
        },
        "operations": {
            "takeIn": {"action": "receive", "channel": _ref("#/channels/ingest")},
            "reject": {"action": "send", "channel": _ref("#/channels/rejected")},
            "giveOut": {"action": "send", "channel": _ref("#/channels/events")},
            "seal": {"action": "send", "channel": _ref("#/channels/checkpoints")},
        },
        "components": {"messages": {**_messages_in(), **_messages_out()}},
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


_INGEST = (
    "CloudEvents, structured or binary (CloudEvents Kafka Protocol Binding 1.0). The header "
    "`ledger` names the ledger; without it the event goes to `main`. Sending again is safe: an id "
    "that is stored already is a duplicate."
)
_REJECTED = "What ingest refused: the record as it came, and why in the header `reason`."
_EVENTS = (
    "Every recorded event in order of position, at least once; key = ledger. A reader keeps the "
    "position that it has applied: the next one is applied, a lower one dropped, and a higher one "
    "is a gap that it fills from the ledger's HTTP feed."
)

_CHECKPOINTS = (
    "Signed heads of the Merkle tree, cosigned by witnesses, at least once; key = ledger. When the "
    "broker was away, only the newest one follows: a checkpoint covers every one before it."
)


def _channel(address: str, description: str, messages: list[str]) -> dict[str, Any]:
    refs = {name: _ref(f"#/components/messages/{name}") for name in messages}
    return {"address": address, "description": description, "messages": refs}


def _messages_in() -> dict[str, Any]:
    headers = _headers({topics.HEADER_LEDGER: "name of the ledger"}, required=[])
    found: dict[str, Any] = {}
    for type_, model in CATALOGUE.items():
        own = {"type": {"const": type_}, "data": _ref(payload_path(type_))}
        found[_message_name(type_)] = {
            "name": type_,
            "summary": _summary(model),
            "contentType": "application/cloudevents+json",
            "headers": headers,
            "payload": {
                "allOf": [_ref("event.schema.json"), {"properties": own, "required": ["data"]}]
            },
        }
    found["foreign"] = {
        "summary": "Any CloudEvent of another type, recorded as an opaque fact.",
        "contentType": "application/cloudevents+json",
        "headers": headers,
        "payload": _ref("event.schema.json"),
    }
    return found


def _messages_out() -> dict[str, Any]:
    recorded = {
        topics.HEADER_LEDGER: "name of the ledger",
        topics.HEADER_POSITION: "position in the ledger, decimal",
        topics.HEADER_EPOCH: "rises when a ledger is restored from a backup",
        topics.HEADER_COMMITMENT: "SHA-256(salt ‖ body) of the event, hex",
        topics.HEADER_CONTENT_TYPE: "application/json",
    }
    rejected = {
        topics.HEADER_REASON: "why, in one sentence",
        topics.HEADER_OFFSET: "partition/offset of the record in the ingest topic; in another one"
        " its name and / stand before that",
    }
    sealed = {
        topics.HEADER_LEDGER: "name of the ledger",
        topics.HEADER_CONTENT_TYPE: "text/plain; charset=utf-8",
    }
    return {
        "recorded": {
            "summary": "One recorded event.",
            "contentType": "application/json",
            "headers": _headers(recorded, required=list(recorded)),
            "payload": _ref("recorded_event.schema.json"),
        },
        "rejected": {
            "summary": "One refused record.",
            "headers": _headers(rejected, required=list(rejected)),
            "payload": {"description": "the bytes as they came"},
        },
        "checkpoint": {
            "summary": "One signed checkpoint (C2SP tlog-checkpoint).",
            "contentType": "text/plain",
            "headers": _headers(sealed, required=list(sealed)),
            "payload": {"description": "the note: origin, size, root, and signature lines"},
        },
    }


def _headers(meanings: dict[str, str], required: list[str]) -> dict[str, Any]:
    properties = {
        name: {"type": "string", "description": meaning} for name, meaning in meanings.items()
    }
    return {"type": "object", "properties": properties, "required": required}


def _message_name(type_: str) -> str:
    return type_.removeprefix(OURS).replace(".", "_")


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _ref(target: str) -> dict[str, str]:
    return {"$ref": target}


def payload_path(type_: str) -> str:
    """Return where a type's payload schema stands: `events/<subject>/<predicate>/v<major>…`."""
    subject, predicate, version = type_.removeprefix(OURS).split(".")
    return f"events/{subject}/{predicate}/{version}.schema.json"
