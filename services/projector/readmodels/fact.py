"""One recorded event, read with tolerance: a field that is missing or odd is simply not there.

What we write is strict; what we read may come from an older or newer writer. So no fold trusts a
shape, and no event can stop a projection by the way it looks.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from contracts.event import OURS, RecordedEvent, format_time, parse_time

LINKED_KINDS = frozenset(
    {"artifact", "change", "deployment", "incident", "approval", "ticket", "pipelinerun",
     "exception", "decision", "alert"}
)  # fmt: skip
"""Kinds of subjects that belong to releases; a service or an environment belongs to all of them."""
_UTC = re.compile(r"([1-9]\d{3}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d)(?:\.(\d{1,6}))?Z", re.ASCII)
"""What most senders write: it only wants its zeros."""
_FIRST_YEAR = 1000
"""Years before have fewer than four digits, and are nobody's release."""


def canonical(moment: object) -> str | None:
    """Return a timestamp in our one format (UTC, microseconds), or None when it is none.

    In this format the order of text is the order of time.
    """
    if not isinstance(moment, str):
        return None
    try:
        if match := _UTC.fullmatch(moment):
            datetime.fromisoformat(match[1])
            return f"{match[1]}.{match[2] or '':0<6}Z"
        when = parse_time(moment)
    except ValueError:
        return None
    return format_time(when) if when.year >= _FIRST_YEAR else None


def text(value: object) -> str | None:
    """Return a non-empty string, or None."""
    return value if isinstance(value, str) and value else None


def texts(value: object) -> list[str]:
    """Return the non-empty strings of a list."""
    return [item for item in value if text(item)] if isinstance(value, list) else []


def table(value: object) -> dict[str, Any]:
    """Return a JSON object, or an empty one."""
    return value if isinstance(value, dict) else {}


def web(uri: str | None) -> str | None:
    """Return a link that a page may show, or None: only http and https lead out."""
    return uri if uri and uri[:8].lower().startswith(("http://", "https://")) else None


class Fact:
    """What the folds see of an event."""

    def __init__(self, event: RecordedEvent) -> None:
        self.event = event
        self.position = event.position
        self.data: dict[str, Any] = event.data
        self.subjects = list(event.versions)
        recorded = str(event.event.get("type", ""))
        self.ours = not event.redacted and recorded.startswith(OURS)
        """Whether the type is from our catalogue, and its content is there."""
        self.type = recorded.removeprefix(OURS)
        """Our types without their prefix, foreign ones whole."""
        self.name = self.type.rpartition(".v")[0] if self.ours else ""
        """Noun and verb without the version, for example `approval.decided`; empty if foreign."""
        self.noun = self.type.partition(".")[0] if self.ours else ""
        """What the event is about (`release`, `deployment` …); empty for foreign events."""
        self.recorded_at = canonical(event.recorded_at) or event.recorded_at
        """When the ledger took it."""
        self.at = canonical(event.event.get("time")) or self.recorded_at
        """When it happened by the sender's claim, or when it was recorded."""
        place = table(self.data.get("environment"))
        self.environment = text(place.get("id")) or "", text(place.get("tier")) or "other"
        """The environment's id and tier, empty and `other` where the payload has none."""
        self._named: dict[str, list[str]] = {}
        self.linkable: list[str] = []
        """The subjects that can belong to a release."""
        for key in self.subjects:
            kind, _, name = key.partition(":")
            self._named.setdefault(kind, []).append(name)
            if kind in LINKED_KINDS:
                self.linkable.append(key)

    def text(self, name: str) -> str | None:
        """Return a string of the payload."""
        return text(self.data.get(name))

    def texts(self, name: str) -> list[str]:
        """Return a list of strings of the payload."""
        return texts(self.data.get(name))

    def table(self, name: str) -> dict[str, Any]:
        """Return an object of the payload."""
        return table(self.data.get(name))

    def time(self, name: str) -> str | None:
        """Return a timestamp of the payload in our format."""
        return canonical(self.data.get(name))

    def named(self, kind: str) -> list[str]:
        """Return the ids of the subjects of a kind."""
        return self._named.get(kind, [])
