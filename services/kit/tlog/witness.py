"""What a witness agrees to (C2SP tlog-witness, `add-checkpoint`): a request, and a pure decision.

Order of the checks and every status are those of the specification. Whoever serves it must keep
the checkpoint before he answers, and compare and keep it in one step.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.kit.tlog.checkpoint import Checkpoint, open_note
from services.kit.tlog.keys import NotANote, decode64
from services.kit.tlog.merkle import EMPTY_ROOT, HASH_BYTES, ProofError, verify_consistency
from services.kit.tlog.note import Ed25519Verifier, Note, Unsigned

MAX_HASHES = 63
MAX_REQUEST_BYTES = 64 * 1024
SIZE_TYPE = "text/x.tlog.size"
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """A checkpoint for a witness, and the proof that it continues the one of `old`."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        """Write the request's body."""
        hashes = [base64.b64encode(each).decode() for each in self.proof]
        return "\n".join([f"old {self.old}", *hashes, "", ""]).encode() + self.checkpoint

    @classmethod
    def parse(cls, body: bytes) -> Request:
        """Read a request's body. Raises `NotANote`."""
        head, gap, checkpoint = body.partition(b"\n\n")
        try:
            first, *lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise NotANote("the request is ASCII down to its checkpoint") from None
        found = _OLD.fullmatch(first)
        hashes = tuple(decode64(line) for line in lines)
        if not gap or found is None:
            raise NotANote("the request begins with `old <size>` and has an empty line")
        if len(hashes) > MAX_HASHES or any(len(each) != HASH_BYTES for each in hashes):
            raise NotANote("a proof has at most 63 hashes, each 32 bytes in base64")
        return cls(int(found[1]), hashes, checkpoint)


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest checkpoint of a log that a witness has cosigned."""

    size: int
    root: bytes


class Refused(Exception):
    """The witness does not cosign. `size` is what it has seen, where the protocol tells that."""

    def __init__(self, status: int, why: str, size: int | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.size = size


NOTHING = Seen(0, EMPTY_ROOT)


def origin_of(request: Request) -> str:
    """Return whose checkpoint it claims to be; nothing is verified. Raises `Refused` (400)."""
    try:
        return Checkpoint.parse(Note.parse(request.checkpoint).text).origin
    except NotANote as error:
        raise Refused(400, str(error)) from None


def judge(request: Request, seen: Seen, logs: Sequence[Ed25519Verifier]) -> Checkpoint:
    """Return the checkpoint to keep and cosign, or raise `Refused`. `logs`: the origin's keys."""
    if not logs:
        raise Refused(404, f"the log {origin_of(request)} is not known here")
    try:
        checkpoint, _ = open_note(request.checkpoint, logs)
    except Unsigned as error:
        raise Refused(403, str(error)) from None
    except NotANote as error:
        raise Refused(400, str(error)) from None
    if request.old > checkpoint.size:
        raise Refused(400, f"{request.old} is larger than the tree of {checkpoint.size}")
    if request.old != seen.size:
        raise Refused(409, f"the last checkpoint seen has the size {seen.size}", seen.size)
    if checkpoint.size == seen.size and checkpoint.root != seen.root:
        raise Refused(409, f"two trees of size {seen.size}: the log shows two stories", seen.size)
    try:
        verify_consistency(seen.size, checkpoint.size, seen.root, checkpoint.root, request.proof)
    except ProofError as error:
        raise Refused(422, str(error)) from None
    return checkpoint
