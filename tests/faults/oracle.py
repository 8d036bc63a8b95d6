"""The judge: is there a serial execution, in order of position, that explains all that was said?

It replays the stored log with dicts and lists; it shares no code with the ledger. Each answer must
be what a serial ledger would have said at some place between the call and the answer: an accepted
call at its own position, any other somewhere in the window that real time leaves open
(linearizability). Raises `Violation` with what is wrong.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Sequence

from tests.faults.record import Answer, Call, Key, Record, Row
from tests.faults.serial import Doubled, Log, Lost, Said, Violation


def judge(record: Record) -> None:
    """Judge a run; returns if every promise was kept."""
    log = Log(record.rows)
    _stored_agree(record, log)
    window = Window(record)
    claims = _claims(record)
    for call in record.calls:
        if call.answers is not None:
            _explain(call, call.answers, log, window)
    _receipts(record, log)
    _order_in_batches(record.calls)
    _unclaimed(record, log, claims)
    _readers(record, log, window)


class Window:
    """Between which positions a call can have taken effect, by what was known when."""

    def __init__(self, record: Record) -> None:
        seen = [(s.ended, s.head) for s in record.sightings]
        told = [(c.ended, p) for c in record.calls for p in _positions(c)]
        self._floor = sorted(seen + told)
        self._lows: list[int] = []
        for _, position in self._floor:
            self._lows.append(max(position, self._lows[-1] if self._lows else 0))
        born = sorted((c.began, p) for c in record.calls for p in _positions(c, "appended"))
        self._ceiling = born
        self._highs = [len(record.rows)] * (len(born) + 1)
        for index in range(len(born) - 1, -1, -1):
            self._highs[index] = min(self._highs[index + 1], born[index][1] - 1)

    def low(self, moment: float) -> int:
        """Return a position that was certainly stored before `moment`."""
        index = bisect.bisect_left(self._floor, (moment, -1))
        return self._lows[index - 1] if index else 0

    def high(self, moment: float) -> int:
        """Return the last position that can have been stored by `moment`."""
        return self._highs[bisect.bisect_right(self._ceiling, (moment, 1 << 62))]


def _positions(call: Call, kind: str | None = None) -> list[int]:
    kinds = {kind} if kind else {"appended", "duplicate"}
    return [a.position or 0 for a in call.answers or () if a.kind in kinds]


def _claims(record: Record) -> dict[int, Call]:
    """Map each position to the one call that was told to have appended it."""
    claims: dict[int, Call] = {}
    for call in record.calls:
        for position in _positions(call, "appended"):
            if claims.setdefault(position, call) is not call:
                raise Doubled(f"two calls were told to have appended {position}: {call}")
            if position > len(record.rows):
                raise Lost(f"position {position} was acknowledged and is not there: {call}")
    return claims


def _explain(call: Call, answers: Sequence[Answer], log: Log, window: Window) -> None:
    said = [_said(answer) for answer in answers]
    low, high = window.low(call.began), window.high(call.ended)
    born = _positions(call, "appended")
    places = [born[0] - 1] if born else list(range(low, high + 1))
    if not any(low <= at <= high and log.serial(call, at) == said for at in places):
        would = {str(log.serial(call, at)) for at in places}
        lost = born and not all(event.key in log.place for event in call.events)
        kind = Lost if lost else Violation
        raise kind(f"no place in {low}..{high} explains {answers} for {call}: {would}")


def _said(answer: Answer) -> Said:
    if answer.kind in {"appended", "duplicate", "id_conflict"}:
        return (answer.kind, answer.position)
    return (answer.kind, dict(answer.actual or {}) if answer.kind == "conflict" else None)


def _receipts(record: Record, log: Log) -> None:
    """All receipts of a position are the same bytes, and say what is stored."""
    first: dict[int, str] = {}
    for call in record.calls:
        for answer in call.answers or ():
            if answer.receipt is None or answer.position is None:
                continue
            row = log.rows[answer.position - 1]
            if first.setdefault(answer.position, answer.receipt) != answer.receipt:
                raise Violation(f"another receipt than the first for {answer.position}")
            _receipt_is_of(answer.receipt, row, record.ledger)


def _receipt_is_of(receipt: str, row: Row, ledger: str) -> None:
    moment = row.recorded_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    versions = ",".join(
        f'"{subject}":{version}'
        for subject, version in zip(row.subjects, row.versions, strict=True)
    )
    for part in (
        f'"ledger":"{ledger}"', f'"position":{row.position}', f'"versions":{{{versions}}}',
        f'"event_id":"{row.key[1]}"', f'"source":"{row.key[0]}"',
        f'"commitment":"{row.commitment.hex()}"', f'"recorded_at":"{moment}"',
    ):  # fmt: skip
        if part not in receipt:
            raise Violation(f"the receipt {receipt} does not say {part}")


def _order_in_batches(calls: Sequence[Call]) -> None:
    last: dict[int, int] = defaultdict(int)
    for call in calls:
        for position in _positions(call, "appended") if call.batch else ():
            if position <= last[call.batch]:
                raise Violation(f"a batch is not in the order sent at {position}")
            last[call.batch] = position


def _unclaimed(record: Record, log: Log, claims: dict[int, Call]) -> None:
    """A row that nobody was told of must be the whole work of a call whose outcome is unknown."""
    unknown: dict[Key, list[Call]] = defaultdict(list)
    for call in record.calls:
        if not call.is_known() and not call.never:
            for event in call.events:
                unknown[event.key].append(call)
    for row in record.rows:
        if row.position in claims:
            continue
        if not any(_is_whole(call, log, claims) for call in unknown[row.key]):
            raise Violation(f"nobody can have stored {row.key} at {row.position}")


def _is_whole(call: Call, log: Log, claims: dict[int, Call]) -> bool:
    first = log.place.get(call.events[0].key)
    if first is None:
        return False
    serial = log.serial(call, first - 1)
    places = [place for kind, place in serial if kind == "appended"]
    return bool(places) and all(
        isinstance(place, int)
        and place not in claims
        and place <= len(log.rows)
        and log.rows[place - 1].content == event.content
        for event, (_, place) in zip(call.events, serial, strict=True)
    )


def _stored_agree(record: Record, log: Log) -> None:
    """Histories and subjects say the same as the events; nobody is interned without an event."""
    for subject, pairs in record.histories.items():
        if list(pairs) != list(enumerate(log.histories.get(subject, ()), 1)):
            raise Violation(f"the stored history of {subject} is {pairs}")
    if set(record.histories) != set(log.histories):
        raise Violation("histories and events name different subjects")
    if sorted(record.subjects) != sorted(log.histories):
        raise Violation("a subject is interned that no event names, or twice")


def _readers(record: Record, log: Log, window: Window) -> None:
    """No reader saw a gap, another event, or less than what was acknowledged before it asked."""
    for seen in record.sightings:
        positions = [position for position, _ in seen.events]
        if positions != list(range(seen.after + 1, seen.after + 1 + len(positions))):
            raise Lost(f"a page after {seen.after} has {positions}")
        if seen.head > len(log.rows) or seen.head < seen.after + len(positions):
            raise Lost(f"a page of {positions} came with the head {seen.head}")
        if seen.head < window.low(seen.began):
            raise Lost(f"a reader saw the head {seen.head} after {window.low(seen.began)} was told")
        for position, text in seen.events:
            if log.rows[position - 1].content != text:
                raise Violation(f"a reader saw another event at {position}")
