"""The release that the benchmarks judge: as long as it is said to be, and judged by every rule."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bench.story import GATE, POLICY, SIZES, START, pages
from contracts import upcasting
from services.gatekeeper.folding import fold
from services.gatekeeper.judge import judge
from services.gatekeeper.policy import load, select

ASKED = START + timedelta(hours=1)


@pytest.mark.parametrize("size", SIZES)
def test_the_story_has_its_length_and_satisfies_twelve_rules(size: int) -> None:
    told = [upcasting.history(page) for page in pages("pay-2.0", *SIZES[size])]
    assert len({event.position for page in told for event in page.events}) == size
    facts = fold("pay-2.0", GATE, told)
    decision = judge(facts, select([load(POLICY)], facts), ASKED)
    assert decision.decision == "allow", decision.summary
    assert [rule.status for rule in decision.rules] == ["pass"] * 12


def test_without_its_last_approval_the_story_is_pending() -> None:
    told = [upcasting.history(page) for page in pages("pay-2.0", *SIZES[40])]
    cut = [
        page.model_copy(update={"events": [e for e in page.events if e.position < 40]})
        for page in told
    ]
    facts = fold("pay-2.0", GATE, cut)
    assert judge(facts, select([load(POLICY)], facts), ASKED).decision == "pending"
