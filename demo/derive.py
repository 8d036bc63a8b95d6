"""Everything that looks random comes from the seed: the same seed and name, the same value."""

from __future__ import annotations

import hashlib
import random
import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seed:
    """Derives ids by name, so that adding a release does not change the ids of the others."""

    value: int

    def _bytes(self, *name: object) -> bytes:
        return hashlib.sha256("/".join(map(str, (self.value, *name))).encode()).digest()

    def sha(self, *name: object) -> str:
        """Return a git object id: 40 hex digits."""
        return self._bytes("sha", *name).hex()[:40]

    def digest(self, *name: object) -> str:
        """Return a content digest: `sha256:` and 64 hex digits."""
        return f"sha256:{self.hex(*name)}"

    def hex(self, *name: object) -> str:
        """Return 64 hex digits."""
        return self._bytes("hex", *name).hex()

    def guid(self, *name: object) -> str:
        """Return a UUID, as GitHub's delivery ids and our event ids are."""
        return str(uuid.UUID(bytes=self._bytes("guid", *name)[:16], version=4))

    def number(self, *name: object) -> int:
        """Return an id of the size that GitHub gives to its objects: eleven digits."""
        return 10**10 + int.from_bytes(self._bytes("number", *name)[:8], "big") % (9 * 10**10)

    def random(self, *name: object) -> random.Random:
        """Return a source of chance of its own for one part of the story."""
        return random.Random(self._bytes("random", *name))
