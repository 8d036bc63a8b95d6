"""Keys of signed notes as text: `<name>+<id>+<base64>`, public (vkey) and private (skey).

The first byte of what the base64 holds says what the key is for: 0x01 a log, 0x04, 0x06 a witness.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ID_BYTES = 4
_NAME = re.compile(r"[^\s+]+")


class NotANote(ValueError):
    """The text is not a signed note, or a key is not written as a key."""


def key_id(name: str, algorithm: int, public: bytes) -> bytes:
    """Return the id of a key: the first 4 bytes of SHA-256(name ‖ newline ‖ algorithm ‖ key)."""
    known = f"{name}\n".encode() + bytes([algorithm]) + public
    return hashlib.sha256(known).digest()[:ID_BYTES]


def write_key(name: str, algorithm: int, public: bytes) -> str:
    """Write a verifier key (vkey): name, key id in hex, algorithm and key in base64."""
    if not _NAME.fullmatch(name):
        raise NotANote(f"{name!r} cannot name a key: no white space, no plus sign")
    encoded = base64.b64encode(bytes([algorithm]) + public).decode()
    return f"{name}+{key_id(name, algorithm, public).hex()}+{encoded}"


def read_key(vkey: str) -> tuple[str, int, bytes]:
    """Read a vkey: name, algorithm, public key. Raises `NotANote`."""
    name, _, rest = vkey.strip().partition("+")
    stated, _, encoded = rest.partition("+")
    known = decode64(encoded)
    if not _NAME.fullmatch(name) or not known:
        raise NotANote(f"{vkey[:80]!r} is not a verifier key: name+id+key")
    if key_id(name, known[0], known[1:]).hex() != stated:
        raise NotANote(f"the id of the verifier key {name} is not that of its key")
    return name, known[0], known[1:]


def decode64(text: str) -> bytes:
    """Read base64 in its one spelling; nothing (which is never valid here) when it is none."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return value if base64.b64encode(value).decode() == text else b""


def read_private(skey: str, algorithm: int) -> tuple[str, Ed25519PrivateKey]:
    """Read `PRIVATE+KEY+<name>+<id>+<base64 of algorithm and seed>`. Raises `NotANote`."""
    parts = skey.strip().split("+", 4)
    if len(parts) != 5 or parts[:2] != ["PRIVATE", "KEY"]:  # noqa: PLR2004 - as the line above says
        raise NotANote("not a private key of a note: PRIVATE+KEY+name+id+key")
    name, stated, known = parts[2], parts[3], decode64(parts[4])
    if len(known) != 33 or known[0] != algorithm:  # noqa: PLR2004 - algorithm and seed
        raise NotANote(f"the private key {name} is not an Ed25519 key for this use")
    private = Ed25519PrivateKey.from_private_bytes(known[1:])
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    if key_id(name, algorithm, public).hex() != stated:
        raise NotANote(f"the id of the private key {name} is not that of its key")
    return name, private


def write_private(name: str, algorithm: int, private: Ed25519PrivateKey, public: bytes) -> str:
    """Write a private key as `read_private` reads it."""
    encoded = base64.b64encode(bytes([algorithm]) + private.private_bytes_raw()).decode()
    return f"PRIVATE+KEY+{name}+{key_id(name, algorithm, public).hex()}+{encoded}"


def check_ed25519(name: str, public: bytes) -> bytes:
    """Return the key, or raise `NotANote`."""
    try:
        Ed25519PublicKey.from_public_bytes(public)
    except ValueError:
        raise NotANote(f"the key {name} is not 32 bytes of Ed25519") from None
    return public


def verify_ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether a signature is right (RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True
