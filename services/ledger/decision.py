"""What an append decides: requests in order → what to store and what to answer. Pure.

The rules, for each request on what the ones before it leave behind:
an id that is stored with the same content gives its first receipt again; with other content it is a
conflict; a group is stored as a whole or not at all; an expected version that does not hold is a
conflict that names the actual one. A request that is refused leaves no trace: no position, no
version, no new subject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts.problem import Conflict, IdConflict
from services.ledger.model import Effects, EventKey, Item, Plan, Request, Stored, Verdict
from services.ledger.overlay import Overlay


def decide(overlay: Overlay, requests: Sequence[Request]) -> Plan:
    """Decide requests over what the process knows, and lay their effects over it.

    The verdicts hold once everything in flight below the plan has succeeded and, where the plan
    places something, once it is stored itself. `overlay.undo(plan.effects)` takes it back.
    """
    effects = overlay.begin()
    return Plan(effects, [_judge(overlay, effects, request) for request in requests])


def _judge(overlay: Overlay, effects: Effects, request: Request) -> list[Verdict]:
    """Accept or refuse a request as a whole: all is checked before anything is placed."""
    if (refusal := _refusal(overlay, request)) is not None:
        return [refusal] * len(request.items)
    return [_accept(overlay, effects, item) for item in request.items]


def _refusal(overlay: Overlay, request: Request) -> Verdict | None:
    there: list[Stored] = []
    for item in request.items:
        if (stored := overlay.stored(item.key)) is not None:
            if not stored.has_content_of(item):
                said = "was redacted" if stored.salt is None else "names other content"
                return _taken(f"{item.event_id!r} {said}", stored)
            there.append(stored)
    if len(there) == len(request.items):
        return None  # sent again: the first receipts, whatever has happened since
    if there:
        return _taken("only a part of the group is stored already,", there[0])
    return _twice(request.items) or _unmet(overlay, request.expect)


def _unmet(overlay: Overlay, expect: Mapping[str, int]) -> Verdict | None:
    failing = {
        key: actual
        for key, version in expect.items()
        if (actual := overlay.version(key)) != version
    }
    if not failing:
        return None
    named = ", ".join(f"{key} is at version {version}" for key, version in failing.items())
    return Verdict("conflict", problem=Conflict(named, actual=failing))


def _accept(overlay: Overlay, effects: Effects, item: Item) -> Verdict:
    if (stored := overlay.stored(item.key)) is None:
        return Verdict("appended", overlay.place(effects, item))
    # The same commitment means the same random salt: this very item was stored by an earlier
    # try of ours whose answer got lost. To its sender it is news, not a duplicate.
    ours = stored.commitment == item.commitment
    return Verdict("appended" if ours else "duplicate", stored)


def _taken(detail: str, stored: Stored) -> Verdict:
    where = f"{detail} at position {stored.position}"
    return Verdict("id_conflict", stored, IdConflict(where, position=stored.position))


def _twice(items: Sequence[Item]) -> Verdict | None:
    """Refuse a group that uses one id for two different events."""
    if len(items) == 1:
        return None
    first: dict[EventKey, Item] = {}
    for item in items:
        if first.setdefault(item.key, item).body != item.body:
            problem = IdConflict(f"the group gives {item.event_id!r} to two different events")
            return Verdict("id_conflict", problem=problem)
    return None
