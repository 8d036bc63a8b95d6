"""Decides requests over what the process knows, looking at the database where that is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.ledger.decision import decide
from services.ledger.model import EventKey, Plan, Request
from services.ledger.overlay import Overlay

if TYPE_CHECKING:
    from services.ledger.writer import Answer, Writer

PROBED_EVENTS = 16
"""So few ids are always looked up by append_v1 itself, which spares the trip for the load."""
LOOK_FIRST_BATCHES = 40
"""After an id of a batch was stored already, larger ones ask before they are decided, until so many
in a row have met none: what append_v1 finds is decided a second time, with all that flies."""


class Planner:
    """What one process knows of a ledger, and how it decides on that."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.overlay = Overlay()
        self._look_first = 0

    async def plan(self, lane: int, requests: Sequence[Request]) -> tuple[Plan, bool] | None:
        """Return a plan and whether its ids are still to be probed.

        None: somebody else has appended, and what is in flight has to land first.
        """
        self.overlay.trim()
        subjects = self.overlay.unknown_subjects(requests)
        ids = self.overlay.unknown_ids(requests)
        if not subjects and (not self._look_first or len(ids) <= PROBED_EVENTS):
            plan = decide(self.overlay, requests)
            # append_v1 probes the ids of what is placed, and proves that what we know still holds.
            # Where an item was refused, or nothing is placed, only the database can tell.
            if plan.items and len(plan.items) == len(ids):
                return plan, True
            self.overlay.undo(plan.effects)
        asked = await self._ask(lane, requests, subjects, ids)
        return None if asked is None else (asked, False)

    async def ask(self, lane: int, requests: Sequence[Request]) -> Plan | None:
        """Return a plan that rests on a look at the database; None as in `plan`."""
        self.overlay.trim()
        subjects = self.overlay.unknown_subjects(requests)
        return await self._ask(lane, requests, subjects, self.overlay.unknown_ids(requests))

    async def _ask(
        self,
        lane: int,
        requests: Sequence[Request],
        subjects: Sequence[str],
        ids: Sequence[EventKey],
    ) -> Plan | None:
        snapshot = await self._writer.load(lane, self.overlay.head, subjects, ids)
        self._look_first = LOOK_FIRST_BATCHES if snapshot.stored else max(self._look_first - 1, 0)
        learnt = self.overlay.learn(snapshot)
        if learnt == "forgot":  # what was not asked for because it was known is to be asked now
            return await self.ask(lane, requests)
        return decide(self.overlay, requests) if learnt == "taken" else None

    async def store(self, lane: int, plan: Plan, *, probe: bool = False) -> Answer:
        """Append a plan; where there is nothing to store, make sure of what was read."""
        if plan.items:
            return await self._writer.append(lane, plan, probe=probe)
        return await self._writer.confirm(lane)
