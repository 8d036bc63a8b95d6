"""What is not part of one release: who holds which role, freezes, an exception."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from contracts.event import format_time
from contracts.payloads.control import (
    ExceptionGranted,
    FreezeDeclared,
    FreezeLifted,
    IdentityLinked,
)
from contracts.payloads.plan import RoleAssigned
from demo import github_objects
from demo.derive import Seed
from demo.native import BOARD, Pen, said_by
from demo.people import MARA, OLU, PEOPLE
from demo.steps import Chapter, Thread
from demo.work import Release

DIRECTORY = "https://directory.acme.example"
CLERK = "dev:directory"
"""The directory's own identity."""
BERLIN = ZoneInfo("Europe/Berlin")
FREEZE_ROUND = 6
"""The week before which the earlier freeze stood."""


def opening(seed: Seed, now: datetime) -> Chapter:
    """Return who may do what: without it, nobody's approval counts."""
    pen, at = Pen(seed, DIRECTORY), now - timedelta(days=92)
    events = [
        pen.fact(at, RoleAssigned(scope="*", role=role, principal=person.id), person.id)
        for person in PEOPLE
        for role in person.roles
    ]
    links = [
        pen.fact(at, IdentityLinked(identity=of, principal=person.id, basis="directory"), of)
        for person in PEOPLE
        for of in (f"github:{github_objects.account(seed, person.login)['id']}",)
    ]
    return ((said_by(CLERK, *events, *links),),)


def asides(seed: Seed, now: datetime, major: Release) -> dict[int, Thread]:
    """Return, by the number of the week, what concerned more than one release."""
    return {
        major.ordinal - 1: (said_by(MARA.id, _exception(seed, now, major)),),
        FREEZE_ROUND: (said_by(OLU.id, *_freeze_of_the_past(seed, now)),),
    }


def coming(seed: Seed, now: datetime) -> Chapter:
    """Return what is coming: a freeze that has not begun."""
    start = (now + timedelta(days=9)).replace(hour=17, minute=0)
    freeze = FreezeDeclared(
        freeze_id="year-end-sales",
        environments=["production"],
        start=_berlin(start),
        end=_berlin(start + timedelta(days=5)),
        tz=BERLIN.key,
        reason="The busiest days of the year: only repairs go out.",
        allowed_types=["hotfix"],
    )
    event = Pen(seed, BOARD).fact(now - timedelta(days=2), freeze)
    return ((said_by(OLU.id, event),),)


def _berlin(moment: datetime) -> str:
    return moment.astimezone(BERLIN).strftime("%Y-%m-%dT%H:%M")


def _freeze_of_the_past(seed: Seed, now: datetime) -> list[dict[str, Any]]:
    """Return a weekend's freeze that was lifted a day early. Nobody deploys at weekends anyway."""
    day = now - timedelta(days=47)
    friday = (day - timedelta(days=(day.weekday() - 4) % 7)).replace(hour=16, minute=0)
    declared = FreezeDeclared(
        freeze_id="bank-maintenance",
        environments=["production"],
        start=_berlin(friday),
        end=_berlin(friday + timedelta(hours=62)),
        tz=BERLIN.key,
        reason="The acquiring bank moves its data centre.",
        allowed_types=["hotfix"],
    )
    lifted = FreezeLifted(freeze_id="bank-maintenance", reason="The move was done a day early.")
    pen = Pen(seed, BOARD)
    return [
        pen.fact(friday - timedelta(days=3), declared),
        pen.fact(friday + timedelta(hours=38), lifted),
    ]


def _exception(seed: Seed, now: datetime, major: Release) -> dict[str, Any]:
    exception = ExceptionGranted(
        exception_id="exc-pay-pentest",
        control="penetration-test",
        scope=f"service:{major.service.name}",
        reason="The tester's next free date is after the release.",
        impact="A flaw in the new endpoints would be found later.",
        approver=MARA.id,
        owner=major.service.owner.id,
        expires_at=format_time((now + timedelta(days=12)).replace(hour=17, minute=0)),
        compensating=["The new endpoints are behind the company network until the test is done."],
        release_id=major.id,
    )
    return Pen(seed, BOARD).fact(major.candidate_at - timedelta(days=1), exception)
