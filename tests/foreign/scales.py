"""Verifies a pack with `tlog-scales` (PyPI): signatures, tiles, entries, proofs. No code of ours.

    python tests/foreign/scales.py [-pack] FOLDER

Exit 0 good, 9 refused, 1 could not look. An evidence pack has no older checkpoint:
`-pack` leaves consistency out. The package's command line (`tlog-tiles get-leaf -c`)
checks an entry against tiles but no signature, so this asks the library. Its reader trusts the
tiles that it reads: here each hash is compared with what lies below it, down to the entries.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey, VkeySet
from tlog_scales.tiles import leaf_hash, level_entries
from tlog_scales.tlog import (
    Checkpoint,
    ConsistencyProof,
    ConsistencyProofInvalid,
    InclusionProof,
    InclusionProofInvalid,
)
from tlog_scales.utils import b64dec

GOOD, ERROR, REFUSED = 0, 1, 9
WIDTH = 256


class Refused(Exception):
    """Something does not hold."""


def quorum_met(policy: list[list[str]], signed: set[str]) -> bool:
    """Count cosignatures as the policy says (C2SP tlog-policy)."""
    met, quorum = set(signed), "undefined"
    for keyword, name, *rest in (words for words in policy if words):
        if keyword == "group":
            least = {"all": len(rest) - 1, "any": 1}.get(rest[0]) or int(rest[0])
            met |= {name} if len(met & set(rest[1:])) >= least else set()
        elif keyword == "quorum":
            quorum = name
    return quorum == "none" or quorum in met


def open_checkpoint(pack: Path, content: bytes) -> Checkpoint:
    """Return a checkpoint that the log and a quorum of the pack's policy have signed."""
    found = Checkpoint.from_text(content.decode())
    if not content.decode().startswith(found.serialize_body() + "\n"):
        raise Refused("the checkpoint is not written as it reads")
    log = Vkey.from_string((pack / "trust/log.vkey").read_text("utf-8").strip())
    policy = [line.split() for line in (pack / "trust/policy").read_text("utf-8").splitlines()]
    names = {Vkey.from_string(line[2]).key_id: line[1] for line in policy if line[0] == "witness"}
    keys = VkeySet(log, *(Vkey.from_string(line[2]) for line in policy if line[0] == "witness"))
    signed = {vkey.key_id for vkey, _ in keys.verify(found.signatures, found)}
    if log.key_id not in signed or found.origin != log.name:
        raise Refused(f"{log.name} has not signed this checkpoint of {found.origin}")
    if not quorum_met(policy, {names[each] for each in signed if each in names}):
        raise Refused("the quorum of the policy is not met")
    return found


def check_tree(reader: TilesReader, head: Checkpoint) -> None:
    """Compare entries with leaves, each hash of a tile with those below, and the top with the root.

    A half of a subtree lies one level down, so asking for halves reads the tile below.
    """
    for index in range(head.size):
        if leaf_hash(reader.get_entry(index)) != reader.mth(index, index + 1):
            raise Refused(f"entry {index} is not the one in the tree")
    span, level = WIDTH, 1
    while level_entries(head.size, level):
        for number in range(level_entries(head.size, level)):
            low, middle, high = number * span, number * span + span // 2, (number + 1) * span
            halves = reader.mth(low, middle) + reader.mth(middle, high)
            if hashlib.sha256(b"\x01" + halves).digest() != reader.mth(low, high):
                raise Refused(f"hash {number} of level {level} is not that of the level below")
        span, level = span * WIDTH, level + 1
    if reader.calculate_root_hash() != head.root_hash:
        raise Refused("the tiles have another root than the checkpoint")


def check_proof(pack: Path, file: Path) -> None:
    """Check that a disclosed leaf is in the tree of its proof's checkpoint."""
    head, _, checkpoint = file.read_bytes().partition(b"\n\n")
    title, index, *hashes = head.decode().split("\n")
    if title != "c2sp.org/tlog-proof@v1" or not index.startswith("index "):
        raise Refused(f"{file.name} is no tlog-proof")
    signed = open_checkpoint(pack, checkpoint)
    proof = InclusionProof(int(index[6:]), signed.size, [b64dec(line) for line in hashes])
    proof.check(leaf_hash(file.with_suffix(".leaf").read_bytes()), signed.root_hash)


def check_older(pack: Path, head: Checkpoint) -> str:
    """Check that the log only grew since an older checkpoint, and say it."""
    older = open_checkpoint(pack, (pack / "older").read_bytes())
    hashes = [b64dec(line) for line in (pack / "consistency").read_text("utf-8").splitlines()]
    ConsistencyProof(older.size, head.size, hashes).check(older.root_hash, head.root_hash)
    return f"the tree of {older.size} continued; "


def verify(pack: Path, *, is_pack: bool) -> str:
    """Verify everything and say what was verified."""
    head = open_checkpoint(pack, (pack / "checkpoint").read_bytes())
    continued = "" if is_pack else check_older(pack, head)
    reader = TilesReader(LocalBackend(pack))
    reader.set_size(head.size)
    check_tree(reader, head)
    proofs = sorted(pack.glob("events/*.tlog-proof"))
    for file in proofs:
        check_proof(pack, file)
    if not proofs:
        raise Refused("there is no proof")
    return (
        f"{head.size} entries of {head.origin}, each in its tile; a quorum cosigned; "
        f"{continued}{len(proofs)} proofs"
    )


def main(pack: Path, *, is_pack: bool) -> int:
    """Say it, and return the exit code."""
    logging.disable()  # it warns with a stack of each signature that is wrong
    try:
        said = verify(pack, is_pack=is_pack)
    except (Refused, InclusionProofInvalid, ConsistencyProofInvalid, InvalidSignature) as error:
        print(f"tlog-scales: refused: {error}")  # noqa: T201
        return REFUSED
    except (ValueError, RuntimeError, IndexError, FileNotFoundError) as error:  # as it says them
        print(f"tlog-scales: refused: missing, or not in its form: {error}")  # noqa: T201
        return REFUSED
    print(f"tlog-scales: good: {said}")  # noqa: T201
    return GOOD


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[-1]), is_pack="-pack" in sys.argv[1:-1]))
