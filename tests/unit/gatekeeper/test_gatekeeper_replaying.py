"""Replaying after a redaction: what is gone is no difference, and what differs is not excused."""

from __future__ import annotations

import pytest
from typer import Exit

from contracts.event import RecordedEvent
from services import judging
from services.gatekeeper.activating import activate
from services.gatekeeper.deciding import Decider
from services.gatekeeper.replaying import Replayed, one, replay, replay_all
from tests.unit.gatekeeper.guarded import FAY, Guarded, document
from tests.unit.gatekeeper.memory import MemoryLedger
from tests.unit.gatekeeper.told import GATE, RELEASE

SRE = "{id: sre, type: approvals, count: 1, roles: [sre]}"


@pytest.fixture
async def decider() -> Decider:
    ledger = MemoryLedger(Guarded().role("sre", FAY).vote(FAY))
    decider = Decider(ledger, "main", ["guard"])
    await activate(decider, {"guard": document(SRE)})
    await decider.decide(RELEASE, GATE)
    return decider


def told(decider: Decider) -> list[RecordedEvent]:
    """Return the ledger's events, to be changed."""
    ledger = decider.ledger
    assert isinstance(ledger, MemoryLedger)
    return ledger.told.events


def place(events: list[RecordedEvent], type_: str) -> int:
    return next(i for i, event in enumerate(events) if f".{type_}.v" in event.type)


def redact(events: list[RecordedEvent], type_: str) -> int:
    """Redact the first event of a type; return its position."""
    i = place(events, type_)
    gone = {k: v for k, v in events[i].event.items() if k != "data"}
    events[i] = events[i].model_copy(update={"event": gone, "redacted": True})
    return events[i].position


def lie(events: list[RecordedEvent], **changed: str) -> None:
    """Change the newest decision."""
    event = events[-1]
    data = event.data | {"decision": event.data["decision"] | changed}
    events[-1] = event.model_copy(update={"event": event.event | {"data": data}})


@pytest.mark.parametrize("type_", ["approval.decided", "policy.activated"])
async def test_what_a_decision_had_read_and_was_redacted_since_is_unreadable(
    decider: Decider, type_: str
) -> None:
    events = told(decider)
    assert (await replay(decider.reader, events[-1])).outcome == "same"
    position = redact(events, type_)
    found = await replay(decider.reader, events[-1])
    assert (found.outcome, found.difference) == (
        "unreadable", f"position {position} was redacted since",
    )  # fmt: skip


async def test_a_decision_that_knew_of_a_redaction_is_the_same_or_differs(decider: Decider) -> None:
    events = told(decider)
    redact(events, "approval.decided")
    await decider.decide(RELEASE, GATE)
    assert (await replay(decider.reader, events[-1])).outcome == "same"
    lie(events, summary="Allowed.")
    assert (await replay(decider.reader, events[-1])).outcome == "different"


async def test_a_redaction_does_not_excuse_other_facts(decider: Decider) -> None:
    events = told(decider)
    redact(events, "approval.decided")
    lie(events, facts_digest="sha256:" + "0" * 64)
    assert (await replay(decider.reader, events[-1])).outcome == "different"


async def test_a_redacted_decision_is_unreadable_and_stops_nothing(decider: Decider) -> None:
    events = told(decider)
    id_, position = events[-1].data["decision_id"], redact(events, "decision.recorded")
    walk = replay_all(decider.ledger, "main", decider.reader)
    found = [each async for _, _, each in walk if each and each.position == position]
    why = f"position {position} was redacted since"
    assert found == [Replayed(id_, position, "unreadable", why)]
    assert await one(decider.reader, id_) == found[0]


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [(["unreadable", "different"], 9), (["same", "unreadable"], 10)],
)
def test_what_is_gone_is_another_exit_code_than_a_difference(
    monkeypatch: pytest.MonkeyPatch, outcomes: list[str], code: int
) -> None:
    async def found(*_: object) -> list[Replayed]:
        return [Replayed("d", i, outcome, "x") for i, outcome in enumerate(outcomes)]  # type: ignore[arg-type]

    monkeypatch.setattr(judging, "_replay", found)
    with pytest.raises(Exit) as caught:
        judging.replay(url="http://127.0.0.1:9", api_key="k")
    assert caught.value.exit_code == code
