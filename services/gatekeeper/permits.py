"""Permits: one deployment of one candidate may begin, once, soon. Pure.

A permit is issued in one append with the decision that it rests on. It ends after `LIFE`, or when
time alone could take the yes away, whichever comes first.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from contracts.catalogue import type_of
from contracts.decision import Decision
from contracts.event import HistoryPage, format_time, parse_time
from contracts.payloads.control import PermitIssued
from contracts.problem import Conflict, NotFound, PreconditionFailed
from services.gatekeeper.judge import loss

_ISSUED = type_of(PermitIssued)
LIFE = timedelta(minutes=15)
GATES = "deploy:"
"""How gates begin that something is deployed through: a yes at another one opens no environment."""
ALLOWED = frozenset({"allow", "allow-by-break-glass"})


def issue(decision_id: str, decision: Decision) -> PermitIssued | None:
    """Return the permit that a decision gives; None where the answer is not yes."""
    if decision.decision not in ALLOWED or decision.artefact is None:
        return None
    ends = parse_time(decision.as_of) + LIFE
    lost = loss(decision)
    if lost is not None:
        ends = min(ends, parse_time(lost))
    return PermitIssued(
        permit_id=str(uuid.uuid4()),
        decision_id=decision_id,
        release_id=decision.release,
        gate=decision.gate,
        environment=decision.environment,
        target_digest=decision.artefact,
        not_after=format_time(ends),
    )


def issued(page: HistoryPage) -> PermitIssued:
    """Return the permit of a history, used or not. Raises `NotFound`."""
    if not page.events or page.events[0].type != _ISSUED:
        raise NotFound(f"there is no permit {page.subject.removeprefix('permit:')}")
    return PermitIssued.model_validate(page.events[0].data, extra="ignore")


def state(page: HistoryPage, now: datetime) -> str:
    """Return `usable`, `used` or `expired`."""
    if page.version > 1:
        return "used"
    return "usable" if now < parse_time(issued(page).not_after) else "expired"


def check(page: HistoryPage, now: datetime) -> PermitIssued:
    """Return a permit that may be used now. Raises `Conflict` for one that was, with where, and
    `PreconditionFailed` for one that has expired.
    """
    permit, standing = issued(page), state(page, now)
    if standing == "used":
        raise used(page)
    if standing == "expired":
        detail = f"the permit expired at {permit.not_after}; ask for another"
        raise PreconditionFailed(detail, moved={"not_after": permit.not_after})
    return permit


def used(page: HistoryPage) -> Conflict:
    """Return the problem of a permit that was used before."""
    first = page.events[1] if len(page.events) > 1 else None
    where = f" at position {first.position}" if first else ""
    return Conflict(
        f"the permit was used{where}; ask for another", actual={page.subject: page.version}
    )
