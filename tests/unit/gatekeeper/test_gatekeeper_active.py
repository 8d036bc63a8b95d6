"""Which text judges: a function of a policy's history and an instant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event import format_time
from contracts.problem import Unavailable
from services.gatekeeper import active
from services.gatekeeper.judge import judge
from services.gatekeeper.policy import Applied, NoPolicy, load
from tests.unit.gatekeeper.guarded import Guarded, document
from tests.unit.gatekeeper.told import START

TESTS = "{id: tests, type: evidence, kind: tests, max_failed: 0}"
DAY = timedelta(days=1)
RETIRED = "retired"
Step = int | str | None
"""What is told: activated from so many days on (None: at once), or retired."""


def text(version: int) -> str:
    return document(TESTS).replace("version: 1", f"version: {version}")


def told(*steps: Step) -> Guarded:
    """Tell a policy's history; the version of a text is the number of its step."""
    story = Guarded()
    for number, step in enumerate(steps, start=1):
        if isinstance(step, str):
            said = {"policy_id": "guard", "reason": "over", "retired_by": "acme:fay"}
            story.tell("policy.retired.v1", said, "acme:fay", "service:gatekeeper")
            continue
        ref = load(text(number)).ref
        data: dict[str, Any] = {"policy_id": "guard", "version": number, "author": "acme:fay"}
        data |= {"content": text(number), "content_sha256": ref.digest.removeprefix("sha256:")}
        data |= {} if step is None else {"effective_from": format_time(START + step * DAY)}
        story.tell("policy.activated.v1", data)
    return story


def version(steps: Sequence[Step], days: float) -> int | None:
    found = active.at(told(*steps).page("policy:guard"), START + days * DAY)
    return found.policy.ref.version if found and found.policy else None


@pytest.mark.parametrize(
    ("steps", "days", "judging"),
    [
        ([None], 1, 1),
        ([None, 3], 2.9, 1),
        ([None, 3], 3, 2),
        ([None, 3, None], 5, 3),
        ([None, 5, 3], 4, 3),
        ([None, 5, 3], 6, 3),
        ([None, 3, 5], 4, 2),
        ([3], 2, None),
        ([None, RETIRED], 1, None),
        ([None, 3, RETIRED], 4, None),
        ([None, RETIRED, 3], 2, None),
        ([None, RETIRED, 3], 4, 3),
    ],
)
def test_the_last_text_whose_time_has_come_judges(
    steps: list[Step], days: float, judging: int | None
) -> None:
    assert version(steps, days) == judging


@given(st.lists(st.one_of(st.none(), st.just(RETIRED), st.integers(1, 9)), min_size=1, max_size=6),
       st.integers(0, 10))  # fmt: skip
def test_nothing_changes_before_the_next_turn_and_something_does_at_it(
    steps: list[Step], days: int
) -> None:
    page = told(*steps).page("policy:guard")
    now = START + days * DAY
    turn = active.turn([page], now)
    held = [active.at(page, now + n * DAY / 2) for n in range(22)]
    for n, found in enumerate(held):
        if turn is None or now + n * DAY / 2 < turn:
            assert found == held[0]
    if turn is not None:
        assert active.at(page, turn) != held[0]


def select(story: Guarded, as_of: datetime) -> Applied | NoPolicy:
    return active.select([story.page("policy:guard")], story.facts(), as_of)


def test_a_decision_tells_when_another_text_begins() -> None:
    story = told(None, 3)
    found = select(story, START + DAY)
    made = judge(story.facts(), found, START + DAY)
    assert (made.decision, made.next_change_at) == ("allow", format_time(START + 3 * DAY))
    later = judge(story.facts(), select(story, START + 3 * DAY), START + 3 * DAY)
    assert later.policy
    assert (later.policy.version, later.next_change_at) == (2, None)


def test_a_gate_that_no_text_covers_yet_tells_when_one_will() -> None:
    story = told(None, RETIRED, 3)
    made = judge(story.facts(), select(story, START + DAY), START + DAY)
    assert (made.decision, made.policy) == ("deny", None)
    assert made.next_change_at == format_time(START + 3 * DAY)


def test_before_the_first_text_nothing_is_decided_and_after_the_last_all_is_denied() -> None:
    with pytest.raises(Unavailable):
        select(Guarded(), START)
    assert isinstance(select(told(None, RETIRED), START + DAY), NoPolicy)
