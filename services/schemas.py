"""Writes contracts/schemas: what a sender or a reader in another language needs to know of us.

`events/<subject>/<predicate>/v<major>.schema.json` the payload of each type of the catalogue ·
`event.schema.json`, `recorded_event.schema.json` the envelopes · `openapi/<service>.json` the HTTP
surfaces · `asyncapi.yaml` the Kafka topics. The payload schemas are those for writers, therefore
closed: a field that is not named is refused. Readers must tolerate fields that they do not know.

In a payload schema `x-subject-kind` marks a field whose value names a subject of that kind, and
`x-subjects` lists the subjects that are made of several fields; `x-successor` says what to send.

The output depends on the code alone, so that a test can hold it against what is committed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr
from pydantic.json_schema import GenerateJsonSchema

from contracts.catalogue import CATALOGUE
from contracts.event import OURS, Event, RecordedEvent
from contracts.payloads.earlier import successor
from services import assembly
from services.asyncapi import asyncapi, payload_path
from services.gatekeeper.settings import GatekeeperSettings
from services.kit.settings import Shared
from services.ledger.settings import LedgerSettings
from services.projector.settings import ProjectorSettings

if TYPE_CHECKING:
    from contracts.payloads.model import Payload

DIALECT = "https://json-schema.org/draft/2020-12/schema"
BASE = "https://release-ledger.org/schemas/"
"""Identifies a schema; nobody needs to fetch it."""
_DOC_SUFFIXES = (".json", ".yaml")


def write(target: Path) -> None:
    """Write every document below `target` and remove those that are no longer made."""
    documents = render()
    for stale in set(written(target)) - set(documents):
        (target / stale).unlink()
    for name, text in documents.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def written(target: Path) -> dict[str, str]:
    """Return the documents below `target`: path → text."""
    return {
        path.relative_to(target).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(target.rglob("*"))
        if path.suffix in _DOC_SUFFIXES
    }


def render() -> dict[str, str]:
    """Return every document: path below contracts/schemas → text."""
    return events() | {"asyncapi.yaml": asyncapi()} | openapi()


def events() -> dict[str, str]:
    """Return the envelopes and the payload of each type of the catalogue as JSON Schema."""
    documents = {
        "event.schema.json": _document("event.schema.json", Event),
        "recorded_event.schema.json": _document("recorded_event.schema.json", RecordedEvent),
    }
    for type_, model in CATALOGUE.items():
        path = payload_path(type_)
        documents[path] = _document(path, model, title=type_, **_marks(type_, model))
    return documents


def openapi() -> dict[str, str]:
    """Return the HTTP surface of each service, as it describes itself."""
    settings = _settings()
    return {
        f"openapi/{name}.json": _json(assembly.alone(name, settings).openapi())
        for name in assembly.NAMES
    }


class _Untitled(GenerateJsonSchema):
    """Leaves out titles that only repeat a field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - as in the parent
        return False


def _document(path: str, model: type[BaseModel], **members: Any) -> str:
    schema = model.model_json_schema(schema_generator=_Untitled)
    return _json({"$schema": DIALECT, "$id": BASE + path} | schema | members)


def _marks(type_: str, model: type[Payload]) -> dict[str, Any]:
    newest = successor(type_.removeprefix(OURS))
    marks = {"deprecated": True, "x-successor": f"{OURS}{newest}"} if newest else {}
    return marks | ({"x-subjects": list(model.composed)} if model.composed else {})


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _settings() -> assembly.Settings:
    """Return settings that name no real place and do not depend on the environment.

    Building an app opens nothing, so nothing is ever asked at these addresses.
    """
    shared = Shared.model_construct(
        feed="http",
        database_url=SecretStr("postgresql://nobody@localhost/nowhere"),
        ledger_url="http://ledger",
        gatekeeper_url="http://gatekeeper",
        service_key=SecretStr("none"),
    )
    return assembly.Settings(
        shared,
        LedgerSettings.model_construct(),
        ProjectorSettings.model_construct(),
        GatekeeperSettings.model_construct(),
    )
