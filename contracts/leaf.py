"""The leaf of the Merkle tree: everything that the proof says about one event, and nothing else.

A leaf is the log entry of C2SP tlog-tiles. It is one line of canonical JSON (RFC 8785), ASCII:

    {"commitment":"<hex>","event":"<uuid>","position":7,"recorded_at":"2026-03-01T12:00:00.000000Z",
     "subjects":[["<uid, hex>",3]],"v":1}

(without the line break). `commitment` is SHA-256(salt ‖ body). `event` is the event's id, or the
marked hash of an id that is no UUID. Each of `subjects` is a subject's uid and the version that
the event has in that subject's history: whoever reads all leaves up to a checkpoint and keeps those
with one uid holds versions 1, 2, … n, and knows that nothing was left out. A uid tells nobody the
subject's name (services/ledger/sealing/naming.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

VERSION = 1
_LARGEST = 2**53 - 1
_NUMBER = r"[1-9][0-9]{0,15}"
_ENTRY = rf'\["[0-9a-f]{{64}}",{_NUMBER}\]'
_NAMED = re.compile(rf'\["([0-9a-f]{{64}})",({_NUMBER})\]')
_LEAF = re.compile(
    (
        r'\{"commitment":"([0-9a-f]{64})",'
        r'"event":"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})",'
        rf'"position":({_NUMBER}),'
        r'"recorded_at":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)",'
        rf'"subjects":\[((?:{_ENTRY}(?:,{_ENTRY})*)?)\],"v":1\}}'
    ).encode()
)
"""The one spelling: what it matches is canonical already."""
_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HASHED = 8
"""UUID version 8 (RFC 9562 §5.8) marks an id that was not a UUID."""


class Named(NamedTuple):
    """One subject of an event: its uid (32 bytes) and the event's version in its history."""

    uid: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the tree holds of one event."""

    commitment: bytes
    event: UUID
    position: int
    recorded_at: datetime
    subjects: tuple[Named, ...]

    def encode(self) -> bytes:
        """Write the leaf."""
        named = [f'["{uid.hex()}",{version}]' for uid, version in self.subjects]
        return line(self.commitment, self.event, self.position, self.recorded_at, named)


class NotALeaf(ValueError):
    """The bytes are not a leaf, or not in the one spelling that a leaf has."""


def line(
    commitment: bytes, event: UUID, position: int, recorded_at: datetime, named: Sequence[str]
) -> bytes:
    """Write a leaf whose subjects are written already, each as `["<uid>",<version>]`.

    `recorded_at` is in UTC; the caller answers for that, because this runs once for every event.
    """
    moment = recorded_at.isoformat(timespec="microseconds")[:26]
    return (
        f'{{"commitment":"{commitment.hex()}","event":"{event}","position":{position},'
        f'"recorded_at":"{moment}Z","subjects":[{",".join(named)}],"v":{VERSION}}}'
    ).encode()


def decode(entry: bytes) -> Leaf:
    """Read a leaf. Raises `NotALeaf` for anything that `encode` would have written otherwise."""
    found = _LEAF.fullmatch(entry)
    if found is None:
        raise NotALeaf(f"not a leaf of version {VERSION} in its one spelling")
    commitment, event, position, moment, named = found.groups()
    subjects = [
        Named(bytes.fromhex(uid), _number(version))
        for uid, version in _NAMED.findall(named.decode())
    ]
    try:
        recorded_at = datetime.fromisoformat(moment.decode())
    except ValueError as error:
        raise NotALeaf(f"recorded_at: {error}") from None
    return Leaf(
        commitment=bytes.fromhex(commitment.decode()),
        event=UUID(event.decode()),
        position=_number(position),
        recorded_at=recorded_at.astimezone(UTC),
        subjects=tuple(subjects),
    )


def _number(digits: str | bytes) -> int:
    number = int(digits)
    if number > _LARGEST:
        raise NotALeaf(f"{number} is beyond what JSON numbers hold exactly")
    return number


def event_uuid(event_id: str) -> UUID:
    """Return the key for an event id: a UUID in canonical text is itself, all else is hashed.

    Version 8 belongs to the hashes alone: an id that is such a UUID is hashed too, so that nobody
    can choose an id that meets another one.
    """
    if _CANONICAL_UUID.fullmatch(event_id):
        given = UUID(event_id)
        if given.version != _HASHED:
            return given
    return _hashed(event_id)


def _hashed(event_id: str) -> UUID:
    digest = bytearray(hashlib.sha256(event_id.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | _HASHED << 4
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))
