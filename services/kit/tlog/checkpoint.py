"""Checkpoints (C2SP tlog-checkpoint): a log's origin, its size and its root, as a signed note."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.kit.tlog.keys import NotANote, decode64
from services.kit.tlog.merkle import HASH_BYTES
from services.kit.tlog.note import Ed25519Signer, Note, Unsigned, Verifier

MAX_SIZE = 2**63 - 1
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log's tree."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> bytes:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()

    @classmethod
    def parse(cls, text: bytes) -> Checkpoint:
        """Read a note's text; extension lines are passed over. Raises `NotANote`."""
        lines = text.decode().split("\n")
        if len(lines) < 4 or not lines[0] or "" in lines[3:-1]:  # noqa: PLR2004 - three, and an end
            raise NotANote("a checkpoint has three lines: origin, size, root")
        root = decode64(lines[2])
        if not _SIZE.fullmatch(lines[1]) or int(lines[1]) > MAX_SIZE:
            raise NotANote(f"{lines[1][:30]!r} is not the size of a tree")
        if len(root) != HASH_BYTES:
            raise NotANote("the root is not 32 bytes in base64")
        return cls(lines[0], int(lines[1]), root)


def sign(checkpoint: Checkpoint, *signers: Ed25519Signer) -> Note:
    """Sign a checkpoint with the log's key, or in a rotation with both keys."""
    return Note(checkpoint.text, tuple(signer.sign(checkpoint.text) for signer in signers))


def open_note(content: bytes, logs: Sequence[Verifier]) -> tuple[Checkpoint, Note]:
    """Return a checkpoint that one of the log's keys signed. Raises `NotANote`, `Unsigned`.

    The key must have the origin's name: a key signs for its own log.
    """
    note = Note.parse(content)
    checkpoint = Checkpoint.parse(note.text)
    own = [log for log in logs if log.name == checkpoint.origin]
    if not note.signed_by(own):
        raise Unsigned(f"no key of {checkpoint.origin} that is trusted here has signed it")
    return checkpoint, note
