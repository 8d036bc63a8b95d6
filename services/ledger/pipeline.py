"""How what waits becomes what is stored: batches, two of them on their way at a time.

A batch is what gathered while the ones before it were on their way; nobody waits for a batch to
fill. The second is decided over the effects that the first will have, and sent behind it at once.
No answer leaves before everything ahead has succeeded. When a batch fails, all that is in flight is
taken back, the youngest first, and settled in the slow and sure way (`services.ledger.settling`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.problem import Unavailable
from services.ledger.answering import Answering
from services.ledger.backlog import MAX_BATCH_EVENTS, Backlog, Waiting, total
from services.ledger.model import Plan
from services.ledger.planning import Planner
from services.ledger.settling import UNKNOWN, Settler, fail
from services.ledger.writer import LANES, Answer, Fenced, Rejected, Uncertain

if TYPE_CHECKING:
    from services.ledger.writer import Writer

OVERLAP_EVENTS = 8
"""With fewer events outstanding one batch at a time is as fast."""
_NEVER = 1 << 62


@dataclass(slots=True)
class Flight:
    """A batch on its way, with the plan whose verdicts hold if it lands."""

    batch: list[Waiting]
    plan: Plan
    lane: int
    sent: asyncio.Task[Answer]
    events: int


class Pipeline:
    """Forms batches from a backlog and stores them through a writer."""

    def __init__(self, writer: Writer, backlog: Backlog) -> None:
        self._writer = writer
        self._backlog = backlog
        self._answering = Answering(writer.ledger.name)
        self._planner = Planner(writer)
        self._settler = Settler(writer, self._planner, self._answering)
        self._flights: deque[Flight] = deque()

    async def run(self) -> None:
        """Store batches for ever. Cancelling it answers everybody with `Unavailable`."""
        try:
            while True:
                await self._step()
        finally:
            self._backlog.fail(Unavailable("the ledger is stopping; nothing was stored"))
            for flight in self._flights:
                flight.sent.cancel()
                fail(flight.batch, Unavailable(UNKNOWN))
            await asyncio.gather(*(one.sent for one in self._flights), return_exceptions=True)
            self._flights.clear()
            self._planner.overlay.forget()
            await self._writer.close()

    async def _step(self) -> None:
        """Land what has arrived, else send what waits, else sleep until one of both can be done."""
        if self._flights and self._flights[0].sent.done():
            await self._land()
        elif self._backlog.events >= (worth := self._worth()):
            await self._send()
        else:
            self._backlog.wanted = worth
            self._backlog.stir.clear()
            await self._backlog.stir.wait()

    def _worth(self) -> int:
        """Return how many waiting events are worth a batch now."""
        if not self._flights:
            return 1
        if len(self._flights) == LANES or self._settler.contended:
            return _NEVER
        flying = self._flights[0].events
        return max(flying // LANES, OVERLAP_EVENTS - flying, 1)

    def _share(self) -> int:
        """Return how large a batch may be: half of what is outstanding, so that two can overlap."""
        outstanding = self._backlog.events + sum([flight.events for flight in self._flights])
        if outstanding < OVERLAP_EVENTS or self._settler.contended:
            return MAX_BATCH_EVENTS
        return -(-outstanding // LANES)

    async def _send(self) -> None:
        """Take a batch, decide it, and put it on its way behind the one in flight."""
        batch = self._backlog.take(self._share())
        if self._settler.contended:
            await self._settler.settle(batch)
            await asyncio.sleep(0)  # as after a landing
        elif batch:
            try:
                await self._launch(batch)
            except BaseException:
                fail(batch, Unavailable(UNKNOWN))
                raise

    async def _launch(self, batch: list[Waiting]) -> None:
        # Alone always on the same one: its backend stays warm.
        lane = (self._flights[-1].lane + 1) % LANES if self._flights else 0
        try:
            found = await self._planner.plan(lane, [one.request for one in batch])
        except (Uncertain, Rejected, Fenced):
            found = None
        if found is None:  # the database was not to be had, or somebody else has appended
            await self._land_all()
            await self._settler.settle(batch)
            return
        plan, probe = found
        ahead = self._flights[-1].sent if self._flights else None
        sent = asyncio.create_task(self._fly(lane, plan, ahead, probe=probe))
        self._flights.append(Flight(batch, plan, lane, sent, total(batch)))

    async def _fly(
        self, lane: int, plan: Plan, ahead: asyncio.Task[Answer] | None, *, probe: bool
    ) -> Answer:
        """Store a plan; if it came to the lock before the batch ahead of it, once more."""
        try:
            answer = await self._planner.store(lane, plan, probe=probe)
            if ahead is None or answer.outcome == "known":
                return answer
            overtook = answer.outcome == "moved" and (await ahead).outcome == "appended"
            return await self._planner.store(lane, plan, probe=probe) if overtook else answer
        finally:
            self._backlog.stir.set()  # whoever wakes up finds the task done

    async def _land(self) -> None:
        """Answer the oldest batch, or take back everything and settle it."""
        flight = self._flights[0]
        if flight.sent.exception() or flight.sent.result().outcome != "appended":
            await self._recover()
            return
        self._flights.popleft()
        self._planner.overlay.confirm(flight.plan.effects, flight.sent.result().recorded_at)
        self._answering.answer(flight.batch, flight.plan)
        await asyncio.sleep(0)  # let the answered callers queue up for the next batch

    async def _land_all(self) -> None:
        while self._flights:
            await asyncio.wait([self._flights[0].sent])
            await self._land()

    async def _recover(self) -> None:
        """Take back everything in flight, the youngest first, and settle it batch by batch."""
        flights = list(self._flights)
        ends = await asyncio.gather(*(one.sent for one in flights), return_exceptions=True)
        for flight in reversed(flights):
            self._planner.overlay.undo(flight.plan.effects)
        self._flights.clear()
        failed = any(isinstance(end, BaseException) for end in ends)
        if failed:
            self._planner.overlay.forget()
        elif isinstance(ends[0], Answer) and ends[0].outcome == "moved":
            self._settler.lost_the_race()
        # Refused or fenced is known not to be stored; all else may still be on its way.
        begun = any(not isinstance(end, Answer | Rejected | Fenced) for end in ends)
        try:
            for flight in flights:
                if not await self._settler.settle(flight.batch, begun=begun) and begun:
                    break  # what comes behind may be on its way too, and rests on this one
        finally:
            for flight in flights:
                fail(flight.batch, Unavailable(UNKNOWN))
