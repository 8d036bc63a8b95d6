"""Folds batches into the rows of a projection: events → rows, cursor, and what is parked.

The rule of positions: an event is folded when it is the cursor's next one; anything else is refused
before a row is touched.

An event that cannot be folded is tried `TRIES` times and then parked, with every later event of its
subject: what is shown of that subject stays as it was, and is never folded over a gap. All others
go on. A rebuild folds what is parked, in its order: docs/operations.md, "A projection is parked".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from contracts import upcasting
from contracts.event import RecordedEvent
from services.kit import logs, metrics
from services.projector import readmodels
from services.projector.generations import NAME
from services.projector.readmodels.fact import Fact
from services.projector.readmodels.rows import Key, Rows
from services.projector.writing import Claim, Folded, Parked, Projection, Unstorable

TRIES = 3
Keys: TypeAlias = set[Key]
_log = logs.get(__name__)


class OutOfOrder(Exception):
    """The feed broke its promise: positions did not follow the cursor. Nothing was folded."""


class Behind(Exception):
    """An earlier event of the same subject is parked."""


@dataclass(frozen=True, slots=True)
class _Written:
    """A batch that is being written, and what it parks."""

    batch: list[RecordedEvent]
    held: dict[str, int]
    task: asyncio.Task[None]


class Folding:
    """Applies batches to one projection, for one claim: it keeps rows that nobody else changes.

    A batch is written while the next one is folded; in their order, and never two at once.
    """

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._rows = Rows()
        self._written: _Written | None = None

    async def take(self, claim: Claim, batch: list[RecordedEvent]) -> None:
        """Fold a batch and begin to write it; when this returns all before it are written.

        An event that cannot be shown is found and parked. Raises what stopped an earlier batch.
        """
        before = self._written
        position, held = claim.position, claim.held
        if before is not None:
            position, held = before.batch[-1].position, before.held | held
        expected = range(position + 1, position + 1 + len(batch))
        if [event.position for event in batch] != list(expected):
            raise OutOfOrder(f"expected {expected}, got {[e.position for e in batch][:3]} …")
        folded = await self._fold(batch, held)
        if not await self._ended(claim):  # this was folded over rows that nobody stored
            folded = await self._fold(batch, claim.held)
        held = {each.subject: each.position for each in reversed(folded.parked) if each.subject}
        task = asyncio.create_task(self._projection.commit(claim, folded))
        self._rows.written()
        self._written = _Written(batch, held, task)

    async def settle(self, claim: Claim, unless: asyncio.Future[Any] | None = None) -> None:
        """Wait until all that was taken is written, or until `unless` is done. Raises as `take`."""
        if self._written is not None:
            waited: set[asyncio.Future[Any]] = {self._written.task}
            if unless is not None:
                waited.add(unless)
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._written.task.done():
                await self._ended(claim)

    async def apply(self, claim: Claim, batch: list[RecordedEvent]) -> None:
        """Fold and write a batch."""
        await self.take(claim, batch)
        await self.settle(claim)

    async def aclose(self) -> None:
        """Let go: what is being written is written whole, or not at all."""
        if self._written is not None:
            self._written.task.cancel()
            await asyncio.wait({self._written.task})

    async def _ended(self, claim: Claim) -> bool:
        """Wait for what is being written; False when the tables refused it and it was done anew."""
        written, self._written = self._written, None
        if written is None:
            return True
        try:
            await written.task
        except Unstorable as error:
            self._rows = Rows()
            await self._in_parts(claim, written.batch, error)
            return False
        return True

    async def _in_parts(
        self, claim: Claim, batch: list[RecordedEvent], error: Unstorable, tries: int = 1
    ) -> None:
        if len(batch) == 1 and tries == TRIES:
            await self._projection.commit(claim, _parked(batch[0], error))
            return
        half = len(batch) // 2
        for part in (batch[:half], batch[half:]) if half else (batch,):
            try:
                await self._projection.commit(claim, await self._fold(part, claim.held))
                self._rows.written()
            except Unstorable as refused:
                self._rows = Rows()
                await self._in_parts(claim, part, refused, 1 if half else tries + 1)

    async def _fold(self, batch: list[RecordedEvent], held: Mapping[str, int]) -> Folded:
        rows, failed = self._rows, dict[int, Exception]()
        facts = _read(batch, failed)
        waiting: Iterable[Fact] = facts
        while waiting := _waiting(waiting, rows, failed):
            wanted = set().union(*waiting.values())
            rows.load(wanted, await self._projection.load(wanted))
        by_position, held = {fact.position: fact for fact in facts}, dict(held)
        for event in batch:
            subject, position = subject_of(event), event.position
            if subject in held:
                failed[position] = Behind(f"position {held[subject]} of {subject} is parked")
            elif position not in failed and (error := _tried(by_position[position], rows)):
                failed[position] = error
            if position in failed and subject:
                held.setdefault(subject, position)
        parked = [
            _park(event, failed[event.position]) for event in batch if event.position in failed
        ]
        return Folded(batch[-1].position, Fact(batch[-1]).recorded_at, rows.changes(), parked)


def subject_of(event: RecordedEvent) -> str:
    """Return what an event is about before all else: the first subject that it names."""
    return next(iter(event.versions), "")


def _tried(fact: Fact, rows: Rows) -> Exception | None:
    """Fold an event; return what the last try raised. One odd event must not stop all others."""
    for _ in range(TRIES):
        try:
            readmodels.apply(fact, rows)
        except Exception as error:  # noqa: BLE001 - whatever our own code raises over odd data
            last = error
        else:
            return None
    return last


def _read(batch: list[RecordedEvent], failed: dict[int, Exception]) -> list[Fact]:
    facts = []
    for event in batch:
        try:
            facts.append(Fact(upcasting.read(event)))
        except upcasting.CannotRead as error:
            failed[event.position] = error
    return facts


def _waiting(facts: Iterable[Fact], rows: Rows, failed: dict[int, Exception]) -> dict[Fact, Keys]:
    """Return the events that want rows which are not loaded; others will not want any more."""
    waiting = {}
    for fact in facts:
        try:
            if wanted := readmodels.keys(fact, rows):
                waiting[fact] = wanted
        except Exception as error:  # noqa: BLE001 - as in the fold
            failed[fact.position] = error
    return waiting


def _park(event: RecordedEvent, error: Exception) -> Parked:
    # These say all in their message; others need their traceback.
    known = isinstance(error, Unstorable | upcasting.CannotRead | Behind)
    _log.error(
        "projector.parked",
        position=event.position,
        error=str(error),
        exc_info=None if known else error,
    )
    kind = str(event.event.get("type", ""))
    metrics.count("rlg_projection_parked_total", projection=NAME)
    return Parked(event.position, kind, f"{type(error).__name__}: {error}", subject_of(event))


def _parked(event: RecordedEvent, error: Exception) -> Folded:
    return Folded(event.position, Fact(event).recorded_at, {}, [_park(event, error)])
