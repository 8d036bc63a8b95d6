"""Reading: what was read for the last answer is read at once, and only what is asked for counts."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import timedelta

import pytest

from bench.history import NAME, generated
from bench.story import GATE, START
from contracts.event import HistoryPage
from services.gatekeeper.backtesting import Remembered
from services.gatekeeper.drafting import Draft
from services.gatekeeper.folding import DECISION, fold
from services.gatekeeper.judge import judge
from services.gatekeeper.policy import load
from services.gatekeeper.reading import Reader
from tests.unit.gatekeeper.guarded import OZ, Guarded, document
from tests.unit.gatekeeper.told import IMAGE, OTHER_IMAGE, RELEASE

PRODUCTION = "deploy:production"
LATER = START + timedelta(days=365)


class Counted(Remembered):
    """Counts the requests, each with what it asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []

    async def histories(
        self, ledger: str, subjects: Sequence[str], *, as_of: str | None = None
    ) -> list[HistoryPage]:
        self.asked.append(list(subjects))
        return await super().histories(ledger, subjects, as_of=as_of)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_who_remembers_reads_the_same_as_who_does_not(seed: int) -> None:
    history, growing = await generated(random.Random(seed), 120), Counted()
    remembering, forgetful = Reader(growing, "main", [NAME]), 0
    for event in history.events:
        if event.type == DECISION:
            release, now = event.data["decision"]["release"], event.recorded
            growing.asked = []
            read = await remembering.read(release, GATE, now)
            known, growing.asked = len(growing.asked), []
            assert read == await Reader(growing, "main", [NAME]).read(release, GATE, now)
            forgetful += len(growing.asked) - known
        growing.extend([event])
    assert forgetful > 200  # requests that were saved


async def test_the_second_time_all_is_read_in_one_request() -> None:
    history = Counted()
    history.extend((await generated(random.Random(4), 16)).events)
    reader = Reader(history, "main", [NAME])
    first = await reader.read("pay-0", GATE, LATER)
    assert len(history.asked) > 2
    history.asked = []
    assert await reader.read("pay-0", GATE, LATER) == first
    assert [sorted(asked) for asked in history.asked] == [sorted(first.facts.read_set)]


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gatekeeper.reading._REMEMBERED", 2)
    history = Counted()
    history.extend((await generated(random.Random(5), 32)).events)
    reader = Reader(history, "main", [NAME])
    for release in ("pay-0", "pay-1", "pay-2", "pay-1"):
        history.asked = []
        await reader.read(release, GATE, LATER)
    assert len(history.asked) == 1  # still remembered
    history.asked = []
    await reader.read("pay-0", GATE, LATER)
    assert len(history.asked) > 1


@pytest.mark.parametrize("seed", range(10, 30))
async def test_a_draft_says_what_a_fold_from_scratch_says(seed: int) -> None:
    chance = random.Random(seed)
    history = await generated(chance, 24)
    keys = sorted({key for event in history.events for key in event.versions})
    keys += ["identity:acme:nobody", "release:unheard-of"]
    chance.shuffle(keys)
    cut = str(chance.randrange(40, len(history.events)))
    reader, read = Reader(history, "main", [NAME]), list[HistoryPage]()

    async def pages(subjects: Iterable[str]) -> list[HistoryPage]:
        found = await reader.histories(subjects, cut)
        read.extend(found)
        return found

    draft = Draft("pay-0", GATE, pages)
    while keys:
        taken, keys = keys[: (size := chance.randrange(1, 12))], keys[size:]
        assert await draft.add(taken)
        assert not await draft.add(taken)
        assert draft.facts == fold("pay-0", GATE, read)


async def test_a_release_that_nobody_has_named_is_a_fact_too() -> None:
    reader = Reader(await generated(random.Random(6), 8), "main", [NAME])
    draft = Draft("pay-0", GATE, reader.histories)
    await draft.add(["release:pay-0"])
    await draft.add(["release:unheard-of"])
    assert list(draft.facts.others) == ["unheard-of"]


@pytest.mark.parametrize(
    ("expr", "told", "statuses"),
    [
        ("!approvals.exists(a, 'contractor' in a.roles)", "contractor", ("pass", "fail")),
        ("approvals.exists(a, 'auditor' in a.roles)", "auditor", ("fail", "pass")),
    ],
)
async def test_an_expression_alone_has_the_roles_read_that_it_names(
    expr: str, told: str, statuses: tuple[str, str]
) -> None:
    """No other rule names them: without their histories the first would be true for everybody."""
    said = Guarded().vote(OZ)
    text = document(f'{{id: who, type: cel, unmet: not so, expr: "{expr}"}}')
    assert (await _status(said, text), await _status(said.role(told, OZ), text)) == statuses


async def test_an_expression_about_evidence_sees_what_stands_at_deployments() -> None:
    said = Guarded()
    started = {"deployment_id": "d1", "intent_id": "d1", "service": "pay", "kind": "normal",
               "artifact_digest": IMAGE, "environment": {"id": "staging", "tier": "staging"},
               "planned": True, "trigger": "ci", "release_id": RELEASE}  # fmt: skip
    said.tell("deployment.started.v1", started)
    text = document(
        "{id: canary, type: cel, unmet: failed, "
        "expr: \"!evidence.exists(e, e.kind == 'analysis' && e.outcome == 'failure')\"}"
    )
    before = await _status(said, text)
    said.tell("analysis.finished.v1", {"deployment_id": "d1", "metric_set": "golden",
              "outcome": "failure", "window_seconds": 600, "values": {}})  # fmt: skip
    assert (before, await _status(said, text)) == ("pass", "fail")


async def test_a_dependency_that_went_back_is_not_out_whoever_its_rollback_names() -> None:
    said = Guarded()
    base = {"release_id": "base-9", "name": "B", "service_ids": ["db"], "owner": OZ}
    said.tell("release.planned.v1", base | {"release_type": "minor"})
    mine = {"release_id": RELEASE, "name": "Pay", "service_ids": ["pay"], "owner": OZ}
    said.tell("release.planned.v1", mine | {"release_type": "minor", "depends_on": ["base-9"]})
    said.ran("production", release_id="base-9", service="db", artifact_digest=OTHER_IMAGE)
    shipped = said.events[-1].data["deployment_id"]
    text = document("{id: deps, type: dependencies}")
    assert await _status(said, text) == "pass"
    said.ran("production", release_id=None, service="db", kind="rollback", remediates=shipped,
             artifact_digest=IMAGE)  # fmt: skip
    assert await _status(said, text) == "pending"


async def _status(said: Guarded, text: str) -> str:
    history = Remembered(said.events)
    reader, head = Reader(history, "main", ()), said.events[-1].position
    read = await reader.read_for(RELEASE, PRODUCTION, load(text), head)
    (found,) = judge(read.facts, read.applied, said.clock).rules
    return found.status
