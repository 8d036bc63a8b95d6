"""The KPIs: pure functions over recorded rows. docs/kpis.md has the definitions in words.

Every figure says what it rests on: how much was counted, what was left out and why, up to which
ledger position. Null means that it cannot be known; zero means measured zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Literal

from contracts.event import format_time, parse_time
from services.projector import leadtime
from services.projector.measures import KpiView, Observation, Point
from services.projector.readmodels.rows import Row
from services.projector.window import DAY, WEEK, Asked, midnight, next_midnight, steps

NEEDED = 3
"""Fewer durations than this have no headline."""
Apart = Literal["", "rollback", "redeploy"]
"""Why a deployment is listed apart."""
SHOWN = 200
"""Most observations that an answer shows, the newest."""


@dataclass(frozen=True, slots=True)
class History:
    """What was recorded, in order of position.

    `deployments`: successes in production before `end`, from the first one on, so that each finds
    the one before it. `onboarded`: service → first event. `commits`: of pushes. `changes`: merged.
    """

    deployments: Sequence[Row] = ()
    onboarded: dict[str, str] = field(default_factory=dict)
    commits: Sequence[Row] = ()
    changes: Sequence[Row] = ()


def deployment_frequency(asked: Asked, history: History) -> KpiView:
    """Return deployments to production per day; rollbacks and redeploys are listed apart."""
    start = _begin(asked, history, asked.service)
    seen = [_deployment(row) for row in _within(history.deployments, start, asked.end)]
    counted = [each for each in seen if each.counted]
    left_out = Counter(each.reason for each in seen if not each.counted)
    moments = [parse_time(each.at) for each in counted]
    return _view(
        asked,
        start,
        name="deployment-frequency",
        title="Deployment frequency",
        unit="per_day",
        value=_rate(len(counted), start, asked.end),
        n=len(counted),
        needed=0,
        excluded=dict(left_out),
        basis="successful production deployments, one for each deployment and service",
        series=_by_day(moments, start, asked.end),
        observations=seen,
        by_service={
            name: _rate(sum(each.service == name for each in counted), own, asked.end)
            for name in _services(asked, history)
            if (own := _begin(asked, history, name)) is not None
        },
        extra={
            "rollbacks": float(left_out["rollback"]),
            "redeploys": float(left_out["redeploy"]),
            "active_days_per_week": _active_days(moments, start, asked.end),
        },
    )


def change_lead_time(asked: Asked, history: History) -> KpiView:
    """Return the time from a change's first commit to its first success in production."""
    start = _begin(asked, history, asked.service)
    found = leadtime.first_deployments(history.deployments, history.commits, history.changes)
    seen = [each for each in found if start and start <= parse_time(each.at) < asked.end]
    counted = [each for each in seen if each.counted]
    seconds = [each.seconds for each in counted if each.seconds is not None]
    return _view(
        asked,
        start,
        name="change-lead-time",
        title="Change lead time",
        unit="seconds",
        value=quantile(seconds, 0.5),
        quantiles={f"p{p}": quantile(seconds, p / 100) for p in (50, 75, 90)},
        n=len(seconds),
        needed=NEEDED,
        excluded=dict(Counter(each.reason for each in seen if not each.counted)),
        basis="changes that first reached production in the window, from their first commit",
        series=_by_week(counted, start, asked.end),
        observations=[each.observation() for each in seen],
        by_service={
            name: quantile(
                [e.seconds for e in counted if e.service == name and e.seconds is not None], 0.5
            )
            for name in _services(asked, history)
        },
        extra={
            "merge_to_deploy": quantile(
                [e.since_merge for e in counted if e.since_merge is not None], 0.5
            )
        },
    )


KPIS: dict[str, Callable[[Asked, History], KpiView]] = {
    "deployment-frequency": deployment_frequency,
    "change-lead-time": change_lead_time,
}
"""By the name in the API."""


def quantile(values: Sequence[float], share: float, needed: int = NEEDED) -> float | None:
    """Return the interpolated quantile (as PostgreSQL's percentile_cont), or None for too few."""
    if len(values) < max(1, needed):
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _view(asked: Asked, start: datetime | None, **said: object) -> KpiView:
    seen = said.pop("observations")
    assert isinstance(seen, list)  # noqa: S101 - ours
    newest = sorted(seen, key=lambda each: (each.position, each.at), reverse=True)
    return KpiView.model_validate(
        {
            "quantiles": {},
            "definition": f"{said['name']}/1",
            "window_days": asked.days,
            "start": format_time(start or asked.start),
            "end": format_time(asked.end),
            "service": asked.service,
            "environment_tier": "production",
            "position": asked.position,
            "provisional": bool(asked.unsettled),
            "provisional_because": "; ".join(asked.unsettled),
            "observations": newest[:SHOWN],
            **said,
        }
    )


def _begin(asked: Asked, history: History, service: str | None) -> datetime | None:
    """Return when the window really begins: not before the service was known. None: never known."""
    known = [at for name, at in history.onboarded.items() if service in {None, name}]
    if not known:
        return None
    onboarded = parse_time(min(known))
    return max(asked.start, midnight(onboarded)) if onboarded < asked.end else None


def _services(asked: Asked, history: History) -> list[str]:
    return [name for name in sorted(history.onboarded) if asked.service in {None, name}]


def _within(rows: Iterable[Row], start: datetime | None, end: datetime) -> list[Row]:
    if start is None:
        return []
    return [row for row in rows if start <= parse_time(row["finished_at"]) < end]


def _deployment(row: Row) -> Observation:
    again = row["artifact_digest"] is not None and row["artifact_digest"] == row["previous_digest"]
    reason: Apart = "rollback" if row["kind"] == "rollback" else "redeploy" if again else ""
    return Observation(
        label=row["deployment_id"],
        release_id=row["release_id"],
        service=row["service"],
        at=row["finished_at"],
        value=None,
        position=row["position"],
        counted=not reason,
        reason=reason,
    )


def _rate(n: int, start: datetime | None, end: datetime) -> float | None:
    return None if start is None or start >= end else n / ((end - start) / DAY)


def _by_day(moments: list[datetime], start: datetime | None, end: datetime) -> list[Point]:
    counts = Counter(map(midnight, moments))
    return [
        Point(start=format_time(day), value=counts[day], n=counts[day])
        for day in steps(start, end, DAY)
    ]


def _by_week(counted: list[leadtime.Lead], start: datetime | None, end: datetime) -> list[Point]:
    points = []
    for week in steps(start, end, WEEK):
        own = [e.seconds for e in counted if e.seconds is not None
               and week <= parse_time(e.at) < week + WEEK]  # fmt: skip
        points.append(Point(start=format_time(week), value=quantile(own, 0.5, 1), n=len(own)))
    return points


def _active_days(moments: list[datetime], start: datetime | None, end: datetime) -> float | None:
    """Return the median of days with a deployment a week, over whole weeks, empty ones too."""
    days = set(map(midnight, moments))
    weeks = [week for week in steps(start, end, WEEK) if week + WEEK <= next_midnight(end)]
    if not weeks:
        return None
    return float(median(sum(week <= day < week + WEEK for day in days) for week in weeks))
