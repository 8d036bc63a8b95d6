"""Calendars: which of the declared freezes hold a release at an instant, and until when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from dateutil.relativedelta import relativedelta

from contracts.payloads.control import FreezeDeclared
from services.gatekeeper.windows import Freeze, Interval, intervals

HORIZON = timedelta(days=400)
"""How far ahead a change is looked for."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One window of a freeze, in UTC."""

    id: str
    reason: str
    start: datetime
    end: datetime


def declared(payload: FreezeDeclared, position: int) -> Freeze:
    """Return the freeze that an event declares, unchecked."""
    return Freeze(
        id=payload.freeze_id,
        reason=payload.reason,
        start=datetime.fromisoformat(payload.start),
        end=datetime.fromisoformat(payload.end),
        zone=payload.tz,
        rrule=payload.rrule,
        exdates=tuple(date.fromisoformat(each) for each in payload.exdates),
        environments=tuple(payload.environments),
        services=tuple(payload.services),
        allows=tuple(payload.allowed_types),
        position=position,
    )


def at(
    freezes: Iterable[Freeze],
    environment: str,
    services: Sequence[str],
    release_type: str | None,
    instant: datetime,
) -> list[tuple[Freeze, Interval]]:
    """Return the freezes that hold a release at an instant, each with the window that does.

    A release whose services are not known is held by the freezes of every service. ValueError when
    a freeze in question has faults: whether it holds cannot be told.
    """
    return [
        (freeze, block)
        for freeze in freezes
        if _concerns(freeze, environment, services, release_type)
        and (block := _next(freeze, instant)) is not None
        and block[0] <= instant
    ]


def next_change(
    freezes: Iterable[Freeze],
    environment: str,
    services: Sequence[str],
    release_type: str | None,
    instant: datetime,
) -> datetime | None:
    """Return the first instant after `instant` at which `at` answers otherwise; None when there is
    none within `HORIZON`. ValueError as `at`.
    """
    blocks = [
        block
        for freeze in freezes
        if _concerns(freeze, environment, services, release_type)
        and (block := _next(freeze, instant)) is not None
    ]
    changes = [end if start <= instant else start for start, end in blocks]
    return min((change for change in changes if change < instant + HORIZON), default=None)


def simulate(freezes: Iterable[Freeze], from_: datetime, months: int = 12) -> list[Planned]:
    """Return the windows of all freezes in the `months` after `from_`, by start, end and id."""
    to = from_ + relativedelta(months=months)
    planned = (
        Planned(freeze.id, freeze.reason, start, end)
        for freeze in freezes
        for start, end in intervals(freeze, from_, to)
    )
    return sorted(planned, key=lambda each: (each.start, each.end, each.id))


def _concerns(
    freeze: Freeze, environment: str, services: Sequence[str], release_type: str | None
) -> bool:
    return (
        release_type not in freeze.allows
        and (not freeze.environments or environment in freeze.environments)
        and (not freeze.services or not services or not {*services}.isdisjoint(freeze.services))
    )


def _next(freeze: Freeze, instant: datetime) -> Interval | None:
    """Return the window that holds at an instant, else the next one within the horizon."""
    return next(intervals(freeze, instant, instant + HORIZON), None)
