"""From rows of the log to leaves, with everything compared that can be compared. Pure.

The body is what was recorded; the columns beside it are copies for looking things up. Whoever edits
a column and leaves the body alone would mislead every query, so each column is made again from the
body: if one differs, there is no leaf and the sealer stops.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from contracts import catalogue, leaf
from contracts.event import OURS, parse_time
from contracts.leaf import event_uuid
from contracts.subject import split_extension

SUBJECTS_SHIFT = 6
"""A subject's id is position · 64 + i of the first event that names it (DESIGN §3)."""

UNREADABLE = object()


class Row(NamedTuple):
    """What the log holds of one event. `salt` and `body` are None when they were removed."""

    position: int
    event_uuid: UUID
    source: str
    type: str
    subject_ids: Sequence[int]
    versions: Sequence[int]
    occurred_at: datetime | None
    recorded_at: datetime
    principal: str
    assurance: str
    causation: str | None
    commitment: bytes
    salt: bytes | None
    body: bytes | None
    redacted: bool = False
    """Its body was removed, and that is recorded."""


class Name(NamedTuple):
    """A subject: its key, and its uid as it stands in a leaf: `["<hex>",`."""

    key: str
    start: str


class Tampered(Exception):
    """The log contradicts itself, or what was sealed. `position` is the first bad one."""

    def __init__(self, position: int, what: str) -> None:
        super().__init__(position, what)  # as it is, to travel between processes
        self.position = position
        self.what = what

    def __str__(self) -> str:
        return f"position {self.position}: {self.what}"


def leaf_of(row: Row, names: Mapping[int, Name]) -> bytes:
    """Return an event's leaf, from its columns. Raises `Tampered` for a subject nobody knows."""
    try:
        named = [
            f"{names[subject].start}{version}]"
            for subject, version in zip(row.subject_ids, row.versions, strict=True)
        ]
    except (KeyError, ValueError):
        raise Tampered(row.position, "it names subjects that the ledger does not have") from None
    return leaf.line(row.commitment, row.event_uuid, row.position, row.recorded_at, named)


def examine(row: Row, names: Mapping[int, Name]) -> bytes:
    """Return an event's leaf, or raise `Tampered`: the first difference from its body.

    Of a redacted event nothing can be compared: what was sealed of it before has to agree.
    """
    made = leaf_of(row, names)
    if row.body is None and row.redacted:
        return made
    _opens(row)
    keys = [names[subject].key for subject in row.subject_ids]
    for column, said in _said(row).items():
        stored = keys if column == "subjects" else getattr(row, column)
        if stored != said and said is not UNREADABLE:
            raise Tampered(row.position, f"{column} is {stored!r} and the body says {said!r}")
    for subject, version in zip(row.subject_ids, row.versions, strict=True):
        if (version == 1) != (subject >> SUBJECTS_SHIFT == row.position):
            raise Tampered(row.position, f"version {version} of the subject {names[subject].key}")
    return made


def leaves_of(rows: Sequence[Row], names: Mapping[int, Name], after: int) -> list[bytes]:
    """Return the leaves of the events behind a position. Raises `Tampered`."""
    entries = []
    for position, row in enumerate(rows, after + 1):
        if row.position != position:
            raise Tampered(position, "the log has a gap there")
        entries.append(examine(row, names))
    return entries


def _opens(row: Row) -> None:
    if row.salt is None or row.body is None:
        raise Tampered(row.position, "its body is gone and no redaction is recorded")
    if hashlib.sha256(row.salt + row.body).digest() != row.commitment:
        raise Tampered(row.position, "salt and body do not open the commitment")


def _said(row: Row) -> dict[str, Any]:
    """Return what the columns must be, by the body."""
    try:
        body = json.loads(row.body or b"")
        event, origin = body["event"], body["origin"]
        time, causation = event.get("time"), event.get("causationid")
        return {
            "event_uuid": event_uuid(event["id"]),
            "source": event["source"],
            "type": event["type"],
            "occurred_at": None if time is None else parse_time(time),
            "principal": origin["principal"],
            "assurance": origin["assurance"],
            "causation": None if causation is None else str(causation),
            "subjects": _subjects(event),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise Tampered(row.position, f"its body is not an event: {error!r}") from None


def _subjects(event: dict[str, Any]) -> list[str] | object:
    """Return what the body names, or `UNREADABLE`: another release's catalogue took it."""
    named = [event["subject"]] if "subject" in event else []
    if event["type"].startswith(OURS):
        try:
            named += catalogue.model_of(event["type"]).model_validate(event["data"]).subjects()
        except (KeyError, ValueError):
            return UNREADABLE
    else:
        named += split_extension(str(event.get("subjects", "")))
    return list(dict.fromkeys(named))
