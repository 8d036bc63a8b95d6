"""Writes an evidence pack: one zip, streamed; a file at a time is in memory.

README.md  verify-proof.sh  count-subject.sh  checkpoint  about.json
trust/            log.vkey  naming.pub.pem  receipts.vkey  attester.pub.pem  policy
events/<n>.json   the recorded bytes · .salt · .leaf · .tlog-proof (C2SP)
subjects/<uid>.key · .sig   what the uids in the leaves stand for
decisions/<n>.vsa.json      each gate decision as a signed verification summary (DSSE)
tile/entries/… tile/<L>/…   the whole tree up to the checkpoint (`tree=false` leaves it out)
manifest.dsse.json          SHA-256 of every file above, signed
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from securesystemslib.signer import Signer

from contracts import ijson
from services.kit import logs
from services.kit.tlog import merkle, tiles
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.note import Note
from services.kit.tlog.proof import Proof
from services.kit.tlog.tiles import WIDTH, Tile, TileReader
from services.ledger.evidence import attest
from services.ledger.evidence.collect import Collected
from services.ledger.sealing.anchor import NotStamped, anchors
from services.ledger.sealing.leaves import Name, leaf_of
from services.ledger.sealing.naming import uid
from services.ledger.sealing.published import Sealed
from services.ledger.sealing.shelf import Shelf

_log = logs.get(__name__)
HERE = Path(__file__).parent
SCRIPTS = ("verify-proof.sh", "count-subject.sh")
_MOMENT = (1980, 1, 1, 0, 0, 0)
"""The same content is the same zip."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything that a pack is made of."""

    subject: str
    head: Checkpoint
    sealed: Sealed
    collected: Collected
    trust: dict[str, bytes]
    """File name → public key or policy."""
    shelf: Shelf
    signer: Signer
    tree: bool = True


def write(contents: Contents) -> Iterator[bytes]:
    """Yield the zip's bytes. Raises `ProofError` when the tree on the shelf is damaged."""
    stream, digests = _Stream(), dict[str, str]()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, content in _files(contents):
            digests[path] = hashlib.sha256(content).hexdigest()
            _add(archive, path, content)
            yield stream.taken()
        signed = attest.manifest(contents.subject, contents.head, digests)
        _add(archive, "manifest.dsse.json", attest.envelope(signed, contents.signer))
    yield stream.taken()


def _files(contents: Contents) -> Iterator[tuple[str, bytes]]:
    readme = (HERE / "pack-readme.md").read_text(encoding="utf-8")
    yield "README.md", _told(readme, contents).encode()
    for script in SCRIPTS:
        yield script, (HERE / script).read_bytes()
    yield "checkpoint", contents.sealed.note
    for name, content in contents.trust.items():
        yield f"trust/{name}", content
    yield "about.json", _about(contents)
    yield from _anchor(contents)
    yield from _events(contents)
    yield from _subjects(contents)
    if contents.tree:
        yield from _tree(contents)


def _anchor(contents: Contents) -> Iterator[tuple[str, bytes]]:
    """Give the newest time-stamp of a tree that the pack's tree continues."""
    try:
        found = anchors(contents.shelf)
    except NotStamped as error:  # `verify` is where that is refused
        _log.warning("pack.without_anchor", subject=contents.subject, reason=str(error))
        return
    for each in reversed(found):
        if Checkpoint.parse(Note.parse(each.checkpoint).text).size <= contents.head.size:
            yield "anchor/checkpoint", each.checkpoint
            yield "anchor/response.tsr", each.response
            return


def _events(contents: Contents) -> Iterator[tuple[str, bytes]]:
    read = TileReader(contents.head.size, contents.head.root, contents.shelf.read).read
    names = {
        subject: Name(each.key, f'["{uid(each.signature).hex()}",')
        for subject, each in contents.collected.names.items()
    }
    for row in contents.collected.rows:
        path = f"events/{row.position}"
        if row.body is not None and row.salt is not None:  # else it was redacted
            yield f"{path}.json", row.body
            yield f"{path}.salt", row.salt
        yield f"{path}.leaf", leaf_of(row, names)
        hashes = merkle.inclusion_proof(row.position - 1, contents.head.size, read)
        proof = Proof(row.position - 1, tuple(hashes), contents.sealed.note)
        yield f"{path}.tlog-proof", proof.encode()
        summary = attest.summary(row, contents.head)
        if summary is not None:
            signed = attest.envelope(summary, contents.signer)
            yield f"decisions/{row.position}.vsa.json", signed


def _subjects(contents: Contents) -> Iterator[tuple[str, bytes]]:
    for each in contents.collected.names.values():
        path = f"subjects/{uid(each.signature).hex()}"
        yield f"{path}.key", each.key.encode()
        yield f"{path}.sig", each.signature


def _tree(contents: Contents) -> Iterator[tuple[str, bytes]]:
    for tile in _tiles(contents.head.size):
        content = contents.shelf.read(tile.path)
        if content is None and tile.width < WIDTH:
            full = contents.shelf.read(Tile(tile.level, tile.index).path)
            content = None if full is None else tiles.cut(full, tile)
        if content is None:
            raise merkle.ProofError(f"{tile.path} is missing")
        yield tile.path, content


def _tiles(size: int) -> Iterable[Tile]:
    """Yield every tile of a tree: the bundles, then level by level."""
    count, level = size, 0
    while count:
        for at in range(0, count, WIDTH):
            width = min(WIDTH, count - at)
            if level == 0:
                yield Tile(None, at // WIDTH, width)
            yield Tile(level, at // WIDTH, width)
        count, level = count // WIDTH, level + 1


def _about(contents: Contents) -> bytes:
    histories = contents.collected.histories
    return ijson.dumps({
        "subject": contents.subject,
        "log": contents.head.origin,
        "size": contents.head.size,
        "root": contents.head.root.hex(),
        "events": len(contents.collected.rows),
        "whole_tree": contents.tree,
        "histories": [
            {"subject": key, "versions": len(positions), "positions": [*positions]}
            for key, positions in histories.items()
        ],
    }) + b"\n"  # fmt: skip


def _told(readme: str, contents: Contents) -> str:
    rows = contents.collected.rows
    for word, value in {
        "{subject}": contents.subject,
        "{origin}": contents.head.origin,
        "{size}": str(contents.head.size),
        "{events}": str(len(rows)),
        "{histories}": str(len(contents.collected.histories)),
        "{position}": str(rows[0].position),
    }.items():
        readme = readme.replace(word, value)
    return readme


def _add(archive: zipfile.ZipFile, path: str, content: bytes) -> None:
    info = zipfile.ZipInfo(path, _MOMENT)
    # Tiles are hashes, and most of a pack: pressing them would cost more time than it saves bytes.
    stored = path.startswith("tile/")
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    info.external_attr = (0o755 if path.endswith(".sh") else 0o644) << 16
    archive.writestr(info, content)


class _Stream(io.RawIOBase):
    """What the zip is written to: it cannot seek, so that bytes can leave at once."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
