"""The judge of the fault tests is judged: each kind of lie in a record that is told is found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.oracle import judge
from tests.faults.record import Answer, Call, Record, Row, Sent, Sighting
from tests.faults.serial import Doubled, Lost, Violation

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def sent(id_: str, content: str = "x") -> Sent:
    return Sent("/a", id_, "t", content)


def row(position: int, id_: str, version: int, subject: str = "s:1") -> Row:
    salt, body = b"s" * 16, id_.encode()
    commitment = hashlib.sha256(salt + body).digest()
    moment = BEGAN + timedelta(seconds=position)
    key = ("/a", id_)
    return Row(position, key, "t", "x", (subject,), (version,), moment, salt, body, commitment)


def receipt(of: Row) -> Answer:
    moment = of.recorded_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    text = (
        f'{{"ledger":"l","position":{of.position},"versions":{{"{of.subjects[0]}":{of.versions[0]}}},'
        f'"event_id":"{of.key[1]}","source":"/a","commitment":"{of.commitment.hex()}",'
        f'"recorded_at":"{moment}"}}'
    )
    return Answer("appended", text, position=of.position)


def told() -> Record:
    """Two events, one after the other; the first again; one whose expectation failed; a reader."""
    rows = [row(1, "one", 1), row(2, "two", 2)]
    again = replace(receipt(rows[0]), kind="duplicate")
    conflict = Answer("conflict", actual={"s:1": 2})
    return Record(
        "l",
        calls=[
            Call((sent("one"),), {}, 1.0, 2.0, [receipt(rows[0])]),
            Call((sent("two"),), {"s:1": 1}, 3.0, 4.0, [receipt(rows[1])]),
            Call((sent("one"),), {}, 5.0, 6.0, [again]),
            Call((sent("three"),), {"s:1": 1}, 5.0, 6.0, [conflict]),
        ],
        sightings=[Sighting(4.5, 4.6, 0, 2, ((1, "x"), (2, "x")))],
        rows=rows,
        subjects=["s:1"],
        histories={"s:1": [(1, 1), (2, 2)]},
    )


def test_a_record_without_a_lie_passes() -> None:
    judge(told())


def _rows(record: Record, *rows: Row) -> None:
    record.rows = list(rows)
    record.histories = {"s:1": [(n, one.position) for n, one in enumerate(rows, 1)]}


def lost(record: Record) -> None:
    _rows(record, record.rows[0])


def gap(record: Record) -> None:
    _rows(record, record.rows[0], replace(record.rows[1], position=3))


def doubled(record: Record) -> None:
    _rows(record, *record.rows, row(3, "one", 3))


def two_authors(record: Record) -> None:
    record.calls[2].answers = [receipt(record.rows[0])]


def nobody_asked(record: Record) -> None:
    _rows(record, *record.rows, row(3, "stranger", 3))


def version_skipped(record: Record) -> None:
    _rows(record, record.rows[0], row(2, "two", 3))


def other_bytes(record: Record) -> None:
    _rows(record, record.rows[0], replace(record.rows[1], body=b"other"))


def clock_back(record: Record) -> None:
    _rows(record, record.rows[0], replace(record.rows[1], recorded_at=BEGAN))


def expectation_ignored(record: Record) -> None:
    record.calls[1].expect = {"s:1": 0}


def stale_conflict(record: Record) -> None:
    """Version 1 was true before the call, but not any more when it was asked."""
    record.calls[3].expect = {"s:1": 2}
    record.calls[3].answers = [Answer("conflict", actual={"s:1": 1})]


def from_the_future(record: Record) -> None:
    record.calls[0].answers, record.calls[0].expect = (
        [Answer("conflict", actual={"s:1": 2})],
        {"s:1": 1},
    )


def denied(record: Record) -> None:
    """Told of a conflict, and stored all the same."""
    _rows(record, *record.rows, row(3, "three", 3))


def other_receipt(record: Record) -> None:
    (answer,) = record.calls[2].answers or []
    record.calls[2].answers = [replace(answer, receipt=f"{answer.receipt} ")]


def ghost_subject(record: Record) -> None:
    record.subjects = ["s:1", "s:ghost"]


def invalid(record: Record) -> None:
    """All that is ever sent is valid."""
    record.calls[3].answers = [Answer("invalid")]


def id_conflict_with_another(record: Record) -> None:
    record.calls[3].events = (sent("two", "other content"),)
    record.calls[3].answers = [Answer("id_conflict", position=1)]


def never_and_yet_stored(record: Record) -> None:
    _rows(record, *record.rows, row(3, "late", 3))
    record.calls.append(Call((sent("late"),), {}, 7.0, never=True))


def reader_misses(record: Record) -> None:
    record.sightings = [Sighting(4.5, 4.6, 0, 2, ((2, "x"),))]


def reader_sees_old_head(record: Record) -> None:
    record.sightings = [Sighting(4.5, 4.6, 0, 1, ((1, "x"),))]


LIES: list[tuple[Callable[[Record], None], type[Violation]]] = [
    (lost, Lost), (gap, Lost), (doubled, Doubled), (two_authors, Violation),
    (nobody_asked, Violation), (version_skipped, Violation), (other_bytes, Violation),
    (clock_back, Violation), (expectation_ignored, Violation), (stale_conflict, Violation),
    (from_the_future, Violation), (denied, Violation), (other_receipt, Violation),
    (invalid, Violation), (id_conflict_with_another, Violation), (never_and_yet_stored, Violation),
    (ghost_subject, Violation), (reader_misses, Lost), (reader_sees_old_head, Lost),
]  # fmt: skip


def test_an_id_conflict_that_names_the_right_event_passes() -> None:
    record = told()
    record.calls[3].events = (sent("two", "other content"),)
    record.calls[3].answers = [Answer("id_conflict", position=2)]
    judge(record)


def test_an_unknown_event_may_be_stored_or_not() -> None:
    record = told()
    record.calls.append(Call((sent("late"),), {}, 7.0))
    judge(record)
    _rows(record, *record.rows, row(3, "late", 3))
    judge(record)


@pytest.mark.parametrize(("lie", "kind"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_a_lie_is_found(lie: Callable[[Record], None], kind: type[Violation]) -> None:
    record = told()
    lie(record)
    with pytest.raises(kind):
        judge(record)


def test_half_a_group_is_found_when_its_outcome_is_unknown() -> None:
    record = told()
    group = Call((sent("four"), sent("five")), {}, 7.0)
    record.calls.append(group)
    judge(record)  # nothing of it is there
    _rows(record, *record.rows, row(3, "four", 3), row(4, "five", 4))
    judge(record)  # all of it is
    _rows(record, *record.rows[:3])
    with pytest.raises(Violation):
        judge(record)
