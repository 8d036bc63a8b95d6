"""The rows that a batch works on: loaded before the fold, changed in memory, written after it.

Who alone may write them keeps them for the next batch. A fold reads and puts whole rows and never
changes one in place. So an event whose fold fails leaves no trace, and the same events give the
same rows whatever the batches were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

Row = dict[str, Any]
Key = tuple[str, tuple[str, ...]]
"""Table and the values of its key, without the ledger."""

KEYS: dict[str, tuple[str, ...]] = {
    "release": ("release_id",),
    "link": ("subject",),
    "gate": ("release_id", "gate", "environment"),
    "deployment": ("deployment_id", "service"),
    "cell": ("service", "environment"),
    "service": ("service",),
    "change": ("repo", "change_id"),
    "matter": ("kind", "key"),
}
"""Tables whose rows change, by the columns of their key."""

LOGS = ("entry", "commit")
"""Tables that only grow."""
KEPT = 20_000
"""Rows that are kept from batch to batch, the latest used: some 40 MB."""


class NotLoaded(LookupError):
    """A fold asked for a row whose key its read model had not declared: a fault in our code."""


class Rows:
    """One batch's unit of work. Not loaded is an error; loaded and absent is None."""

    def __init__(self) -> None:
        self._loaded: dict[Key, Row | None] = {}
        self._changed: dict[Key, Row] = {}
        self._staged: dict[Key, Row] = {}
        self._logged: dict[str, list[Row]] = {name: [] for name in LOGS}
        self._logging: list[tuple[str, Row]] = []

    def written(self) -> None:
        """Begin the next batch: the changes are stored, and nobody else changes what is known."""
        for key in self._changed:
            self._loaded.pop(key, None)  # the latest used stand last
        self._loaded |= self._changed
        for key in list(self._loaded)[: -KEPT // 2] if len(self._loaded) > KEPT else ():
            del self._loaded[key]
        self._changed, self._logged = {}, {name: [] for name in LOGS}

    def missing(self, keys: Iterable[Key]) -> set[Key]:
        """Return those keys that have not been loaded."""
        return {key for key in keys if key not in self._loaded}

    def load(self, keys: Iterable[Key], found: Iterable[tuple[str, Row]]) -> None:
        """Take what the store found for `keys`; the others are known to be absent."""
        self._loaded |= dict.fromkeys(keys)
        for name, row in found:
            self._loaded[_key(name, row)] = row

    def known(self, name: str, *key: str) -> Row | None:
        """Return a row if it has been loaded and is there: for declaring further keys."""
        return self._loaded.get((name, key))

    def get(self, name: str, *key: str) -> Row | None:
        """Return a row as the events so far have left it."""
        place = (name, key)
        for layer in (self._staged, self._changed):
            if place in layer:
                return layer[place]
        if place not in self._loaded:
            raise NotLoaded(f"{name} {key}")
        return self._loaded[place]

    def put(self, name: str, row: Row) -> None:
        """Set a row for this event."""
        self._staged[_key(name, row)] = row

    def log(self, name: str, row: Row) -> None:
        """Add a row to a table that only grows."""
        self._logging.append((name, row))

    def keep(self) -> None:
        """Keep what the event's fold did."""
        self._changed |= self._staged
        for name, row in self._logging:
            self._logged[name].append(row)
        self.undo()

    def undo(self) -> None:
        """Forget what the event's fold did: it failed."""
        self._staged = {}
        self._logging = []

    def changes(self) -> dict[str, list[Row]]:
        """Return what is to be written: table → rows, no key twice."""
        result: dict[str, list[Row]] = {}
        for (name, _), row in self._changed.items():
            result.setdefault(name, []).append(row)
        return result | {name: rows for name, rows in self._logged.items() if rows}


def _values(first: str, *others: str) -> Callable[[Row], tuple[str, ...]]:
    return itemgetter(first, *others) if others else lambda row: (row[first],)


_KEY_OF = {name: _values(*columns) for name, columns in KEYS.items()}


def _key(name: str, row: Row) -> Key:
    return name, _KEY_OF[name](row)
