"""What the ledger answers, as bytes: results of appends, pages and histories.

Events leave as the bytes that were stored; only what stands around them is written here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.responses import Response

from contracts import ijson
from contracts.problem import Problem
from services.ledger.body import Recorded
from services.ledger.model import Outcome
from services.ledger.store import HistoryWindow, Window

_WIRE = {"id_conflict": "conflict"}
"""Outcomes that have another name on the wire: the problem says which conflict it is."""


def single(outcome: Outcome, where: str) -> Response:
    """Answer for one event: 201 with its address, 200 for a duplicate; raises its problem."""
    if outcome.problem is not None:
        raise outcome.problem
    status = 201 if outcome.kind == "appended" else 200
    position = 0 if outcome.receipt is None else outcome.receipt.position
    headers = {"location": f"{where}/{position}"}
    return Response(_dump(_result(outcome)), status, headers, "application/json")


def each(outcomes: Iterable[Outcome]) -> Response:
    """Answer for events that do not depend on each other: 200, a result each."""
    return _json(_dump({"results": [_result(outcome) for outcome in outcomes]}))


def group(outcomes: Sequence[Outcome]) -> Response:
    """Answer for a group: 201, 200 when all were there already; raises the group's problem."""
    for outcome in outcomes:
        if outcome.problem is not None:
            raise outcome.problem
    status = 201 if any(outcome.kind == "appended" for outcome in outcomes) else 200
    results = {"results": [_result(outcome) for outcome in outcomes]}
    return Response(_dump(results), status, media_type="application/json")


def event(recorded: Recorded) -> Response:
    """Answer with one event."""
    return _json(recorded.as_json())


def page(window: Window) -> Response:
    """Answer with `contracts.event.Page`."""
    tail = b',"head":%d,"scanned_to":%d}' % (window.head, window.scanned_to)
    return _json(b'{"events":' + _array(window.events) + tail)


def history(subject: str, window: HistoryWindow) -> Response:
    """Answer with `contracts.event.HistoryPage`."""
    named = ijson.dumps({"subject": subject, "version": window.version})[:-1]
    tail = b',"head":%d}' % window.head
    return _json(b"".join((named, b',"events":', _array(window.events), tail)))


def lines(events: Iterable[Recorded]) -> bytes:
    """Return events as NDJSON."""
    return b"".join(recorded.as_json() + b"\n" for recorded in events)


def _array(events: Iterable[Recorded]) -> bytes:
    return b"[" + b",".join(recorded.as_json() for recorded in events) + b"]"


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _result(outcome: Outcome) -> dict[str, Any]:
    result: dict[str, Any] = {"outcome": _WIRE.get(outcome.kind, outcome.kind)}
    if outcome.receipt is not None:
        result["receipt"] = outcome.receipt.model_dump()
    if isinstance(outcome.problem, Problem):
        result["problem"] = outcome.problem.as_json()
    return result


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
