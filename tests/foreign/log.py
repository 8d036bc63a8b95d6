"""A log as the sealer leaves it behind, laid out as an evidence pack, for verifiers of others.

70,000 leaves of 2 subjects each: three levels of tiles, every one with a partial tile. The older
checkpoint is one that somebody kept; the newer one must continue it.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from contracts.leaf import Leaf, Named
from services.kit.tlog import checkpoint as checkpoints
from services.kit.tlog import merkle
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.cosignature import Cosigner
from services.kit.tlog.note import Ed25519Signer, Note
from services.kit.tlog.proof import Proof
from services.kit.tlog.tiles import Edge, Files, TileReader
from services.ledger.sealing.naming import NamingKey, uid

ORIGIN = "ledger.example/foreign"
SIZE = 70_000
OLDER = 40_000
RELEASES, SERVICES = 300, 40
SHOWN = (1, 256, 257, 300, 40_000, 65_536, 65_537, 69_888, 69_889, 70_000)
"""Positions whose events are disclosed: both sides of every edge that the tree has."""
_FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)
_COSIGNED = 1_780_000_000


@dataclass(frozen=True)
class Keys:
    """Everybody who signs."""

    signer: Ed25519Signer = field(default_factory=lambda: Ed25519Signer.generate(ORIGIN))
    witnesses: tuple[Cosigner, ...] = field(
        default_factory=lambda: (
            Cosigner.generate("witness.example/one"),
            Cosigner.generate("witness.example/two"),
        )
    )
    naming: NamingKey = field(default_factory=NamingKey.generate)

    def note(self, edge: Edge) -> bytes:
        """The cosigned checkpoint of a tree."""
        head = Checkpoint(ORIGIN, edge.size, edge.root)
        signed = checkpoints.sign(head, self.signer)
        lines = [each.cosign(head.text, _COSIGNED) for each in self.witnesses]
        return Note(signed.text, (*signed.signatures, *lines)).content

    @property
    def policy(self) -> str:
        """Both witnesses must have cosigned (C2SP tlog-policy)."""
        names = [each.witness.name.rpartition("/")[2] for each in self.witnesses]
        lines = [f"log {self.signer.verifier.vkey}"]
        lines += [
            f"witness {name} {each.witness.vkey}"
            for name, each in zip(names, self.witnesses, strict=True)
        ]
        return "\n".join([*lines, f"group both all {' '.join(names)}", "quorum both", ""])


@dataclass
class Made:
    """What is recorded of every event, in order."""

    bodies: list[bytes] = field(default_factory=list)
    salts: list[bytes] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    signatures: dict[str, bytes] = field(default_factory=dict)


def write(folder: Path, keys: Keys, made: Made, older: int = OLDER) -> None:
    """Seal what was recorded, and lay it out."""
    size = len(made.leaves)
    edge, files = Edge().grow(made.leaves[:older])
    _put(folder, files)
    _put(folder, {"older": keys.note(edge)})
    edge, files = edge.grow(made.leaves[older:])
    _put(folder, files)
    note = keys.note(edge)
    _put(folder, {"checkpoint": note, **_trust(keys), **_subjects(made)})
    reader = TileReader(edge.size, edge.root, lambda path: (folder / path).read_bytes())
    for position in (each for each in SHOWN if each <= size):
        hashes = merkle.inclusion_proof(position - 1, size, reader.read)
        proof = Proof(position - 1, tuple(hashes), note)
        _put(folder, _event(made, position, proof))
    _put(folder, {"consistency": _consistency(older, size, reader)})


def record(naming: NamingKey, size: int = SIZE) -> Made:
    """Make events that name a release and a service each, and their leaves."""
    chance, made, versions = random.Random(5), Made(), Counter[str]()
    for position in range(1, size + 1):
        release = f"release:pay-1.{chance.randrange(RELEASES)}"
        service = f"service:shop-{chance.randrange(SERVICES)}"
        event, salt = UUID(bytes=chance.randbytes(16), version=4), chance.randbytes(32)
        body = f'{{"event":{{"id":"{event}","subject":"{release}","subjects":"{service}"}}}}'
        named = []
        for key in (release, service):
            versions[key] += 1
            if key not in made.signatures:
                made.signatures[key] = naming.sign(key)
            named.append(Named(uid(made.signatures[key]), versions[key]))
        commitment = hashlib.sha256(salt + body.encode()).digest()
        moment = _FIRST + timedelta(seconds=position)
        leaf = Leaf(commitment, event, position, moment, tuple(named))
        made.bodies.append(body.encode())
        made.salts.append(salt)
        made.leaves.append(leaf.encode())
    return made


def _trust(keys: Keys) -> Files:
    return {
        "trust/log.vkey": f"{keys.signer.verifier.vkey}\n".encode(),
        "trust/naming.pub.pem": keys.naming.checker.pem(),
        "trust/policy": keys.policy.encode(),
    }


def _subjects(made: Made) -> Files:
    files: Files = {}
    for key, signature in made.signatures.items():
        name = f"subjects/{uid(signature).hex()}"
        files |= {f"{name}.key": key.encode(), f"{name}.sig": signature}
    return files


def _event(made: Made, position: int, proof: Proof) -> Files:
    at, name = position - 1, f"events/{position}"
    return {
        f"{name}.json": made.bodies[at],
        f"{name}.salt": made.salts[at],
        f"{name}.leaf": made.leaves[at],
        f"{name}.tlog-proof": proof.encode(),
    }


def _consistency(older: int, size: int, reader: TileReader) -> bytes:
    """Return the hashes between the two checkpoints, a line each, as in a witness's request."""
    hashes = merkle.consistency_proof(older, size, reader.read)
    return b"".join(base64.b64encode(each) + b"\n" for each in hashes)


def _put(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
