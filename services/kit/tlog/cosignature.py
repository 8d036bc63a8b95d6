"""Cosignatures (C2SP tlog-cosignature): what a witness says of a checkpoint, and when.

Type 0x04 is Ed25519 over `cosignature/v1`, `time …` and the checkpoint. Type 0x06 is ML-DSA-44
over a binary message with the witness's name; it is read and verified where a policy allows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.keys import (
    NotANote,
    check_ed25519,
    key_id,
    read_key,
    read_private,
    verify_ed25519,
    write_key,
    write_private,
)
from services.kit.tlog.note import Signature

ED25519 = 0x04
ML_DSA_44 = 0x06
_TIME_BYTES = 8
_LATEST = 2**63 - 1


@dataclass(frozen=True)
class Ed25519Witness:
    """A witness's public key of type 0x04."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """See `note.Verifier`."""
        return key_id(self.name, ED25519, self.public)

    @property
    def vkey(self) -> str:
        """The key as text."""
        return write_key(self.name, ED25519, self.public)

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """See `note.Verifier`."""
        moment = time_of(signature)
        if moment is None:
            return False
        return verify_ed25519(self.public, signature[_TIME_BYTES:], _message(moment, text))


@dataclass(frozen=True)
class MlDsa44Witness:
    """A witness's public key of type 0x06."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """See `note.Verifier`."""
        return key_id(self.name, ML_DSA_44, self.public)

    @property
    def vkey(self) -> str:
        """The key as text."""
        return write_key(self.name, ML_DSA_44, self.public)

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """See `note.Verifier`."""
        moment = time_of(signature)
        if moment is None:
            return False
        try:
            message = subtree_message(self.name, moment, Checkpoint.parse(text))
            key = MLDSA44PublicKey.from_public_bytes(self.public)
            key.verify(signature[_TIME_BYTES:], message)
        except (InvalidSignature, ValueError):
            return False
        return True


Witness: TypeAlias = Ed25519Witness | MlDsa44Witness


def parse_witness(vkey: str, *, ml_dsa: bool = False) -> Witness:
    """Read a witness's vkey. Raises `NotANote`; type 0x06 only where `ml_dsa` allows it."""
    name, algorithm, public = read_key(vkey)
    if algorithm == ED25519:
        return Ed25519Witness(name, check_ed25519(name, public))
    if algorithm != ML_DSA_44:
        raise NotANote(f"the key {name} is not one of a witness (types 0x04 and 0x06)")
    if not ml_dsa:
        raise NotANote(f"the key {name} is of type ML-DSA-44, which is not allowed here")
    try:
        MLDSA44PublicKey.from_public_bytes(public)
    except ValueError:
        raise NotANote(f"the key {name} is not an ML-DSA-44 key") from None
    return MlDsa44Witness(name, public)


class Cosigner:
    """A witness's private key of type 0x04."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.witness = Ed25519Witness(name, public)

    @classmethod
    def generate(cls, name: str) -> Cosigner:
        """Make a new key."""
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, skey: str) -> Cosigner:
        """Read a key. Raises `NotANote`."""
        return cls(*read_private(skey, ED25519))

    @property
    def skey(self) -> str:
        """The key as text: keep it to yourself."""
        return write_private(self.witness.name, ED25519, self._private, self.witness.public)

    def cosign(self, text: bytes, moment: int) -> Signature:
        """Sign a checkpoint's text as seen at a moment (POSIX seconds)."""
        value = self._private.sign(_message(moment, text))
        stamped = moment.to_bytes(_TIME_BYTES, "big") + value
        return Signature(self.witness.name, self.witness.key_id, stamped)


def time_of(signature: bytes) -> int | None:
    """Return when a cosignature was made (POSIX seconds), None where it says nothing valid."""
    moment = int.from_bytes(signature[:_TIME_BYTES], "big")
    return moment if len(signature) > _TIME_BYTES and moment <= _LATEST else None


def _message(moment: int, text: bytes) -> bytes:
    return f"cosignature/v1\ntime {moment}\n".encode() + text


def subtree_message(name: str, moment: int, checkpoint: Checkpoint) -> bytes:
    """Return what type 0x06 signs (`cosigned_message`) for a whole tree."""
    return b"".join((
        b"subtree/v1\n\x00",
        _opaque(name.encode()),
        moment.to_bytes(8, "big"),
        _opaque(checkpoint.origin.encode()),
        (0).to_bytes(8, "big"),
        checkpoint.size.to_bytes(8, "big"),
        checkpoint.root,
    ))  # fmt: skip


def _opaque(value: bytes) -> bytes:
    return len(value).to_bytes(1, "big") + value
