"""How whoever trusts a key that was replaced gets to the present one.

A second signature under a checkpoint shows no succession: anybody can add one. The event
`key.rotated` does, in a tree that the old key signed. So the sealer keeps, for each replaced key,
that event with its proof: `rotated/<first 32 hex digits of the SHA-256 of its vkey>`, a JSON object
of `leaf`, `salt` (hex), `body` and `proof` (C2SP tlog-proof, text), served like the tiles.

A stolen key can name a successor of its own as long as somebody trusts nothing but that key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contracts import leaf
from services.kit.tlog import merkle
from services.kit.tlog.merkle import ProofError
from services.kit.tlog.note import Ed25519Verifier
from services.kit.tlog.policy import NONE, Policy
from services.kit.tlog.proof import Proof
from services.kit.tlog.tiles import TileReader
from services.ledger.sealing.leaves import Row
from services.ledger.sealing.rotation import introduction
from services.ledger.sealing.shelf import Readable
from services.ledger.sealing.state import State

FOLDER = "rotated"


class NotASuccession(Exception):
    """What is kept of a replaced key does not show its successor."""


@dataclass(frozen=True, slots=True)
class Step:
    """A key ended at a position, and another one signs from there on."""

    position: int
    successor: Ed25519Verifier


def path(vkey: str) -> str:
    """Return where the end of a key is kept."""
    return f"{FOLDER}/{hashlib.sha256(vkey.encode()).hexdigest()[:32]}"


def made(row: Row, entry: bytes, state: State, shelf: Readable) -> bytes:
    """Return the file that shows what the event in a row says; its tree is on the shelf already."""
    read = TileReader(state.size, state.root, shelf.read).read
    hashes = merkle.inclusion_proof(row.position - 1, state.size, read)
    proof = Proof(row.position - 1, tuple(hashes), state.checkpoint)
    told = {
        "leaf": entry.decode(), "salt": (row.salt or b"").hex(), "body": (row.body or b"").decode(),
        "proof": proof.encode().decode(),
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False).encode()


def follow(shelf: Readable, key: Ed25519Verifier) -> Sequence[Step]:
    """Return the steps from a key to the present one; none when it was not replaced.

    Raises `NotASuccession`.
    """
    steps, met = list[Step](), {key.vkey}
    while (content := shelf.read(path(key.vkey))) is not None:
        steps.append(_step(content, key))
        key = steps[-1].successor
        if key.vkey in met:
            raise NotASuccession(f"position {steps[-1].position}: a key comes back")
        met.add(key.vkey)
    return steps


def _step(content: bytes, key: Ed25519Verifier) -> Step:
    try:
        return _shown(json.loads(content), key)
    except (ValueError, KeyError, TypeError, AttributeError, ProofError) as error:
        raise NotASuccession(f"{path(key.vkey)}: {error}") from error


def _shown(told: Mapping[str, str], key: Ed25519Verifier) -> Step:
    entry, body = told["leaf"].encode(), told["body"].encode()
    proof, sealed = Proof.parse(told["proof"].encode()), leaf.decode(entry)
    proof.verify(entry, Policy((key,), (), {}, NONE))
    if hashlib.sha256(bytes.fromhex(told["salt"]) + body).digest() != sealed.commitment:
        raise ProofError("salt and body do not open the leaf")
    introduced = introduction(body, key.vkey)
    if sealed.position != proof.index + 1 or introduced is None:
        raise ProofError("it is no event that replaces this key")
    return Step(sealed.position, Ed25519Verifier.parse(introduced))
