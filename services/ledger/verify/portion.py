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

from contracts import leaf
from contracts.leaf import Leaf, NotALeaf
from services.kit.tlog.tiles import WIDTH, TileReader
from services.ledger.sealing.leaves import Name, Row, Tampered, examine, leaf_of
from services.ledger.verify.tally import Tally

REDACTED = "org.releaseledger.event.redacted.v1"


@dataclass
class Portion:
    """What a portion shows. `gone`: positions without a body; `redacted`: positions excused."""

    events: int = 0
    entries: int = 0
    """Entries of histories: an event has one for each subject."""
    tally: Tally = field(default_factory=Tally)
    gone: list[int] = field(default_factory=list)
    redacted: list[int] = field(default_factory=list)
    found: list[tuple[int, bytes]] = field(default_factory=list)
    """Position and leaf of what was looked for (`work.Job.only`)."""

    def join(self, later: Portion) -> None:
        """Take the portion that follows. Raises `Broken`."""
        self.events += later.events
        self.entries += later.entries
        self.tally.join(later.tally)
        self.gone += later.gone
        self.redacted += later.redacted


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
            portion.gone.append(position)
            made = leaf_of(row, names)
        else:
            made = look(row, names)
        if made != entry:
            raise Tampered(position, _difference(made, entry))
        portion.redacted += redactions_in(row)
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


def redactions_in(row: Row) -> list[int]:
    """Return the position that a redaction's record excuses; none for any other event."""
    if row.type != REDACTED:
        return []
    data = json.loads(row.body or b"{}").get("event", {}).get("data", {})
    return [data["position"]] if isinstance(data.get("position"), int) else []
