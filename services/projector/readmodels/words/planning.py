"""Planning, review and the ledger itself, in words."""

from __future__ import annotations

from collections.abc import Callable

from services.projector.readmodels.fact import Fact
from services.projector.readmodels.words.phrases import (
    Words,
    count,
    ended,
    join,
    minute,
    say,
    short,
)


def _planned(fact: Fact) -> Words:
    kind = say(fact, "release_type", "")
    what = join(f"{kind} release" if kind else "", ", ".join(fact.texts("service_ids")))
    return "neutral", f"Planned: {say(fact, 'name')}", join(what, fact.text("description"))


def _scope(fact: Fact) -> Words:
    added, removed = (list(map(short, fact.texts(name))) for name in ("added", "removed"))
    came = f"in: {', '.join(added)}" if added else None
    went = f"out: {', '.join(removed)}" if removed else None
    return "neutral", "Scope changed", join(came, went, fact.text("reason"))


def _scheduled(fact: Fact) -> Words:
    window = fact.table("window")
    start, end = (minute(window.get(name)) for name in ("start", "end"))
    span = f"{start} to {end.removeprefix(start[:11])} UTC"
    return "neutral", f"Scheduled for {', '.join(fact.texts('environments'))}", span


def _risk(fact: Fact) -> Words:
    tier = say(fact, "tier")
    tone = "wait" if tier in {"high", "critical"} else "neutral"
    score = fact.data.get("score")
    return tone, f"Risk assessed: {tier}", join(f"score {score}", *fact.texts("factors"))


def _plan(fact: Fact) -> Words:
    title = f"{say(fact, 'kind').capitalize()} plan published"
    return "neutral", title, short(fact.text("doc_sha256"))


def _candidate(fact: Fact) -> Words:
    parts = count(len(fact.texts("artifacts")), "artifact")
    title = f"Candidate {say(fact, 'version')} created"
    return "neutral", title, join(parts, short(fact.text("manifest_digest")))


def _completed(fact: Fact) -> Words:
    tone, _ = ended(fact)
    return tone, f"Release completed: {say(fact, 'outcome')}", say(fact, "reason", "")


def _cancelled(fact: Fact) -> Words:
    return "bad", f"Release {say(fact, 'outcome', 'cancelled')}", say(fact, "reason", "")


def _ticket(fact: Fact) -> Words:
    verb = "closed" if fact.name == "ticket.closed" else "opened"
    state = join(fact.text("ticket_type"), fact.text("state"), fact.text("resolution"))
    return "neutral", f"Ticket {say(fact, 'ticket_id')} {verb}", state


def _role(fact: Fact) -> Words:
    verb = "now has" if fact.name == "role.assigned" else "no longer has"
    title = f"{say(fact, 'principal')} {verb} the role {say(fact, 'role')}"
    return "neutral", title, f"scope {say(fact, 'scope')}"


def _retro(fact: Fact) -> Words:
    people = len(fact.texts("attendees"))
    present = f"{people} people" if people > 1 else None
    return "neutral", "Retrospective held", join(present, fact.text("summary"))


def _action(fact: Fact) -> Words:
    closed = fact.name == "actionitem.closed"
    title = f"Action item {say(fact, 'item_id')} {'closed' if closed else 'opened'}"
    return "good" if closed else "wait", title, join(fact.text("title"), fact.text("owner"))


def _survey(fact: Fact) -> Words:
    score = f"{fact.data.get('score')} of {fact.data.get('scale')}"
    return "neutral", f"Survey answered: {score}", say(fact, "role", "")


def _corrected(fact: Fact) -> Words:
    return "wait", "Earlier events corrected", say(fact, "reason", "")


def _quarantined(fact: Fact) -> Words:
    title = f"A delivery through {say(fact, 'connection')} was put into quarantine"
    return "bad", title, say(fact, "reason", "")


def _redaction_requested(fact: Fact) -> Words:
    title = f"The content of position {fact.data.get('position')} is asked to be removed"
    return "neutral", title, say(fact, "reason", "")


def _redacted(fact: Fact) -> Words:
    title = f"The content of position {fact.data.get('position')} was removed"
    return "neutral", title, say(fact, "reason", "")


def _rotated(fact: Fact) -> Words:
    title = f"The ledger's {fact.data.get('key')} key was replaced"
    return "neutral", title, say(fact, "reason", "")


def _gap(fact: Fact) -> Words:
    title = f"Positions {fact.data.get('first')} to {fact.data.get('last')} were lost"
    return "bad", title, say(fact, "reason", "")


WORDS: dict[str, Callable[[Fact], Words]] = {
    "release.planned": _planned,
    "release.scope_changed": _scope,
    "release.scheduled": _scheduled,
    "release.risk_assessed": _risk,
    "release.plan_published": _plan,
    "release.candidate_created": _candidate,
    "release.completed": _completed,
    "release.cancelled": _cancelled,
    "role.assigned": _role,
    "role.revoked": _role,
    "ticket.created": _ticket,
    "ticket.closed": _ticket,
    "retro.held": _retro,
    "actionitem.opened": _action,
    "actionitem.closed": _action,
    "survey.responded": _survey,
    "ledger.corrected": _corrected,
    "ingest.quarantined": _quarantined,
    "event.redaction_requested": _redaction_requested,
    "event.redacted": _redacted,
    "key.rotated": _rotated,
    "gap.declared": _gap,
}
"""By noun and verb."""
