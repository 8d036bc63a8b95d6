"""Subject uids: names in the tree that tell nothing, and that the ledger cannot choose.

uid = SHA-256(signature), signature = RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2) over the
subject key in UTF-8, by the ledger's naming key of 2048 bits. Such a signature is deterministic,
and under one public key it is the only valid one for a message (the idea of RFC 9381's
RSA-FDH-VRF). So without the key nobody can test a guessed name against the tree; the ledger cannot
give one subject two uids and split its history; and openssl checks a disclosed one:

    openssl dgst -sha256 -verify naming.pem -signature subject.sig subject.key

Unique holds while raising to the power e permutes the numbers below n. A maker of the key who
breaks that on purpose makes e divide p-1 or q-1, and then can sign no more than one in e messages:
with the fixed e = 65537, demanded here, such a key could not name the subjects of a real ledger.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

BITS = 2048
EXPONENT = 65537
SIGNATURE_BYTES = BITS // 8


class NotANamingKey(ValueError):
    """The PEM is not an RSA key of 2048 bits with the exponent 65537."""


class WrongName(ValueError):
    """A signature is not the one of this subject under this key."""


def uid(signature: bytes) -> bytes:
    """Return the subject uid (32 bytes) that a signature gives."""
    return hashlib.sha256(signature).digest()


class NameChecker:
    """The public half: checks that a signature, and so a uid, is a subject's own."""

    def __init__(self, public: rsa.RSAPublicKey) -> None:
        if public.key_size != BITS or public.public_numbers().e != EXPONENT:
            raise NotANamingKey(f"a naming key is RSA, {BITS} bits, exponent {EXPONENT}")
        self._public = public

    @classmethod
    def from_pem(cls, pem: bytes) -> NameChecker:
        """Read a public key. Raises `NotANamingKey`."""
        try:
            found = load_pem_public_key(pem)
        except ValueError as error:
            raise NotANamingKey(f"not a public key in PEM: {error}") from None
        if not isinstance(found, rsa.RSAPublicKey):
            raise NotANamingKey("a naming key is an RSA key")
        return cls(found)

    def pem(self) -> bytes:
        """Write the key as openssl reads it."""
        return self._public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def check(self, key: str, signature: bytes) -> bytes:
        """Return the uid of a subject, or raise `WrongName`."""
        try:
            self._public.verify(signature, key.encode(), padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            raise WrongName(f"the signature is not the one that names {key}") from None
        return uid(signature)


class NamingKey:
    """The private half, which names subjects. One for a ledger's whole life: uids never change."""

    def __init__(self, private: rsa.RSAPrivateKey) -> None:
        self._private = private
        self.checker = NameChecker(private.public_key())

    @classmethod
    def generate(cls) -> NamingKey:
        """Make a new key."""
        return cls(rsa.generate_private_key(public_exponent=EXPONENT, key_size=BITS))

    @classmethod
    def load(cls, file: Path) -> NamingKey:
        """Read a private key in PEM. Raises `NotANamingKey`, `OSError`."""
        try:
            found = load_pem_private_key(file.read_bytes(), password=None)
        except (ValueError, TypeError) as error:
            raise NotANamingKey(f"{file.name} is not a private key in PEM: {error}") from None
        if not isinstance(found, rsa.RSAPrivateKey):
            raise NotANamingKey(f"{file.name} is not an RSA key")
        return cls(found)

    def pem(self) -> bytes:
        """Write the private key."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, key: str) -> bytes:
        """Return the signature (256 bytes) that names a subject; always the same one."""
        return self._private.sign(key.encode(), padding.PKCS1v15(), SHA256())
