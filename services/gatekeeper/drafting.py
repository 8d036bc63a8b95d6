"""Drafting: what has been read of a question so far, and what it says. Folds only if it must."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

from contracts.event import HistoryPage
from services.gatekeeper.folding import fold

Pages: TypeAlias = Callable[[Iterable[str]], Awaitable[list[HistoryPage]]]
"""Reads histories, all of one question in one snapshot."""


class Draft:
    """What has been read so far, and what it says."""

    def __init__(self, release: str, gate: str, pages: Pages) -> None:
        self.facts = fold(release, gate, [])
        self._question, self._read = (release, gate), pages
        self._pages: list[HistoryPage] = []
        self._seen: set[int] = set()
        """Positions in histories that are not another release's."""

    async def add(self, keys: Iterable[str]) -> bool:
        """Read what is not read yet; say whether there was any."""
        more = [key for key in keys if key not in self.facts.read_set]
        if more:
            self.take(await self._read(more))
        return bool(more)

    def take(self, found: Sequence[HistoryPage]) -> None:
        """Take histories in. Where no event of theirs is new they change no fact."""
        self._pages += found
        if all(self._is_known(page) for page in found):
            self.facts.read_set.update({page.subject: page.version for page in found})
        else:
            self.facts = fold(*self._question, self._pages)
            self._seen.update(event.position for page in found if not self._is_other(page)
                              for event in page.events)  # fmt: skip

    def _is_known(self, page: HistoryPage) -> bool:
        known = all(event.position in self._seen for event in page.events)
        return known and not self._is_other(page)

    def _is_other(self, page: HistoryPage) -> bool:
        """Say whether it is another release's, or of a deployment of one: facts of their own."""
        kind, _, name = page.subject.partition(":")
        if kind == "deployment":
            return all(name != id_ for id_, _ in self.facts.deployments)
        return kind == "release" and name != self.facts.release
