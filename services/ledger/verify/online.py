"""The published tree of a ledger somewhere else, read over HTTP. Nothing that it says is believed.

It never hangs (each file has a deadline) and never passes for want of an answer (`Unavailable`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

from services.kit.files import Files

MOST_BYTES = 32 * 2**20
"""Of one file of the tree: a bundle has 256 leaves of at most 64 kB."""
MOST_PACK_BYTES = 2**30


@dataclass(frozen=True)
class Online:
    """A ledger's files below its URL, such as https://ledger.example.com/v1/ledgers/main.

    A shelf to read from; the other processes that get it open connections of their own.
    """

    url: str
    key: str = ""

    def __str__(self) -> str:
        """Say where it is."""
        return self.url

    def read(self, path: str) -> bytes | None:
        """Return a file of the tree, None when there is none. Raises `Unavailable`."""
        return _tile(self, path) if path.startswith("tile/") else self._fetch(path)

    def pack(self, subject: str) -> bytes | None:
        """Return the evidence pack of a subject. Raises `Unavailable` and what the ledger says."""
        return _files(self).fetch(f"/subjects/{subject}/pack", MOST_PACK_BYTES)

    def _fetch(self, path: str) -> bytes | None:
        return _files(self).fetch(f"/{path}", MOST_BYTES)


@cache
def _files(place: Online) -> Files:
    return Files(place.url, place.key)


@lru_cache(maxsize=64)
def _tile(place: Online, path: str) -> bytes | None:
    """Read a file that never changes: upper tiles are wanted again and again."""
    return _files(place).fetch(f"/{path}", MOST_BYTES)
