"""Sessions of boards, abstentions and delegations, in words."""

from __future__ import annotations

from collections.abc import Callable

from services.projector.readmodels.fact import Fact
from services.projector.readmodels.words.phrases import TONES, Words, count, join, minute, say

_VERBS = {"approved": "votes for it", "rejected": "votes against it", "abstained": "abstains"}


def _opened(fact: Fact) -> Words:
    detail = join(f"session {say(fact, 'session_id')}", f"chaired by {say(fact, 'chair')}")
    return "wait", f"The board {say(fact, 'board')} sits", detail


def _attended(fact: Fact) -> Words:
    verb = "left" if fact.text("presence") == "left" else "came to"
    title = f"{say(fact, 'principal')} {verb} session {say(fact, 'session_id')}"
    return "neutral", title, ""


def _voted(fact: Fact) -> Words:
    vote = say(fact, "vote")
    title = f"{say(fact, 'principal')} {_VERBS.get(vote, vote)} at the board"
    return TONES.get(vote, "neutral"), title, join(fact.text("reason"), f"gate {say(fact, 'gate')}")


def _recused(fact: Fact) -> Words:
    title = f"{say(fact, 'principal')} takes no part at the board"
    return "neutral", title, join(fact.text("reason"), f"gate {say(fact, 'gate')}")


def _closed(fact: Fact) -> Words:
    there = f"{count(len(fact.texts('present')), 'person')} there".replace("persons", "people")
    return "neutral", f"Session {say(fact, 'session_id')} closed", join(fact.text("minutes"), there)


def _abstained(fact: Fact) -> Words:
    title = f"{say(fact, 'principal')} abstained"
    return "neutral", title, join(fact.text("reason"), f"gate {say(fact, 'gate')}")


def _delegated(fact: Fact) -> Words:
    if fact.name == "delegation.revoked":
        return "neutral", f"Delegation of {say(fact, 'role')} ended", say(fact, "reason", "")
    title = f"{say(fact, 'delegate')} may approve for {say(fact, 'delegator')}"
    until = f"as {say(fact, 'role')} at {say(fact, 'gate')} until {minute(fact.text('until'))}"
    return "neutral", title, join(fact.text("reason"), until)


WORDS: dict[str, Callable[[Fact], Words]] = {
    "board.opened": _opened,
    "board.attended": _attended,
    "board.voted": _voted,
    "board.recused": _recused,
    "board.closed": _closed,
    "approval.abstained": _abstained,
    "delegation.granted": _delegated,
    "delegation.revoked": _delegated,
}
"""By noun and verb."""
