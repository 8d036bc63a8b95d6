"""Late scope: what goes out is settled so long before the window. Pure."""

from __future__ import annotations

from services.gatekeeper.facts import Facts
from services.gatekeeper.rules import words
from services.gatekeeper.rules.answer import Answer
from services.gatekeeper.rules.schema import LateScope

TITLE = "Scope settled"


def judge(rule: LateScope, facts: Facts, place: str) -> Answer:
    """Judge one rule; `place` is the environment that the gate leads to. The window that was
    scheduled last for it counts.
    """
    need = f"no change of scope within {words.span(rule.within)} of the window"
    window = facts.window(place)
    if window is None:
        return Answer(
            "pending", "no window is scheduled", need, "no window", satisfy="a scheduled window"
        )
    start, end = window
    late = [
        change
        for change in facts.scope_changes
        if start - rule.within <= max(change.stamp.occurred_at, change.stamp.recorded_at) < end
    ]
    if not late:
        return Answer("pass", "the scope was settled in time", need, "settled")
    said = words.both([words.quoted(change.reason) for change in late])
    times = words.count(len(late), "change")
    return Answer(
        "fail",
        f"{times} of scope within {words.span(rule.within)} of the window: {said}",
        need,
        f"{times} too late",
        [change.stamp.position for change in late],
        satisfy="a later window",
    )
