"""CloudEvents for what has no sender of its own: plans, risk, tests, boards, incidents, reviews.

The payload models of contracts/ are filled in directly, so a fact that breaks its schema cannot
even be written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts import catalogue
from contracts.event import format_time
from contracts.payloads.model import Environment, Payload
from demo.derive import Seed
from demo.steps import Facts, Step

STAGING = Environment(id="staging", tier="staging")
PRODUCTION = Environment(id="production", tier="production")

PLANNING = "https://planning.acme.example/releases"
TRACKER = "https://tracker.acme.example"
CI = "https://ci.acme.example/pipelines"
REGISTRY = "https://registry.acme.example/scans"
DELIVERY = "https://delivery.acme.example/rollouts"
PAGER = "https://pager.acme.example/incidents"
BOARD = "https://planning.acme.example/board"
REVIEW = "https://planning.acme.example/reviews"

BOT = "dev:ci"
"""The pipeline's own identity."""


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes facts of one source; ids come from the seed, the type and a key."""

    seed: Seed
    source: str

    def fact(self, at: datetime, payload: Payload, *key: object) -> dict[str, Any]:
        """Return one CloudEvent. `key` tells two facts of one type about one subject apart."""
        type_ = catalogue.type_of(type(payload))
        subject = _subject(payload)
        return {
            "specversion": "1.0",
            "id": self.seed.guid("event", type_, subject, *key),
            "source": self.source,
            "type": type_,
            "subject": subject,
            "time": format_time(at),
            "datacontenttype": "application/json",
            "data": payload.model_dump(mode="json", exclude_unset=True, exclude_none=True),
        }


def _subject(payload: Payload) -> str:
    release = getattr(payload, "release_id", None)
    return f"release:{release}" if release else next(payload.subjects())


def said_by(actor: str, *events: dict[str, Any]) -> Facts:
    """Return the facts of one actor, in the order of their times."""
    return Facts(actor, tuple(sorted(events, key=lambda event: str(event["time"]))))


def known_by(now: datetime, facts: Facts) -> list[Step]:
    """Return what has happened by `now` of some facts: one step, or none."""
    past = tuple(event for event in facts.events if str(event["time"]) <= format_time(now))
    return [Facts(facts.actor, past)] if past else []


def note(type_: str, subject: str, at: datetime, data: dict[str, Any]) -> dict[str, Any]:
    """Return a fact of the demo about itself, of a type that is not the catalogue's."""
    return {
        "specversion": "1.0",
        "id": type_,
        "source": "/demo",
        "type": type_,
        "subject": subject,
        "time": format_time(at),
        "data": data,
    }
