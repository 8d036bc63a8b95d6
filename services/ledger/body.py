"""The stored form of an event and the ways back out of it.

A body is `{"event":{…},"origin":{…}}`, canonical I-JSON. It is made once, before the queue, and
those bytes are stored, proven and given out; nobody serialises the event a second time.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime

from contracts import catalogue, ijson
from contracts.event import MAX_EVENT_BYTES, Event, Receipt, RecordedEvent, format_time
from contracts.problem import Invalid, TooLarge
from services.ledger.model import Item, Submission

SALT_BYTES = 16
_EVENT, _ORIGIN = b'{"event":', b',"origin":'
_HASHED = 8
"""UUID version 8 (RFC 9562 §5.8) marks an id that was not a UUID."""


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
    origin = ijson.dumps(submission.origin.model_dump(exclude_none=True))
    return b"".join((_EVENT, event, _ORIGIN, origin, b"}"))


def _canonical(event: Event) -> bytes:
    try:
        return ijson.dumps(ijson.check(event.as_json()))
    except ijson.NotIJson as error:
        errors = [{"pointer": error.pointer, "detail": error.detail}]
        raise Invalid(f"{error.pointer}: {error.detail}", errors=errors) from None


def event_uuid(event_id: str) -> uuid.UUID:
    """Return the key for an event id: a UUID in canonical text is itself, all else is hashed.

    Version 8 belongs to the hashes alone: an id that is such a UUID is hashed too, so that nobody
    can choose an id that meets another one.
    """
    try:
        given = uuid.UUID(event_id)
    except ValueError:
        return _hashed(event_id)
    return given if str(given) == event_id and given.version != _HASHED else _hashed(event_id)


def _hashed(event_id: str) -> uuid.UUID:
    digest = bytearray(hashlib.sha256(event_id.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | _HASHED << 4
    digest[8] = digest[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(digest))


@dataclass(frozen=True, slots=True)
class Recorded:
    """One stored event as it was read back."""

    position: int
    versions: dict[str, int]
    recorded_at: datetime
    commitment: bytes
    body: bytes

    @property
    def event(self) -> bytes:
        """The CloudEvent's own bytes, cut out of the body."""
        return self.body[len(_EVENT) : self.body.rfind(_ORIGIN)]

    @property
    def origin(self) -> dict[str, str]:
        """What the ledger recorded about the way in."""
        # A quote inside a JSON string is escaped, so the last `,"origin":` is the member itself.
        start = self.body.rfind(_ORIGIN) + len(_ORIGIN)
        origin: dict[str, str] = json.loads(self.body[start:-1])
        return origin

    def as_json(self) -> bytes:
        """Return `contracts.event.RecordedEvent` as JSON, with the event's bytes as stored."""
        origin = self.origin
        head: dict[str, ijson.Json] = {
            "position": self.position,
            "versions": dict(self.versions),
            "recorded_at": format_time(self.recorded_at),
            "commitment": self.commitment.hex(),
        }
        head |= {k: origin[k] for k in ("principal", "assurance", "via") if k in origin}
        return b"".join((ijson.dumps(head)[:-1], b',"event":', self.event, b"}"))

    def as_model(self) -> RecordedEvent:
        """Return the same as a model."""
        return RecordedEvent.model_validate_json(self.as_json())

    def receipt(self, ledger: str) -> Receipt:
        """Return the receipt that the append gave."""
        event = json.loads(self.event)
        return Receipt(
            ledger=ledger,
            position=self.position,
            versions=self.versions,
            event_id=event["id"],
            source=event["source"],
            commitment=self.commitment.hex(),
            recorded_at=format_time(self.recorded_at),
        )


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
