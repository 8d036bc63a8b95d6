"""From verdicts to what callers get: outcomes with receipts, and the figures about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from contracts.problem import Problem
from services.kit import clock, metrics
from services.ledger.backlog import Waiting
from services.ledger.model import Item, Kind, Outcome, Plan, Verdict
from services.ledger.receipt import Acknowledgement

_KINDS: tuple[Kind, ...] = (
    "appended", "duplicate", "conflict", "id_conflict", "invalid", "refused",
)  # fmt: skip


class Answering:
    """Answers the callers of one ledger."""

    def __init__(self, ledger: str) -> None:
        self._ledger = ledger
        self._seconds = metrics.child("rlg_ledger_append_seconds", ledger=ledger)
        self._head = metrics.child("rlg_ledger_head", ledger=ledger)
        self._sizes = metrics.child("rlg_ledger_batch_events", ledger=ledger)
        self._counts = {
            kind: metrics.child("rlg_ledger_append_total", ledger=ledger, outcome=kind)
            for kind in _KINDS
        }

    def answer(self, batch: Sequence[Waiting], plan: Plan) -> None:
        """Answer a batch, which has at least one request and whose plan is stored."""
        for one, verdicts in zip(batch, plan.verdicts, strict=True):
            pairs = zip(one.request.items, verdicts, strict=True)
            one.finish([self._outcome(item, verdict) for item, verdict in pairs])
        self._seconds.observe(clock.monotonic() - min([one.call.since for one in batch]))
        tally = Counter([verdict.kind for verdicts in plan.verdicts for verdict in verdicts])
        for kind, count in tally.items():
            self._counts[kind].inc(count)
        if plan.items:
            self._sizes.observe(len(plan.items))
        self._head.set(plan.expected.position + len(plan.items))

    def refuse(self, one: Waiting, problem: Problem) -> None:
        """Answer that the database will never take these rows."""
        self._counts["refused"].inc(one.events)
        one.finish([Outcome("refused", problem=problem)] * one.events)

    def _outcome(self, item: Item, verdict: Verdict) -> Outcome:
        if verdict.problem is not None or verdict.stored is None:
            return Outcome(verdict.kind, problem=verdict.problem)
        receipt = Acknowledgement(self._ledger, item.event_id, item.source, verdict.stored)
        return Outcome(verdict.kind, receipt)
