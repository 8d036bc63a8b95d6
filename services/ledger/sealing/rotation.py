"""Replacing a key of the ledger, so that everybody knows from which position on the new one signs.

1. `prepare` makes the new key beside the old one. 2. The event `key.rotated.v1` is appended, at
position P. 3. `turn` puts the new key in the old one's place and notes `<which> <vkey> <P>` in the
file `retired`: what the old key signed about trees smaller than P, or of receipts below P, holds.

For the sealer's key the sealer itself takes the third step, in the pass that seals position P: that
checkpoint is signed by both keys, so that whoever trusts the old one can follow. A crash between
any two steps is made good by the next start, because the new key lies under its passing name until
everything else is done. The naming key is never replaced: every uid would change.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.kit.settings import SettingsError
from services.kit.tlog.checkpoint import Checkpoint, open_note
from services.kit.tlog.keys import NotANote
from services.kit.tlog.note import Ed25519Signer, Ed25519Verifier, Note
from services.ledger.sealing import keys
from services.ledger.sealing.leaves import Row

TYPE = "org.releaseledger.key.rotated.v1"
SOURCE = "/ledger/keys"
ROTATED = {"sealer": keys.SEALER, "receipts": keys.RECEIPTS, "attester": keys.ATTESTER}
"""What can be replaced → its private file."""


@dataclass(frozen=True, slots=True)
class Former:
    """A key that signs no more. `below`: of positions and tree sizes below it, its word holds."""

    which: str
    key: str
    below: int


def prepare(folder: Path, which: str) -> tuple[str, str]:
    """Make the new key, if it is not there yet; return the old and the new public key.

    Raises `SettingsError`.
    """
    if which not in ROTATED:
        raise SettingsError(
            f"{which} is not replaced: it is one of {', '.join(ROTATED)}"
            + (", for all uids come from it" if which == "naming" else "")
        )
    private = ROTATED[which]
    coming = folder / f"{private}.next"
    if not coming.exists():
        keys.renew(folder, private, coming)
    return keys.public_of(folder / private), keys.public_of(coming)


def turn(folder: Path, which: str, position: int) -> None:
    """Put the prepared key in its place. Again, after a crash at any moment, does the rest."""
    private = ROTATED[which]
    coming, now = folder / f"{private}.next", folder / private
    if not coming.exists():
        return
    old, new = keys.public_of(now), keys.public_of(coming)
    if all(each.key != old for each in former(folder)) and old != new:
        with (folder / keys.RETIRED).open("a", encoding="utf-8") as file:
            file.write(f"{which} {old.encode().hex() if which == 'attester' else old} {position}\n")
    policy = folder / keys.POLICY
    if which == "sealer" and policy.exists():
        text = policy.read_text(encoding="utf-8")
        keys.replace(policy, text.replace(f"log {old}", f"log {new}").encode())
    keys.replace(folder / keys.PUBLIC[private], f"{new.strip()}\n".encode())
    coming.replace(now)


def former(folder: Path) -> list[Former]:
    """Return the keys that were replaced. Raises `SettingsError`."""
    file = folder / keys.RETIRED
    if not file.exists():
        return []
    try:
        rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line]
        return [
            Former(which, bytes.fromhex(key).decode() if which == "attester" else key, int(below))
            for which, key, below in rows
        ]
    except ValueError as error:
        raise SettingsError(f"{file}: {error}") from None


def open_log(
    content: bytes, present: list[Ed25519Verifier], retired: list[Former]
) -> tuple[Checkpoint, Note]:
    """Open a checkpoint by a present key, or by a former one where its word still holds.

    Raises `NotANote`, `Unsigned`.
    """
    claimed = Checkpoint.parse(Note.parse(content).text).size
    return open_note(content, [*present, *holding(retired, "sealer", claimed)])


def holding(retired: Sequence[Former], which: str, number: int) -> list[Ed25519Verifier]:
    """Return the former keys whose word holds at a position, or about a tree of that size."""
    fitting = (each for each in retired if each.which == which and number < each.below)
    return [Ed25519Verifier.parse(each.key) for each in fitting]


def introduced(row: Row) -> str | None:
    """Return the sealer's new public key when an event says that it was replaced."""
    if row.type != TYPE or row.source != SOURCE or row.body is None:
        return None
    data = json.loads(row.body)["event"]["data"]
    return str(data["introduced"]) if data["key"] == "sealer" else None


class Rotation:
    """What the sealer knows of replaced keys. Without a folder there are none."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read the folder. Raises `SettingsError`."""
        self._folder = folder
        self.retired = [] if folder is None else former(folder)

    @property
    def coming(self) -> Ed25519Signer | None:
        """The next key; it may come while the sealer runs."""
        return None if self._folder is None else _coming(self._folder)

    def turn(self, position: int) -> None:
        """Put the next key in its place; the sealer begins again with it."""
        if self._folder is not None:
            turn(self._folder, "sealer", position)

    def turning(self, rows: Sequence[Row], present: str) -> int | None:
        """Return where the present key is replaced by the coming one; None: in none of the rows.

        Raises `LookupError` for a key that is not here: the present one must not sign on.
        """
        known = {present, *(each.key for each in self.retired)}
        last, where = None, 0
        for row in rows:
            if (key := introduced(row)) is not None:
                last, where = key, row.position
        if last is None or last in known:
            return None
        coming = self.coming
        if coming is None or last != coming.verifier.vkey:
            raise LookupError(f"position {where}: the sealer's key was replaced by one not here")
        return where


def _coming(folder: Path) -> Ed25519Signer | None:
    """Read the sealer's next key; None when no rotation is under way. Raises `SettingsError`."""
    file = folder / f"{keys.SEALER}.next"
    if not file.exists():
        return None
    try:
        return Ed25519Signer.parse(file.read_text(encoding="utf-8"))
    except (NotANote, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from None
