"""States in words: each has an icon (a shape), a tone (a colour) and a word, always together."""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """How a state is shown: icon name, tone, word."""

    icon: str
    tone: str
    text: str


UNKNOWN = Word("dot", "mute", "Unknown")

RELEASE = {
    "planned": Word("dashed", "mute", "Planned"),
    "building": Word("run", "info", "Building"),
    "waiting": Word("wait", "wait", "Waiting"),
    "approved": Word("pass", "good", "Approved"),
    "deploying": Word("run", "info", "Deploying"),
    "deployed": Word("pass", "good", "Deployed"),
    "failed": Word("fail", "bad", "Failed"),
    "rolled_back": Word("back", "bad", "Rolled back"),
    "completed": Word("done", "good", "Completed"),
    "cancelled": Word("slash", "mute", "Cancelled"),
    "rejected": Word("fail", "bad", "Rejected"),
}
VERDICT = {
    "allow": Word("pass", "good", "Allowed"),
    "deny": Word("fail", "bad", "Denied"),
    "pending": Word("wait", "wait", "Pending"),
    "allow-by-break-glass": Word("glass", "bad", "Allowed by break-glass"),
}
RULE = {
    "pass": Word("pass", "good", "Passed"),
    "waived": Word("slash", "wait", "Waived"),
    "not_applicable": Word("dashed", "mute", "Not applicable"),
    "pending": Word("wait", "wait", "Pending"),
    "fail": Word("fail", "bad", "Failed"),
    "error": Word("alert", "bad", "Error"),
}
DEPLOYMENT = {
    "queued": Word("dashed", "mute", "Queued"),
    "started": Word("run", "info", "Deploying"),
    "success": Word("pass", "good", "Succeeded"),
    "failure": Word("fail", "bad", "Failed"),
    "cancelled": Word("slash", "mute", "Cancelled"),
    "superseded": Word("done", "mute", "Superseded"),
    "partial": Word("run", "wait", "Partial"),
    "rolled_back": Word("back", "bad", "Rolled back"),
}
RISK = {
    "low": Word("bars1", "mute", "Low"),
    "medium": Word("bars2", "wait", "Medium"),
    "high": Word("bars3", "bad", "High"),
    "critical": Word("bars4", "bad", "Critical"),
}
PHASE = {
    "plan": Word("flag", "mute", "Planning"),
    "build": Word("cube", "mute", "Build"),
    "readiness": Word("gate", "mute", "Readiness"),
    "deploy": Word("up", "mute", "Deployment"),
    "operate": Word("pulse", "mute", "Operation"),
    "review": Word("book", "mute", "Review"),
    "other": Word("dot", "mute", "Other"),
}
ASSURANCE = {
    "A0": "Nobody was authenticated (development only)",
    "A1": "Known by the channel it came through",
    "A2": "A workload that proved its identity",
    "A3": "A person in a signed-in session",
    "A4": "A person who signed with a passkey",
}
STAGES = ("Planned", "Built", "Judged", "Deploying", "Running")
_REACHED = {
    "planned": 1, "building": 2, "waiting": 3, "approved": 3, "deploying": 4, "deployed": 5,
    "completed": 5, "failed": 4, "rolled_back": 4, "rejected": 3, "cancelled": 1,
}  # fmt: skip
_TABLES = {
    "release": RELEASE,
    "verdict": VERDICT,
    "rule": RULE,
    "deployment": DEPLOYMENT,
    "risk": RISK,
    "phase": PHASE,
}


def word(state: str | None, kind: str) -> Word:
    """Return how `state` of `kind` is shown; one that we do not know is shown as it is called."""
    return _TABLES[kind].get(state or "") or UNKNOWN._replace(text=state or UNKNOWN.text)


def reached(state: str) -> int:
    """Return how many of `STAGES` a release has reached."""
    return _REACHED.get(state, 0)


def count(number: int, one: str, many: str | None = None) -> str:
    """Return `no gates`, `1 gate`, `2,300 gates`."""
    return f"1 {one}" if number == 1 else f"{_amount(number)} {many or one + 's'}"


def _amount(number: int) -> str:
    return f"{number:,}" if number else "no"
