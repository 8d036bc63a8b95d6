"""Reading is quick where nothing can be wrong; it must say and store what the slow way does."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.workload import report
from contracts import catalogue, ijson
from contracts.event import Event, Origin
from contracts.problem import Invalid
from services.ledger import body
from services.ledger.model import Submission
from tests.unit.contracts import oracle

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = Origin(principal="key:ci", assurance="A2")
ODD_TEXTS = st.sampled_from(
    ["\x00", "\ud800", "\udc00x", "😀", "é", "\\u0000", "\\\\u0000", "]}", "[{", '"', "\x7f"]
)
TEXTS = st.text(max_size=8) | ODD_TEXTS
NUMBERS = (
    st.integers(-(2**53) - 2, 2**53 + 2)
    | st.sampled_from([2**53, 2**53 - 1, -(2**53), 10**15, -(10**15), 10**14, 10**30, 1e308, -0.0])
    | st.floats()
)
SCALARS = TEXTS | NUMBERS | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)


def _deep(depth: int, core: Any, *, as_object: bool) -> Any:
    for _ in range(depth):
        core = {"k": core} if as_object else [core]
    return core


DEEP = st.builds(_deep, st.integers(28, 36), VALUES, as_object=st.booleans())


def outcome(work: Callable[[], Any]) -> Any:
    """Return what comes out, or what is wrong and where."""
    try:
        return repr(work())
    except ijson.NotIJson as error:
        return (error.detail, error.pointer)


@settings(max_examples=400)
@given(value=VALUES | DEEP | st.lists(DEEP, max_size=3), escaped=st.booleans())
def test_a_document_reads_the_same(value: Any, *, escaped: bool) -> None:
    raw = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    assert outcome(lambda: ijson.loads(raw)) == outcome(lambda: oracle.loads(raw))


@settings(max_examples=400)
@given(st.text(st.sampled_from('{}[]",:\\ud8dD0019.eE-+ntfaNI \n'), max_size=30))
@example('{"a":1,"a":1}')
@example('[1,{"a":NaN}]')
@example("\ufeff{}")
@example('"\\ud83d\\ude00"')
@example('"\\ud83d"')
@example("1" * 5000)
@example("-Infinity")
@example("[" * 100_000)
def test_what_is_no_document_is_refused_the_same(text: str) -> None:
    raw = text.encode()
    assert outcome(lambda: ijson.loads(raw)) == outcome(lambda: oracle.loads(raw))


@given(st.binary(max_size=20))
def test_bytes_that_are_no_text_are_refused_the_same(raw: bytes) -> None:
    assert outcome(lambda: ijson.loads(raw)) == outcome(lambda: oracle.loads(raw))


@given(VALUES | DEEP)
def test_what_counts_as_sound_is_ijson(value: Any) -> None:
    if ijson.is_sound(value):
        oracle.check(value)


EXTENSIONS = st.dictionaries(st.sampled_from(["note", "n", "subjects"]), TEXTS, max_size=2)


@settings(max_examples=400)
@given(VALUES | DEEP, EXTENSIONS)
def test_the_stored_bytes_and_subjects_are_the_same(data: Any, extensions: dict[str, Any]) -> None:
    attributes = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t.t",
                  "subject": "a:1", "data": data} | extensions  # fmt: skip
    _agree(attributes)


@given(st.text(max_size=12), st.text(max_size=12), st.integers(-1, 2**53))
def test_a_payload_of_ours_gives_the_same_too(release: str, suite: str, passed: int) -> None:
    attributes = report("pay-1", "run-1", "qa")
    data: Any = attributes["data"]
    data |= {"release_id": release, "suite": suite}
    data["counts"]["passed"] = passed
    _agree(attributes)


def _agree(attributes: dict[str, Any]) -> None:
    try:
        expected = oracle.prepare(attributes)
    except (ValueError, KeyError):
        with pytest.raises(Invalid):
            body.make(Submission(catalogue.parse(attributes), ORIGIN))
        return
    try:
        event = catalogue.parse(attributes)
    except Invalid:  # the rules about subjects, which both ways share
        return
    made = body.make(Submission(event, ORIGIN))
    assert (list(made.subjects), body.Recorded(1, {}, NOW, b"", made.body).event) == expected


def test_a_copy_with_another_id_is_stored_with_that_id() -> None:
    event = catalogue.parse(report("pay-1", "run-1", "qa"))
    other = event.model_copy(update={"id": "other", "subject": "x:1"})
    made = body.make(Submission(other, ORIGIN))
    assert (made.event_id, made.subjects[0]) == ("other", "x:1")
    assert b'"id":"other"' in made.body


def test_what_happens_to_the_senders_object_later_does_not_reach_the_ledger() -> None:
    attributes = report("pay-1", "run-1", "qa")
    expected = oracle.prepare(attributes)[1]
    event = catalogue.parse(attributes)
    attributes["id"] = "changed"
    attributes["data"] = None
    assert expected in body.make(Submission(event, ORIGIN)).body


def test_an_event_that_nobody_parsed_is_stored_all_the_same() -> None:
    attributes = report("pay-1", "run-1", "qa")
    event = Event.model_validate(attributes)
    made = body.make(Submission(event, ORIGIN))
    parsed = body.make(Submission(catalogue.parse(attributes), ORIGIN))
    assert event == catalogue.parse(attributes)
    assert (made.subjects, made.body) == (parsed.subjects, parsed.body)
