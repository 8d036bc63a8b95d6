"""The webhooks: in the shapes of their real senders, signed, and understood by the adapters."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from jsonschema import Draft7Validator, FormatChecker

from contracts import catalogue
from contracts.event import OURS, parse_time
from demo import story
from demo.steps import SECRET, Await, Facts, Story, Webhook
from services.ledger.hooks import connections
from services.ledger.hooks.kinds import KINDS

NOW = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)
FILES = {
    "push": "push",
    "pull_request": "pull_request.opened",
    "pull_request_review": "pull_request_review.submitted",
    "check_run": "check_run.completed",
    "workflow_run": "workflow_run.completed",
    "registry_package": "registry_package.published.docker",
    "deployment": "deployment",
    "deployment_status": "deployment_status",
}
OPTIONAL = {"installation", "performed_via_github_app", "check_suite_url"}
"""An App's installation does not stand in what an organisation's webhook sends."""


@pytest.fixture(scope="module")
def tale() -> Story:
    return story.build(7, NOW)


@pytest.fixture(scope="module")
def hooks(tale: Story) -> list[Webhook]:
    return [step for step in tale.steps() if isinstance(step, Webhook)]


def mapped(hook: Webhook) -> list[dict[str, Any]]:
    """What the ledger makes of a delivery in development mode."""
    connection = connections.read(None, dev=True)[hook.connection]
    kind = KINDS[connection.adapter]
    kept = kind.kept(hook.headers())
    found = kind.adapter(kept, hook.body(), connection.scope)
    assert found.loss is None
    return [fact.event for fact in found.facts]


def test_signatures_hold_over_the_very_bytes(hooks: list[Webhook]) -> None:
    for hook in hooks:
        headers, body = hook.headers(), hook.body()
        if hook.connection == "github":
            made = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
            assert headers["x-hub-signature-256"] == f"sha256={made}"
            assert headers["x-github-delivery"] == hook.delivery
        connection = connections.read(None, dev=True)[hook.connection]
        assert KINDS[connection.adapter].proves(headers, body, connection.secret_values)


def test_every_delivery_says_something_valid(hooks: list[Webhook]) -> None:
    for hook in hooks:
        events = mapped(hook)
        assert events, hook.kind
        for event in events:
            catalogue.parse(event)


def test_every_kind_of_delivery_is_there(hooks: list[Webhook]) -> None:
    assert set(Counter(hook.kind for hook in hooks)) == {*FILES, "firing", "resolved"}


def test_what_the_loader_waits_for_comes(tale: Story) -> None:
    for chapter in tale.chapters:
        for thread in chapter:
            told: Counter[tuple[str, str]] = Counter()
            for step in thread:
                if isinstance(step, Webhook):
                    for attributes in mapped(step):
                        event = catalogue.parse(attributes)
                        for subject in catalogue.subjects_of(event):
                            told[subject, event.type.removeprefix(OURS)] += 1
                elif isinstance(step, Await):
                    assert told[step.subject, step.type] >= step.count, step


def test_facts_name_only_deployments_and_incidents_that_the_webhooks_make(tale: Story) -> None:
    told: set[str] = set()
    for step in tale.steps():
        if isinstance(step, Webhook):
            for event in mapped(step):
                told.update(catalogue.subjects_of(catalogue.parse(event)))
        elif isinstance(step, Facts):
            for event in step.events:
                for subject in catalogue.subjects_of(catalogue.parse(event)):
                    if subject.startswith(("deployment:", "incident:")):
                        assert subject in told, (event["type"], subject)


def test_the_rollback_and_the_hotfix_name_what_they_repair(hooks: list[Webhook]) -> None:
    said = [h.payload["deployment"]["payload"] for h in hooks if h.kind == "deployment"]
    repairs = [each for each in said if "remediates" in each]
    assert sorted(each["kind"] for each in repairs) == ["hotfix", "rollback"]
    assert len({each["remediates"] for each in repairs}) == 1
    assert not any(each["planned"] for each in repairs)


def test_a_failed_attempt_and_its_repetition_are_one_intent(hooks: list[Webhook]) -> None:
    failed = [
        h.payload for h in hooks if h.payload.get("deployment_status", {}).get("state") == "failure"
    ]
    assert len(failed) == 1
    intent = failed[0]["deployment"]["payload"]["intent_id"]
    tries = [
        h.payload["deployment"]["id"]
        for h in hooks
        if h.kind == "deployment" and h.payload["deployment"]["payload"]["intent_id"] == intent
    ]
    assert len(tries) == len(set(tries)) == 2


def keys(value: Any, path: str = "") -> set[str]:
    """The paths of all members of objects; of a list the first item speaks."""
    if isinstance(value, list):
        return keys(value[0], path + "[]") if value else set()
    if not isinstance(value, dict):
        return set()
    here = {f"{path}.{name}" for name in value}
    return here.union(*(keys(inner, f"{path}.{name}") for name, inner in value.items()))


@pytest.mark.parametrize("kind", FILES)
def test_no_member_that_github_sends_is_missing(
    kind: str, hooks: list[Webhook], samples: Path
) -> None:
    file = samples / "github" / f"{FILES[kind]}.payload.json"
    sent = keys(json.loads(file.read_text(encoding="utf-8")))
    ours = set[str]().union(*(keys(hook.payload) for hook in hooks if hook.kind == kind))
    missing = {p for p in sent - ours if not OPTIONAL & set(p.split("."))}
    # Free text of the sample's own, and objects that the story rightly leaves null or empty.
    free = (".labels[]", ".assignees[]", ".all_labels.", ".permissions.", ".body.", ".license.")
    assert {p for p in missing if not any(part in p for part in free)} == set()


FORMATS = FormatChecker(formats=())


@FORMATS.checks("uri")
def is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme)


@FORMATS.checks("date-time", raises=ValueError)
def is_time(value: object) -> bool:
    return not isinstance(value, str) or bool(parse_time(value))


def without_references(schema: Any) -> Any:
    """The schema with the parts that other files hold taken for any object."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return {"type": "object"}
        return {k: without_references(v) for k, v in schema.items()}
    return [without_references(item) for item in schema] if isinstance(schema, list) else schema


def test_deployment_statuses_follow_github_s_schema(hooks: list[Webhook], samples: Path) -> None:
    file = samples / "github/schemas/deployment_status.created.schema.json"
    schema = without_references(json.loads(file.read_text(encoding="utf-8")))
    validator = Draft7Validator(schema, format_checker=FORMATS)
    statuses = [hook for hook in hooks if hook.kind == "deployment_status"]
    assert statuses
    for hook in statuses:
        validator.validate(hook.payload)


def test_alerts_have_what_alertmanager_sends(hooks: list[Webhook], samples: Path) -> None:
    sent = json.loads((samples / "alertmanager/webhook.v4.firing.json").read_text(encoding="utf-8"))
    alerts = [hook for hook in hooks if hook.connection == "alertmanager"]
    assert Counter(hook.kind for hook in alerts) == {"firing": 2, "resolved": 2}
    for hook in alerts:
        assert hook.payload.keys() >= sent.keys()
        assert hook.payload["version"] == "4"
        for alert in hook.payload["alerts"]:
            assert alert.keys() >= sent["alerts"][0].keys()
            assert alert["endsAt"].startswith("0001") == (hook.kind == "firing")
