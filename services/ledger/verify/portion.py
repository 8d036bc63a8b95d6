"""Checks some bundles of a published tree, and what the database has at the same positions.

Every hash is made again from bytes: body → commitment → leaf → tile → root. What the database
cannot show any more (a removed body) is listed, and the redaction that it needs is looked for in
the whole (`whole`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from contracts import leaf
from contracts.leaf import Leaf, NotALeaf
from services.kit.tlog.tiles import WIDTH, TileReader
from services.ledger.sealing.leaves import Name, Row, Tampered, examine, leaf_of
from services.ledger.verify.tally import Tally

RECORDS = "/ledger/redactions"
"""Where the ledger's own records of redactions come from: it takes such a source from nobody."""
_RECORDS = RECORDS.encode()
ASKED = "org.releaseledger.event.redaction_requested.v1"
REDACTED = "org.releaseledger.event.redacted.v1"


class Removal(NamedTuple):
    """A record that one person has asked for a removal (`commitment` is empty), or that a second
    one has agreed to it.
    """

    position: int
    commitment: str
    asked_by: str


@dataclass
class Portion:
    """What a portion shows. `gone`: positions without a body, each with its commitment in hex."""

    events: int = 0
    entries: int = 0
    """Entries of histories: an event has one for each subject."""
    tally: Tally = field(default_factory=Tally)
    gone: dict[int, str] = field(default_factory=dict)
    removals: set[Removal] = field(default_factory=set)
    found: list[tuple[int, bytes]] = field(default_factory=list)
    """Position and leaf of what was looked for (`work.Job.only`)."""

    def join(self, later: Portion) -> None:
        """Take the portion that follows. Raises `Broken`."""
        self.events += later.events
        self.entries += later.entries
        self.tally.join(later.tally)
        self.gone |= later.gone
        self.removals |= later.removals

    def unexcused(self) -> list[int]:
        """Return the positions whose body is gone without a record that two people agreed to it."""
        asked = {(each.position, each.asked_by) for each in self.removals if not each.commitment}
        agreed = {
            (each.position, each.commitment)
            for each in self.removals
            if (each.position, each.asked_by) in asked
        }
        return sorted(
            position for position, was in self.gone.items() if (position, was) not in agreed
        )


def check_tree(read: TileReader, bundles: range) -> tuple[Portion, list[bytes]]:
    """Check the leaves of some bundles, and return them. Raises `ProofError` and its like."""
    portion, entries = Portion(), []
    for index in bundles:
        for offset, entry in enumerate(read.entries(index), index * WIDTH + 1):
            found = _leaf(offset, entry)
            portion.tally.take(found)
            portion.entries += len(found.subjects)
            entries.append(entry)
    portion.events = len(entries)
    return portion, entries


def check_rows(
    portion: Portion, entries: Sequence[bytes], rows: Sequence[Row], names: Mapping[int, Name],
    first: int, *, quick: bool = False,
) -> None:  # fmt: skip
    """Compare the log's rows from position `first` with the tree's leaves. Raises `Tampered`."""
    look: Callable[[Row, Mapping[int, Name]], bytes] = opens if quick else examine
    for position, (entry, row) in enumerate(zip(entries, rows, strict=False), first):
        if row.position != position:
            raise Tampered(position, "the log does not have it")
        if row.body is None:
            portion.gone[position] = row.commitment.hex()
            made = leaf_of(row, names)
        else:
            made = look(row, names)
        if made != entry:
            raise Tampered(position, _difference(made, entry))
        portion.removals |= removals_in(row.body)
    if len(rows) < len(entries):
        raise Tampered(first + len(rows), "it was sealed and the log does not have it any more")


def _leaf(position: int, entry: bytes) -> Leaf:
    try:
        found = leaf.decode(entry)
    except NotALeaf as error:
        raise Tampered(position, f"the tree has there {error}") from None
    if found.position != position:
        raise Tampered(position, f"the tree has the leaf of position {found.position} there")
    return found


def _difference(made: bytes, entry: bytes) -> str:
    log, tree = leaf.decode(made), leaf.decode(entry)
    for name in ("commitment", "event", "recorded_at", "subjects"):
        ours, sealed = getattr(log, name), getattr(tree, name)
        if ours != sealed:
            return f"{name} is {_shown(ours)} in the log and {_shown(sealed)} in the tree"
    return "the log's leaf is not the tree's"


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return ", ".join(f"{uid.hex()[:12]}… version {version}" for uid, version in value)
    return str(value)


def opens(row: Row, names: Mapping[int, Name]) -> bytes:
    """Return the leaf of an event whose body opens its commitment; nothing else is compared."""
    if hashlib.sha256((row.salt or b"") + (row.body or b"")).digest() != row.commitment:
        raise Tampered(row.position, "salt and body do not open the commitment")
    return leaf_of(row, names)


def removals_in(body: bytes | None) -> set[Removal]:
    """Return what the ledger itself records of a redaction; nothing for any other event.

    Whoever asked cannot agree: such a record excuses nothing.
    """
    if body is None or _RECORDS not in body:
        return set()
    event = json.loads(body)["event"]
    if event["source"] != RECORDS or event["type"] not in {ASKED, REDACTED}:
        return set()
    data = event["data"]
    was = data["commitment"] if event["type"] == REDACTED else ""
    alone = data["requested_by"] == data.get("approved_by")
    return set() if alone else {Removal(data["position"], was, data["requested_by"])}
