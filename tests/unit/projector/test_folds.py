"""The folds as a whole: any batches give the same rows, and no payload can stop them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.catalogue import CATALOGUE
from contracts.event import OURS, RecordedEvent
from contracts.payloads.earlier import EARLIER
from services.projector.readmodels import rows as rows_module
from services.projector.readmodels.fact import Fact
from services.projector.readmodels.rows import NotLoaded, Rows
from services.projector.readmodels.timeline import describe
from services.projector.readmodels.words import WORDS
from tests.unit.projector.recorded import (
    PRODUCTION,
    STAGING,
    Log,
    decision,
    deployment,
    digest,
    fold,
    moment,
    sha,
    story,
)

NUMBERS = st.integers(1, 3)
NAMES = [n for name in CATALOGUE if (n := name.removeprefix(OURS)) not in EARLIER]
"""What folds see: the newest majors."""


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """A crowded world: few releases, artifacts and deployments, in any order of events."""
    log = Log()
    if draw(st.booleans()):
        story(log)
    for at in range(draw(st.integers(1, 25))):
        _something(log, draw, at)
    return log


def _something(log: Log, draw: st.DrawFn, at: int) -> None:
    a, b, c = draw(NUMBERS), draw(NUMBERS), draw(NUMBERS)
    release, repo = f"pay-{a}", "acme/pay"
    shipped = deployment(
        f"d{b}",
        environment=draw(st.sampled_from([PRODUCTION, STAGING])),
        artifact_digest=draw(st.sampled_from([None, digest(c)])),
        kind=draw(st.sampled_from(["normal", "rollback"])),
        release_id=draw(st.sampled_from([None, release])),
        remediates=draw(st.sampled_from([None, f"d{c}"])),
    )
    outcome = draw(st.sampled_from(["success", "failure", "cancelled"]))
    verdict = draw(st.sampled_from(["allow", "deny", "pending"]))
    choices: list[tuple[str, dict[str, Any]]] = [
        ("release.planned", {"release_id": release, "name": "R", "service_ids": ["pay"],
                             "release_type": "minor", "owner": "dev:ada", "ticket_ids": [f"T{b}"]}),
        ("release.candidate_created", {"release_id": release, "version": f"1.{b}",
                                       "manifest_digest": digest(b), "artifacts": [digest(b)],
                                       "change_ids": [f"{repo}@{sha(c)}"]}),
        ("release.cancelled", {"release_id": release, "reason": "no"}),
        ("change.merged", {"repo": repo, "change_id": str(a), "head_sha": sha(b),
                           "merge_sha": sha(c), "target": "main", "commit_shas": [],
                           "first_commit_at": None}),
        ("artifact.packaged", {"purl": "pkg:x", "digest": digest(b), "commit_sha": sha(c),
                               "repo": repo}),
        ("pipelinerun.finished", {"pipeline": "ci", "run_id": f"run{a}", "attempt": 1,
                                  "outcome": "success", "commit_sha": sha(b), "repo": repo}),
        ("deployment.started", shipped),
        ("deployment.finished", shipped | {"outcome": outcome}),
        ("decision.recorded", {"decision_id": f"x{at}", "release_id": release,
                               "decision": decision(release, verdict)}),
        ("incident.detected", {"incident_id": f"i{a}", "environment": PRODUCTION,
                               "severity": "high", "started_at": moment(at)}),
        ("incident.attributed", {"incident_id": f"i{a}", "deployment_id": f"d{b}",
                                 "basis": "human"}),
        ("ticket.closed", {"ticket_id": f"T{a}", "system": "s", "ticket_type": "bug",
                           "uri": "https://t/1", "state": "done", "resolution": "fixed"}),
    ]  # fmt: skip
    kind, data = draw(st.sampled_from(choices))
    log.add(kind, draw(st.integers(0, 50)), **data)


@given(logs(), st.lists(st.integers(1, 7), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_batches_give_the_same_rows(log: Log, sizes: list[int]) -> None:
    assert fold(log.events, sizes) == fold(log.events)


@given(logs(), st.data())
@settings(max_examples=50, deadline=None)
def test_stopping_anywhere_and_going_on_gives_the_same_rows(log: Log, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(log.events)))
    assert fold(log.events, [cut, len(log.events)]) == fold(log.events)


SCALARS = st.sampled_from([None, True, -1, 5, 0.5, "", "x", "y", "2026-13-01T00:00:00Z"])
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=4,
)  # fmt: skip


@given(st.sampled_from(NAMES), st.data())
@settings(max_examples=300, deadline=None)
def test_no_payload_stops_the_folds(name: str, data: st.DataObject) -> None:
    fields = [*CATALOGUE[OURS + name].model_fields]
    payload = data.draw(st.one_of(JUNK, st.fixed_dictionaries(dict.fromkeys(fields, JUNK))))
    subjects = ["release:r", "artifact:x", "deployment:x", "change:x@x", "service:x", "incident:x"]
    event = RecordedEvent(
        position=1, versions=dict.fromkeys(subjects, 1), recorded_at=moment(0), principal="p",
        assurance="A2", commitment="", event={"type": OURS + name, "data": payload, "time": "odd"},
    )  # fmt: skip
    rows = fold([event])
    assert rows["entry"][0]["title"]
    assert rows["release"][0]["release_id"] == "r"


def test_a_foreign_event_is_shown_where_it_names_a_release() -> None:
    log = Log()
    log.append({
        "type": "dev.cdevents.service.deployed.0.2.0", "subject": "release:pay-1",
        "time": moment(3), "data": {"subject": {"content": {"name": "pay"}}},
    })  # fmt: skip
    rows = fold(log.events)
    (entry,) = rows["entry"]
    assert entry["subjects"] == ["release:pay-1"]
    assert (entry["type"], entry["phase"]) == ("dev.cdevents.service.deployed.0.2.0", "other")
    assert entry["detail"] == "pay"
    assert rows["release"][0]["release_type"] == "unknown"


def test_every_type_of_the_catalogue_has_words() -> None:
    assert set(WORDS) == {name.rpartition(".v")[0] for name in NAMES}


@pytest.mark.parametrize(
    ("kind", "data", "title", "tone"),
    [
        ("approval.decided", {"principal": "dev:grace", "decision": "approved",
                              "roles": ["release-manager"], "gate": "production"},
         "Approved by dev:grace as release-manager", "good"),
        ("deployment.finished", deployment("d", outcome="success"),
         "Deployed to production", "good"),
        ("deployment.finished", deployment("d", outcome="failure"),
         "Deployment to production failed", "bad"),
        ("deployment.finished", deployment("d", outcome="success", kind="rollback"),
         "Rolled back in production", "wait"),
        ("deployment.started", deployment("d"), "Deployment to production started", "neutral"),
        ("deployment.finished", deployment("d", outcome="success", kind="hotfix"),
         "Hotfix deployed to production", "good"),
        ("decision.recorded", {"decision": decision("r", "deny")},
         "Gate production refused", "bad"),
        ("artifact.scanned", {"counts": {"critical": 1, "high": 2, "low": 9}},
         "Scan found 3 critical or high", "bad"),
        ("change.pushed", {"ref": "refs/heads/main", "commits": [{}, {}]},
         "2 commits pushed to main", "neutral"),
    ],
)  # fmt: skip
def test_events_are_told_in_sentences(kind: str, data: Any, title: str, tone: str) -> None:
    event = RecordedEvent(
        position=1, versions={"release:r": 1}, recorded_at=moment(0), principal="p",
        assurance="A2", commitment="", event={"type": f"{OURS}{kind}.v1", "data": data},
    )  # fmt: skip
    assert describe(Fact(event))[:2] == (tone, title)


def test_details_are_short_and_readable() -> None:
    log = Log()
    log.add("artifact.packaged", 1, purl=f"pkg:oci/pay@{digest(7)}", digest=digest(7),
            commit_sha=sha(7), repo="acme/pay")  # fmt: skip
    log.add("release.scheduled", 1, release_id="r", environments=["production"],
            window={"start": moment(0), "end": moment(2)})  # fmt: skip
    log.add("deployment.finished", 1, **deployment("d", kind="hotfix", remediates="c"),
            outcome="success", release_id="r", head_sha=sha(7))  # fmt: skip
    assert [entry["detail"] for entry in fold(log.events)["entry"]] == [
        "pkg:oci/pay@sha256:000000000000 · from 000000000000",
        "2026-03-02 09:00 to 11:00 UTC",
        "pay · r · 000000000000 · repairs c",
    ]


def test_a_link_that_leads_elsewhere_than_the_web_is_dropped() -> None:
    log = Log()
    log.add("deployment.started", 1, **deployment("d", uri="javascript:alert(1)"))
    log.add("deployment.started", 2, **deployment("e", uri="https://ci.example/1"))
    rows = fold(log.events)
    assert [entry["uri"] for entry in rows["entry"]] == [None, "https://ci.example/1"]
    assert {row["uri"] for row in rows["deployment"]} == {None, "https://ci.example/1"}


def test_asking_for_an_undeclared_row_is_a_fault() -> None:
    rows = Rows()
    rows.load({("release", ("a",))}, [])
    assert rows.get("release", "a") is None
    with pytest.raises(NotLoaded):
        rows.get("release", "b")


def test_a_failed_event_leaves_no_trace() -> None:
    rows = Rows()
    rows.load({("link", ("a:b",))}, [])
    rows.put("link", {"subject": "a:b", "releases": [], "also": []})
    rows.log("entry", {"position": 1})
    rows.undo()
    rows.keep()
    assert rows.changes() == {}
    assert rows.get("link", "a:b") is None


def test_rows_are_kept_for_the_next_batch_the_latest_used_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows_module, "KEPT", 4)
    rows = Rows()
    keys = [("link", (f"a:{n}",)) for n in range(5)]
    rows.load(keys, [])
    rows.put("link", {"subject": "a:0", "releases": ["r"], "also": []})
    rows.keep()
    rows.written()
    assert rows.changes() == {}
    assert rows.get("link", "a:0") == {"subject": "a:0", "releases": ["r"], "also": []}
    assert rows.missing(keys) == {("link", (f"a:{n}",)) for n in (1, 2, 3)}
