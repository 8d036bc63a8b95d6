"""The slow and sure way: one batch at a time, each on a fresh look at the database.

For what the pipeline could not land: somebody else was faster, the database refuses a row, or the
connection was lost and nobody knows whether the batch is stored. A batch is tried again with the
same ids until that is known; a poison item is found by halving and fails alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from contracts.problem import Invalid, Problem, Unavailable
from services.kit import clock, logs, metrics
from services.ledger.model import Plan, Request
from services.ledger.writer import Answer, Fenced, Rejected, Uncertain

if TYPE_CHECKING:
    from services.ledger.answering import Answering
    from services.ledger.backlog import Waiting
    from services.ledger.planning import Planner
    from services.ledger.writer import Writer

GIVE_UP_SECONDS = 12.0
"""How long a batch is tried against a database that does not answer."""
LAST_TRY_SECONDS = 0.5
"""A try that is begun has at least so long."""
LOCK_FIRST_BATCHES = 40
"""After another process was faster, batches lock before they load, until so many in a row have met
nobody else: then nobody starves, and nothing is decided in vain."""
UNKNOWN = "the outcome is not known; retry with the same id"
_log = logs.get(__name__)


class Settler:
    """Settles batches for a pipeline, which has nothing in flight meanwhile."""

    def __init__(self, writer: Writer, planner: Planner, answering: Answering) -> None:
        self._writer = writer
        self._ledger = writer.ledger.name
        self._planner = planner
        self._answering = answering
        self._lock_first = 0

    @property
    def contended(self) -> bool:
        """Say whether somebody else appends too, so that batches come here at once."""
        return self._lock_first > 0

    def lost_the_race(self) -> None:
        """Take note that somebody else moved the head."""
        metrics.count("rlg_ledger_moved_total", ledger=self._ledger)
        self._lock_first = LOCK_FIRST_BATCHES

    async def settle(self, batch: Sequence[Waiting], *, begun: bool = False) -> bool:
        """Store a batch and answer everybody in it. False: with `Unavailable`, outcome unknown.

        `begun`: a try of this batch may still be on its way to the lock. It stores nothing once the
        head has moved; so exactly the same requests are decided again, whoever has gone, however
        late: at the same head they place the same events, and only one of both can be stored.
        """
        now = clock.monotonic()
        batch = batch if begun else [one for one in batch if one.wanted(now)]
        try:
            await self._isolate(batch, begun=begun)
        except Problem as problem:
            fail(batch, problem)
            return False
        except BaseException:
            fail(batch, Unavailable(UNKNOWN))
            raise
        return True

    async def _isolate(self, batch: Sequence[Waiting], *, begun: bool) -> None:
        """Store a batch; when the database refuses it, halve it until the guilty one is alone."""
        if not batch:
            return
        try:
            plan = await self._persist([one.request for one in batch], begun=begun)
        except Rejected as error:
            middle = len(batch) // 2
            if middle == 0:
                _log.error("append.refused", ledger=self._ledger, reason=str(error))
                detail = f"the database refuses the event (SQLSTATE {error.state or 'none'})"
                self._answering.refuse(batch[0], Invalid(detail))
                return
            await self._isolate(batch[:middle], begun=begun)
            await self._isolate(batch[middle:], begun=begun)
        else:
            self._answering.answer(batch, plan)

    async def _persist(self, requests: Sequence[Request], *, begun: bool) -> Plan:
        """Try until the batch is stored or decided; after an unknown outcome with the same ids."""
        give_up, pause = clock.monotonic() + GIVE_UP_SECONDS, 0.02
        while True:
            try:
                async with asyncio.timeout(max(give_up - clock.monotonic(), LAST_TRY_SECONDS)):
                    plan = await self._attempt(requests)
            except (Uncertain, TimeoutError) as error:
                begun = True
                _log.warning("append.retrying", ledger=self._ledger, reason=str(error))
                if clock.monotonic() + pause > give_up:
                    raise Unavailable(f"the database does not answer: {UNKNOWN}", 5) from error
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1)
            except Fenced as error:
                _log.error("append.fenced", ledger=self._ledger, reason=str(error))
                rest = UNKNOWN if begun else "nothing was stored"
                raise Unavailable(f"this database must not be appended to: {rest}", 5) from error
            else:
                if plan is not None:
                    return plan
                self.lost_the_race()

    async def _attempt(self, requests: Sequence[Request]) -> Plan | None:
        """Look, decide, append once. None: somebody else moved the head, nothing is stored."""
        try:
            if not self.contended:
                return await self._round(requests)
            known = self._planner.overlay.head
            async with self._writer.locked(0):
                plan = await self._round(requests)
            alone = plan is not None and plan.expected == known
            self._lock_first = self._lock_first - 1 if alone else LOCK_FIRST_BATCHES
            return plan
        except BaseException as error:
            self._planner.overlay.forget()
            if not isinstance(error, Rejected):
                await self._writer.close()
            raise

    async def _round(self, requests: Sequence[Request]) -> Plan | None:
        plan = await self._planner.ask(0, requests)
        assert plan is not None  # noqa: S101 - nothing is in flight that would have to land
        answer: Answer = await self._planner.store(0, plan)
        if answer.outcome == "appended":
            self._planner.overlay.confirm(plan.effects, answer.recorded_at)
            return plan
        self._planner.overlay.undo(plan.effects)
        return None


def fail(batch: Iterable[Waiting], problem: Problem) -> None:
    """Answer everybody who has no answer yet with a problem."""
    for one in batch:
        one.finish(problem)
