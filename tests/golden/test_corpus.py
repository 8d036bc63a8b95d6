"""Recorded events read the same for ever: bytes, answers, meaning."""

from __future__ import annotations

import hashlib
import json
import operator
import os
import re
import subprocess
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from contracts import catalogue, ijson, leaf, upcasting
from contracts.catalogue import CATALOGUE
from contracts.event import OURS, Event, HistoryPage, RecordedEvent, format_time
from contracts.payloads.earlier import EARLIER, next_major
from contracts.problem import Invalid
from services.gatekeeper.folding import fold as fold_facts
from services.ledger import bindings, body
from services.ledger.model import Submission
from tests.golden import corpus
from tests.golden.corpus import EVENTS, SEALS, Golden
from tests.unit.projector.recorded import fold as fold_rows

READINGS = Path(__file__).parent / "readings"
CORPUS = corpus.load()
RELEASES = ("pay-1.42", "new-1", "many-1")
NAME = operator.attrgetter("name")
TAKEN = [golden for golden in CORPUS if not golden.foreign]
"""What our own catalogue took; the others were taken by an older or a newer one."""
each = pytest.mark.parametrize("golden", CORPUS, ids=NAME)


def same(one: Any, other: Any) -> bool:
    """Compare as JSON text, so that 1 is not 1.0 and 0 is not -0.0."""
    return ijson.dumps(one) == ijson.dumps(other)


@each
def test_the_stored_bytes_have_the_stored_commitment_and_are_canonical(golden: Golden) -> None:
    row = golden.document["stored"]
    salted = bytes.fromhex(row["salt"]) + golden.bytes_
    assert hashlib.sha256(salted).hexdigest() == row["commitment"]
    assert ijson.dumps(ijson.loads(golden.bytes_)) == golden.bytes_


@each
def test_the_ledger_gives_the_stored_event_out_byte_for_byte(golden: Golden) -> None:
    assert golden.stored().as_json().decode() == golden.document["given_out"]
    assert golden.stored().as_model() == golden.recorded


@pytest.mark.parametrize("golden", TAKEN, ids=NAME)
def test_the_same_event_becomes_the_same_bytes_today(golden: Golden) -> None:
    row = golden.document["stored"]
    assert str(leaf.event_uuid(golden.sent["id"])) == row["key"]
    earlier = EARLIER.get(golden.sent["type"].removeprefix(OURS))
    if earlier is not None and not earlier.accepted:
        with pytest.raises(Invalid, match="retired; send"):
            catalogue.parse(golden.sent)
        return
    made = body.make(Submission(catalogue.parse(golden.sent), golden.origin))
    assert made.body == golden.bytes_
    assert list(made.subjects) == list(row["versions"])
    assert str(made.uuid) == row["key"]


@pytest.mark.parametrize("golden", [g for g in CORPUS if "received" in g.document], ids=NAME)
def test_binary_mode_still_means_the_same_event(golden: Golden) -> None:
    (event,) = bindings.read(*corpus.received(golden)).events
    assert isinstance(event, Event)
    assert same(event.as_json(), golden.sent)


@each
def test_the_event_reads_as_it_always_did(golden: Golden) -> None:
    expected = golden.document["as_read"]
    if expected is None:
        with pytest.raises(upcasting.CannotRead, match=f"position {golden.recorded.position}: "):
            upcasting.read(golden.recorded)
        return
    name, data = golden.sent["type"], golden.sent.get("data")
    while name != expected["type"]:
        assert isinstance(data, dict)
        data = EARLIER[name.removeprefix(OURS)].upcast(data)
        name = next_major(name)
    assert same(data, expected["data"])
    read = upcasting.read(golden.recorded)
    assert read.type.removeprefix(OURS) not in EARLIER
    if read.type == name:
        assert same(read.event.get("data"), data)


def test_the_corpus_has_every_type_in_every_major() -> None:
    names = {OURS + name for name in EARLIER} | set(CATALOGUE)
    assert names <= {golden.sent["type"] for golden in TAKEN}, (
        "give the new type a line in tests/golden/everyday.py, then python -m tests.golden.corpus"
    )


def test_no_file_of_the_corpus_was_changed_or_lost() -> None:
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in EVENTS.glob("*.json")
    }
    assert digests == corpus.seals()
    assert [golden.recorded.position for golden in CORPUS] == list(range(1, len(CORPUS) + 1))


def test_no_commit_ever_took_a_seal_away() -> None:
    command = ["git", "log", "-p", "--format=", "--", SEALS.as_posix()]
    log = subprocess.run(command, cwd=EVENTS, capture_output=True, text=True, check=False)
    if log.returncode:
        pytest.skip("this copy has no git history")
    assert "\n+" in log.stdout, "the seals are not committed yet"
    assert re.findall(r"^-[0-9a-f]{64}  .*$", log.stdout, re.MULTILINE) == []


def test_adding_again_adds_nothing() -> None:
    before = SEALS.read_bytes()
    assert corpus.add() == []
    assert SEALS.read_bytes() == before


def readable() -> list[tuple[str, RecordedEvent]]:
    """What the readers get: name and event, as the newest majors tell it."""
    return [(g.name, g.recorded) for g in CORPUS if g.document["as_read"] is not None]


def test_each_event_folds_into_the_rows_it_always_did() -> None:
    held("rows", {name: fold_rows([event]) for name, event in readable()})


def test_the_whole_corpus_folds_into_the_state_it_always_did() -> None:
    tables = fold_rows([event for _, event in readable()])
    held("state", {name: rows for name, rows in tables.items() if name != "entry"})


def test_the_gatekeeper_learns_the_facts_it_always_did() -> None:
    events = [event for _, event in readable()]
    pages = [upcasting.history(page) for page in histories(events)]
    facts = {r: plain(asdict(fold_facts(r, "deploy:production", pages))) for r in RELEASES}
    assert facts["pay-1.42"]["candidate"]["version"] == "1.42.0"
    held("facts", facts)


def histories(events: list[RecordedEvent]) -> list[HistoryPage]:
    found: dict[str, list[RecordedEvent]] = {}
    for event in events:
        for subject in event.versions:
            found.setdefault(subject, []).append(event)
    return [
        HistoryPage(
            subject=subject, version=own[-1].versions[subject], events=own, head=len(events)
        )
        for subject, own in found.items()
    ]


def plain(value: Any) -> Any:
    """Turn facts into JSON."""
    if isinstance(value, dict):
        told = {str(key): plain(item) for key, item in value.items()}
        return {name: item for name, item in told.items() if not name.startswith("_")}
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime) and value.tzinfo is not None:
        return format_time(value)
    return value.isoformat() if isinstance(value, date) else value


def held(name: str, found: Any) -> None:
    """Hold what was read against what is written down; `GOLDEN=write` writes it anew.

    Rows and facts are our reading and may grow a column. Look at the difference before it is
    committed: a line that changed is an event that means something else than it did.
    """
    path = READINGS / f"{name}.json"
    if os.environ.get("GOLDEN") == "write":
        text = json.dumps(found, indent=1, sort_keys=True) + "\n"
        path.write_text(text, encoding="utf-8")
    assert json.loads(json.dumps(found)) == json.loads(path.read_text(encoding="utf-8"))
