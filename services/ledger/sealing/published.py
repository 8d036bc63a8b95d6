"""What is sealed, as whoever answers sees it: the newest checkpoint of each ledger, and its files.

The sealer may be another process, so the shelf is all that both share. It is looked at ten times a
second; who waits for an event to be sealed is woken by that.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from securesystemslib.signer import Signer

from contracts.problem import NotFound, Unavailable
from services.kit import clock, logs
from services.kit.tlog import merkle
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.keys import NotANote
from services.kit.tlog.merkle import ProofError
from services.kit.tlog.note import Note
from services.kit.tlog.proof import Proof
from services.kit.tlog.tiles import TileReader
from services.ledger.sealing import keys
from services.ledger.sealing.shelf import CHECKPOINT, Folder, Shelf

LOOK_SECONDS = 0.1
FAR_SECONDS = 1.0
"""The same in an object store, which counts requests."""
STALE_SECONDS = 60.0
"""How long events may stand unsealed before /readyz complains."""
_log = logs.get(__name__)


@dataclass(frozen=True)
class Sealed:
    """A published checkpoint: its size, its root, and the note as it was published."""

    size: int
    root: bytes
    note: bytes

    @functools.cached_property
    def member(self) -> bytes:
        """The note as the last member of a JSON answer: `,"checkpoint":"…"`."""
        return b',"checkpoint":' + json.dumps(self.note.decode(), ensure_ascii=False).encode()


class Published:
    """The newest checkpoints. `run` keeps them new."""

    def __init__(
        self, shelves: Mapping[str, Shelf], folders: Mapping[str, Path] | None = None
    ) -> None:
        """`folders`: where each ledger's keys lie (`keys`)."""
        self._shelves = shelves
        self._folders = folders or {}
        self._newest: dict[str, Sealed] = {}
        self._news = asyncio.Event()
        self._since: dict[str, float] = {}
        self._away: dict[str, str] = {}

    async def run(self) -> None:
        """Look for ever."""
        near = all(isinstance(shelf, Folder) for shelf in self._shelves.values())
        while True:
            self._see(await asyncio.to_thread(self._read))
            await asyncio.sleep(LOOK_SECONDS if near else FAR_SECONDS)

    def look(self, ledger: str) -> None:
        """Take in what was published of a ledger; blocks while it reads. Raises `OSError`."""
        self._see({ledger: self._shelves[ledger].read(CHECKPOINT)})

    def _read(self) -> dict[str, bytes | None]:
        """Read what can be read: a shelf that is away holds up its own ledger alone."""
        found = {}
        for name, shelf in self._shelves.items():
            try:
                found[name] = shelf.read(CHECKPOINT)
                self._away.pop(name, None)
            except OSError as error:
                if name not in self._away:
                    _log.error("shelf.away", ledger=name, reason=str(error))
                self._away[name] = str(error)
        return found

    def _see(self, found: Mapping[str, bytes | None]) -> None:
        for name, content in found.items():
            known = self._newest.get(name)
            if content is not None and (known is None or known.note != content):
                self._take(name, content)

    def newest(self, ledger: str) -> Sealed | None:
        """Return the newest checkpoint; None before the first."""
        return self._newest.get(ledger)

    def sealed(self, ledger: str, position: int) -> bool:
        """Say whether a published checkpoint covers a position."""
        newest = self._newest.get(ledger)
        return newest is not None and newest.size >= position

    def member(self, ledger: str) -> bytes:
        """Return the newest checkpoint as the last member of a JSON answer, nothing without one."""
        newest = self._newest.get(ledger)
        return b"" if newest is None else newest.member

    async def covering(self, ledger: str, position: int, wait: float) -> Sealed:
        """Return a checkpoint that covers a position, waiting for it up to `wait` seconds.

        Raises `Unavailable` when none came: the event is stored, and ask again.
        """
        deadline = clock.monotonic() + wait
        while True:
            news = self._news
            newest = self._newest.get(ledger)
            if newest is not None and newest.size >= position:
                return newest
            left = deadline - clock.monotonic()
            if left <= 0:
                size = newest.size if newest else 0
                raise Unavailable(f"position {position} is not sealed yet; the tree has {size}")
            try:
                await asyncio.wait_for(news.wait(), left)
            except TimeoutError:
                continue

    def shelf(self, ledger: str) -> Shelf:
        """Return where a ledger's files lie."""
        return self._shelves[ledger]

    def trust(self, ledger: str) -> dict[str, bytes]:
        """Return a ledger's public keys and its policy, by file name."""
        found = keys.public(self._folders[ledger])
        if "policy" not in found and "log.vkey" in found:  # no witnesses: the log's own word
            found["policy"] = b"log %b\nquorum none\n" % found["log.vkey"].strip()
        return found

    def signer(self, ledger: str) -> Signer | None:
        """Return the key that signs statements in packs."""
        return keys.attester(self._folders[ledger])

    def file(self, ledger: str, path: str) -> bytes:
        """Return a published file, or raise `NotFound`."""
        shelf = self._shelves.get(ledger)
        content = None if shelf is None else shelf.read(path)
        if content is None:
            raise NotFound(f"{path} of {ledger} is not there (yet)")
        return content

    def proof(self, ledger: str, position: int, sealed: Sealed) -> Proof:
        """Prove that the tree of `sealed` holds the event at a position; blocks while it reads."""
        shelf = self._shelves[ledger]
        try:
            read = TileReader(sealed.size, sealed.root, shelf.read).read
            hashes = merkle.inclusion_proof(position - 1, sealed.size, read)
        except ProofError as error:
            raise Unavailable(f"the tiles of {ledger} are damaged: {error}") from None
        return Proof(position - 1, tuple(hashes), sealed.note)

    def behind(self, ledger: str, head: int) -> str | None:
        """Return a complaint when events have stood unsealed for too long, or nobody can tell."""
        if ledger in self._away:
            return self._away[ledger]
        newest = self._newest.get(ledger)
        if newest is None or newest.size >= head:
            self._since.pop(ledger, None)
            return None
        waited = clock.monotonic() - self._since.setdefault(ledger, clock.monotonic())
        if waited < STALE_SECONDS:
            return None
        return f"{head - newest.size} events of {ledger} are unsealed for {waited:.0f} s"

    def _take(self, name: str, content: bytes) -> None:
        try:
            head = Checkpoint.parse(Note.parse(content).text)
        except NotANote as error:
            _log.error("checkpoint.unreadable", ledger=name, reason=str(error))
            return
        known = self._newest.get(name)
        if known is not None and head.size < known.size:
            _log.error("checkpoint.shrunk", ledger=name, size=head.size, known=known.size)
            return
        self._newest[name] = Sealed(head.size, head.root, content)
        self._since.pop(name, None)
        self._news.set()
        self._news = asyncio.Event()
