"""A tree as files: C2SP tlog-tiles. Tiles of 256 hashes, bundles of 256 entries.

A tile of level L holds, side by side, hashes of complete subtrees of 256^L leaves. Full tiles never
change; the last one of a level is partial, and each of its widths is a file of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from services.kit.tlog.merkle import HASH_BYTES, ProofError, leaf_hash, root_of

WIDTH = 256
MAX_ENTRY_BYTES = 65535
MAX_LEVEL = 7
"""256^8 leaves are more than a size can say."""
Files: TypeAlias = dict[str, bytes]
_PATH = re.compile(r"tile/(entries|[0-7])/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


class NotATile(ValueError):
    """A path or a file is not what tlog-tiles says."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The address of a tile; `level` is None for a bundle of entries."""

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """The path below the log's prefix, such as `tile/0/x001/234.p/7`."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        number = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{'entries' if self.level is None else self.level}/{number}{partial}"

    @classmethod
    def parse(cls, path: str) -> Tile:
        """Read a path in its one spelling. Raises `NotATile`."""
        found = _PATH.fullmatch(path)
        if found is None:
            raise NotATile(f"{path} is not the path of a tile")
        level, number, width = found.groups()
        index = int(number.replace("/", "").replace("x", ""))
        tile = cls(None if level == "entries" else int(level), index, int(width or WIDTH))
        if tile.path != path or tile.width > WIDTH:
            raise NotATile(f"{path} is not how the path of that tile is written")
        return tile


def bundle(entries: Sequence[bytes]) -> bytes:
    """Write up to 256 entries, each behind its length (16 bits, big-endian)."""
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def unbundle(content: bytes, width: int) -> list[bytes]:
    """Read exactly `width` entries. Raises `NotATile`."""
    entries, at = [], 0
    while at < len(content):
        end = at + 2 + int.from_bytes(content[at : at + 2], "big")
        if end > len(content):
            raise NotATile("the bundle ends inside an entry")
        entries.append(content[at + 2 : end])
        at = end
    if len(entries) != width:
        raise NotATile(f"the bundle has {len(entries)} entries and should have {width}")
    return entries


def split(content: bytes, width: int) -> list[bytes]:
    """Read exactly `width` hashes of a tile. Raises `NotATile`."""
    if len(content) != width * HASH_BYTES:
        raise NotATile(f"the tile has {len(content)} bytes and should have {width * HASH_BYTES}")
    return [content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)]


def partials(size: int) -> list[Tile]:
    """Return the partial tiles of a tree, from level 0 upwards; levels without one are left out."""
    tiles, count, level = [], size, 0
    while count:
        if count % WIDTH:
            tiles.append(Tile(level, count // WIDTH, count % WIDTH))
        count, level = count // WIDTH, level + 1
    return tiles


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a growing tree: what the next entries need to know of all earlier ones.

    `levels[L]` has the hashes of the partial tile of level L (0 to 255 of them), `entries` those of
    the partial bundle.
    """

    size: int = 0
    entries: tuple[bytes, ...] = ()
    levels: tuple[tuple[bytes, ...], ...] = ()

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        row: tuple[bytes, ...] = ()
        for level in self.levels:
            row = (*level, *(() if not row else (root_of(row),)))
        return root_of(row)

    def grow(self, entries: Sequence[bytes]) -> tuple[Edge, Files]:
        """Return the edge after some more entries, and every file that is new.

        Raises `ValueError` for an entry of more than 65,535 bytes.
        """
        if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
            raise ValueError(f"an entry has at most {MAX_ENTRY_BYTES} bytes")
        files: Files = {}
        grown = self.size + len(entries)
        kept = _fill(files, None, grown, (*self.entries, *entries), bundle)
        levels: list[tuple[bytes, ...]] = []
        fresh: Sequence[bytes] = [leaf_hash(entry) for entry in entries]
        count, level = grown, 0
        while count:
            row = (*(self.levels[level] if level < len(self.levels) else ()), *fresh)
            levels.append(_fill(files, level, count, row, b"".join, changed=bool(fresh)))
            fresh = [root_of(row[at : at + WIDTH]) for at in range(0, len(row) - WIDTH + 1, WIDTH)]
            count, level = count // WIDTH, level + 1
        return Edge(grown, kept, tuple(levels)), files


def _fill(
    files: Files,
    level: int | None,
    count: int,
    row: tuple[bytes, ...],
    write: Callable[[Sequence[bytes]], bytes],
    *,
    changed: bool = True,
) -> tuple[bytes, ...]:
    """Add the files of one level to `files` and return what its partial tile holds.

    `count` is how many the level has in all, `row` the last ones, from a tile's beginning.
    """
    if not changed:
        return row
    first = (count - len(row)) // WIDTH
    for nth, at in enumerate(range(0, len(row), WIDTH)):
        content = row[at : at + WIDTH]
        files[Tile(level, first + nth, len(content)).path] = write(content)
    return row[len(row) - len(row) % WIDTH :]


class TileReader:
    """Reads hashes of a tree from tiles that nobody need trust: each is checked against the root.

    `fetch` returns a file by its path, or None. Raises `ProofError` for what does not fit.
    """

    def __init__(self, size: int, root: bytes, fetch: Callable[[str], bytes | None]) -> None:
        self._size = size
        self._fetch = fetch
        self._known: dict[tuple[int, int], list[bytes]] = {}
        self._trust_edge(root)

    def edge(self) -> Edge:
        """Return the tree's right edge, with the entries of the partial bundle."""
        levels: list[tuple[bytes, ...]] = []
        count = self._size
        while count:
            key = (len(levels), count // WIDTH)
            levels.append(tuple(self._known[key] if count % WIDTH else ()))
            count //= WIDTH
        width = self._size % WIDTH
        entries = self.entries(self._size // WIDTH) if width else []
        return Edge(self._size, tuple(entries), tuple(levels))

    def entries(self, index: int) -> list[bytes]:
        """Return the entries of a bundle, each checked."""
        width = min(WIDTH, self._size - index * WIDTH)
        entries = _reading(unbundle, self._get(Tile(None, index, width)), width)
        if [leaf_hash(entry) for entry in entries] != self._tile(0, index):
            raise ProofError(f"the entries of bundle {index} are not those of the tree")
        return entries

    def read(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree; see `merkle.Read`."""
        within = level % 8
        first = index << within
        tile = self._tile(level // 8, first // WIDTH)
        at = first % WIDTH
        return root_of(tile[at : at + (1 << within)])

    def _tile(self, level: int, index: int) -> list[bytes]:
        known = self._known.get((level, index))
        if known is not None:
            return known
        hashes = _reading(split, self._get(Tile(level, index)), WIDTH)
        above = self._tile(level + 1, index // WIDTH)
        if root_of(hashes) != above[index % WIDTH]:
            raise ProofError(f"{Tile(level, index).path} does not belong to the tree")
        self._known[level, index] = hashes
        return hashes

    def _trust_edge(self, root: bytes) -> None:
        carried: bytes | None = None
        for tile in partials(self._size):
            hashes = _reading(split, self._get(tile), tile.width)
            self._known[tile.level or 0, tile.index] = hashes
            carried = root_of(hashes if carried is None else [*hashes, carried])
        found = root_of([] if carried is None else [carried])
        if found != root:
            raise ProofError(f"the tiles of size {self._size} have another root")

    def _get(self, tile: Tile) -> bytes:
        """Fetch a tile; a partial one may have given way to the full one."""
        content = self._fetch(tile.path)
        if content is None and tile.width < WIDTH:
            full = self._fetch(Tile(tile.level, tile.index).path)
            if full is not None:
                return cut(full, tile)
        if content is None:
            raise ProofError(f"{tile.path} is missing")
        return content


def cut(full: bytes, tile: Tile) -> bytes:
    """Return a partial tile out of the full one."""
    if tile.level is not None:
        return full[: tile.width * HASH_BYTES]
    return bundle(_reading(unbundle, full, WIDTH)[: tile.width])


def _reading(read: Callable[[bytes, int], list[bytes]], content: bytes, width: int) -> list[bytes]:
    try:
        return read(content, width)
    except NotATile as error:
        raise ProofError(str(error)) from None
