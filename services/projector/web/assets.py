"""Static files: read once, named by the hash of all of them, cached by browsers for a year."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
STYLES = ("tokens", "page", "parts", "ladder", "tables", "narrow")
"""The style sheets in the order of the cascade; browsers get them as one file."""
BUNDLE = "console.css"
FOREVER = "public, max-age=31536000, immutable"
_COMPRESSIBLE = {".css", ".js", ".svg", ".json"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent."""

    body: bytes
    media_type: str
    zipped: bytes | None
    """Compressed with gzip, where that makes it smaller."""


class Assets:
    """All static files of the console."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {BUNDLE: _asset(BUNDLE, _styles(folder))} | {
            path.relative_to(folder).as_posix(): _asset(path.name, path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.parent.name != "css"
        }
        self.version = self._digest()

    def get(self, name: str) -> Asset | None:
        """Return a file by its name below the folder, or None."""
        return self._files.get(name)

    def _digest(self) -> str:
        whole = hashlib.sha256()
        for name, asset in sorted(self._files.items()):
            whole.update(name.encode() + b"\0" + hashlib.sha256(asset.body).digest())
        return whole.hexdigest()[:12]


def _styles(folder: Path) -> bytes:
    return b"\n".join((folder / "css" / f"{name}.css").read_bytes() for name in STYLES)


def _asset(name: str, body: bytes) -> Asset:
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if name.endswith(".woff2"):
        media_type = "font/woff2"
    zipped = gzip.compress(body, 9, mtime=0) if Path(name).suffix in _COMPRESSIBLE else None
    return Asset(body, media_type, zipped if zipped and len(zipped) < len(body) else None)
