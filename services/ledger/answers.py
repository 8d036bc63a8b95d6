"""What the ledger answers, as bytes: results of appends, pages and histories.

Events leave as the bytes that were stored; only what stands around them is written here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from contracts import ijson
from services.kit.hot import Answer
from services.ledger.body import Recorded
from services.ledger.model import Outcome
from services.ledger.receipt import Seal
from services.ledger.store import HistoryWindow, Window

_JSON = b"application/json"
_WIRE = {"id_conflict": "conflict"}
"""Outcomes that have another name on the wire: the problem says which conflict it is."""


class Footer(NamedTuple):
    """What every answer says of the tree: how receipts are sealed, and the newest checkpoint."""

    seal: Seal
    checkpoint: bytes
    """Ready as the last member of an object: `,"checkpoint":"…"`, or nothing."""


def single(outcome: Outcome, where: str, footer: Footer) -> Answer:
    """Answer for one event: 201 with its address, 200 for a duplicate; raises its problem."""
    if outcome.problem is not None:
        raise outcome.problem
    status = 201 if outcome.kind == "appended" else 200
    position = 0 if outcome.receipt is None else outcome.receipt.position
    address = f"{where}/{position}".encode("latin-1")
    body = _result(outcome, footer.seal)[:-1] + footer.checkpoint + b"}"
    return Answer(body, status, _JSON, (b"location", address))


def each(outcomes: Iterable[Outcome], footer: Footer) -> Answer:
    """Answer for events that do not depend on each other: 200, a result each."""
    return Answer(_results(outcomes, footer))


def group(outcomes: Sequence[Outcome], footer: Footer) -> Answer:
    """Answer for a group: 201, 200 when all were there already; raises the group's problem."""
    for outcome in outcomes:
        if outcome.problem is not None:
            raise outcome.problem
    status = 201 if any(outcome.kind == "appended" for outcome in outcomes) else 200
    return Answer(_results(outcomes, footer), status)


def event(recorded: Recorded) -> Answer:
    """Answer with one event."""
    return Answer(recorded.as_json())


def page(window: Window, checkpoint: bytes) -> Answer:
    """Answer with `contracts.event.Page`; for `checkpoint` see `Footer`."""
    tail = b',"head":%d,"scanned_to":%d%b}' % (window.head, window.scanned_to, checkpoint)
    return Answer(b'{"events":' + _array(window.events) + tail)


def history(subject: str, window: HistoryWindow, checkpoint: bytes) -> Answer:
    """Answer with `contracts.event.HistoryPage`; for `checkpoint` see `Footer`."""
    named = ijson.dumps({"subject": subject, "version": window.version})[:-1]
    tail = b',"head":%d%b}' % (window.head, checkpoint)
    return Answer(b"".join((named, b',"events":', _array(window.events), tail)))


def histories(found: Iterable[tuple[str, HistoryWindow]]) -> Answer:
    """Answer with `contracts.event.Histories`."""
    pages = (history(subject, window, b"").body for subject, window in found)
    return Answer(b'{"histories":[' + b",".join(map(bytes, pages)) + b"]}")


def lines(events: Iterable[Recorded]) -> bytes:
    """Return events as NDJSON."""
    return b"".join(recorded.as_json() + b"\n" for recorded in events)


def _array(events: Iterable[Recorded]) -> bytes:
    return b"[" + b",".join(recorded.as_json() for recorded in events) + b"]"


def _results(outcomes: Iterable[Outcome], footer: Footer) -> bytes:
    results = b",".join([_result(outcome, footer.seal) for outcome in outcomes])
    return b"".join((b'{"results":[', results, b"]", footer.checkpoint, b"}"))


def _result(outcome: Outcome, seal: Seal) -> bytes:
    """Write one result: `contracts.append.Result` without the members that are not there."""
    parts = [b'{"outcome":"', _WIRE.get(outcome.kind, outcome.kind).encode(), b'"']
    if outcome.receipt is not None:
        parts += [b',"receipt":', outcome.receipt.as_json(seal)]
    if outcome.problem is not None:
        problem = json.dumps(outcome.problem.as_json(), ensure_ascii=False, separators=(",", ":"))
        parts += [b',"problem":', problem.encode()]
    return b"".join((*parts, b"}"))
