"""Where tiles and the published checkpoint lie: files that anyone may read.

A tile, once written, never changes: `write` refuses other bytes under a name that is taken, and is
on disk before it returns. `replace` is for the checkpoint alone, which is new or old, never half.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
import tarfile
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from services.kit import clock
from services.kit.tlog import tiles
from services.kit.tlog.tiles import Tile

CHECKPOINT = "checkpoint"
FADED_SECONDS = 600
"""How long a partial tile is kept when the full one is there."""


class Overwritten(Exception):
    """Other bytes lie under the name already; the message names it."""


class Readable(Protocol):
    """The files of one log, by their paths in C2SP tlog-tiles."""

    def read(self, path: str) -> bytes | None:
        """Return a file, None when there is none."""


class Shelf(Readable, Protocol):
    """The same, for the sealer."""

    def write(self, path: str, content: bytes) -> None:
        """Keep a file for ever. Again with the same bytes does nothing; else `Overwritten`."""

    def replace(self, path: str, content: bytes) -> None:
        """Put a file in the place of the one that is there, at once."""

    def drop(self, path: str) -> None:
        """Remove a file, or a folder and all in it; what is not there is removed already."""

    def set_aside(self, ending: str) -> None:
        """Move all of it to a place whose name ends so, for ever; again does the rest.

        Raises `Overwritten` where something else lies there.
        """


class Folder:
    """A shelf in a local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        """Say where it is."""
        return str(self.root)

    def read(self, path: str) -> bytes | None:
        """See `Shelf`."""
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def write(self, path: str, content: bytes) -> None:
        """See `Shelf`."""
        there = self.read(path)
        if there is None:
            self.replace(path, content)
        elif there != content:
            raise Overwritten(f"{path} holds other bytes than the sealer computed")

    def replace(self, path: str, content: bytes) -> None:
        """See `Shelf`."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        passing = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        with passing.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        passing.replace(target)
        sync_folder(target.parent)

    def drop(self, path: str) -> None:
        """See `Shelf`."""
        with contextlib.suppress(FileNotFoundError):
            try:
                (self.root / path).unlink()
            except IsADirectoryError:
                shutil.rmtree(self.root / path)

    def set_aside(self, ending: str) -> None:
        """See `Shelf`."""
        aside = self.root.with_name(self.root.name + ending)
        if self.root.exists():
            if aside.exists():
                raise Overwritten(f"{aside} is there already")
            self.root.rename(aside)
            sync_folder(aside.parent)


class Faded:
    """Partial tiles that full ones have replaced: removed when nobody can be reading them."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._waiting: deque[tuple[float, str]] = deque()

    def clear(self, old: int, new: int) -> None:
        """Note what has faded since the tree had size `old`, and remove what did long ago."""
        now = clock.monotonic()
        for tile in tiles.partials(old):
            if tile.index < new // tiles.WIDTH ** ((tile.level or 0) + 1):
                bundle = [Tile(None, tile.index)] if tile.level == 0 else []
                for full in (Tile(tile.level, tile.index), *bundle):
                    self._waiting.append((now, f"{full.path}.p"))
        while self._waiting and self._waiting[0][0] < now - FADED_SECONDS:
            self._shelf.drop(self._waiting.popleft()[1])


def stage(shelf: Shelf, name: str, files: Mapping[str, bytes]) -> None:
    """Keep files that belong together, so that they can be written after a crash too."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    shelf.replace(name, packed.getvalue())


def unstage(shelf: Shelf, name: str) -> None:
    """Write what was staged, as far as it is there still, and remove the copy."""
    packed = shelf.read(name)
    if packed is not None:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            for member in archive:
                content = archive.extractfile(member)
                shelf.write(member.name, b"" if content is None else content.read())
    shelf.drop(name)


def sync_folder(folder: Path) -> None:
    """Make a renamed file's name durable too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
