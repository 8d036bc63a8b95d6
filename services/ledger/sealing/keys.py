"""The keys of one ledger: files in its own folder, readable by their owner only.

`sealer.skey` signs checkpoints, and its name is the log's origin. `naming.pem` names subjects and
lives as long as the ledger. `receipts.skey` signs receipts, `attester.pem` the statements in
evidence packs. The sealer needs the first two, whoever answers the others: production puts each
where it is needed and nowhere else. Beside each lies its public half, for those who verify:
`sealer.vkey`, `naming.pub.pem`, `receipts.vkey`, `attester.pub.pem`. `rotation` replaces them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, Signer

from services.kit.settings import SettingsError
from services.kit.tlog.keys import NotANote
from services.kit.tlog.note import Ed25519Signer
from services.ledger.sealing.naming import NamingKey, NotANamingKey
from services.ledger.sealing.shelf import sync_folder

SEALER, NAMING, RECEIPTS = "sealer.skey", "naming.pem", "receipts.skey"
ATTESTER = "attester.pem"
POLICY, RETIRED = "policy", "retired"
GAP = "gap.json"
"""What `gap` has in hand; while it is there, it is to be ended first."""
PRIVATE = 0o600
PUBLIC = {
    SEALER: "sealer.vkey",
    NAMING: "naming.pub.pem",
    RECEIPTS: "receipts.vkey",
    ATTESTER: "attester.pub.pem",
}
"""Private file → public file."""


@dataclass(frozen=True, slots=True)
class SealerKeys:
    """What the sealer signs and names with."""

    signer: Ed25519Signer
    naming: NamingKey

    @property
    def origin(self) -> str:
        """The log's origin (C2SP tlog-checkpoint)."""
        return self.signer.name


def make(folder: Path, origin: str) -> None:
    """Make all keys of a ledger. Raises `SettingsError` when one is there: none is overwritten."""
    taken = [name for name in PUBLIC if (folder / name).exists()]
    if taken:
        raise SettingsError(f"{folder} has {', '.join(taken)} already; nothing was made")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        log = Ed25519Signer.generate(origin)
        receipts = Ed25519Signer.generate(f"{origin}/receipts")
        texts = {SEALER: log.verifier.vkey, RECEIPTS: receipts.verifier.vkey}
    except NotANote as error:
        raise SettingsError(str(error)) from None
    naming = NamingKey.generate()
    attester = Ed25519PrivateKey.generate()
    private = {
        SEALER: log.skey.encode(),
        RECEIPTS: receipts.skey.encode(),
        NAMING: naming.pem(),
        ATTESTER: _pem(attester),
    }
    for name, content in private.items():
        _write(folder / name, content, PRIVATE)
    for name, text in texts.items():
        (folder / PUBLIC[name]).write_text(f"{text}\n", encoding="utf-8")
    (folder / PUBLIC[NAMING]).write_bytes(naming.checker.pem())
    (folder / PUBLIC[ATTESTER]).write_bytes(_public_pem(attester))


def sealer(folder: Path) -> SealerKeys:
    """Read the sealer's keys, or raise `SettingsError`."""
    return SealerKeys(signer(folder / SEALER), _naming(folder / NAMING))


def receipts(folder: Path) -> Ed25519Signer | None:
    """Read the key for receipts; None when there is none here: receipts go unsigned."""
    file = folder / RECEIPTS
    return signer(file) if file.exists() else None


def attester(folder: Path) -> Signer | None:
    """Read the key for statements in packs; None when there is none here: no packs."""
    file = folder / ATTESTER
    if not file.exists():
        return None
    _check_private(file)
    try:
        return CryptoSigner(load_pem_private_key(file.read_bytes(), password=None))
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{file} is not a private key in PEM: {error}") from None


def public(folder: Path) -> dict[str, bytes]:
    """Return the public keys, as packs and auditors get them; those that lie here."""
    named = {"log.vkey" if name == "sealer.vkey" else name: name for name in PUBLIC.values()}
    found = {told: folder / name for told, name in named.items()} | {
        name: folder / name for name in (POLICY, RETIRED)
    }
    return {told: file.read_bytes() for told, file in found.items() if file.exists()}


def coming(folder: Path, private: str) -> Path:
    """Return where the key lies that is to take a private key's place."""
    return folder / f"{private}.next"


def renew(folder: Path, private: str) -> None:
    """Make another key of the kind and the name of one that is there: the coming one."""
    if private == ATTESTER:
        content = _pem(Ed25519PrivateKey.generate())
    else:
        content = Ed25519Signer.generate(signer(folder / private).name).skey.encode()
    replace(coming(folder, private), content, PRIVATE)


def public_of(private: Path) -> str:
    """Return the public half of a private key's file: a vkey, or PEM."""
    if private.name.startswith(ATTESTER):
        _check_private(private)
        return _public_pem(load_pem_private_key(private.read_bytes(), password=None)).decode()
    return signer(private).verifier.vkey


def replace(file: Path, content: bytes, mode: int = 0o644) -> None:
    """Put a file in the place of the one that is there, at once: it is whole, and on disk."""
    passing = file.with_name(f".{file.name}.{os.getpid()}")
    passing.unlink(missing_ok=True)
    _write(passing, content, mode)
    passing.replace(file)
    sync_folder(file.parent)


def _pem(private: Ed25519PrivateKey) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_pem(private: Any) -> bytes:
    public: bytes = private.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    return public


def signer(file: Path) -> Ed25519Signer:
    """Read a private key for notes, or raise `SettingsError`."""
    _check_private(file)
    try:
        return Ed25519Signer.parse(file.read_text(encoding="utf-8"))
    except (NotANote, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from None


def _naming(file: Path) -> NamingKey:
    _check_private(file)
    try:
        return NamingKey.load(file)
    except NotANamingKey as error:
        raise SettingsError(f"{file}: {error}") from None


def _check_private(file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        made = "python -m services seal keys"
        raise SettingsError(f"the key {file} is missing; `{made}` makes new ones") from None
    if mode & 0o077:
        raise SettingsError(f"others can read the key {file}: chmod 600")


def _write(file: Path, content: bytes, mode: int) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
