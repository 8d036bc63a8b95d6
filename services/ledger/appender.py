"""The one writer of a ledger in this process, as its callers see it.

Promises, per call: the answer comes after the commit; an id that is stored already gives its first
receipt; a group is all or nothing; a failing item harms no neighbour. `Unavailable` is the only
other answer: the queue was full, the deadline passed before anything was begun, or the outcome is
not known, and then the same ids must be sent again.
How batches are formed and stored: `services.ledger.pipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from contracts.problem import Problem, Unavailable
from services.kit import clock
from services.ledger import body
from services.ledger.backlog import Backlog
from services.ledger.model import Outcome, Request, Submission
from services.ledger.pipeline import Pipeline

if TYPE_CHECKING:
    from services.ledger.writer import Writer

__all__ = ["Appender", "Appenders", "Outcome", "Submission"]

PATIENCE_SECONDS = 30.0
"""How long an item may wait for its turn when its caller does not say."""


class Appenders(Protocol):
    """Finds the appender of a ledger; `services.ledger.service` provides it."""

    def __call__(self, ledger: str, /) -> Appender:
        """Return the appender, or raise `NotFound`."""


class Appender:
    """Appends to one ledger. Any number of callers; one `run` at a time."""

    def __init__(self, writer: Writer, queue_events: int = 4096) -> None:
        self._backlog = Backlog(writer.ledger.name, queue_events)
        self._pipeline = Pipeline(writer, self._backlog)

    async def append_each(
        self, items: Sequence[Submission], *, deadline: float | None = None
    ) -> list[Outcome]:
        """Append events independently of each other; one outcome per item, in the order given.

        Among accepted items, earlier ones get lower positions. Kinds: appended, duplicate,
        id_conflict, invalid (the event), refused (by the database, or with `Unavailable` for its
        problem: see there). `deadline` is an instant of `clock.monotonic`: what has not been begun
        by then is not begun. Raises `Unavailable` where that is the answer for every item.
        """
        made = [_make([item]) for item in items]
        requests = [one for one in made if isinstance(one, Request)]
        answers = iter(await self._submit(items, requests, deadline))
        return [one if isinstance(one, Outcome) else next(answers)[0] for one in made]

    async def append_all(self, items: Sequence[Submission]) -> list[Outcome]:
        """As `append_each`; raises the first `Unavailable`, for those who send all of it again."""
        outcomes = await self.append_each(items)
        for outcome in outcomes:
            if isinstance(outcome.problem, Unavailable):
                raise outcome.problem
        return outcomes

    async def append_group(
        self,
        items: Sequence[Submission],
        expect: Mapping[str, int] | None = None,
        *,
        deadline: float | None = None,
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
        return (await self._submit(items, [made], deadline))[0]

    async def run(self) -> None:
        """Form and store batches for ever. Cancelling it answers everybody with `Unavailable`."""
        await self._pipeline.run()

    async def _submit(
        self, items: Sequence[Submission], requests: Sequence[Request], deadline: float | None
    ) -> list[list[Outcome]]:
        if not requests:
            return []
        until = clock.monotonic() + PATIENCE_SECONDS if deadline is None else deadline
        ends = await self._backlog.ask(items[0].origin.principal, requests, until)
        failures = [end for end in ends if isinstance(end, Problem)]
        if len(failures) == len(ends):
            raise failures[0]
        return [[_unavailable(end)] if isinstance(end, Problem) else end for end in ends]


def _make(
    items: Sequence[Submission], expect: Mapping[str, int] | None = None
) -> Request | Outcome:
    try:
        return Request(tuple(map(body.make, items)), expect or {})
    except Problem as problem:
        return Outcome("invalid", problem=problem)


def _unavailable(failure: Problem) -> Outcome:
    return Outcome("refused", problem=failure)
