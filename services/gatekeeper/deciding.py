"""Deciding: read the histories, judge, and record the decision while nothing that was read moves.

A decision is appended with an expectation on every history that it rests on, also on those that
nobody has named yet. If anything moved, it is read and judged again; so no decision rests on stale
history, and no approval, veto or rebuilt artifact slips in between.
"""

from __future__ import annotations

import asyncio
import uuid
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from contracts.catalogue import type_of
from contracts.decision import Decision
from contracts.event import Event, Receipt, RecordedEvent, format_time, parse_time
from contracts.payloads.control import PermitIssued
from contracts.payloads.model import Payload
from contracts.payloads.readiness import DecisionRecorded
from contracts.problem import Conflict, Invalid, NotFound, Unavailable
from services.gatekeeper import permits, policy
from services.gatekeeper.facts import Facts
from services.gatekeeper.folding import DECISION
from services.gatekeeper.judge import judge, loss
from services.gatekeeper.reading import Reader
from services.kit import clock, metrics
from services.kit.identity import Principal
from services.kit.ports import Ledger

SOURCE = "/gatekeeper"
TRIES = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision that is not recorded, and what it rests on."""

    decision: Decision
    facts: Facts
    applied: policy.Applied | policy.NoPolicy


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision with its place in the ledger."""

    decision_id: str
    position: int
    recorded_at: str
    decision: Decision
    permit: PermitIssued | None = None
    """Where one was asked for and the answer is yes."""


class Decider:
    """Judges releases of one ledger by the policies of the given names."""

    def __init__(self, ledger: Ledger, name: str, policies: Sequence[str]) -> None:
        """Read and write the ledger `name`; judge by `policies` and all that were activated."""
        self.ledger, self.name, self.policies = ledger, name, tuple(policies)
        self.reader = Reader(ledger, name, policies)
        self._ledger_time = datetime.min.replace(tzinfo=UTC)
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def alone(self, release: str) -> asyncio.Lock:
        """Return what keeps the others of this process from moving a release: those of one process
        take turns, so that only another process's acts are met as conflicts.
        """
        return self._locks.setdefault(release, asyncio.Lock())

    async def dry_run(self, release: str, gate: str) -> Judged:
        """Judge and record nothing. Raises `NotFound` for a release that nobody has named."""
        moment = self.now()
        while True:
            found = await self.reader.read(release, gate, moment)
            moment = max(moment, found.facts.newest or moment)
            until = found.applied.until
            if until is None or moment < until:  # else another text judges at that moment
                return Judged(judge(found.facts, found.applied, moment), found.facts, found.applied)

    def now(self) -> datetime:
        """Return the present: by our clock, and never before what the ledger has stamped for us."""
        return max(clock.now(), self._ledger_time)

    async def decide(self, release: str, gate: str, *, permit: bool = False) -> Recorded:
        """Judge and record, with a permit if one is asked for and the answer is yes.

        Raises `Conflict` with what moved when it moved too often, `Invalid` for a permit at a gate
        that nothing is deployed through.
        """
        if permit and not gate.startswith(permits.GATES):
            detail = f"permits are given at gates of the kind {permits.GATES} alone"
            raise Invalid(detail, errors=[{"pointer": "/gate", "detail": detail}])
        started = clock.monotonic()
        async with self.alone(release):
            recorded, known = await self._decide(release, gate, permit=permit)
        label = gate if known else "unknown"
        metrics.count("rlg_decisions_total", gate=label, verdict=recorded.decision.decision)
        metrics.observe("rlg_decision_seconds", clock.monotonic() - started, gate=label)
        return recorded

    async def decisions(self, release: str) -> list[Recorded]:
        """Return the recorded decisions of a release, newest first, or raise `NotFound`."""
        page = await self.reader.history(f"release:{release}")
        if not page.version:
            raise NotFound(f"nobody has recorded anything about the release {release}")
        return [_recorded(event) for event in reversed(page.events) if event.type == DECISION]

    async def decision(self, decision_id: str) -> Recorded:
        """Return one recorded decision, or raise `NotFound`."""
        page = await self.reader.history(f"decision:{decision_id}")
        for event in page.events:
            if event.type == DECISION and event.data["decision_id"] == decision_id:
                return _recorded(event)
        raise NotFound(f"there is no decision {decision_id}")

    async def append(
        self, event: Event, expect: dict[str, int] | None, person: Principal | None = None
    ) -> Receipt:
        """Append one event; an unknown outcome is made known by sending the same id again."""
        return (await self.append_all([event], expect, person))[0]

    async def append_all(
        self, events: list[Event], expect: dict[str, int] | None, person: Principal | None = None
    ) -> list[Receipt]:
        """Append several events, all or none; as `append`."""
        for pause in (0.05, 0.2, None):
            try:
                found = await self.ledger.append(self.name, events, expect, person)
            except Unavailable:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                break
        self._ledger_time = max(self._ledger_time, parse_time(found[-1].recorded_at))
        return found

    async def _decide(self, release: str, gate: str, *, permit: bool) -> tuple[Recorded, bool]:
        moved = Conflict()
        for _ in range(TRIES):
            judged = await self.dry_run(release, gate)
            id_, decision = str(uuid.uuid4()), judged.decision
            payload = DecisionRecorded(decision_id=id_, release_id=release, decision=decision)
            issued = permits.issue(id_, decision) if permit else None
            events = [envelope(payload, f"release:{release}", decision.as_of, id_)]
            if issued is not None:
                events.append(envelope(issued, f"release:{release}", decision.as_of))
            try:
                first = (await self.append_all(events, decision.read_set))[0]
            except Conflict as conflict:
                moved = conflict
                continue
            if (ends := loss(decision)) and first.recorded_at >= ends:
                continue  # our clock is late: what was recorded was over already
            known = isinstance(judged.applied, policy.Applied)
            return Recorded(id_, first.position, first.recorded_at, decision, issued), known
        detail = f"what {release} rests on moved {TRIES} times while {gate} was judged; ask again"
        raise Conflict(detail, actual=moved.members.get("actual", {}))


def envelope(payload: Payload, subject: str, time: str | None = None, id_: str = "") -> Event:
    """Return the CloudEvent of a payload; without `time` it happened when it is recorded."""
    said = payload.model_dump(mode="json")
    attributes = {
        "specversion": "1.0",
        "id": id_ or str(uuid.uuid4()),
        "source": SOURCE,
        "type": type_of(type(payload)),
        "subject": subject,
        "datacontenttype": "application/json",
        "data": {name: said[name] for name in said if name in payload.model_fields_set},
    }
    return Event.model_validate(attributes | ({} if time is None else {"time": time}))


def _recorded(event: RecordedEvent) -> Recorded:
    decision = Decision.model_validate(event.data["decision"], extra="ignore")
    return Recorded(event.data["decision_id"], event.position, event.recorded_at, decision)


def stamp() -> str:
    """Return the present as it stands in events."""
    return format_time(clock.now())
