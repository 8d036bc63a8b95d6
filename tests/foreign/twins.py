"""Tampered twins of a pack: each differs from the good one in one thing that somebody must notice.

Files are linked, not copied, so a twin is made in an instant; what is altered is written anew.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from services.kit.tlog import merkle
from services.kit.tlog.note import Ed25519Signer, Note, Signature
from services.kit.tlog.proof import Proof
from services.kit.tlog.tiles import WIDTH, Edge, Tile, TileReader, bundle, unbundle
from tests.foreign.log import OLDER, ORIGIN, SIZE, Keys, Made

ENTRY = 12_345
"""The index of an entry that is tampered with: below the older checkpoint, and not disclosed."""
SHOWN = 300
"""The position whose disclosed event is tampered with."""


@dataclass(frozen=True)
class Pack:
    """A pack, and what its makers know."""

    folder: Path
    keys: Keys
    made: Made

    def alter(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """Replace a file."""
        file = self.folder / name
        content = change(file.read_bytes())
        file.unlink()
        file.write_bytes(content)

    def twin(self, folder: Path) -> Pack:
        """A pack of the same files."""
        shutil.copytree(self.folder, folder, copy_function=os.link)
        return Pack(folder, self.keys, self.made)


Tamper: TypeAlias = Callable[[Pack], None]


def flip(at: int, bit: int = 1) -> Callable[[bytes], bytes]:
    """Return what turns one bit of the byte `at`."""
    return lambda content: content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]


def _note(change: Callable[[Note], Note]) -> Tamper:
    """Tamper with the checkpoint, also where a proof repeats it."""

    def changed(content: bytes) -> bytes:
        return change(Note.parse(content)).content

    def tamper(pack: Pack) -> None:
        pack.alter("checkpoint", changed)
        for file in pack.folder.glob("events/*.tlog-proof"):
            pack.alter(f"events/{file.name}", lambda content: _within(content, changed))

    return tamper


def _within(proof: bytes, change: Callable[[bytes], bytes]) -> bytes:
    head, _, checkpoint = proof.partition(b"\n\n")
    return head + b"\n\n" + change(checkpoint)


def _root_bit(note: Note) -> Note:
    origin, size, root = note.text.decode().splitlines()
    other = base64.b64encode(flip(7)(base64.b64decode(root))).decode()
    return Note(f"{origin}\n{size}\n{other}\n".encode(), note.signatures)


def _signature_bit(number: int) -> Callable[[Note], Note]:
    def change(note: Note) -> Note:
        signatures = list(note.signatures)
        of = signatures[number]
        signatures[number] = Signature(of.name, of.key_id, flip(20)(of.value))
        return Note(note.text, tuple(signatures))

    return change


def _other_key(note: Note) -> Note:
    stranger = Ed25519Signer.generate(ORIGIN)
    return Note(note.text, (stranger.sign(note.text), *note.signatures[1:]))


def _file(name: str, change: Callable[[bytes], bytes]) -> Tamper:
    return lambda pack: pack.alter(name, change)


def _entry_bit(content: bytes) -> bytes:
    """Make another digit of an entry's commitment: it still reads as a leaf."""
    entries = unbundle(content, WIDTH)
    entry = entries[ENTRY % WIDTH]
    at = len('{"commitment":"')
    entries[ENTRY % WIDTH] = (
        entry[:at] + (b"1" if entry[at] != ord("1") else b"0") + entry[at + 1 :]
    )
    return bundle(entries)


def _entries_swapped(content: bytes) -> bytes:
    entries = unbundle(content, WIDTH)
    at = ENTRY % WIDTH
    entries[at], entries[at + 1] = entries[at + 1], entries[at]
    return bundle(entries)


def _proof(change: Callable[[Proof], Proof]) -> Tamper:
    def changed(content: bytes) -> bytes:
        return change(Proof.parse(content)).encode()

    return _file(f"events/{SHOWN}.tlog-proof", changed)


def _hash_bit(proof: Proof) -> Proof:
    return Proof(proof.index, (*proof.hashes[:-1], flip(3)(proof.hashes[-1])), proof.checkpoint)


def _rewrite(pack: Pack) -> None:
    """Change the past and sign it all again, the witnesses too: a kept checkpoint shows it."""
    leaves = list(pack.made.leaves)
    leaves[ENTRY] = leaves[ENTRY + 1]
    edge, files = Edge().grow(leaves)
    for name, content in files.items():
        (pack.folder / name).unlink()
        (pack.folder / name).write_bytes(content)
    note = pack.keys.note(edge)
    pack.alter("checkpoint", lambda _: note)
    reader = TileReader(edge.size, edge.root, files.get)
    for file in pack.folder.glob("events/*.tlog-proof"):
        index = int(file.name.partition(".")[0]) - 1
        hashes = tuple(merkle.inclusion_proof(index, SIZE, reader.read))
        made = Proof(index, hashes, note).encode()
        pack.alter(f"events/{file.name}", lambda _, made=made: made)  # type: ignore[misc]
    lines = merkle.consistency_proof(OLDER, SIZE, reader.read)
    pack.alter("consistency", lambda _: b"".join(base64.b64encode(each) + b"\n" for each in lines))


_BUNDLE = Tile(None, ENTRY // WIDTH).path

TWINS: dict[str, Tamper] = {
    "a bit of the root": _note(_root_bit),
    "a bit of the log's signature": _note(_signature_bit(0)),
    "another key signs": _note(_other_key),
    "a bit of a cosignature": _note(_signature_bit(2)),
    "a cosignature is missing": _note(lambda note: Note(note.text, note.signatures[:2])),
    "a digit of an entry": _file(_BUNDLE, _entry_bit),
    "two entries swapped": _file(_BUNDLE, _entries_swapped),
    "a bundle cut off": _file(_BUNDLE, lambda content: content[:-1]),
    "a bundle missing": lambda pack: (pack.folder / _BUNDLE).unlink(),
    "a bit of a tile of level 0": _file(Tile(0, 100).path, flip(1000)),
    "a bit of a tile of level 1": _file(Tile(1, 0).path, flip(1000)),
    "a bit of a tile of level 2": _file(Tile(2, 0, 1).path, flip(5)),
    "a bit of a hash of a proof": _proof(_hash_bit),
    "another index in a proof": _proof(
        lambda proof: Proof(proof.index + 1, proof.hashes, proof.checkpoint)
    ),
    "a proof too short": _proof(
        lambda proof: Proof(proof.index, proof.hashes[:-1], proof.checkpoint)
    ),
    "a bit of a disclosed leaf": _file(f"events/{SHOWN}.leaf", flip(20)),
    "the past rewritten and signed again": _rewrite,
}
