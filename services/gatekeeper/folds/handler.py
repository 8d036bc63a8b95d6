"""What a handler is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from contracts.event import RecordedEvent
from services.gatekeeper.facts import Facts
from services.gatekeeper.people import is_person, short
from services.gatekeeper.records import Stamp

Handler: TypeAlias = Callable[[Facts, RecordedEvent, Stamp], None]


def fault(event: RecordedEvent, who: str) -> str | None:
    """Return why `who` cannot have said this, for people; None: they did."""
    if event.principal != who:
        return f"it names {short(who)} but was sent by {event.principal}"
    if not is_person(event.principal, event.via):
        return f"{event.principal} is not a person who was signed in"
    return None
