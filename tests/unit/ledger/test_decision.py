"""The decision and the overlay: examples, then any requests in any batches against an oracle."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from itertools import accumulate, count

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.problem import Conflict, IdConflict
from services.ledger.decision import decide
from services.ledger.model import (
    EMPTY,
    NOBODY,
    Head,
    Item,
    Known,
    Plan,
    Request,
    Snapshot,
    Stored,
    Verdict,
)
from services.ledger.overlay import Overlay

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

    @property
    def head(self) -> Head:
        return Head(len(self.events), self.events[-1].commitment) if self.events else EMPTY

    def snapshot(self, requests: Sequence[Request], known: Head = EMPTY) -> Snapshot:
        above = self.events[known.position :]
        named = {key for r in requests for item in r.items for key in item.subjects}
        named |= {key for r in requests for key in r.expect}
        return Snapshot(
            self.head,
            continues=known.position == 0
            or self.events[known.position - 1].commitment == known.commitment,
            subjects={key: self.subjects.get(key, NOBODY) for key in named},
            stored={
                one.key: Stored(at, one.salt, one.commitment, {})
                for at, one in enumerate(self.events, 1)
            },
            tail={key: self.subjects[key] for event in above for key in event.subjects} or None,
        )

    def plan(self, *requests: Request) -> Plan:
        """Decide as a process that has just started would."""
        overlay = Overlay()
        assert overlay.learn(self.snapshot(requests)) == "taken"
        return decide(overlay, requests)

    def store(self, plan: Plan) -> None:
        assert plan.expected == self.head
        assert not set(plan.effects.new_subjects) & set(self.subjects)
        effects, moved = plan.effects, set[str]()
        entries = zip(effects.subject_ids, effects.versions, strict=True)
        ends = list(accumulate(len(item.subjects) for item in plan.items))
        assert effects.lasts == ends
        for item in plan.items:
            self.events.append(item)
            for index, key in enumerate(item.subjects):
                new = Known(len(self.events) * 64 + index, 0)
                known = self.subjects.get(key, new)
                assert (known is new) == (key in plan.effects.new_subjects and key not in moved)
                self.subjects[key] = Known(known.id, known.version + 1)
                assert next(entries) == self.subjects[key]
                moved.add(key)
        assert len({known.id for known in self.subjects.values()}) == len(self.subjects)


def one(log: Log, *items: Item, expect: dict[str, int] | None = None) -> list[Verdict]:
    plan = log.plan(Request(items, expect or {}))
    log.store(plan)
    return plan.verdicts[0]


def said(verdicts: Sequence[Verdict]) -> list[tuple[str, int | None]]:
    return [(v.kind, v.stored.position if v.stored else None) for v in verdicts]


def test_positions_and_versions_grow_by_one() -> None:
    log = Log()
    plan = log.plan(Request((item(1, subjects=["a:1", "b:1"]),)), Request((item(2),)))
    effects = plan.effects
    assert [said(verdicts) for verdicts in plan.verdicts] == [[("appended", 1)], [("appended", 2)]]
    assert (effects.lasts, effects.subject_ids) == ([2, 3], [64, 65, 64])
    assert effects.versions == [1, 1, 2]
    assert effects.new_subjects == ["a:1", "b:1"]


def test_same_content_under_the_stored_salt_is_a_duplicate() -> None:
    log = Log()
    one(log, item(1))
    plan = log.plan(Request((item(1),)))
    assert said(plan.verdicts[0]) == [("duplicate", 1)]
    assert (plan.items, plan.effects.new_subjects) == ([], [])


def test_the_same_item_again_was_appended_by_a_try_whose_answer_got_lost() -> None:
    log, ours = Log(), item(1)
    one(log, ours)
    assert said(one(log, ours)) == [("appended", 1)]
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
    overlay, head = Overlay(), Head(1, b"c" * 32)
    stored = {item(1).key: Stored(1, None, b"c" * 32, {"a:1": 1})}
    subjects = {"a:1": Known(64, 1)}
    there = Snapshot(head, continues=True, subjects=subjects, stored=stored, tail=None)
    assert overlay.learn(there) == "taken"
    assert decide(overlay, [Request((item(1),))]).verdicts[0][0].kind == "id_conflict"


def test_an_unmet_expectation_names_the_actual_versions_and_leaves_no_trace() -> None:
    log = Log()
    one(log, item(1))
    (verdict,) = one(log, item(2, subjects=["new:1"]), expect={"a:1": 0, "b:1": 4, "new:1": 0})
    assert verdict.kind == "conflict"
    assert isinstance(verdict.problem, Conflict)
    assert verdict.problem.members == {"actual": {"a:1": 1, "b:1": 0}}
    assert set(log.subjects) == {"a:1"}


def test_an_expectation_sees_what_the_batch_has_done_so_far() -> None:
    plan = Log().plan(
        Request((item(1),), {"a:1": 0}),
        Request((item(2),), {"a:1": 0}),
        Request((item(3),), {"a:1": 1}),
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
    again = one(log, item(1), item(2), expect={"a:1": 0})
    assert said(again) == [("duplicate", 1), ("duplicate", 2)]


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
        plan = log.plan(*batch)
        log.store(plan)
        for request, verdicts in zip(batch, plan.verdicts, strict=True):
            assert _placed(verdicts) == oracle.run(request)
    assert [event.key for event in log.events] == [event.key for event in oracle.log]
    for subject, known in log.subjects.items():
        assert known.version == oracle.version(subject)


def _placed(verdicts: Sequence[Verdict]) -> list[tuple[str, int | None]]:
    positions = [None if v.problem or v.stored is None else v.stored.position for v in verdicts]
    return list(zip([v.kind for v in verdicts], positions, strict=True))
