"""Tiles and the sealer's state in an object store (S3 and what speaks like it).

Compare-and-set is the store's own: a state is replaced with `If-Match` on the version that was
read, a first one and every tile are written with `If-None-Match: *`. A store that does not honour
both must not be used for states (docs/operations.md). Who may do what and where the store is comes
from the usual AWS_… variables. Each call blocks; callers run it on a thread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from services.kit.settings import SettingsError
from services.ledger.sealing.shelf import Overwritten
from services.ledger.sealing.state import State, StateMoved

if TYPE_CHECKING:
    from obstore.store import S3Store

SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class ObjectShelf:
    """A shelf below `s3://bucket/prefix`."""

    url: str

    def __str__(self) -> str:
        """Say where it is."""
        return self.url

    def read(self, path: str) -> bytes | None:
        """See `Shelf`."""
        found = _get(self.url, path)
        return None if found is None else found[0]

    def write(self, path: str, content: bytes) -> None:
        """See `Shelf`."""
        if not _put(self.url, path, content, "create") and self.read(path) != content:
            raise Overwritten(f"{path} holds other bytes than the sealer computed")

    def replace(self, path: str, content: bytes) -> None:
        """See `Shelf`."""
        _put(self.url, path, content, "overwrite")

    def drop(self, folder: str) -> None:
        """See `Shelf`."""
        import obstore  # noqa: PLC0415 - an extra

        if paths := _paths(self.url, folder):
            obstore.delete(_store(self.url), paths)

    def set_aside(self, ending: str) -> None:
        """See `Shelf`."""
        import obstore  # noqa: PLC0415 - an extra

        whole, _, last = self.url.rpartition("/")
        parent = _store(whole)
        for path in _paths(self.url, ""):
            obstore.copy(parent, f"{last}/{path}", f"{last}{ending}/{path}")
        self.drop("")


class ObjectStates:
    """States below `s3://bucket/prefix`, one object for each origin."""

    def __init__(self, url: str) -> None:
        self._url = url

    def load(self, origin: str) -> State | None:
        """See `StateStore`."""
        found = _get(self._url, _name(origin))
        return None if found is None else _read(found[0])

    def create(self, origin: str, state: State) -> None:
        """See `StateStore`."""
        if not _put(self._url, _name(origin), _written(state), "create"):
            raise StateMoved(f"{origin} has a state already")

    def swap(self, origin: str, old: State, new: State) -> None:
        """See `StateStore`."""
        found = _get(self._url, _name(origin))
        same = found is not None and _read(found[0]) == old
        if not same or not _put(self._url, _name(origin), _written(new), (found or (b"", {}))[1]):
            # An answer that got lost is asked for again by the client; then it was this very swap.
            if self.load(origin) == new:
                return
            raise StateMoved(f"the state of {origin} is not the one of size {old.size} any more")


def _name(origin: str) -> str:
    return f"{quote(origin, safe='')}.json"


def _written(state: State) -> bytes:
    checkpoint = state.checkpoint.decode()
    return json.dumps(
        {"size": state.size, "root": state.root.hex(), "checkpoint": checkpoint}
    ).encode()


def _read(content: bytes) -> State:
    found = json.loads(content)
    return State(found["size"], bytes.fromhex(found["root"]), found["checkpoint"].encode())


@cache
def _store(url: str) -> S3Store:
    try:
        from obstore.store import S3Store  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError(
            f"{url} needs the extra `objects`: pip install 'release-ledger[objects]'"
        ) from None
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    return S3Store(bucket, prefix=prefix.strip("/") or None)


def _get(url: str, path: str) -> tuple[bytes, Any] | None:
    """Return an object and its version, None when there is none."""
    import obstore  # noqa: PLC0415 - an extra

    store = _store(url)
    try:
        found = obstore.get(store, path)
    except FileNotFoundError:
        return None
    version = {name: found.meta[name] for name in ("e_tag", "version") if found.meta[name]}
    return bytes(found.bytes()), version


def _put(url: str, path: str, content: bytes, mode: Any) -> bool:
    """Write an object; return whether the condition held. `mode`: create, overwrite, a version."""
    import obstore  # noqa: PLC0415 - an extra

    try:
        obstore.put(_store(url), path, content, mode=mode, use_multipart=False)
    except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
        return False
    return True


def _paths(url: str, folder: str) -> list[str]:
    import obstore  # noqa: PLC0415 - an extra

    found = obstore.list(_store(url), folder or None)
    return [str(each["path"]) for batch in found for each in batch]
