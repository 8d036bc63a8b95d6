"""What all sentences share: tones, ends, short forms."""

from __future__ import annotations

from services.projector.readmodels.fact import Fact

Words = tuple[str, str, str]
"""Tone, title and detail."""
TONES = {
    "success": "good", "pass": "good", "approved": "good", "allow": "good",
    "failure": "bad", "fail": "bad", "error": "bad", "rejected": "bad", "deny": "bad",
    "partial": "bad", "changes_requested": "bad", "allow-by-break-glass": "bad",
    "pending": "wait", "warn": "wait", "requested": "wait", "inconclusive": "wait",
}  # fmt: skip
"""Outcome → tone."""
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
    if not reference:
        return "unknown"
    kind, _, value = reference.rpartition(":")
    return f"{kind}:{value[:12]}" if kind else value[:12]


def join(*parts: str | None) -> str:
    """Put the parts that are there into one line."""
    return " · ".join(part for part in parts if part)


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def ended(fact: Fact) -> tuple[str, str]:
    """Return the tone of an outcome, and the verb that tells it."""
    outcome = say(fact, "outcome")
    return TONES.get(outcome, "neutral"), _ENDS.get(outcome, f"ended: {outcome}")
