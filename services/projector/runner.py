"""The runner: feed → fold → commit, for one ledger.

Whatever fails rolls back, and the next start goes on from the cursor.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import cast

from contracts.event import RecordedEvent
from contracts.problem import Problem
from services.kit import clock, logs, metrics
from services.kit.ports import Feed, Ledger
from services.projector.folding import Folding
from services.projector.generations import NAME
from services.projector.writing import Claim, Projection

BATCH = 500
WATCH_SECONDS = 2.0
STALL_SECONDS = 60.0
_log = logs.get(__name__)


class Stalled(Exception):
    """The ledger moves and the cursor does not: the feed hangs. Everything is opened anew."""


class GivenUp(Exception):
    """It was opened anew, and the cursor does not move still: only a new process may help."""


class Runner:
    """Follows one ledger for ever."""

    def __init__(
        self, projection: Projection, feed: Feed, ledger: Ledger, stall: float = STALL_SECONDS
    ) -> None:
        self._projection = projection
        self._folding = Folding(projection)
        self._feed = feed
        self._ledger = ledger
        self._stall = stall
        self._moved_at = clock.monotonic()
        self._behind = 0
        self._reopened = False
        self._labels = {"projection": NAME, "ledger": projection.ledger}

    async def run(self) -> None:
        """Claim the cursor, then follow and watch. Raises; the caller starts it again."""
        async with self._projection.claim() as claim:
            if not self._reopened:
                self._moved_at = clock.monotonic()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow(claim))
                tasks.create_task(self._watch(claim))

    async def stalled(self) -> str | None:
        """Readiness check: say so when events wait and nothing moves."""
        still = clock.monotonic() - self._moved_at
        if self._behind and still > self._stall / 2:
            return f"{self._behind} events wait and the cursor has not moved for {still:.0f} s"
        return None

    async def _follow(self, claim: Claim) -> None:
        feed = self._feed.follow(self._projection.ledger, claim.position)
        # Every feed is a generator. Left to the garbage collector, its connections would outlive
        # the error that ended us.
        closing = contextlib.aclosing(cast("AsyncGenerator[list[RecordedEvent], None]", feed))
        async with closing as batches:
            async for batch in batches:
                for start in range(0, len(batch), BATCH):
                    began = clock.monotonic()
                    await self._folding.apply(claim, batch[start : start + BATCH])
                    self._note(claim, clock.monotonic() - began)

    async def _watch(self, claim: Claim) -> None:
        while True:
            try:
                page = await self._ledger.page(self._projection.ledger, claim.position, limit=1)
            except Problem as problem:
                _log.info("projector.head_unknown", reason=problem.detail)
            else:
                since = page.events[0].recorded_at if page.events else None
                await self._projection.seen(claim, page.head, since)
                self._measure(claim, page.head)
            await asyncio.sleep(WATCH_SECONDS)

    def _note(self, claim: Claim, seconds: float) -> None:
        self._moved_at, self._reopened = clock.monotonic(), False
        metrics.gauge("rlg_projection_parked_subjects", len(claim.held), **self._labels)
        metrics.observe("rlg_projection_batch_seconds", seconds, projection=NAME)
        metrics.gauge("rlg_projection_position", claim.position, **self._labels)

    def _measure(self, claim: Claim, head: int) -> None:
        self._behind = max(0, head - claim.position)
        metrics.gauge("rlg_projection_lag_events", self._behind, **self._labels)
        still = clock.monotonic() - self._moved_at
        if not self._behind:
            self._moved_at, self._reopened = clock.monotonic(), False
        elif still > self._stall:
            raise GivenUp(
                f"{self._projection.ledger}: {self._behind} events wait for {still:.0f} s"
            )
        elif still > self._stall / 2 and not self._reopened:
            self._reopened = True
            raise Stalled(f"{self._projection.ledger}: {self._behind} events wait")
