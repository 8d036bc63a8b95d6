"""The CloudEvents adapter: events as they are, in any mode that the append route reads. Pure.

Ids and sources are the sender's own; nothing is derived. One bad event of a batch does not keep
the others out.
"""

from __future__ import annotations

from collections.abc import Mapping

from contracts.event import Event
from contracts.problem import Problem
from services.ledger import bindings
from services.ledger.hooks.adapter import CannotMap, Fact, Mapped, Scope


def map_delivery(headers: Mapping[str, str], raw: bytes, _scope: Scope) -> Mapped:
    """See `adapter.Adapter`."""
    try:
        sent = bindings.read(headers, raw)
    except Problem as problem:
        raise CannotMap(problem.detail) from None
    if not sent.events:
        raise CannotMap("the batch is empty")
    facts = tuple(Fact(event.as_json()) for event in sent.events if isinstance(event, Event))
    unread = tuple(problem.detail for problem in sent.events if isinstance(problem, Problem))
    return Mapped(facts, unread)
