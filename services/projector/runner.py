"""The runner: feed → fold → commit, for one ledger.

The rule of positions: an event is folded when it is the cursor's next one; anything else is refused
before a row is touched. Whatever fails rolls back, and the next start goes on from the cursor.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import cast

from contracts import upcasting
from contracts.event import RecordedEvent
from contracts.problem import Problem
from services.kit import clock, logs, metrics
from services.kit.ports import Feed, Ledger
from services.projector import readmodels
from services.projector.readmodels.fact import Fact
from services.projector.readmodels.rows import Rows
from services.projector.writing import NAME, Claim, Folded, Parked, Projection, Unstorable

BATCH = 500
WATCH_SECONDS = 2.0
STALL_SECONDS = 60.0
_log = logs.get(__name__)


class OutOfOrder(Exception):
    """The feed broke its promise: positions did not follow the cursor. Nothing was folded."""


class Stalled(Exception):
    """The ledger moves and the cursor does not: the feed hangs. Everything is opened anew."""


class Runner:
    """Follows one ledger for ever."""

    def __init__(
        self, projection: Projection, feed: Feed, ledger: Ledger, stall: float = STALL_SECONDS
    ) -> None:
        self._projection = projection
        self._feed = feed
        self._ledger = ledger
        self._stall = stall
        self._moved_at = clock.monotonic()
        self._behind = 0
        self._labels = {"projection": NAME, "ledger": projection.ledger}

    async def run(self) -> None:
        """Claim the cursor, then follow and watch. Raises; the caller starts it again."""
        async with self._projection.claim() as claim:
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

    async def apply(self, claim: Claim, batch: list[RecordedEvent]) -> None:
        """Fold and commit a batch; an event that no table can hold is found and parked."""
        expected = range(claim.position + 1, claim.position + 1 + len(batch))
        if [event.position for event in batch] != list(expected):
            raise OutOfOrder(f"expected {expected}, got {[e.position for e in batch][:3]} …")
        try:
            await self._projection.commit(claim, await self._fold(batch))
        except Unstorable as error:
            if len(batch) > 1:
                half = len(batch) // 2
                await self.apply(claim, batch[:half])
                await self.apply(claim, batch[half:])
            else:
                await self._projection.commit(claim, _parked(batch[0], error))

    async def _follow(self, claim: Claim) -> None:
        feed = self._feed.follow(self._projection.ledger, claim.position)
        # Every feed is a generator. Left to the garbage collector, its connections would outlive
        # the error that ended us.
        closing = contextlib.aclosing(cast("AsyncGenerator[list[RecordedEvent], None]", feed))
        async with closing as batches:
            async for batch in batches:
                for start in range(0, len(batch), BATCH):
                    began = clock.monotonic()
                    await self.apply(claim, batch[start : start + BATCH])
                    self._note(claim, clock.monotonic() - began)

    async def _fold(self, batch: list[RecordedEvent]) -> Folded:
        rows, failed = Rows(), dict[int, Exception]()
        facts = _read(batch, failed)
        while wanted := _wanted(facts, rows, failed):
            rows.load(wanted, await self._projection.load(wanted))
        for fact in facts:
            try:
                if fact.position not in failed:
                    readmodels.apply(fact, rows)
            except Exception as error:  # noqa: BLE001 - one odd event must not stop all others
                failed[fact.position] = error
        parked = [
            _park(event, failed[event.position]) for event in batch if event.position in failed
        ]
        return Folded(batch[-1].position, Fact(batch[-1]).recorded_at, rows.changes(), parked)

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
        self._moved_at = clock.monotonic()
        metrics.observe("rlg_projection_batch_seconds", seconds, projection=NAME)
        metrics.gauge("rlg_projection_position", claim.position, **self._labels)

    def _measure(self, claim: Claim, head: int) -> None:
        self._behind = max(0, head - claim.position)
        metrics.gauge("rlg_projection_lag_events", self._behind, **self._labels)
        if not self._behind:
            self._moved_at = clock.monotonic()
        elif clock.monotonic() - self._moved_at > self._stall:
            raise Stalled(f"{self._projection.ledger}: {self._behind} events wait")


def _read(batch: list[RecordedEvent], failed: dict[int, Exception]) -> list[Fact]:
    facts = []
    for event in batch:
        try:
            facts.append(Fact(upcasting.read(event)))
        except upcasting.CannotRead as error:
            failed[event.position] = error
    return facts


def _wanted(
    facts: list[Fact], rows: Rows, failed: dict[int, Exception]
) -> set[tuple[str, tuple[str, ...]]]:
    wanted = set()
    for fact in facts:
        try:
            wanted |= readmodels.keys(fact, rows)
        except Exception as error:  # noqa: BLE001 - as in the fold
            failed[fact.position] = error
    return wanted


def _park(event: RecordedEvent, error: Exception) -> Parked:
    # These say all in their message; others need their traceback.
    known = isinstance(error, Unstorable | upcasting.CannotRead)
    _log.error(
        "projector.parked",
        position=event.position,
        error=str(error),
        exc_info=None if known else error,
    )
    kind = str(event.event.get("type", ""))
    metrics.count("rlg_projection_parked_total", projection=NAME)
    return Parked(event.position, kind, f"{type(error).__name__}: {error}")


def _parked(event: RecordedEvent, error: Exception) -> Folded:
    return Folded(event.position, Fact(event).recorded_at, {}, [_park(event, error)])
