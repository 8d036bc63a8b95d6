"""The one writer of a ledger in this process: a queue, batches, load → decide → append.

Promises, per call: the answer comes after the commit; an id that is stored already gives its first
receipt; a group is all or nothing; a failing item harms no neighbour. `Unavailable` is the only
other answer, and then the outcome may be unknown: send the same ids again.
A batch is what gathered while the one before it was committed; nobody waits for a batch to fill.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from contracts.event import Receipt
from contracts.problem import Invalid, Problem, Unavailable
from services.kit import clock, logs, metrics
from services.ledger import body
from services.ledger.backlog import Backlog, Waiting
from services.ledger.model import Outcome, Request, Submission, Verdict, decide
from services.ledger.writer import Rejected, Uncertain

if TYPE_CHECKING:
    from services.ledger.writer import Writer

__all__ = ["Appender", "Appenders", "Outcome", "Submission"]

GIVE_UP_SECONDS = 12.0
"""How long a batch is tried against a database that does not answer."""
LOCK_FIRST_BATCHES = 40
"""After another process was faster, so many batches lock before they load: then nobody starves."""
_log = logs.get(__name__)


class Appenders(Protocol):
    """Finds the appender of a ledger; `services.ledger.service` provides it."""

    def __call__(self, ledger: str, /) -> Appender:
        """Return the appender, or raise `NotFound`."""


class Appender:
    """Appends to one ledger. Any number of callers; one `run` at a time."""

    def __init__(self, writer: Writer, queue_events: int = 4096) -> None:
        self._writer = writer
        self._ledger = writer.ledger.name
        self._backlog = Backlog(self._ledger, queue_events)
        self._lock_first = 0

    async def append_each(self, items: Sequence[Submission]) -> list[Outcome]:
        """Append events independently of each other; one outcome per item, in the order given.

        The queue keeps that order: among accepted items, earlier ones get lower positions. Kinds:
        appended, duplicate, id_conflict, invalid (the event), refused (by the database).
        """
        outcomes: list[Outcome | None] = []
        requests: list[Request] = []
        for item in items:
            made = _make([item])
            outcomes.append(made if isinstance(made, Outcome) else None)
            requests += [made] if isinstance(made, Request) else []
        answers = iter(await self._submit(requests))
        return [outcome or next(answers)[0] for outcome in outcomes]

    async def append_group(
        self, items: Sequence[Submission], expect: Mapping[str, int] | None = None
    ) -> list[Outcome]:
        """Append events at consecutive positions, or none of them.

        `expect` {subject: version} must hold at the instant of the append (0: has no event yet);
        else every outcome is `conflict` and its problem's `actual` names the failing versions. A
        group that is stored already with the same content gives its first receipts, whatever has
        happened since. On failure all outcomes carry the same problem.
        """
        made = _make(items, expect or {})
        if isinstance(made, Outcome):
            return [made] * len(items)
        return (await self._submit([made]))[0]

    async def run(self) -> None:
        """Form and store batches for ever. Cancelling it answers everybody with `Unavailable`."""
        try:
            while True:
                await self._settle(await self._backlog.take())
                await asyncio.sleep(0)  # let the answered callers queue up for the next batch
        finally:
            self._backlog.fail(Unavailable("the ledger is stopping"))
            await self._writer.close()

    async def _submit(self, requests: Sequence[Request]) -> list[list[Outcome]]:
        return await asyncio.gather(*self._backlog.put(requests))

    async def _settle(self, batch: list[Waiting]) -> None:
        """Answer every request of the batch, whatever happens."""
        try:
            await self._isolate(batch)
        except Problem as problem:
            _fail(batch, problem)
        except BaseException:
            _fail(batch, Unavailable("the outcome is not known; send the same ids again"))
            raise

    async def _isolate(self, batch: list[Waiting]) -> None:
        """Store a batch; when the database refuses it, halve it until the guilty one is alone."""
        if not batch:
            return
        try:
            self._answer(batch, await self._persist([one.request for one in batch]))
        except Rejected as error:
            middle = len(batch) // 2
            if middle == 0:
                _log.error("append.refused", ledger=self._ledger, reason=str(error))
                self._answer(batch, [_refused(batch[0].request, error)])
                return
            await self._isolate(batch[:middle])
            await self._isolate(batch[middle:])

    async def _persist(self, requests: Sequence[Request]) -> list[list[Outcome]]:
        """Try until the batch is stored or decided; after an unknown outcome with the same ids."""
        give_up, pause = clock.monotonic() + GIVE_UP_SECONDS, 0.02
        while True:
            try:
                outcomes = await self._attempt(requests)
            except Uncertain as error:
                _log.warning("append.retrying", ledger=self._ledger, reason=str(error))
                await self._writer.close()
                if clock.monotonic() + pause > give_up:
                    detail = "the database does not answer; send the same ids again"
                    raise Unavailable(detail, 5) from error
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1)
            else:
                if outcomes is not None:
                    return outcomes
                metrics.count("rlg_ledger_moved_total", ledger=self._ledger)
                self._lock_first = LOCK_FIRST_BATCHES

    async def _attempt(self, requests: Sequence[Request]) -> list[list[Outcome]] | None:
        """Load, decide, append once. None: another process moved the head, nothing is stored."""
        if self._lock_first == 0:
            return await self._round(requests)
        async with self._writer.locked():
            outcomes = await self._round(requests)
        self._lock_first -= 1
        return outcomes

    async def _round(self, requests: Sequence[Request]) -> list[list[Outcome]] | None:
        snapshot = await self._writer.load(requests)
        plan = decide(snapshot, requests)
        receipts = await self._writer.receipts(plan.earlier)
        if plan.placed:
            recorded_at = await self._writer.append(plan)
            if recorded_at is None:
                return None
            for placed in plan.placed:
                receipts[placed.position] = body.receipt(self._ledger, placed, recorded_at)
            metrics.observe("rlg_ledger_batch_events", len(plan.placed), ledger=self._ledger)
        metrics.gauge("rlg_ledger_head", plan.head, ledger=self._ledger)
        return [[_outcome(verdict, receipts) for verdict in some] for some in plan.verdicts]

    def _answer(self, batch: Iterable[Waiting], outcomes: Iterable[list[Outcome]]) -> None:
        now = clock.monotonic()
        for one, answer in zip(batch, outcomes, strict=True):
            metrics.observe("rlg_ledger_append_seconds", now - one.since, ledger=self._ledger)
            for outcome in answer:
                metrics.count("rlg_ledger_append_total", ledger=self._ledger, outcome=outcome.kind)
            if not one.answer.done():
                one.answer.set_result(answer)


def _fail(batch: Iterable[Waiting], problem: Problem) -> None:
    for one in batch:
        one.fail(problem)


def _make(
    items: Sequence[Submission], expect: Mapping[str, int] | None = None
) -> Request | Outcome:
    try:
        return Request(tuple(map(body.make, items)), expect or {})
    except Problem as problem:
        return Outcome("invalid", problem=problem)


def _outcome(verdict: Verdict, receipts: Mapping[int, Receipt]) -> Outcome:
    if verdict.problem is not None or verdict.position is None:
        return Outcome(verdict.kind, problem=verdict.problem)
    return Outcome(verdict.kind, receipts[verdict.position])


def _refused(request: Request, error: Rejected) -> list[Outcome]:
    problem = Invalid(f"the database refuses it: {error}")
    return [Outcome("refused", problem=problem)] * len(request.items)
