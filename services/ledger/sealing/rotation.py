"""Replacing a key of the ledger, so that everybody knows from which position on the new one signs.

1. `prepare` makes the new key beside the old one. 2. The event `key.rotated.v1` is appended, at
position P. 3. `turn` puts the new key in the old one's place and notes `<which> <vkey> <P>` in the
file `retired`: what the old key signed about trees smaller than P, or of receipts below P, holds.

For the sealer's key the sealer itself takes the third step, when it has sealed position P: that
checkpoint is signed by both keys and published first, and the event is kept with its proof, so that
whoever trusts the old key can follow (`succession`). A crash between any two steps is made good by
the next start, because the new key lies under its passing name until everything else is done. The
naming key is never replaced: every uid would change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.kit.settings import SettingsError
from services.kit.tlog.checkpoint import Checkpoint, open_note
from services.kit.tlog.note import Ed25519Signer, Ed25519Verifier, Note
from services.ledger.sealing import keys
from services.ledger.sealing.leaves import Row
from services.ledger.sealing.shelf import sync_folder

TYPE = "org.releaseledger.key.rotated.v1"
SOURCE = "/ledger/keys"
GAP, GAPS = "org.releaseledger.gap.declared.v1", "/ledger/gaps"
"""Type and source of the event that closes a log (`gap`)."""
ROTATED = {"sealer": keys.SEALER, "receipts": keys.RECEIPTS, "attester": keys.ATTESTER}
"""What can be replaced → its private file."""


@dataclass(frozen=True, slots=True)
class Former:
    """A key that signs no more. `below`: of positions and tree sizes below it, its word holds."""

    which: str
    key: str
    below: int


@dataclass(frozen=True, slots=True)
class Turning:
    """The sealer's key ends at a position, where this one takes its place."""

    position: int
    coming: Ed25519Signer


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
    if not keys.coming(folder, private).exists():
        keys.renew(folder, private)
    return keys.public_of(folder / private), keys.public_of(keys.coming(folder, private))


def turn(folder: Path, which: str, position: int) -> None:
    """Put the prepared key in its place. Again, after a crash at any moment, does the rest."""
    private = ROTATED[which]
    coming, now = keys.coming(folder, private), folder / private
    if not coming.exists():
        return
    old, new = keys.public_of(now), keys.public_of(coming)
    if which != "attester" and old not in {each.key for each in former(folder)}:
        file = folder / keys.RETIRED
        known = file.read_text(encoding="utf-8") if file.exists() else ""
        keys.replace(file, f"{known}{which} {old} {position}\n".encode())
    policy = folder / keys.POLICY
    if which == "sealer" and policy.exists():
        lines = policy.read_text(encoding="utf-8").split("\n")
        ours = (each.replace(old, new) if each.split()[:1] == ["log"] else each for each in lines)
        keys.replace(policy, "\n".join(ours).encode())
    keys.replace(folder / keys.PUBLIC[private], f"{new.strip()}\n".encode())
    coming.replace(now)
    sync_folder(folder)


def former(folder: Path) -> list[Former]:
    """Return the keys that were replaced. Raises `SettingsError`."""
    file = folder / keys.RETIRED
    if not file.exists():
        return []
    try:
        rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line]
        return [Former(which, key, int(below)) for which, key, below in rows]
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


def introduction(body: bytes, retired: str | None = None) -> str | None:
    """Return the sealer's new public key when a body says that its key was replaced.

    `retired`: only when it was this one.
    """
    event = json.loads(body)["event"]
    if (event["type"], event["source"]) != (TYPE, SOURCE) or event["data"]["key"] != "sealer":
        return None
    data = event["data"]
    return str(data["introduced"]) if retired in {None, data["retired"]} else None


def last(rows: Iterable[Row]) -> tuple[int, str] | None:
    """Return the position of the last event that replaced the sealer's key, and the new key.

    None when there is none in the present log: a gap closes a log, and with it what was said of
    its keys.
    """
    found: tuple[int, str] | None = None
    for row in rows:
        if row.body is not None and (row.type, row.source) == (TYPE, SOURCE):
            key = introduction(row.body)
            found = found if key is None else (row.position, key)
        elif (row.type, row.source) == (GAP, GAPS):
            found = None
    return found


class Rotation:
    """What the sealer knows of replaced keys. Without a folder there are none."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read the folder. Raises `SettingsError`."""
        self._folder = folder
        self.retired = [] if folder is None else former(folder)

    def turn(self, turning: Turning) -> None:
        """Put the next key in its place; the sealer begins again with it."""
        if self._folder is not None:
            turn(self._folder, "sealer", turning.position)

    def turning(self, rows: Sequence[Row], present: str) -> Turning | None:
        """Return where the present key is replaced by the coming one; None: in none of the rows.

        Raises `LookupError` for a key that is not here: the present one must not sign on.
        """
        where, key = last(rows) or (0, present)
        if key in {present, *(each.key for each in self.retired)}:
            return None
        file = None if self._folder is None else keys.coming(self._folder, keys.SEALER)
        coming = keys.signer(file) if file is not None and file.exists() else None
        if coming is None or key != coming.verifier.vkey:
            raise LookupError(f"position {where}: the sealer's key was replaced by one not here")
        return Turning(where, coming)
