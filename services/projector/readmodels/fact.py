"""One recorded event, read with tolerance: a field that is missing or odd is simply not there.

What we write is strict; what we read may come from an older or newer writer. So no fold trusts a
shape, and no event can stop a projection by the way it looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from contracts.event import OURS, RecordedEvent, format_time, parse_time

LINKED_KINDS = frozenset(
    {"artifact", "change", "deployment", "incident", "approval", "ticket", "pipelinerun",
     "exception", "decision", "alert"}
)  # fmt: skip
"""Kinds of subjects that belong to releases; a service or an environment belongs to all of them."""
_FIRST_YEAR = 1000
"""Years before have fewer than four digits, and are nobody's release."""


def canonical(moment: object) -> str | None:
    """Return a timestamp in our one format (UTC, microseconds), or None when it is none.

    In this format the order of text is the order of time.
    """
    if not isinstance(moment, str):
        return None
    try:
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
    return uri if uri and uri.lower().startswith(("http://", "https://")) else None


class Fact:
    """What the folds see of an event."""

    def __init__(self, event: RecordedEvent) -> None:
        self.event = event
        self.position = event.position
        self.data: dict[str, Any] = event.data
        self.subjects = list(event.versions)

    @cached_property
    def ours(self) -> bool:
        """Whether the type is from our catalogue, and its content is there."""
        return not self.event.redacted and str(self.event.event.get("type", "")).startswith(OURS)

    @cached_property
    def type(self) -> str:
        """Our types without their prefix, foreign ones whole."""
        return str(self.event.event.get("type", "")).removeprefix(OURS)

    @cached_property
    def noun(self) -> str:
        """What the event is about (`release`, `deployment` …); empty for foreign events."""
        return self.type.partition(".")[0] if self.ours else ""

    @cached_property
    def name(self) -> str:
        """Noun and verb without the version, for example `approval.decided`; empty when foreign."""
        return self.type.rpartition(".v")[0] if self.ours else ""

    @cached_property
    def recorded_at(self) -> str:
        """When the ledger took it."""
        return canonical(self.event.recorded_at) or self.event.recorded_at

    @cached_property
    def at(self) -> str:
        """When it happened by the sender's claim, or when it was recorded."""
        return canonical(self.event.event.get("time")) or self.recorded_at

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

    @cached_property
    def environment(self) -> tuple[str, str]:
        """The environment's id and tier, each empty where the payload has none."""
        place = self.table("environment")
        return text(place.get("id")) or "", text(place.get("tier")) or "other"

    def named(self, kind: str) -> Iterator[str]:
        """Yield the ids of the subjects of a kind."""
        start = f"{kind}:"
        return (key[len(start) :] for key in self.subjects if key.startswith(start))

    @cached_property
    def linkable(self) -> list[str]:
        """The subjects that can belong to a release."""
        return [key for key in self.subjects if key.partition(":")[0] in LINKED_KINDS]
