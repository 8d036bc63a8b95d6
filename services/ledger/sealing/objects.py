"""Tiles and the sealer's state in an object store (S3 and what speaks like it).

Compare-and-set is the store's own: a state is replaced with `If-Match` on the version that was
read, a first one and every tile are written with `If-None-Match: *`. A store that does not honour
both must not be used for states (docs/operations.md). Who may do what and where the store is comes
from the usual AWS_… variables. Each call blocks; callers run it on a thread.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from services.kit.settings import SettingsError
from services.ledger.sealing.shelf import CHECKPOINT, Overwritten
from services.ledger.sealing.state import State, StateMoved

if TYPE_CHECKING:
    from types import ModuleType

SCHEME = "s3://"
TIMEOUT = 10
RETRIES = 4


@dataclass(frozen=True, slots=True)
class ObjectShelf:
    """A shelf below `s3://bucket/prefix`. Raises `SettingsError` where that names no store."""

    url: str
    _bucket: _Bucket = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Open the store; nothing is asked of it yet."""
        object.__setattr__(self, "_bucket", _bucket(self.url))

    def __str__(self) -> str:
        """Say where it is."""
        return self.url

    def read(self, path: str) -> bytes | None:
        """See `Shelf`."""
        found = self._bucket.get(path)
        return None if found is None else found[0]

    def write(self, path: str, content: bytes) -> None:
        """See `Shelf`."""
        if not self._bucket.put(path, content, "create") and self.read(path) != content:
            raise Overwritten(f"{path} holds other bytes than the sealer computed")

    def replace(self, path: str, content: bytes) -> None:
        """See `Shelf`."""
        self._bucket.put(path, content, "overwrite")

    def drop(self, path: str) -> None:
        """See `Shelf`."""
        self._bucket.delete([path, *self._bucket.paths(path)])

    def set_aside(self, ending: str) -> None:
        """See `Shelf`."""
        whole, _, last = self.url.rpartition("/")
        parent, paths = _bucket(whole), self._bucket.paths("")
        there, here = parent.get(f"{last}{ending}/{CHECKPOINT}"), self._bucket.get(CHECKPOINT)
        if there is not None and here is not None and there[0] != here[0]:
            raise Overwritten(f"{self.url}{ending} is there already")
        for path in paths:
            parent.copy(f"{last}/{path}", f"{last}{ending}/{path}")
        self._bucket.delete(paths)


class ObjectStates:
    """States below `s3://bucket/prefix`, one object for each origin.

    An answer that got lost is asked for again by the client, which then meets its own write. So
    each write has a mark of its own: a state that is there already is ours only with this mark.
    """

    def __init__(self, url: str) -> None:
        self._bucket = _bucket(url)

    def load(self, origin: str) -> State | None:
        """See `StateStore`."""
        found = self._bucket.get(_name(origin))
        return None if found is None else _read(found[0])

    def create(self, origin: str, state: State) -> None:
        """See `StateStore`."""
        if not self._put(origin, state, "create"):
            raise StateMoved(f"{origin} has a state already")

    def swap(self, origin: str, old: State, new: State) -> None:
        """See `StateStore`."""
        found = self._bucket.get(_name(origin))
        if found is None or _read(found[0]) != old or not self._put(origin, new, found[1]):
            raise StateMoved(f"the state of {origin} is not the one of size {old.size} any more")

    def _put(self, origin: str, state: State, mode: Any) -> bool:
        content = _written(state, secrets.token_hex(16))
        if self._bucket.put(_name(origin), content, mode):
            return True
        found = self._bucket.get(_name(origin))
        return found is not None and found[0] == content


def _name(origin: str) -> str:
    return f"{quote(origin, safe='')}.json"


def _written(state: State, mark: str) -> bytes:
    checkpoint = state.checkpoint.decode()
    return json.dumps(
        {"size": state.size, "root": state.root.hex(), "checkpoint": checkpoint, "mark": mark}
    ).encode()


def _read(content: bytes) -> State:
    found = json.loads(content)
    return State(found["size"], bytes.fromhex(found["root"]), found["checkpoint"].encode())


class _Bucket:
    """What is asked of a store. A store that is away, or says no, is an `OSError`."""

    def __init__(self, url: str, api: ModuleType, store: Any) -> None:
        self._url = url
        self._api = api
        self._store = store

    def get(self, path: str) -> tuple[bytes, Any] | None:
        """Return an object and its version, None when there is none."""
        with self._asking():
            try:
                found = self._api.get(self._store, path)
            except FileNotFoundError:
                return None
            version = {name: found.meta[name] for name in ("e_tag", "version") if found.meta[name]}
            return bytes(found.bytes()), version

    def put(self, path: str, content: bytes, mode: Any) -> bool:
        """Write an object; return whether its condition held: create, overwrite, a version."""
        refused = (self._api.exceptions.AlreadyExistsError, self._api.exceptions.PreconditionError)
        with self._asking():
            try:
                self._api.put(self._store, path, content, mode=mode, use_multipart=False)
            except refused:
                return False
            return True

    def paths(self, folder: str) -> list[str]:
        """Return what lies below a folder."""
        with self._asking():
            found = self._api.list(self._store, folder or None)
            return [str(each["path"]) for batch in found for each in batch]

    def copy(self, path: str, to: str) -> None:
        """Copy an object."""
        with self._asking():
            self._api.copy(self._store, path, to)

    def delete(self, paths: list[str]) -> None:
        """Remove objects."""
        if paths:
            with self._asking():
                self._api.delete(self._store, paths)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except self._api.exceptions.BaseError as error:
            raise OSError(f"{self._url}: {str(error).splitlines()[0]}") from error


@cache
def _bucket(url: str) -> _Bucket:
    try:
        import obstore  # noqa: PLC0415 - an extra
        from obstore.store import S3Store  # noqa: PLC0415
    except ImportError:
        raise SettingsError(
            f"{url} needs the extra `objects`: pip install 'release-ledger[objects]'"
        ) from None
    bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
    config: Any = {"timeout": f"{TIMEOUT} seconds", "connect_timeout": f"{TIMEOUT} seconds"}
    try:
        store = S3Store(
            bucket,
            prefix=prefix.strip("/") or None,
            config=config,
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=2 * TIMEOUT)},
        )
    except obstore.exceptions.BaseError as error:
        raise SettingsError(f"{url}: {error}") from None
    return _Bucket(url, obstore, store)
