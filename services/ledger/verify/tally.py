"""Counts versions: that every subject's history is 1, 2, … n in the tree, none left out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from contracts.leaf import Leaf


class Broken(Exception):
    """A history has a gap, or begins late. `position` is where it shows."""

    def __init__(self, position: int, what: str) -> None:
        super().__init__(position, what)  # as it is, to travel between processes
        self.position = position
        self.what = what

    def __str__(self) -> str:
        return f"position {self.position}: {self.what}"


@dataclass
class Tally:
    """The histories in a stretch of the tree: uid → its first version, where, and its last."""

    spans: dict[bytes, tuple[int, int, int]] = field(default_factory=dict)

    def take(self, leaf: Leaf) -> None:
        """Take the next leaf. Raises `Broken`."""
        for uid, version in leaf.subjects:
            first, where, last = self.spans.get(uid, (version, leaf.position, version - 1))
            _follows(leaf.position, uid, last, version)
            self.spans[uid] = (first, where, version)

    def join(self, later: Tally) -> None:
        """Take the stretch that follows. Raises `Broken`."""
        for uid, (first, where, last) in later.spans.items():
            begun, begun_at, before = self.spans.get(uid, (first, where, first - 1))
            _follows(where, uid, before, first)
            self.spans[uid] = (begun, begun_at, last)

    def begins(self) -> None:
        """Check that every history begins with 1: for a stretch from the first leaf on."""
        for uid, (first, where, _) in self.spans.items():
            _follows(where, uid, 0, first)

    def version(self, uid: bytes) -> int:
        """Return a subject's last version, 0 for one that nothing names."""
        return self.spans.get(uid, (0, 0, 0))[2]


def tally(leaves: Iterable[Leaf]) -> Tally:
    """Return the tally of leaves in order. Raises `Broken`."""
    taken = Tally()
    for leaf in leaves:
        taken.take(leaf)
    return taken


def _follows(position: int, uid: bytes, before: int, version: int) -> None:
    if version != before + 1:
        raise Broken(
            position, f"version {version} of the subject {uid.hex()} does not follow {before}"
        )
