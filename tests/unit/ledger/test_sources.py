"""Who may write by Kafka: the decision, and the file that it rests on."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import catalogue, topics
from contracts.event import Event
from contracts.problem import Forbidden
from services.kit.settings import SettingsError
from services.ledger.hooks.connections import read_sources as read
from services.ledger.sources import OPEN, Source, Sources

CI = {
    "name": "ci", "topic": "ci.releases", "ledgers": ["main", "acme"],
    "sources": ["https://ci.example/*"], "types": ["x.build.*", "x.test"],
    "subjects": ["release:pay-*", "commit:*"],
}  # fmt: skip


def event(**attributes: Any) -> Event:
    usual = {
        "specversion": "1.0", "id": "1", "source": "https://ci.example/1", "type": "x.build.done",
        "subjects": "release:pay-1,commit:abc",
    }  # fmt: skip
    return catalogue.parse(usual | attributes)


@pytest.mark.parametrize(
    ("topic", "ledger", "attributes", "said"),
    [
        ("ci.releases", "main", {"source": "https://eve.example/"}, "may write the source https"),
        ("ci.releases", "main", {"source": "x-https://ci.example/1"}, "may write the source x-"),
        ("ci.releases", "main", {"type": "x.tests"}, "ci.releases may write the type x.tests"),
        ("ci.releases", "main", {"subjects": "commit:a,release:web-1"}, "subject release:web-1"),
        ("ci.releases", "other", {}, "registered for ci.releases and the ledger other"),
        (topics.INGEST, "main", {}, f"registered for {topics.INGEST} and the ledger main"),
    ],
)
def test_what_is_not_registered_is_refused_with_what_it_is(
    topic: str, ledger: str, attributes: dict[str, str], said: str
) -> None:
    with pytest.raises(Forbidden, match=said):
        Sources([Source(**CI)]).admit(topic, ledger, event(**attributes))


def test_an_event_is_taken_from_the_first_that_fits_whole() -> None:
    """One that fits by type and another that fits by subject are not together one that fits."""
    web = Source(**CI | {"name": "web", "subjects": ["release:web-*", "commit:*"]})
    tests = Source(**CI | {"name": "tests", "types": ["x.test"], "subjects": ["*"]})
    known = Sources([Source(**CI), web, tests])
    assert known.admit("ci.releases", "acme", event()) == "kafka:ci"
    assert known.admit("ci.releases", "main", event(subjects="release:web-1")) == "kafka:web"
    other = event(type="x.test", subjects="release:pay-1,release:web-1")
    assert known.admit("ci.releases", "main", other) == "kafka:tests"
    with pytest.raises(Forbidden, match="these subjects together"):
        known.admit("ci.releases", "main", event(subjects="release:pay-1,release:web-1"))
    assert known.topics == [topics.INGEST, "ci.releases"]


WORDS = st.text("ab.*", min_size=1, max_size=6)


@given(st.lists(WORDS, min_size=1, max_size=3), st.text("ab.", min_size=1, max_size=8))
def test_a_star_stands_for_any_characters(patterns: list[str], type_: str) -> None:
    """As `fnmatch` of the standard library has it, of which `*` is the only sign used here."""
    known = Sources([Source(**CI | {"types": patterns})])
    wanted = any(fnmatchcase(type_, pattern) for pattern in patterns)
    try:
        known.admit("ci.releases", "main", event(type=type_))
    except Forbidden:
        assert not wanted
    else:
        assert wanted


def test_without_a_file_everybody_in_development_and_nobody_else(tmp_path: Path) -> None:
    assert read(None, dev=True) is OPEN
    assert OPEN.admit(topics.INGEST, "main", event()) == f"kafka:{topics.INGEST}"
    with pytest.raises(Forbidden):
        OPEN.admit("ci.releases", "main", event())
    with pytest.raises(Forbidden, match="no source is registered"):
        read(None, dev=False).admit(topics.INGEST, "main", event())
    file = tmp_path / "sources.json"
    file.write_text(json.dumps([CI]))
    for dev in (True, False):
        assert read(file, dev=dev).admit("ci.releases", "main", event()) == "kafka:ci"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "Invalid JSON"),
        (json.dumps([CI | {"types": []}]), "/0/types: "),
        (json.dumps([CI | {"more": 1}]), "/0/more: "),
        (json.dumps([CI, CI]), "has a name twice"),
        (json.dumps([CI | {"topic": topics.EVENTS}]), "is ours to write"),
        (json.dumps([CI | {"topic": "a b"}]), "/0/topic: "),
    ],
)
def test_a_file_that_is_wrong_is_told_where(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "sources.json"
    file.write_text(content)
    with pytest.raises(SettingsError, match=said):
        read(file, dev=False)
    with pytest.raises(SettingsError, match="No such file"):
        read(tmp_path / "missing", dev=False)
