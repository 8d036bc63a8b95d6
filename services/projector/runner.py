"""The runner: feed → fold → commit, for one ledger.

Whatever fails rolls back, and the next start goes on from the cursor.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import cast

from contracts.event import RecordedEvent
from contracts.problem import Problem
from services.kit import clock, logs, metrics
from services.kit.ports import Feed, Ledger
from services.projector.folding import Folding
from services.projector.generations import NAME
from services.projector.writing import Claim, Projection, Superseded

BATCH = 1000
WATCH_SECONDS = 2.0
STALL_SECONDS = 60.0
STANDBY_SECONDS = 5.0
"""Who waits so long for the cursor stands by."""
_log = logs.get(__name__)


class Stalled(Exception):
    """Events wait and the cursor does not move: the feed hangs. Everything is opened anew."""


@dataclass(frozen=True, slots=True)
class Standstill:
    """Events wait behind a position. A restart does not end it, only an event that is applied."""

    position: int
    since: float


class Runner:
    """Follows one ledger for ever."""

    def __init__(
        self, projection: Projection, feed: Feed, ledger: Ledger, stall: float = STALL_SECONDS
    ) -> None:
        self._projection = projection
        self._feed = feed
        self._ledger = ledger
        self._stall = stall
        self._behind = 0
        self._stands: Standstill | None = None
        self._claiming: float | None = None
        self._labels = {"projection": NAME, "ledger": projection.ledger}

    async def run(self) -> None:
        """Claim the cursor, then follow and watch. Raises; the caller starts it again."""
        self._claiming = clock.monotonic()
        async with self._projection.claim() as claim, asyncio.TaskGroup() as tasks:
            self._claiming = None
            # A flip fences off whoever held it, not who claims it afterwards.
            if not await self._projection.is_live():
                raise Superseded(self._projection.ledger)
            await self._look(claim)  # before the feed, which may fail at once
            tasks.create_task(self._follow(claim))
            tasks.create_task(self._watch(claim))

    async def stalled(self) -> str | None:
        """Readiness check: say so when events wait and nothing moves."""
        now = clock.monotonic()
        if self._claiming is not None and now - self._claiming > STANDBY_SECONDS:
            return None  # somebody else follows this ledger
        return self.waited(self._stall / 2)

    def given_up(self) -> str | None:
        """Say so when it was opened anew and nothing moves still: a new process may help."""
        return self.waited(self._stall)

    def waited(self, seconds: float) -> str | None:
        """Say what has waited for longer than this."""
        still = 0.0 if self._stands is None else clock.monotonic() - self._stands.since
        if still > seconds:
            return f"{self._behind} events wait and the cursor has not moved for {still:.0f} s"
        return None

    async def _follow(self, claim: Claim) -> None:
        feed = self._feed.follow(self._projection.ledger, claim.position)
        # Every feed is a generator. Left to the garbage collector, its connections would outlive
        # the error that ended us.
        feed = cast("AsyncGenerator[list[RecordedEvent], None]", feed)
        folding = Folding(self._projection)
        async with contextlib.aclosing(feed), contextlib.aclosing(folding):
            coming = asyncio.ensure_future(anext(feed))
            try:
                while True:
                    batch = await coming
                    # The next one is read and decoded, and the last one written, meanwhile.
                    coming = asyncio.ensure_future(anext(feed))
                    began = clock.monotonic()
                    for start in range(0, len(batch), BATCH):
                        await folding.take(claim, batch[start : start + BATCH])
                    await folding.settle(claim, unless=coming)
                    self._note(claim, clock.monotonic() - began)
            finally:  # a generator that runs cannot be closed
                coming.cancel()
                await asyncio.wait({coming})

    async def _watch(self, claim: Claim) -> None:
        opened = clock.monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self._look(claim)
            stands = self._stands
            if stands and clock.monotonic() - max(stands.since, opened) > self._stall / 2:
                raise Stalled(f"{self._projection.ledger}: {self._behind} events wait")

    async def _look(self, claim: Claim) -> None:
        try:
            page = await self._ledger.page(self._projection.ledger, claim.position, limit=1)
        except Problem as problem:
            _log.info("projector.head_unknown", reason=problem.detail)
        else:
            self._measure(claim, page.head)
            since = page.events[0].recorded_at if page.events else None
            await self._projection.seen(claim, page.head, since)

    def _note(self, claim: Claim, seconds: float) -> None:
        if self._stands is not None and self._stands.position != claim.position:
            self._stands = None
        metrics.gauge("rlg_projection_parked_subjects", len(claim.held), **self._labels)
        metrics.observe("rlg_projection_batch_seconds", seconds, projection=NAME)
        metrics.gauge("rlg_projection_position", claim.position, **self._labels)

    def _measure(self, claim: Claim, head: int) -> None:
        self._behind = max(0, head - claim.position)
        metrics.gauge("rlg_projection_lag_events", self._behind, **self._labels)
        if not self._behind:
            self._stands = None
        elif self._stands is None or self._stands.position != claim.position:
            self._stands = Standstill(claim.position, clock.monotonic())
