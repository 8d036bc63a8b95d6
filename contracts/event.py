"""The envelope: CloudEvents 1.0 in, recorded events and receipts out.

Source of the format: CloudEvents 1.0.2, "Context Attributes" and "JSON Event Format".
An `Event` keeps every attribute as it was sent: the bytes recorded are the bytes proven later.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from contracts import ijson, subject

OURS = "org.releaseledger."
"""Prefix of our own event types. A type under it must be in the catalogue, else it is refused."""
MAX_EVENT_BYTES = 256 * 1024
MAX_BATCH = 500
Assurance = Literal["A0", "A1", "A2", "A3", "A4"]
"""A0 unauthenticated (development) · A1 channel · A2 workload · A3 human session · A4 passkey."""
_EXTENSION_NAME = re.compile(r"[a-z0-9]{1,20}")
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_URI_REFERENCE = re.compile(r"[^\s\x00-\x20<>\"{}|\\^`\x7f]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 timestamp as an aware UTC datetime; digits beyond microseconds are cut."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("is not an RFC 3339 timestamp, for example 2026-03-01T12:00:00Z")
    try:  # digits beyond microseconds are cut by `fromisoformat`
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a date that exists") from None


def format_time(moment: datetime) -> str:
    """Write an aware datetime as RFC 3339 in UTC with microseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def _uri_reference(text: str) -> str:
    if not _URI_REFERENCE.fullmatch(text):
        raise ValueError("is not a URI reference")
    return text


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("holds a control character")
    return text


Text = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_printable)]
UriReference = Annotated[Text, AfterValidator(_uri_reference)]


class Reading(NamedTuple):
    """What reading an event has found out already, so that nobody does it a second time."""

    subjects: tuple[str, ...]
    canonical: bytes | None
    """The event as canonical I-JSON; None when it holds what is not I-JSON beyond doubt."""


class Event(BaseModel):
    """One CloudEvent, attribute by attribute as sent. Extension attributes are kept as extras."""

    # A slot is no field: a copy with other attributes does not inherit it, equality ignores it.
    __slots__ = ("_reading",)

    model_config = ConfigDict(
        frozen=True, extra="allow", strict=True, use_attribute_docstrings=True
    )

    specversion: Literal["1.0"]
    id: Text
    source: UriReference
    type: Text
    subject: Text | None = None
    time: str | None = None
    datacontenttype: Text | None = None
    dataschema: UriReference | None = None
    data: Any = None
    data_base64: str | None = None

    @field_validator("time")
    @classmethod
    def _is_rfc3339(cls, value: str | None) -> str | None:
        if value is not None:
            parse_time(value)
        return value

    @field_validator("subject")
    @classmethod
    def _is_subject_key(cls, value: str | None) -> str | None:
        if value is not None and not subject.is_key(value):
            raise ValueError(
                "is not a subject key of the form kind:id, for example release:pay-1.42"
            )
        return value

    @field_validator("data_base64")
    @classmethod
    def _is_base64(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise ValueError("is not base64") from None
        return value

    @model_validator(mode="after")
    def _extensions_are_simple(self) -> Event:
        if "data" in self.model_fields_set and self.data_base64 is not None:
            raise ValueError("data and data_base64 exclude each other")
        for name, value in self.extensions.items():
            if not _EXTENSION_NAME.fullmatch(name):
                raise ValueError(f"{name!r}: an extension name is 1 to 20 of a-z and 0-9")
            if not isinstance(value, str | bool | int):
                raise ValueError(  # noqa: TRY004 - pydantic reports ValueError
                    f"{name}: an extension is a string, an integer or a boolean"
                )
        return self

    @property
    def extensions(self) -> dict[str, str | bool | int]:
        """The extension attributes, by name."""
        return self.model_extra or {}

    @property
    def occurred_at(self) -> datetime | None:
        """When it happened, by the sender's claim; None when the sender did not say."""
        return None if self.time is None else parse_time(self.time)

    def as_json(self) -> dict[str, ijson.Json]:
        """Return the attributes that were sent, and no others."""
        return self.model_dump(exclude_unset=True)

    @property
    def reading(self) -> Reading | None:
        """What `contracts.catalogue.parse` found out; else None."""
        return getattr(self, "_reading", None)

    def remember(self, reading: Reading) -> None:
        """Keep what was found out about this very event."""
        object.__setattr__(self, "_reading", reading)


class Origin(BaseModel):
    """What the ledger knows of an event's way in; recorded beside it, covered by the proof."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    principal: str
    assurance: Assurance
    via: str | None = None
    """The service that acted for the principal, for example `service:gatekeeper`."""
    connection: str | None = None
    raw_sha256: str | None = None  # hex, of the bytes received, where an adapter translated them


class Receipt(BaseModel):
    """What an append returns. `versions` maps each subject that the event names to its version.

    `sealed`: a published checkpoint covers it. `signature`: see services/ledger/receipt.py.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    ledger: str
    position: int
    versions: dict[str, int]
    event_id: str
    source: str
    commitment: str
    """SHA-256(salt ‖ body), hex."""
    recorded_at: str
    sealed: bool = False
    signature: str | None = None


class RecordedEvent(BaseModel):
    """One event as given out: in a page, on Kafka. `redacted`: its content was removed."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    position: int
    versions: dict[str, int]
    recorded_at: str
    principal: str
    assurance: Assurance
    via: str | None = None
    commitment: str
    redacted: bool = False
    event: dict[str, Any]
    """The CloudEvent as recorded."""

    @property
    def type(self) -> str:
        """The CloudEvents type."""
        return str(self.event["type"])

    @property
    def data(self) -> dict[str, Any]:
        """The payload when it is a JSON object, else an empty one."""
        data = self.event.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def occurred_at(self) -> datetime:
        """When it happened: the sender's claim, or our clock where there is none."""
        return parse_time(self.event.get("time") or self.recorded_at)

    @property
    def recorded(self) -> datetime:
        """`recorded_at` as a datetime."""
        return parse_time(self.recorded_at)


class Page(BaseModel):
    """Events after a cursor; `scanned_to` is the next one: with a filter ahead of the last event.

    `head` is the last position in the same snapshot, `checkpoint` the newest one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    events: list[RecordedEvent]
    head: int
    scanned_to: int
    checkpoint: str | None = None


class HistoryPage(BaseModel):
    """A subject's events in order of version; `version` is the last one within `as_of`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    subject: str
    version: int
    events: list[RecordedEvent]
    head: int
    checkpoint: str | None = None
