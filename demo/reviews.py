"""What people say once it is over: completion, retrospective, actions, survey, refusal."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from contracts.event import format_time
from contracts.payloads.plan import ReleaseCancelled, ReleaseCompleted
from contracts.payloads.review import (
    ActionItemClosed,
    ActionItemOpened,
    RetroHeld,
    SurveyResponded,
)
from demo.native import PLANNING, REVIEW, Pen, known_by, said_by
from demo.people import EDITH, GRACE, KATE
from demo.steps import Facts, Step
from demo.work import Deployment, Release

SURVEYOR = "dev:survey"
"""The survey tool: it passes answers on without saying whose they are."""
_LESSONS = {
    "relapse": "Watch the error ratio for thirty minutes before a rollout counts as done",
    "stumble": "Check the image's pull rights before the window opens",
    "major": "Rehearse the migration in staging two days earlier",
    "hotfix": "Let the load test cover time limits of peers",
}


def held(of: Deployment, now: datetime) -> list[Step]:
    """Return the review of a release that went out, as far as it has happened by `now`."""
    release = of.release
    steps: list[Step] = []
    if release.arc != "relapse":  # what was rolled back is never complete
        steps += known_by(now, said_by(GRACE.id, _completed(of)))
    if release.arc != "normal" or release.ordinal % 3 == 0:
        steps += known_by(now, said_by(release.service.owner.id, *_retro(of)))
        steps += known_by(now, said_by(SURVEYOR, *_survey(of)))
    return steps


def refused(release: Release, at: datetime) -> Facts:
    """Return the end of a release that may not go out."""
    event = ReleaseCancelled(
        release_id=release.id,
        outcome="rejected",
        reason="Security said no; the changes go out with the next release.",
    )
    return said_by(release.service.owner.id, Pen(release.seed, PLANNING).fact(at, event))


def _completed(of: Deployment) -> dict[str, Any]:
    event = ReleaseCompleted(
        release_id=of.release.id, outcome="success", reason="A day in production without a finding."
    )
    return Pen(of.release.seed, PLANNING).fact(of.finished_at + timedelta(hours=24), event)


def _retro(of: Deployment) -> list[dict[str, Any]]:
    release, at = of.release, of.finished_at + timedelta(hours=49)
    pen, service = Pen(release.seed, REVIEW), release.service
    team = {person.id for person in (*service.developers, service.owner, GRACE, KATE, EDITH)}
    retro = RetroHeld(
        release_id=release.id,
        attendees=sorted(team),
        summary_uri=f"{REVIEW}/{release.id}.md",
        summary=_LESSONS.get(release.arc, "Nothing surprised us."),
    )
    return [pen.fact(at, retro), *_actions(release, at)]


def _actions(release: Release, at: datetime) -> list[dict[str, Any]]:
    if release.arc not in _LESSONS:
        return []
    pen, due = Pen(release.seed, REVIEW), format_time(at + timedelta(days=14))
    said = {
        "item_id": f"{release.id}.1",
        "release_id": release.id,
        "owner": release.service.developers[0].id,
        "due": due,
        "title": _LESSONS[release.arc],
    }
    opened, closed = ActionItemOpened(**said), ActionItemClosed(**said)
    return [pen.fact(at, opened), pen.fact(at + timedelta(days=9), closed)]


def _survey(of: Deployment) -> list[dict[str, Any]]:
    release = of.release
    pen, chance = Pen(release.seed, REVIEW), release.seed.random("survey", release.id)
    scores = (1, 2, 2, 3) if release.arc == "relapse" else (3, 4, 4, 5, 5)
    answers = [
        SurveyResponded(
            survey_id="release-satisfaction",
            release_id=release.id,
            role=role,
            score=chance.choice(scores),
            scale=5,
            invited_n=9,
        )
        for role in ("product", "support", "operations", "development", "sales", "quality")
    ]
    times = [of.finished_at + timedelta(hours=50 + 5 * n) for n in range(len(answers))]
    return [pen.fact(at, answer, answer.role) for at, answer in zip(times, answers, strict=True)]
