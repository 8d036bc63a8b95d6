"""tlog-proof (C2SP): one file that proves, offline, that an entry is in a log that others watch."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.keys import NotANote, decode64
from services.kit.tlog.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from services.kit.tlog.note import Note

if TYPE_CHECKING:
    from services.kit.tlog.policy import Policy

HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)
_MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class Proof:
    """The proof of one entry. `checkpoint` is the signed note; `extra` nobody has signed."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """Write the proof."""
        extra = [] if self.extra is None else [f"extra {_base64(self.extra)}"]
        lines = [HEADER, *extra, f"index {self.index}", *map(_base64, self.hashes), "", ""]
        return "\n".join(lines).encode() + self.checkpoint

    @classmethod
    def parse(cls, content: bytes) -> Proof:
        """Read a proof. Raises `NotANote`."""
        head, gap, checkpoint = content.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise NotANote("a proof is ASCII down to its checkpoint") from None
        if not gap or lines.pop(0) != HEADER:
            raise NotANote(f"a proof begins with the line {HEADER}")
        extra = _extra(lines)
        found = _INDEX.fullmatch(lines.pop(0)) if lines else None
        hashes = tuple(decode64(line) for line in lines)
        if found is None:
            raise NotANote("a proof has a line with the index of its entry")
        if len(hashes) > _MAX_HASHES or any(len(each) != HASH_BYTES for each in hashes):
            raise NotANote("a proof has at most 63 hashes, each 32 bytes in base64")
        return cls(int(found[1]), hashes, checkpoint, extra)

    def verify(self, entry: bytes, policy: Policy) -> Checkpoint:
        """Return the checkpoint that holds the entry. Raises `ProofError`, `Unsigned`, `NotANote`.

        Size and root come from the note that the policy's keys have signed and from nowhere else.
        """
        checkpoint = policy.check(self.checkpoint)
        leaf = leaf_hash(entry)
        verify_inclusion(self.index, checkpoint.size, leaf, self.hashes, checkpoint.root)
        return checkpoint

    @property
    def note(self) -> Note:
        """The checkpoint as a note."""
        return Note.parse(self.checkpoint)


def _extra(lines: list[str]) -> bytes | None:
    if not lines or not lines[0].startswith("extra "):
        return None
    text = lines.pop(0).removeprefix("extra ")
    extra = decode64(text)
    if text and not extra:
        raise NotANote("the extra data is not base64")
    return extra


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
