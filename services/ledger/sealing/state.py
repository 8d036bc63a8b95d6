"""What the sealer remembers, outside the database that it seals.

Order and durability: `swap` is a compare-and-set, on disk before it returns. Two sealers of one
ledger cannot both go on from one state: the second one is refused with `StateMoved`, having
published nothing. Nobody seeds a state by himself (a missing one would hide a rewritten log):
`create` is a person's decision, `python -m services seal begin`.

Whoever can write to the store can make the log show two stories, so it is as much to be trusted as
the key: keep it away from the database and its administrators.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class State:
    """The newest tree that was signed."""

    size: int
    root: bytes
    checkpoint: bytes
    """The signed note."""


class StateMoved(Exception):
    """Another sealer was here: load again, and find out who."""


class StateStore(Protocol):
    """Where states are kept, one for each origin."""

    def load(self, origin: str) -> State | None:
        """Return the newest state, None when there never was one."""

    def create(self, origin: str, state: State) -> None:
        """Keep the first state, or raise `StateMoved`: there is one."""

    def swap(self, origin: str, old: State, new: State) -> None:
        """Replace exactly `old` by `new`, or raise `StateMoved` and change nothing."""


_TABLE = """
CREATE TABLE IF NOT EXISTS state (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, checkpoint BLOB NOT NULL
) STRICT
"""


class SqliteStates:
    """States in a SQLite file on a local disk, each change flushed before it counts."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def load(self, origin: str) -> State | None:
        """See `StateStore`."""
        if not self._file.exists():
            return None
        with self._open() as database:
            found = database.execute(
                "SELECT size, root, checkpoint FROM state WHERE origin = ?", (origin,)
            ).fetchone()
        return None if found is None else State(*found)

    def create(self, origin: str, state: State) -> None:
        """See `StateStore`."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as database:
            try:
                database.execute(
                    "INSERT INTO state VALUES (?, ?, ?, ?)", (origin, *_columns(state))
                )
            except sqlite3.IntegrityError:
                raise StateMoved(f"{origin} has a state already") from None

    def swap(self, origin: str, old: State, new: State) -> None:
        """See `StateStore`."""
        with self._open() as database:
            changed = database.execute(
                "UPDATE state SET size = ?, root = ?, checkpoint = ?"
                " WHERE origin = ? AND size = ? AND root = ? AND checkpoint = ?",
                (*_columns(new), origin, old.size, old.root, old.checkpoint),
            ).rowcount
        if changed != 1:
            raise StateMoved(f"the state of {origin} is not the one of size {old.size} any more")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for one transaction, which is on disk when the block has ended."""
        with closing(sqlite3.connect(self._file, timeout=_BUSY_SECONDS)) as database, database:
            database.execute("PRAGMA synchronous = FULL")
            database.execute(_TABLE)
            yield database


def _columns(state: State) -> tuple[int, bytes, bytes]:
    return state.size, state.root, state.checkpoint
