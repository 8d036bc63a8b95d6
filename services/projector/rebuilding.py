"""The rebuild: all read models of a ledger anew, beside the live ones, by bulk reads.

Goes on where an interrupted one has stopped. Nothing that readers see changes before the flip, and
the flip comes only when the new generation has caught up and its check has passed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.kit import clock
from services.projector.checking import EVENTS, SAMPLE, Check, sampled
from services.projector.folding import Folding
from services.projector.generations import Generation, Generations
from services.projector.writing import Claim, Projection

if TYPE_CHECKING:
    from contracts.event import Page
    from services.kit.database import Engine
    from services.kit.ports import Ledger

PAGE = 1000
"""Events in one read; the next one is on its way while this one is folded."""


class NothingKept(LookupError):
    """There is no earlier generation to go back to."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild came to."""

    generation: Generation
    events: int
    """Folded by this run."""
    seconds: float
    compared: int
    """Rows and entries that were compared with a fold of their own."""
    digest: str
    parked: int
    """Subjects whose events cannot be folded still."""


class Rebuild:
    """Builds a ledger's read models anew. `progress`: position and head, after each batch."""

    def __init__(
        self, engine: Engine, ledger: Ledger, name: str,
        progress: Callable[[int, int], None] = lambda _at, _head: None,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._ledger = ledger
        self._name = name
        self._generations = Generations(engine, name)
        self._progress = progress

    async def run(self) -> Rebuilt:
        """Build, check, make live. Raises `Differs`, `Superseded`, a `Problem` of the ledger."""
        began = clock.monotonic()
        generation = await self._generations.begin()
        projection = Projection(self._engine, self._name, generation)
        async with projection.claim() as claim:
            first, check = claim.position, Check()
            await self._catch_up(projection, claim, check)
            await self._sample(projection, claim, check)
            while not await self._generations.flip(generation, check.digest):
                await self._catch_up(projection, claim, check)
            seconds = clock.monotonic() - began
            return Rebuilt(generation, claim.position - first, seconds, check.compared,
                           check.digest, len(claim.held))  # fmt: skip

    async def back(self) -> Generation:
        """Make the kept generation live again, once it has caught up. Raises `NothingKept`."""
        kept = await self._generations.kept()
        if kept is None:
            raise NothingKept(f"no earlier read models of {self._name} are kept")
        projection = Projection(self._engine, self._name, kept)
        async with projection.claim() as claim:
            await self._catch_up(projection, claim, None)
            while not await self._generations.flip(kept):
                await self._catch_up(projection, claim, None)
        return kept

    async def _catch_up(self, projection: Projection, claim: Claim, check: Check | None) -> None:
        """Fold until the head. `check` folds along where it starts at the beginning."""
        page = await self._page(claim.position)
        along = check is not None and claim.position == 0
        async with contextlib.aclosing(Folding(projection)) as folding:
            while page.events:
                last = page.events[-1].position
                reading = asyncio.create_task(self._page(last))
                try:
                    await folding.take(claim, page.events)
                    if along and check is not None:
                        await folding.settle(claim)
                        await asyncio.to_thread(check.fold, page.events, claim.held)
                        if claim.position >= EVENTS or page.head <= last:
                            await check.state(projection)
                            along = False
                    self._progress(claim.position, page.head)
                    page = await reading
                finally:
                    reading.cancel()
            await folding.settle(claim)

    async def _page(self, after: int) -> Page:
        return await self._ledger.page(self._name, after, limit=PAGE)

    async def _sample(self, projection: Projection, claim: Claim, check: Check) -> None:
        """Read events at random once more and compare what each gives by itself."""
        for position in sampled(range(1, claim.position + 1), SAMPLE // 5):
            page = await self._ledger.page(self._name, position - 1, limit=1)
            await check.entries(projection, page.events)
