"""A ledger in memory: the port over a story, with real expectations and real failures."""

# ruff: noqa: ARG002 - the port's parameters, also where a ledger in memory has no use for them

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts import catalogue, ijson
from contracts.event import Event, HistoryPage, Page, Receipt, RecordedEvent
from contracts.problem import Conflict, NotFound, Unavailable
from services.kit.identity import Principal
from tests.unit.gatekeeper.told import Told


class MemoryLedger:
    """`ports.Ledger` over a `Told`: enough of a ledger to decide on, with real expectations."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.down = 0
        """How many calls shall fail before it answers again."""
        self.before_append: list[Any] = []
        """Callables to run just before the next appends: what somebody else does meanwhile."""
        self.appends: list[Mapping[str, int]] = []

    async def append(
        self,
        ledger: str,
        events: Sequence[Event],
        expect: Mapping[str, int] | None = None,
        acting_for: Principal | None = None,
    ) -> list[Receipt]:
        self._check()
        if expect and self.before_append:
            self.before_append.pop(0)()
        self.appends.append(dict(expect or {}))
        known = [e for e in self.told.events if e.event["id"] == events[0].id]
        if known:
            return [self._receipt(known[0])]
        versions = self.told.versions
        actual = {
            k: versions.get(k, 0) for k, v in (expect or {}).items() if versions.get(k, 0) != v
        }
        if actual:
            raise Conflict("moved", actual=actual)
        who, via = (
            (acting_for.id, "service:gatekeeper") if acting_for else ("service:gatekeeper", None)
        )
        parsed = [catalogue.parse(ijson.loads(ijson.dumps(e.as_json()))) for e in events]
        return [self._receipt(self.told.record(event, who, via)) for event in parsed]

    async def page(
        self,
        ledger: str,
        after: int,
        *,
        limit: int = 500,
        wait: float = 0,
        type_: str | None = None,
        subject: str | None = None,
    ) -> Page:
        self._check()
        events = self.told.events[after : after + limit]
        of_type = [event for event in events if type_ in {None, event.type}]
        return Page(events=of_type, head=len(self.told.events), scanned_to=after + len(events))

    async def sealed(self, ledger: str, position: int, wait: float) -> bool:
        return False

    async def history(
        self, ledger: str, subject: str, *, after_version: int = 0, as_of: str | None = None
    ) -> HistoryPage:
        self._check()
        return self.told.page(subject, None if as_of is None else int(as_of))

    async def histories(
        self, ledger: str, subjects: Sequence[str], *, as_of: str | None = None
    ) -> list[HistoryPage]:
        return [await self.history(ledger, subject, as_of=as_of) for subject in subjects]

    async def event(self, ledger: str, position: int) -> RecordedEvent:
        if not 0 < position <= len(self.told.events):
            raise NotFound
        return self.told.events[position - 1]

    def _check(self) -> None:
        if self.down:
            self.down -= 1
            raise Unavailable("the ledger does not answer")

    def _receipt(self, event: RecordedEvent) -> Receipt:
        return Receipt(
            ledger="main",
            position=event.position,
            versions=event.versions,
            event_id=event.event["id"],
            source=event.event["source"],
            commitment=event.commitment,
            recorded_at=event.recorded_at,
        )
