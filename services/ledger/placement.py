"""Which ledger lives in which database, and that none moves without being moved.

A ledger that is named for another database than the one with its events would begin again at
position 1 there: two logs under one name. So whoever opens ledgers looks into every database first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from contracts.problem import NotFound, Unavailable
from services.kit.settings import SettingsError
from services.ledger.databases import Database

if TYPE_CHECKING:
    from services.ledger.tables import LedgerRow


class Placement:
    """The databases of this process and the ledgers that are open in them."""

    def __init__(self, main: Database, elsewhere: Mapping[str, Database]) -> None:
        """`elsewhere` gives the ledgers that do not live in `main`."""
        self._main = main
        self._elsewhere = elsewhere
        self._open: dict[str, LedgerRow] = {}
        self._names: set[str] = set()
        self._trouble: dict[Database, str] = {}
        self._seen: dict[Database, set[str]] = {base: set() for base in self.databases}
        self._opening = asyncio.Lock()

    @property
    def databases(self) -> Sequence[Database]:
        """Every database once, the main one first."""
        return list(dict.fromkeys([self._main, *self._elsewhere.values()]))

    @property
    def ledgers(self) -> Sequence[LedgerRow]:
        """The ledgers that are open."""
        return list(self._open.values())

    def home(self, name: str) -> Database:
        """Return the database that a ledger belongs to."""
        return self._elsewhere.get(name, self._main)

    def ledger(self, name: str) -> LedgerRow:
        """Return an open ledger. Raises `NotFound`, or `Unavailable` for one not open yet."""
        if name in self._open:
            return self._open[name]
        if name in self._names:
            raise Unavailable(f"the ledger {name} is not open: its database does not answer")
        raise NotFound(f"there is no ledger {name!r} here")

    def is_open(self, name: str) -> bool:
        """Say whether a ledger can be read."""
        return name in self._open

    def inside(self, base: Database) -> Sequence[LedgerRow]:
        """Return the open ledgers of a database."""
        return [row for name, row in self._open.items() if self.home(name) is base]

    def complaint(self, base: Database) -> str | None:
        """Return what keeps the ledgers of a database that answers from being served."""
        closed = [n for n in self._names if self.home(n) is base and n not in self._open]
        return self._trouble.get(base) or (f"not open yet: {', '.join(closed)}" if closed else None)

    async def open(self, names: Iterable[str]) -> None:
        """Open ledgers, and create those that are missing. All are tried; twice is harmless.

        Raises `Unavailable` when one could not be opened, and `SettingsError` when a ledger's
        events are in another database than its own. A ledger is created only when all databases
        have been asked for its events; one that is there needs its own database alone.
        """
        wanted = list(names)
        self._names.update(wanted)
        async with self._opening:
            away = await self._look()
            failed = [await self._try(name, away) for name in wanted if name not in self._open]
        for failure in filter(None, failed):
            raise failure

    async def _look(self) -> dict[Database, Unavailable]:
        """Look for strays in each database; return those that do not answer."""
        answers = await asyncio.gather(*map(self._strays, self.databases), return_exceptions=True)
        away: dict[Database, Unavailable] = {}
        for base, answer in zip(self.databases, answers, strict=True):
            if isinstance(answer, Unavailable):
                away[base] = answer
            elif answer is not None:
                raise answer
        return away

    async def _strays(self, base: Database) -> None:
        """Refuse a database with events of a ledger that belongs elsewhere; ask once a name."""
        news = self._names - self._seen[base]
        for name in await base.occupied([n for n in news if self.home(n) is not base]):
            home = self.home(name)
            if await home.identity() != await base.identity():
                self._trouble[base] = (
                    f"the ledger {name} has events in the database of {base.name}, and the settings"
                    f" say that it lives in that of {home.name}: move its events, or correct"
                    " LEDGER_DATABASES"
                )
                raise SettingsError(self._trouble[base])
        self._seen[base] |= news

    async def _try(self, name: str, away: Mapping[Database, Unavailable]) -> Unavailable | None:
        home = self.home(name)
        if home in away:
            return away[home]
        try:
            row = await home.find(name)
            if row is None and away:
                return next(iter(away.values()))  # its events may be there
            self._open[name] = row or await home.ensure(name)
        except Unavailable as failure:
            return failure
        return None
