"""Upcasters are pure and total, keep subjects, and lead to the newest major."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import catalogue, upcasting
from contracts.event import OURS, HistoryPage, RecordedEvent
from contracts.payloads import build, earlier
from contracts.payloads.earlier import EARLIER, ArtifactScannedV1, Earlier, next_major, successor
from contracts.payloads.model import Count, Payload, ReleaseId
from contracts.problem import Invalid

COUNTS = st.integers(0, 2**53 - 1)
SCAN: dict[str, Any] = {
    "digest": "sha256:" + "a" * 64, "scanner": "trivy", "db_version": "1",
    "counts": {"critical": 0, "high": 1},
}  # fmt: skip
SCANS = st.fixed_dictionaries(
    {
        "digest": st.from_regex(r"\Asha256:[0-9a-f]{64}\Z"),
        "scanner": st.text(min_size=1, max_size=20),
        "db_version": st.text(min_size=1, max_size=20),
        "counts": st.fixed_dictionaries(
            {"critical": COUNTS, "high": COUNTS},
            optional={"medium": COUNTS, "low": COUNTS, "unknown": COUNTS},
        ),
    },
    optional={
        "report_uri": st.none() | st.text(min_size=1, max_size=20),
        "release_id": st.none() | st.from_regex(r"\A[a-z0-9.-]{1,20}\Z"),
    },
)


def recorded(type_: str, data: Any, **attributes: Any) -> RecordedEvent:
    return RecordedEvent(
        position=7, versions={"a:1": 1}, recorded_at="2026-03-01T00:00:00Z", principal="p",
        assurance="A2", commitment="00", event={"type": type_, "data": data, **attributes},
    )  # fmt: skip


@given(SCANS)
def test_every_valid_scan_of_v1_is_a_valid_one_of_v2_about_the_same_subjects(data: Any) -> None:
    old, before = ArtifactScannedV1.model_validate(data), deepcopy(data)
    read = earlier.scanned_v1(data)
    new = build.ArtifactScanned.model_validate(read)
    assert list(new.subjects()) == list(old.subjects())
    assert data == before
    assert earlier.scanned_v1(deepcopy(data)) == read


@given(SCANS)
def test_counts_that_were_said_stay_and_those_that_were_not_are_null(data: Any) -> None:
    counts = upcasting.read(recorded(f"{OURS}artifact.scanned.v1", data)).data["counts"]
    assert {severity: counts[severity] for severity in data["counts"]} == data["counts"]
    assert {counts[severity] for severity in counts.keys() - data["counts"].keys()} <= {None}


def test_all_but_type_and_payload_is_as_recorded() -> None:
    event = recorded(f"{OURS}artifact.scanned.v1", SCAN | {"later": 1}, id="e", note="n")
    read = upcasting.read(event)
    assert read.type == f"{OURS}artifact.scanned.v2"
    assert read.data["later"] == 1
    assert (read.event["id"], read.event["note"]) == ("e", "n")
    rest: dict[str, Any] = {"event": {}}
    assert read.model_copy(update=rest) == event.model_copy(update=rest)
    assert event.type == f"{OURS}artifact.scanned.v1"


@pytest.mark.parametrize(
    "event",
    [
        recorded(f"{OURS}artifact.scanned.v2", {"odd": 1}),
        recorded("artifact.scanned.v1", SCAN),
        recorded("artifact.scanned.v99", SCAN),
        recorded(f"{OURS}comet.seen.v1", {"tail": True}),
        recorded("com.example", None),
    ],
    ids=lambda event: event.type,
)
def test_what_has_no_earlier_meaning_comes_back_as_it_is(event: RecordedEvent) -> None:
    assert upcasting.read(event) is event


@pytest.mark.parametrize(
    ("type_", "data", "reason"),
    [
        ("artifact.scanned.v1", {"digest": 1}, "position 7: /data/.* does not follow .*v1"),
        ("artifact.scanned.v1", SCAN | {"counts": {}}, "/data/counts/critical .*required"),
        ("artifact.scanned.v1", None, "position 7: /data does not follow"),
        ("artifact.scanned.v3", SCAN, "position 7: .*v3 is newer than this catalogue"),
        ("approval.decided.v2", {}, "approval.decided.v2 is newer"),
    ],
)
def test_what_nobody_may_interpret_says_why(type_: str, data: Any, reason: str) -> None:
    page = HistoryPage(subject="a:1", version=1, events=[recorded(OURS + type_, data)], head=7)
    with pytest.raises(upcasting.CannotRead, match=reason):
        upcasting.history(page)


class Second(Payload):
    release_id: ReleaseId
    hours: Count


def to_second(data: dict[str, Any]) -> dict[str, Any]:
    return {"release_id": data["release_id"], "hours": 1}


def to_third(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"minutes": data["hours"] * 60}


def test_a_chain_is_climbed_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class First(Payload):
        release_id: ReleaseId

    monkeypatch.setitem(EARLIER, "release.timed.v1", Earlier(First, to_second))
    monkeypatch.setitem(EARLIER, "release.timed.v2", Earlier(Second, to_third))
    read = upcasting.read(recorded(f"{OURS}release.timed.v1", {"release_id": "r"}))
    assert read.type == f"{OURS}release.timed.v3"
    assert read.data == {"release_id": "r", "hours": 1, "minutes": 60}
    assert successor("release.timed.v1") == "release.timed.v3"


def test_every_earlier_major_leads_to_one_that_can_be_sent() -> None:
    for name, each in EARLIER.items():
        assert OURS + (successor(name) or "") in catalogue.CATALOGUE
        assert next_major(name) in EARLIER or OURS + next_major(name) in catalogue.CATALOGUE
        assert each.accepted is (OURS + name in catalogue.CATALOGUE)


def test_no_major_is_missing_below_the_newest() -> None:
    for type_ in catalogue.CATALOGUE:
        stem, _, major = type_.removeprefix(OURS).rpartition(".v")
        assert {f"{stem}.v{number}" for number in range(1, int(major))} <= set(EARLIER)


def test_an_earlier_major_is_taken_until_it_is_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    type_ = f"{OURS}artifact.scanned.v1"
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": type_, "data": SCAN}
    assert catalogue.parse(event).type == type_
    left = {name: model for name, model in catalogue.CATALOGUE.items() if name != type_}
    monkeypatch.setattr(catalogue, "CATALOGUE", left)
    with pytest.raises(Invalid, match=rf"{type_} is retired; send {OURS}artifact.scanned.v2"):
        catalogue.parse(event)


def test_a_writer_says_null_for_what_it_does_not_count_and_leaves_nothing_out() -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": f"{OURS}artifact.scanned.v2"}
    with pytest.raises(Invalid, match="/data/counts/medium"):
        catalogue.parse(event | {"data": SCAN})
    told = SCAN | {"counts": {**SCAN["counts"], "medium": None, "low": None, "unknown": 3}}
    assert catalogue.parse(json.loads(json.dumps(event | {"data": told}))).data == told
