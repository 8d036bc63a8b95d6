"""The generated schemas are the committed ones, they are valid, and they say what the code does."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from contracts.catalogue import CATALOGUE
from contracts.event import OURS
from services import asyncapi, schemas

COMMITTED = Path(__file__).parents[2] / "contracts" / "schemas"
METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    return schemas.render()


def test_what_is_committed_is_what_the_code_says(rendered: dict[str, str]) -> None:
    committed = schemas.written(COMMITTED)
    changed = {name for name in rendered if committed.get(name) != rendered[name]}
    stale = set(committed) - set(rendered)
    assert (changed, stale) == (set(), set()), "run `make schemas` and commit what it writes"


def test_the_output_does_not_depend_on_the_environment(
    rendered: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RLG_DEV": "1", "RLG_FEED": "kafka", "LEDGER_NAMES": "other"}.items():
        monkeypatch.setenv(name, value)
    assert schemas.render() == rendered


def test_writing_removes_what_is_no_longer_made(tmp_path: Path, rendered: dict[str, str]) -> None:
    stale = tmp_path / "events" / "gone" / "v1.schema.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    schemas.write(tmp_path)
    assert schemas.written(tmp_path) == rendered


def test_every_type_has_a_valid_closed_schema(rendered: dict[str, str]) -> None:
    for type_ in CATALOGUE:
        schema = json.loads(rendered[asyncapi.payload_path(type_)])
        Draft202012Validator.check_schema(schema)
        open_objects = [s for s in _objects(schema) if s.get("additionalProperties") is not False]
        assert all("properties" not in s for s in open_objects), type_


def _objects(schema: Any) -> list[dict[str, Any]]:
    found = [schema] if isinstance(schema, dict) and schema.get("type") == "object" else []
    inner = schema.values() if isinstance(schema, dict) else schema
    return found + [s for part in inner if isinstance(part, dict | list) for s in _objects(part)]


PLANNED = {
    "release_id": "pay-1.42",
    "name": "Payments 1.42",
    "service_ids": ["pay"],
    "release_type": "minor",
    "owner": "dev:ada",
}


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"description": None}, True),
        ({"release_type": "giant"}, False),
        ({"service_ids": []}, False),
        ({"release_id": "a b"}, False),
        ({"colour": "green"}, False),
    ],
)
def test_the_schema_and_the_model_agree(
    rendered: dict[str, str], change: dict[str, Any], *, fits: bool
) -> None:
    schema = json.loads(rendered["events/release/planned/v1.schema.json"])
    data = PLANNED | change
    assert Draft202012Validator(schema).is_valid(data) is fits
    try:
        CATALOGUE[OURS + "release.planned.v1"].model_validate(data)
    except ValueError:
        assert not fits
    else:
        assert fits


def test_an_ingest_message_judges_the_whole_event(rendered: dict[str, str]) -> None:
    document = yaml.safe_load(rendered["asyncapi.yaml"])
    payload = document["components"]["messages"]["release_planned_v1"]["payload"]
    files = {name: json.loads(text) for name, text in rendered.items() if name.endswith("a.json")}
    registry: Registry[Any] = Registry().with_resources(
        (schemas.BASE + name, Resource.from_contents(schema)) for name, schema in files.items()
    )
    judge = Draft202012Validator({"$id": schemas.BASE + "asyncapi", **payload}, registry=registry)
    event = {"specversion": "1.0", "id": "1", "source": "/ci", "data": PLANNED}
    assert judge.is_valid(event | {"type": OURS + "release.planned.v1"})
    assert not judge.is_valid(event | {"type": OURS + "release.completed.v1"})
    assert not judge.is_valid(event | {"type": OURS + "release.planned.v1", "data": {}})


def test_asyncapi_refers_to_what_exists(rendered: dict[str, str]) -> None:
    document = yaml.safe_load(rendered["asyncapi.yaml"])
    for target in _refs(document):
        if target.startswith("#/"):
            node = document
            for part in target[2:].split("/"):
                node = node[part]
        else:
            assert target in rendered


def _refs(node: Any) -> list[str]:
    own = [node["$ref"]] if isinstance(node, dict) and "$ref" in node else []
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return own + [ref for part in inner for ref in _refs(part)]


@pytest.mark.parametrize("service", ["ledger", "projector", "gatekeeper"])
def test_every_operation_of_the_http_surface_is_described(
    rendered: dict[str, str], service: str
) -> None:
    document = json.loads(rendered[f"openapi/{service}.json"])
    assert {"/livez", "/readyz", "/metrics"} <= set(document["paths"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method in METHODS:
                assert operation.get("description"), f"{service}: {method} {path} says nothing"
