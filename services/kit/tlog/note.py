"""Signed notes (C2SP signed-note): text that ends with a newline, an empty line, signature lines.

A signature line is `— <key name> base64(key id ‖ signature)`. Whoever opens a note brings the keys
that he trusts; lines of other keys say nothing and are passed over.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.kit.tlog.keys import (
    ID_BYTES,
    NotANote,
    check_ed25519,
    decode64,
    key_id,
    read_key,
    read_private,
    verify_ed25519,
    write_key,
    write_private,
)

ED25519 = 0x01
MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


class Unsigned(ValueError):
    """No key that is trusted has signed the note, or one of its signatures is wrong."""


class Verifier(Protocol):
    """A public key with its name, as a `vkey` says it."""

    @property
    def name(self) -> str:
        """The key's name."""

    @property
    def key_id(self) -> bytes:
        """4 bytes that tell keys of one name apart."""

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Say whether `signature` is one of `text` by this key."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line."""

    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> bytes:
        """The line, with its newline."""
        encoded = base64.b64encode(self.key_id + self.value).decode()
        return f"— {self.name} {encoded}\n".encode()


@dataclass(frozen=True, slots=True)
class Note:
    """A note as read: nothing is verified."""

    text: bytes
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, content: bytes) -> Note:
        """Read a note in its one form. Raises `NotANote`."""
        try:
            whole = content.decode()
        except UnicodeDecodeError:
            raise NotANote("a note is UTF-8") from None
        if len(content) > MAX_NOTE_BYTES or re.search(r"[\x00-\x09\x0b-\x1f]", whole):
            raise NotANote("a note holds no control characters but newlines, and has an end")
        text, gap, lines = whole.rpartition("\n\n")
        if not gap or not lines.endswith("\n"):
            raise NotANote("a note is a text, an empty line, and signature lines")
        return cls(f"{text}\n".encode(), read_signatures(lines.encode()))

    @property
    def content(self) -> bytes:
        """The note as bytes."""
        return b"".join((self.text, b"\n", *(each.line for each in self.signatures)))

    def signed_by(self, verifiers: Sequence[Verifier]) -> list[Verifier]:
        """Return those who signed. Raises `Unsigned` if a line claims one of them wrongly."""
        found: list[Verifier] = []
        for each in self.signatures:
            for verifier in verifiers:
                if (verifier.name, verifier.key_id) != (each.name, each.key_id):
                    continue
                if not verifier.verifies(self.text, each.value):
                    raise Unsigned(f"the signature of {each.name} is wrong")
                if verifier not in found:
                    found.append(verifier)
        return found


def read_signatures(lines: bytes) -> tuple[Signature, ...]:
    """Read signature lines. Raises `NotANote`."""
    found = lines.decode().split("\n")[:-1]
    if not lines.endswith(b"\n") or not 0 < len(found) <= MAX_SIGNATURES:
        raise NotANote("signature lines end with newlines, and a note has 1 to 100")
    return tuple(map(_signature, found))


def _signature(line: str) -> Signature:
    found = _LINE.fullmatch(line)
    value = b"" if found is None else decode64(found[2])
    if found is None or len(value) <= ID_BYTES:
        raise NotANote(f"{line[:80]!r} is not a signature line")
    return Signature(found[1], value[:ID_BYTES], value[ID_BYTES:])


@dataclass(frozen=True)
class Ed25519Verifier:
    """The public key of a log."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """See `Verifier`."""
        return key_id(self.name, ED25519, self.public)

    @property
    def vkey(self) -> str:
        """The key as text."""
        return write_key(self.name, ED25519, self.public)

    @classmethod
    def parse(cls, vkey: str) -> Ed25519Verifier:
        """Read a vkey. Raises `NotANote`."""
        name, algorithm, public = read_key(vkey)
        if algorithm != ED25519:
            raise NotANote(f"the key {name} is not an Ed25519 key of a log")
        return cls(name, check_ed25519(name, public))

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """See `Verifier`."""
        return verify_ed25519(self.public, signature, text)


class Ed25519Signer:
    """The private key of a log, in the text form of Go's note package (PRIVATE+KEY+…)."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.verifier = Ed25519Verifier(name, public)

    @classmethod
    def generate(cls, name: str) -> Ed25519Signer:
        """Make a new key."""
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, skey: str) -> Ed25519Signer:
        """Read a key. Raises `NotANote`; the message never holds the key."""
        name, seed = read_private(skey, ED25519)
        return cls(name, seed)

    @property
    def name(self) -> str:
        """The key's name."""
        return self.verifier.name

    @property
    def skey(self) -> str:
        """The key as text: keep it to yourself."""
        return write_private(self.name, ED25519, self._private, self.verifier.public)

    def sign(self, text: bytes) -> Signature:
        """Sign a text."""
        return Signature(self.name, self.verifier.key_id, self._private.sign(text))
