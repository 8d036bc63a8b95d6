"""The stored form of an event and the ways back out of it.

A body is `{"event":{…},"origin":{…}}`, canonical I-JSON. It is made once, before the queue, and
those bytes are stored, proven and given out; nobody serialises the event a second time.
"""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any

from contracts import catalogue, ijson
from contracts.event import MAX_EVENT_BYTES, Event, Origin, RecordedEvent, format_time
from contracts.leaf import event_uuid
from contracts.problem import Invalid, TooLarge
from services.ledger.model import Item, Stored, Submission
from services.ledger.receipt import Acknowledgement

SALT_BYTES = 16
_EVENT, _ORIGIN = b'{"event":', b',"origin":'
_REDACTED = b'"redacted":true,'


def make(submission: Submission) -> Item:
    """Make an item: subjects, salt, body, commitment. Raises `Invalid` or `TooLarge`."""
    event, origin = submission.event, submission.origin
    subjects = catalogue.subjects_of(event)
    salt, body = secrets.token_bytes(SALT_BYTES), _body(submission)
    causation = event.extensions.get("causationid")
    return Item(
        uuid=event_uuid(event.id),
        event_id=event.id,
        source=event.source,
        type=event.type,
        subjects=tuple(subjects),
        occurred_at=event.occurred_at,
        principal=origin.principal,
        assurance=origin.assurance,
        causation=None if causation is None else str(causation),
        salt=salt,
        body=body,
        commitment=hashlib.sha256(salt + body).digest(),
    )


def _body(submission: Submission) -> bytes:
    event = _canonical(submission.event)
    if len(event) > MAX_EVENT_BYTES:
        detail = f"the event has {len(event)} bytes; at most {MAX_EVENT_BYTES} are allowed"
        raise TooLarge(detail, limit=MAX_EVENT_BYTES)
    return b"".join((_EVENT, event, _ORIGIN, _origin(submission.origin), b"}"))


@functools.lru_cache(maxsize=256)
def _origin(origin: Origin) -> bytes:
    """Write an origin; the same callers come again and again."""
    return ijson.dumps(origin.model_dump(exclude_none=True))


def _canonical(event: Event) -> bytes:
    reading = event.reading
    if reading is not None and reading.canonical is not None:
        return reading.canonical
    try:
        return ijson.dumps(ijson.check(event.as_json()))
    except ijson.NotIJson as error:
        errors = [{"pointer": error.pointer, "detail": error.detail}]
        raise Invalid(f"{error.pointer}: {error.detail}", errors=errors) from None


@functools.lru_cache(maxsize=256)
def _told(origin: bytes) -> list[bytes]:
    """Return the members of a recorded event that come from its origin, each with its comma."""
    known = json.loads(origin)
    return [
        ijson.dumps({name: known[name]})[1:-1] + b"," if name in known else b""
        for name in ("assurance", "principal", "via")
    ]


def _numbers(versions: Mapping[str, int]) -> bytes:
    """Write as `ijson.dumps` does, four times as fast: every event that is read has them."""
    members = [f"{encode_basestring(key)}:{versions[key]}" for key in sorted(versions)]
    return f"{{{','.join(members)}}}".encode()


@dataclass(frozen=True, slots=True)
class Recorded:
    """One stored event as it was read back."""

    position: int
    versions: dict[str, int]
    recorded_at: datetime
    commitment: bytes
    body: bytes
    redacted: bool = False
    """Its content was removed; `body` is a stand-in that opens no commitment."""

    def standing_in(self, left: Mapping[str, Any]) -> Recorded:
        """Return the event with a body of what is left of it; for the columns see `queries`."""
        moment = left["occurred_at"]
        event = {"id": str(left["event_uuid"]), "source": left["source"], "specversion": "1.0",
                 "type": left["type"]}  # fmt: skip
        if moment is not None:
            event["time"] = format_time(moment)
        origin = {"assurance": left["assurance"], "principal": left["principal"]}
        body = b"".join((_EVENT, ijson.dumps({**event}), _ORIGIN, ijson.dumps({**origin}), b"}"))
        return replace(self, body=body)

    @property
    def event(self) -> bytes:
        """The CloudEvent's own bytes, cut out of the body."""
        return self.body[len(_EVENT) : self.body.rfind(_ORIGIN)]

    @property
    def origin(self) -> dict[str, str]:
        """What the ledger recorded about the way in."""
        origin: dict[str, str] = json.loads(self._origin)
        return origin

    @property
    def _origin(self) -> bytes:
        # A quote inside a JSON string is escaped, so the last `,"origin":` is the member itself.
        return self.body[self.body.rfind(_ORIGIN) + len(_ORIGIN) : -1]

    def as_json(self) -> bytes:
        """Return `contracts.event.RecordedEvent` as canonical JSON, with the event's bytes as
        stored as its last member.
        """
        assurance, principal, via = _told(self._origin)
        place = b'","position":%d,' % self.position
        moment = format_time(self.recorded_at).encode()
        return b"".join((
            b"{", assurance, b'"commitment":"', self.commitment.hex().encode(), place, principal,
            b'"recorded_at":"', moment, b'",', _REDACTED if self.redacted else b"",
            b'"versions":', _numbers(self.versions), b",",
            via, b'"event":', self.event, b"}",
        ))  # fmt: skip

    def as_model(self) -> RecordedEvent:
        """Return the same as a model."""
        return RecordedEvent.model_validate_json(self.as_json())

    def receipt(self, ledger: str) -> Acknowledgement:
        """Return the receipt that the append gave."""
        event = json.loads(self.event)
        stored = Stored(self.position, None, self.commitment, self.versions, self.recorded_at)
        return Acknowledgement(ledger, event["id"], event["source"], stored)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the log: see `contracts.event.Page`."""

    events: list[Recorded]
    head: int
    scanned_to: int


@dataclass(frozen=True, slots=True)
class HistoryWindow:
    """A part of a subject's history: see `contracts.event.HistoryPage`."""

    events: list[Recorded]
    version: int
    head: int
