"""Timers: a gate is judged again when time or an event may have changed the answer.

A new decision is recorded only where it says something new; else only the next timer is set. Any
number of gatekeepers share the timers: each claims some for a while, and what one who died has
claimed is taken by another. Should two judge the same gate, the expectations of the append let one
of them record, and the other one then finds nothing new.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.decision import Decision
from contracts.event import HistoryPage, parse_time
from contracts.payloads.readiness import DecisionRecorded
from contracts.problem import Conflict, Problem
from services.gatekeeper import policy
from services.gatekeeper.deciding import TRIES, Decider, Judged, envelope
from services.gatekeeper.folding import DECISION
from services.gatekeeper.judge import judge
from services.gatekeeper.store import Claim, Newest, Store
from services.gatekeeper.watching import SETTLES, instant
from services.kit import clock, logs, metrics

AT_ONCE = 8
"""Gates that one process judges at a time."""
POLL_SECONDS = 0.2
RETRY_SECONDS = 5.0
OVERDUE = timedelta(seconds=30)
SOONEST = timedelta(seconds=1)
"""A rule that names an instant that has passed costs a judgement a second, not a core."""
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Rejudged:
    """What judging a gate again came to."""

    decision: Decision
    position: int
    """Of the newest decision that is recorded."""
    recorded: bool
    """Whether that is this one."""


def is_news(newest: Decision, judged: Judged) -> bool:
    """Say whether a verdict, a status, a reason or the candidate has changed since `newest`. Pure.

    Reasons tell spans of time ("for 3 h"). Before the instant at which time alone could change the
    answer, what time does to their words is no news.
    """
    now = judged.decision
    if _answers(newest) != _answers(now):
        return True
    turns = instant(newest.next_change_at)
    if turns is None or turns > parse_time(now.as_of):
        now = judge(judged.facts, judged.applied, parse_time(newest.as_of))
    return _reasons(newest) != _reasons(now)


async def redecide(decider: Decider, release: str, gate: str) -> Rejudged | None:
    """Judge a gate again and record what is new. None: the release has ended, or nobody has asked.

    Raises `Conflict` when what it rests on moved too often.
    """
    for _ in range(TRIES):
        page = await decider.reader.history(f"release:{release}")
        judged = await decider.dry_run(release, gate)
        newest = _newest(page, gate)
        if newest is None or judged.facts.closed:
            return None
        position, before = newest
        if judged.decision.read_set[page.subject] != page.version:
            continue  # somebody may have recorded a decision in between
        if not is_news(before, judged):
            return Rejudged(judged.decision, position, recorded=False)
        id_ = str(uuid.uuid4())
        payload = DecisionRecorded(decision_id=id_, release_id=release, decision=judged.decision)
        event = envelope(payload, page.subject, judged.decision.as_of, id_)
        try:
            receipt = await decider.append(event, judged.decision.read_set)
        except Conflict:
            continue
        label = gate if isinstance(judged.applied, policy.Applied) else "unknown"
        metrics.count("rlg_decisions_total", gate=label, verdict=judged.decision.decision)
        return Rejudged(judged.decision, receipt.position, recorded=True)
    raise Conflict(f"what {release} rests on moved {TRIES} times while {gate} was judged again")


class Timers:
    """Judges the gates of one ledger that are due."""

    def __init__(self, store: Store, decider: Decider) -> None:
        self._store, self._decider = store, decider

    async def run(self) -> None:
        """Judge for ever what falls due. Raises; the caller starts it again."""
        while True:
            if not await self.fire():
                await asyncio.sleep(POLL_SECONDS)

    async def overdue(self) -> str | None:
        """Readiness check: say so when gates wait that should have been judged long ago."""
        late = await self._store.overdue(clock.now() - OVERDUE)
        return f"gates that wait to be judged again: {late}" if late else None

    async def fire(self) -> int:
        """Judge some of what is due; return how many gates that were."""
        claims = await self._store.claim(clock.now(), AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for claim in claims:
                group.create_task(self._judge(claim))
        return len(claims)

    async def _judge(self, claim: Claim) -> None:
        try:
            found = await redecide(self._decider, claim.release, claim.gate)
        except Exception as error:  # noqa: BLE001 - one gate that cannot be judged stops no other
            busy, trace = isinstance(error, Conflict), None if isinstance(error, Problem) else error
            tell = _log.info if busy else _log.warning  # what moves that often is judged again soon
            tell("gate.not_judged", release=claim.release, gate=claim.gate,
                 reason=str(error), exc_info=trace)  # fmt: skip
            metrics.count("rlg_gate_rejudged_total", cause=claim.cause, outcome="failed")
            await self._store.put_off(claim, RETRY_SECONDS)
            return
        late = (clock.now() - claim.due_at).total_seconds()
        metrics.observe("rlg_gate_timer_lateness_seconds", max(0.0, late), cause=claim.cause)
        outcome = "ended" if found is None else "recorded" if found.recorded else "unchanged"
        metrics.count("rlg_gate_rejudged_total", cause=claim.cause, outcome=outcome)
        if found is None:
            await self._store.forget(claim)
            return
        fires_at, read = _next(found.decision), tuple(found.decision.read_set)
        newest = Newest(found.position, fires_at, read)
        await self._store.settle(claim, newest, clock.now() + SETTLES)


def _next(decision: Decision) -> datetime | None:
    at = instant(decision.next_change_at)
    return None if at is None else max(at, parse_time(decision.as_of) + SOONEST)


def _newest(page: HistoryPage, gate: str) -> tuple[int, Decision] | None:
    for event in reversed(page.events):
        if event.type == DECISION and event.data.get("decision", {}).get("gate") == gate:
            decision = Decision.model_validate(event.data["decision"], extra="ignore")
            return event.position, decision
    return None


def _answers(decision: Decision) -> tuple[object, ...]:
    statuses = [(rule.rule, rule.status) for rule in decision.rules]
    return decision.decision, decision.artefact, statuses


def _reasons(decision: Decision) -> set[tuple[str, str]]:
    return {(rule.rule, rule.reason) for rule in decision.rules}
