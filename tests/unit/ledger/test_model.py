"""The decision: examples, then any requests in any batches against a serial oracle."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.problem import Conflict, IdConflict
from services.ledger.model import (
    Head,
    Item,
    Known,
    Plan,
    Request,
    Snapshot,
    Stored,
    Verdict,
    decide,
)

_salts = count(1)


def item(id_: int, content: str = "x", subjects: Sequence[str] = ("a:1",)) -> Item:
    salt, body = next(_salts).to_bytes(16, "big"), content.encode()
    return Item(
        uuid=uuid.UUID(int=id_),
        event_id=str(id_),
        source="/s",
        type="t",
        subjects=tuple(subjects),
        occurred_at=None,
        principal="p",
        assurance="A2",
        causation=None,
        salt=salt,
        body=body,
        commitment=hashlib.sha256(salt + body).digest(),
    )


class Log:
    """What a database would hold after plans have been stored."""

    def __init__(self) -> None:
        self.events: list[Item] = []
        self.subjects: dict[str, Known] = {}

    def snapshot(self) -> Snapshot:
        last = self.events[-1].commitment if self.events else b""
        stored = {
            one.key: Stored(at, one.salt, one.commitment) for at, one in enumerate(self.events, 1)
        }
        return Snapshot(Head(len(self.events), last), dict(self.subjects), stored)

    def store(self, plan: Plan) -> None:
        assert plan.expected == self.snapshot().head
        assert not set(plan.new_subjects) & set(self.subjects)
        for key, id_ in plan.new_subjects.items():
            self.subjects[key] = Known(id_, 0)
        for placed in plan.placed:
            assert placed.position == len(self.events) + 1
            self.events.append(placed.item)
            for key, id_, version in zip(
                placed.item.subjects, placed.subject_ids, placed.versions, strict=True
            ):
                assert self.subjects[key] == Known(id_, version - 1)
                self.subjects[key] = Known(id_, version)
        assert all(known.version > 0 for known in self.subjects.values())
        assert len({known.id for known in self.subjects.values()}) == len(self.subjects)
        assert plan.head == len(self.events)


def one(log: Log, *items: Item, expect: dict[str, int] | None = None) -> list[Verdict]:
    plan = decide(log.snapshot(), [Request(items, expect or {})])
    log.store(plan)
    return plan.verdicts[0]


def test_positions_and_versions_grow_by_one() -> None:
    log = Log()
    plan = decide(
        log.snapshot(), [Request((item(1, subjects=["a:1", "b:1"]),)), Request((item(2),))]
    )
    assert [(p.position, p.versions) for p in plan.placed] == [(1, (1, 1)), (2, (2,))]
    assert plan.new_subjects == {"a:1": 64, "b:1": 65}
    assert plan.earlier == []


def test_same_content_under_the_stored_salt_is_a_duplicate() -> None:
    log = Log()
    one(log, item(1))
    plan = decide(log.snapshot(), [Request((item(1),))])
    assert plan.verdicts == [[Verdict("duplicate", 1)]]
    assert (plan.placed, plan.new_subjects, plan.earlier) == ([], {}, [1])


def test_the_same_item_again_was_appended_by_a_try_whose_answer_got_lost() -> None:
    log, ours = Log(), item(1)
    one(log, ours)
    assert one(log, ours) == [Verdict("appended", 1)]
    assert len(log.events) == 1


def test_other_content_under_a_taken_id_names_the_position() -> None:
    log = Log()
    one(log, item(7))
    one(log, item(1, "x"))
    (verdict,) = one(log, item(1, "y"))
    assert verdict.kind == "id_conflict"
    assert isinstance(verdict.problem, IdConflict)
    assert verdict.problem.members == {"position": 2}


def test_a_redacted_event_cannot_be_compared_and_keeps_its_id() -> None:
    stored = {item(1).key: Stored(1, None, b"c" * 32)}
    plan = decide(Snapshot(Head(1, b"c" * 32), {}, stored), [Request((item(1),))])
    assert plan.verdicts[0][0].kind == "id_conflict"


def test_an_unmet_expectation_names_the_actual_versions_and_leaves_no_trace() -> None:
    log = Log()
    one(log, item(1))
    (verdict,) = one(log, item(2, subjects=["new:1"]), expect={"a:1": 0, "b:1": 4, "new:1": 0})
    assert verdict.kind == "conflict"
    assert isinstance(verdict.problem, Conflict)
    assert verdict.problem.members == {"actual": {"a:1": 1, "b:1": 0}}
    assert set(log.subjects) == {"a:1"}


def test_an_expectation_sees_what_the_batch_has_done_so_far() -> None:
    plan = decide(
        Log().snapshot(),
        [
            Request((item(1),), {"a:1": 0}),
            Request((item(2),), {"a:1": 0}),
            Request((item(3),), {"a:1": 1}),
        ],
    )
    assert [v[0].kind for v in plan.verdicts] == ["appended", "conflict", "appended"]


def test_a_group_fails_as_a_whole() -> None:
    log = Log()
    one(log, item(1))
    kinds = [v.kind for v in one(log, item(5), item(1, "other"), item(6))]
    assert kinds == ["id_conflict"] * 3
    assert len(log.events) == 1


def test_a_group_that_is_stored_already_ignores_its_expectations() -> None:
    log = Log()
    one(log, item(1), item(2), expect={"a:1": 0})
    one(log, item(3))
    assert one(log, item(1), item(2), expect={"a:1": 0}) == [
        Verdict("duplicate", 1),
        Verdict("duplicate", 2),
    ]


def test_a_group_of_which_only_a_part_is_stored_conflicts() -> None:
    log = Log()
    one(log, item(1))
    (first, second) = one(log, item(2), item(1))
    assert first.kind == second.kind == "id_conflict"
    assert first.problem is not None
    assert first.problem.members == {"position": 1}


def test_an_id_twice_in_one_group() -> None:
    log = Log()
    assert [v.kind for v in one(log, item(1), item(1))] == ["appended", "duplicate"]
    assert [v.kind for v in one(log, item(2), item(2, "other"))] == ["id_conflict"] * 2
    assert len(log.events) == 1


class Oracle:
    """The same rules, one request at a time, by looking through the whole log."""

    def __init__(self) -> None:
        self.log: list[Item] = []

    def version(self, subject: str) -> int:
        return sum(subject in event.subjects for event in self.log)

    def find(self, wanted: Item) -> int | None:
        return next((i for i, event in enumerate(self.log, 1) if event.key == wanted.key), None)

    def run(self, request: Request) -> list[tuple[str, int | None]]:
        before = len(self.log)
        result: list[tuple[str, int | None]] = []
        fresh = all(self.find(i) is None for i in request.items)
        for each in request.items:
            at = self.find(each)
            if at is None:
                self.log.append(each)
                result.append(("appended", len(self.log)))
            elif self.log[at - 1].body == each.body:
                result.append(("duplicate", at))
            else:
                result.append(("id_conflict", at))
        added = len(self.log) - before
        undone = [event.subjects for event in self.log[before:]]
        met = all(
            self.version(s) - sum(s in subjects for subjects in undone) == v
            for s, v in request.expect.items()
        )
        kinds = {kind for kind, _ in result}
        if "id_conflict" in kinds or (added and not fresh):
            del self.log[before:]
            return [("id_conflict", None)] * len(result)
        if added and not met:
            del self.log[before:]
            return [("conflict", None)] * len(result)
        return result


ids = st.integers(1, 12)
subjects = st.lists(
    st.sampled_from(["a:1", "b:1", "c:1", "d:1"]), min_size=1, max_size=3, unique=True
)
items = st.builds(item, ids, st.sampled_from(["x", "x", "x", "y"]), subjects)
requests = st.builds(
    Request,
    st.lists(items, min_size=1, max_size=4).map(tuple),
    st.dictionaries(st.sampled_from(["a:1", "b:1", "e:1"]), st.integers(0, 4), max_size=2),
)
batches = st.lists(st.lists(requests, max_size=5), max_size=8)


@given(batches)
@settings(max_examples=400, deadline=None)
def test_outcomes_equal_serial_execution_however_requests_are_batched(
    some: list[list[Request]],
) -> None:
    log, oracle = Log(), Oracle()
    for batch in some:
        plan = decide(log.snapshot(), batch)
        log.store(plan)
        for request, verdicts in zip(batch, plan.verdicts, strict=True):
            found = [(v.kind, None if v.problem else v.position) for v in verdicts]
            assert found == oracle.run(request)
    assert [event.key for event in log.events] == [event.key for event in oracle.log]
    for subject, known in log.subjects.items():
        assert known.version == oracle.version(subject)
