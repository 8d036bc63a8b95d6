"""Verifies a pack's checkpoints and proofs with `metamorphic-log` (PyPI), which is Rust inside.

    python tests/foreign/metamorphic.py [-pack] FOLDER

Exit 0 good, 9 refused, 1 could not look. An evidence pack has no older
checkpoint: `-pack` leaves consistency out. It has no reader of tiles and knows no cosignatures: the
log's signature, consistency and inclusion are what it answers for.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

import metamorphic_log

GOOD, REFUSED = 0, 9


class Refused(Exception):
    """Something does not hold."""


def hashes_in(lines: list[str]) -> list[bytes]:
    """Read hashes in base64."""
    return [base64.b64decode(line, validate=True) for line in lines]


def check_proof(keys: list[str], file: Path) -> None:
    """Check that a disclosed leaf is in the tree of its proof's checkpoint."""
    head, _, checkpoint = file.read_text("utf-8").partition("\n\n")
    title, index, *hashes = head.split("\n")
    if title != "c2sp.org/tlog-proof@v1" or not index.startswith("index "):
        raise Refused(f"{file.name} is no tlog-proof")
    leaf = hashlib.sha256(b"\x00" + file.with_suffix(".leaf").read_bytes()).digest()
    metamorphic_log.checkpoint_verify_inclusion(
        checkpoint, keys, int(index[6:]), leaf, hashes_in(hashes)
    )


def verify(pack: Path, *, is_pack: bool) -> str:
    """Verify and say what was verified."""
    keys = [(pack / "trust/log.vkey").read_text("utf-8").strip()]
    note = (pack / "checkpoint").read_text("utf-8")
    if not is_pack:
        older = (pack / "older").read_text("utf-8")
        hashes = hashes_in((pack / "consistency").read_text("utf-8").splitlines())
        metamorphic_log.checkpoint_verify_consistency(older, note, keys, hashes)
    head = metamorphic_log.checkpoint_verify(note, keys)
    proofs = sorted(pack.glob("events/*.tlog-proof"))
    for file in proofs:
        check_proof(keys, file)
    if not proofs:
        raise Refused("there is no proof")
    continued = "" if is_pack else "continued an older one; "
    return f"the tree of {head.size} of {head.origin}; {continued}{len(proofs)} proofs"


def main(pack: Path, *, is_pack: bool) -> int:
    """Say it, and return the exit code."""
    try:
        said = verify(pack, is_pack=is_pack)
    except (Refused, metamorphic_log.VerifyError, ValueError, FileNotFoundError) as error:
        print(f"metamorphic-log: refused: {error}")  # noqa: T201
        return REFUSED
    print(f"metamorphic-log: good: {said}")  # noqa: T201
    return GOOD


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[-1]), is_pack="-pack" in sys.argv[1:-1]))
