"""Checks an evidence pack, and a receipt, offline. Every file is made up by somebody until shown.

Whom to trust comes from outside: the policy (the log's key, the witnesses) and the naming key. The
copies of them in the pack are never read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts import leaf
from contracts.event import parse_time
from contracts.leaf import Leaf, NotALeaf
from services.kit.settings import SettingsError
from services.kit.tlog import merkle
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.keys import NotANote
from services.kit.tlog.merkle import ProofError
from services.kit.tlog.note import Note, Unsigned, Verifier
from services.kit.tlog.policy import Policy
from services.kit.tlog.proof import Proof
from services.kit.tlog.tiles import WIDTH, TileReader
from services.ledger.sealing.leaves import Tampered
from services.ledger.sealing.naming import NameChecker, WrongName
from services.ledger.verify.portion import Portion, check_tree, removals_in
from services.ledger.verify.tally import Broken
from services.ledger.verify.whole import Refused, excused

_AS_IT_CAME = "or its bytes are not as they came"


@dataclass(frozen=True, slots=True)
class PackReport:
    """What a pack shows: events checked, those of them redacted, histories complete (0 without the
    tree).
    """

    head: Checkpoint
    subject: str
    events: int
    redacted: int
    histories: int


@dataclass(frozen=True, slots=True)
class InHand:
    """The tree in a pack, to read from."""

    files: Mapping[str, bytes]

    def read(self, path: str) -> bytes | None:
        """Return a file, None when there is none."""
        return self.files.get(path)


def read_zip(file: Path | io.BytesIO) -> dict[str, bytes]:
    """Return a pack's files by path. Raises `Refused` for what is no zip."""
    try:
        with zipfile.ZipFile(file) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise Refused(f"not a pack: {error}") from None


def verify_pack(files: Mapping[str, bytes], policy: Policy, naming: NameChecker) -> PackReport:
    """Check everything in a pack. Raises `Refused` naming the first thing that does not hold."""
    try:
        head = policy.check(files["checkpoint"])
        names = _names(files, naming)
        events, redacted = _events(files, policy, names)
        about = json.loads(files["about.json"])
        histories = _histories(files, head, about, names, events)
    except KeyError as error:
        raise Refused(f"{error} is missing") from None
    except (ProofError, Unsigned, NotANote, NotALeaf, WrongName, Tampered, Broken) as error:
        raise Refused(str(error)) from error
    return PackReport(head, str(about["subject"]), len(events), redacted, histories)


def _names(files: Mapping[str, bytes], naming: NameChecker) -> dict[str, bytes]:
    """Return the uids of the subjects that a pack discloses, by key."""
    names = {}
    for path, content in files.items():
        if path.startswith("subjects/") and path.endswith(".key"):
            key, stated = content.decode(errors="replace"), path[9:-4]
            names[key] = naming.check(key, files[f"subjects/{stated}.sig"])
            if names[key].hex() != stated:
                raise WrongName(f"{path} is not named by the uid of {key}")
    return names


def _events(
    files: Mapping[str, bytes], policy: Policy, names: Mapping[str, bytes]
) -> tuple[dict[int, Leaf], int]:
    """Return the leaves of the events in a pack, each proven and opened, and how many of them are
    redacted: that is recorded in the pack too, else a body is withheld.
    """
    found, known, portion = {}, set(names.values()), Portion()
    for path, entry in files.items():
        if not (path.startswith("events/") and path.endswith(".leaf")):
            continue
        stem, read = path[:-5], leaf.decode(entry)
        proof = Proof.parse(files[f"{stem}.tlog-proof"])
        proof.verify(entry, policy)
        if stem != f"events/{read.position}" or proof.index != read.position - 1:
            raise Tampered(read.position, f"{path} is the leaf of another position")
        if not {uid for uid, _ in read.subjects} <= known:
            raise Tampered(read.position, "a subject of it is not disclosed")
        body, salt = files.get(f"{stem}.json"), files.get(f"{stem}.salt")
        if body is not None and hashlib.sha256((salt or b"") + body).digest() != read.commitment:
            raise Tampered(read.position, "salt and body do not open the commitment")
        if body is None:
            portion.gone[read.position] = read.commitment.hex()
        portion.removals |= removals_in(body)
        found[read.position] = read
    excused(portion)
    return found, len(portion.gone)


def _histories(
    files: Mapping[str, bytes], head: Checkpoint, about: Mapping[str, object],
    names: Mapping[str, bytes], events: Mapping[int, Leaf],
) -> int:  # fmt: skip
    """Count the histories that the tree shows to be whole in the pack."""
    if not about["whole_tree"]:
        return 0
    read = TileReader(head.size, head.root, files.get)
    if "anchor/checkpoint" in files:
        _continues(read, head, Checkpoint.parse(Note.parse(files["anchor/checkpoint"]).text))
    portion, entries = check_tree(read, range(-(-head.size // WIDTH)))
    portion.tally.begins()
    listed = about["histories"]
    if not isinstance(listed, list) or about["subject"] not in [h["subject"] for h in listed]:
        raise Refused("about.json does not list the history of the pack's own subject")
    for each in listed:
        uid = names[each["subject"]]
        named = f'["{uid.hex()}",'.encode()
        for position, entry in enumerate(entries, 1):
            if named in entry and position not in events:
                raise Tampered(position, f"an event of {each['subject']} is not in the pack")
        if portion.tally.version(uid) != each["versions"]:
            raise Refused(f"{each['subject']} has another number of events than the pack says")
    return len(listed)


def _continues(read: TileReader, head: Checkpoint, old: Checkpoint) -> None:
    """Check that the time-stamped tree is the beginning of this one."""
    if old.size > head.size:
        raise Refused("the time-stamp is of a larger tree than the pack's")
    proof = merkle.consistency_proof(old.size, head.size, read.read)
    merkle.verify_consistency(old.size, head.size, old.root, head.root, proof)


def verify_receipt(content: bytes, verifiers: Sequence[Verifier], entry: bytes) -> int:
    """Return the position of a receipt that the ledger signed and the tree bears out.

    `entry`: the leaf that the tree has at that position. Raises `Refused`.
    """
    text, mark, rest = content.decode().rstrip().partition(',"sealed":')
    try:
        said = json.loads(f"{text}}}")
        line = json.loads(f'{{"sealed":{rest}')["signature"]
        note = Note.parse(f"{text}}}\n\n{line}\n".encode())
        if not mark or not note.signed_by(verifiers):
            raise Refused(f"the receipt is not signed by this ledger, {_AS_IT_CAME}")
        read = leaf.decode(entry)
    except (ValueError, KeyError, TypeError, Unsigned) as error:
        raise Refused(f"not a receipt of this ledger, {_AS_IT_CAME}: {error}") from None
    promised = Leaf(
        bytes.fromhex(said["commitment"]), leaf.event_uuid(said["event_id"]), said["position"],
        parse_time(said["recorded_at"]), read.subjects,
    )  # fmt: skip
    versions = [version for _, version in read.subjects]
    if promised != read or list(said["versions"].values()) != versions:
        raise Refused(f"position {read.position}: the receipt promised another event than the tree")
    return int(said["position"])


def receipt_in(content: bytes) -> bytes:
    """Return the receipt's own bytes from a receipt, or from the answer that had it."""
    text = content.decode(errors="replace")
    start = text.find('"receipt":')
    if start < 0:
        return content
    start += len('"receipt":')
    with contextlib.suppress(ValueError):
        end = json.JSONDecoder().raw_decode(text, start)[1]
        return text[start:end].encode()
    return content


def position_of(content: bytes) -> int:
    """Return the position that a receipt claims. Raises `SettingsError`: it is no receipt."""
    try:
        return int(json.loads(content)["position"])
    except (ValueError, KeyError, TypeError):
        raise SettingsError(
            "nothing is shown: the file is no receipt, as an append gives it"
        ) from None
