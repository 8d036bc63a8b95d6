"""Any course of planning, landing, failing and foreign appends equals a serial ledger (I1–I5).

The planner is the real one; the database is a list. The judge is the one of the fault tests, which
shares no code with the ledger.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import deque
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple, TypeVar, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.problem import Conflict
from services.ledger.model import (
    EMPTY,
    NOBODY,
    EventKey,
    Head,
    Item,
    Known,
    Plan,
    Request,
    Snapshot,
    Stored,
    Verdict,
)  # fmt: skip
from services.ledger.planning import Planner
from services.ledger.writer import Writer
from tests.faults.record import Call, Row, Sent
from tests.faults.serial import Log, Said

T = TypeVar("T")
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
TAIL = 3
_salts = count(1)


class Database:
    """A list of rows that says what the query says, and takes what append_v1 takes."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.ids: dict[str, int] = {}

    @property
    def head(self) -> Head:
        return Head(len(self.rows), self.rows[-1].commitment) if self.rows else EMPTY

    def known(self, key: str) -> Known:
        version = sum(key in row.subjects for row in self.rows)
        return Known(self.ids[key], version) if version else NOBODY

    async def load(
        self, lane: int, known: Head, subjects: Sequence[str], ids: Sequence[EventKey]
    ) -> Snapshot:
        del lane
        above = self.rows[known.position :]
        named = {key for row in above for key in row.subjects}
        rows = {(uuid.UUID(row.key[1]).int, row.key[0]): row for row in self.rows}
        return Snapshot(
            head=self.head,
            continues=known == EMPTY
            or known in [(row.position, row.commitment) for row in self.rows],
            subjects={key: self.known(key) for key in subjects},
            stored={key: _stored(rows[key]) for key in ids if key in rows},
            tail={key: self.known(key) for key in named} if 0 < len(above) <= TAIL else None,
        )

    def append(self, plan: Plan, *, probe: bool) -> str:
        taken = {row.key for row in self.rows}
        if plan.expected != self.head:
            return "moved"
        if probe and taken & {_key(item) for item in plan.items}:
            return "known"
        entries = iter(zip(plan.effects.subject_ids, plan.effects.versions, strict=True))
        for item in plan.items:
            given = [next(entries) for _ in item.subjects]
            for key, (id_, _) in zip(item.subjects, given, strict=True):
                assert self.ids.setdefault(key, id_) == id_
            versions = tuple(version for _, version in given)
            self.rows.append(_row(len(self.rows) + 1, item, versions))
        return "appended"


def _key(item: Item) -> tuple[str, str]:
    return (item.source, item.event_id)


def _row(position: int, item: Item, versions: tuple[int, ...]) -> Row:
    return Row(
        position, _key(item), item.type, item.body.decode(), item.subjects, versions, MOMENT,
        item.salt, item.body, item.commitment,
    )  # fmt: skip


def _stored(row: Row) -> Stored:
    versions = dict(zip(row.subjects, row.versions, strict=True))
    return Stored(row.position, row.salt, row.commitment, versions, row.recorded_at)


def item(number: int, content: str, subjects: Sequence[str]) -> Item:
    salt, body = next(_salts).to_bytes(16, "big"), f"{content}{subjects}".encode()
    id_ = uuid.UUID(int=number)
    return Item(
        uuid=id_, event_id=str(id_), source="/s", type="t", subjects=tuple(subjects),
        occurred_at=None, principal="p", assurance="A2", causation=None, salt=salt, body=body,
        commitment=hashlib.sha256(salt + body).digest(),
    )  # fmt: skip


def said(verdict: Verdict) -> Said:
    if isinstance(verdict.problem, Conflict):
        return ("conflict", verdict.problem.members["actual"])
    if verdict.problem is not None:
        return (verdict.kind, verdict.problem.members.get("position"))
    assert verdict.stored is not None
    return (verdict.kind, verdict.stored.position)


class Flight(NamedTuple):
    requests: list[Request]
    plan: Plan
    probe: bool


subjects = st.lists(st.sampled_from(["a:1", "b:1", "c:1"]), min_size=1, max_size=3, unique=True)
items = st.builds(item, st.integers(1, 9), st.sampled_from("xxxy"), subjects)
requests = st.builds(
    Request,
    st.lists(items, min_size=1, max_size=3).map(tuple),
    st.dictionaries(st.sampled_from(["a:1", "b:1", "d:1"]), st.integers(0, 4), max_size=2),
)
batches = st.lists(requests, min_size=1, max_size=4)


class Appending(RuleBasedStateMachine):
    """A process with two lanes, another one that appends too, a network that loses answers."""

    def __init__(self) -> None:
        super().__init__()
        self.database = Database()
        self.planner = Planner(cast("Writer", self.database))
        self.flights: deque[Flight] = deque()

    @precondition(lambda self: len(self.flights) < 2)
    @rule(some=batches)
    def send(self, some: list[Request]) -> None:
        found = at_once(self.planner.plan(0, some))
        if found is not None:  # else the flights have to land first
            self.flights.append(Flight(some, *found))

    @precondition(lambda self: self.flights)
    @rule()
    def land(self) -> None:
        """Store the oldest; its answers go out. When it cannot be stored, all is taken back."""
        flight = self.flights[0]
        if flight.plan.items:
            outcome = self.database.append(flight.plan, probe=flight.probe)
        else:
            outcome = "appended"
        if outcome != "appended":
            self.undo()
            return
        self.flights.popleft()
        self.planner.overlay.confirm(flight.plan.effects, MOMENT)
        self.judge(flight, flight.plan.expected.position)

    @precondition(lambda self: self.flights)
    @rule()
    def undo(self) -> None:
        """Take back everything in flight, the youngest first."""
        for flight in reversed(self.flights):
            self.planner.overlay.undo(flight.plan.effects)
        self.flights.clear()

    @precondition(lambda self: self.flights and self.flights[0].plan.items)
    @rule()
    def lose_the_answer(self) -> None:
        """The oldest is stored, or cannot be any more; nobody knows which. The same ids again."""
        flight = self.flights[0]
        stored = self.database.append(flight.plan, probe=flight.probe) == "appended"
        first = flight.plan.verdicts
        self.undo()
        self.planner.overlay.forget()
        again = at_once(self.planner.ask(0, flight.requests))
        assert again is not None
        for was, verdicts in zip(first, again.verdicts, strict=True):
            if stored and was[0].problem is None:  # to its sender it is as if nothing had been lost
                assert list(map(said, verdicts)) == list(map(said, was))
        self.flights.append(Flight(flight.requests, again, probe=False))
        if not stored or again.items:
            self.land()
        else:
            self.planner.overlay.confirm(self.flights.popleft().plan.effects, None)

    @rule(some=batches)
    def somebody_else_appends(self, some: list[Request]) -> None:
        other = Planner(cast("Writer", self.database))
        found = at_once(other.plan(0, some))
        assert found is not None
        before = len(self.database.rows)
        assert self.database.append(found[0], probe=found[1]) == "appended"
        self.judge(Flight(some, *found), before)

    @precondition(lambda self: not self.flights)
    @rule()
    def restart(self) -> None:
        self.planner.overlay.forget()

    def judge(self, flight: Flight, at: int) -> None:
        """Each request got what a serial ledger says at its place in the batch."""
        log = Log(self.database.rows)
        for request, verdicts in zip(flight.requests, flight.plan.verdicts, strict=True):
            events = [Sent(*_key(i), i.type, i.body.decode()) for i in request.items]
            answers, first = [said(verdict) for verdict in verdicts], verdicts[0].stored
            earlier = answers[0][0] == "appended" and first is not None and first.position <= at
            place = first.position - 1 if earlier and first is not None else at  # an earlier try
            serial = log.serial(Call(tuple(events), request.expect, 0.0), place)
            assert answers == serial
            at += 0 if earlier else sum(kind == "appended" for kind, _ in serial)
        assert at <= len(log.rows)

    @invariant()
    def the_log_is_whole(self) -> None:
        Log(self.database.rows)
        named = {key for row in self.database.rows for key in row.subjects}
        assert set(self.database.ids) == named
        assert len(set(self.database.ids.values())) == len(named)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never has to wait."""
    try:
        work.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    raise AssertionError("it waits for something")


TestAppending = Appending.TestCase
TestAppending.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
