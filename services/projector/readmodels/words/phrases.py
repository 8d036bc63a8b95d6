"""What all sentences share: tones, ends, short forms."""

from __future__ import annotations

import re

from services.projector.readmodels.fact import Fact, canonical

Words = tuple[str, str, str]
"""Tone, title and detail."""
TONES = {
    "success": "good", "pass": "good", "approved": "good", "allow": "good",
    "failure": "bad", "fail": "bad", "error": "bad", "rejected": "bad", "deny": "bad",
    "partial": "bad", "changes_requested": "bad", "allow-by-break-glass": "bad",
    "pending": "wait", "warn": "wait", "requested": "wait", "inconclusive": "wait",
}  # fmt: skip
"""Outcome → tone."""
_LONG = re.compile(r"([0-9a-f]{12})[0-9a-f]{28,}")
_ENDS = {
    "success": "passed", "failure": "failed", "error": "broke", "cancelled": "was cancelled",
    "skipped": "was skipped", "partial": "succeeded in part", "superseded": "was superseded",
    "inconclusive": "was inconclusive",
}  # fmt: skip


def say(fact: Fact, name: str, otherwise: str = "unknown") -> str:
    """Return a string of the payload, or a word that stands for it."""
    return fact.text(name) or otherwise


def short(reference: str | None) -> str:
    """Shorten commits and digests to what people read out."""
    return _LONG.sub(r"\1", reference) if reference else "unknown"


def minute(moment: object) -> str:
    """Return a time to the minute, in UTC."""
    found = canonical(moment)
    return found[:16].replace("T", " ") if found else "an unknown time"


def join(*parts: str | None) -> str:
    """Put the parts that are there into one line."""
    return " · ".join(filter(None, parts))


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def ended(fact: Fact) -> tuple[str, str]:
    """Return the tone of an outcome, and the verb that tells it."""
    outcome = say(fact, "outcome")
    return TONES.get(outcome, "neutral"), _ENDS.get(outcome, f"ended: {outcome}")
