"""Freeze: no window of these calendars holds the release now. Pure."""

from __future__ import annotations

from datetime import datetime

from contracts.event import format_time
from services.gatekeeper import calendars
from services.gatekeeper.facts import Facts
from services.gatekeeper.rules import words
from services.gatekeeper.rules.answer import Answer
from services.gatekeeper.rules.schema import FreezeRule

TITLE = "No freeze"


def judge(rule: FreezeRule, facts: Facts, place: str, as_of: datetime) -> Answer:
    """Judge one rule. A freeze that cannot be read is an error: nobody knows whether it holds."""
    asked = [f for f in facts.freezes.values() if facts.calendars[f.id] in rule.calendars]
    names = words.both([f"calendar {name}" for name in rule.calendars])
    question = (asked, place, facts.services, facts.release_type, as_of)
    try:
        active, turn = calendars.at(*question), calendars.next_change(*question)
    except ValueError as error:
        satisfy = "the freeze is lifted and declared anew"
        return Answer("error", str(error), f"no freeze by {names}", "unreadable", satisfy=satisfy)
    turns = [turn] if turn else []
    if not active:
        return Answer(
            "pass", f"no freeze by {names}", f"no freeze by {names}", "none", changes=turns
        )
    said = words.both([
        f"{freeze.id} until {format_time(end)[:16]}Z ({words.quoted(freeze.reason)})"
        for freeze, (_, end) in active
    ])  # fmt: skip
    allowed = sorted(set.intersection(*({*freeze.allows} for freeze, _ in active)))
    but = f", or a release of type {words.either(allowed)}" if allowed else ""
    return Answer(
        "fail",
        f"frozen: {said}",
        f"no freeze by {names}",
        words.both([freeze.id for freeze, _ in active]),
        [freeze.position for freeze, _ in active],
        satisfy=f"the end of the freeze{but}",
        changes=turns,
    )
