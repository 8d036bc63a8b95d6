"""KPIs for the fixture store: plausible series with holes, and every state that a KPI can have."""

from __future__ import annotations

from datetime import datetime, timedelta
from statistics import median

from contracts.event import format_time
from services.projector import measures, views

NEEDED = 3


def kpi(
    name: str, days: int, service: str | None, end: datetime, rows: list[views.ReleaseRow]
) -> measures.KpiView:
    """Return one KPI over made-up deployments; `search` has too few to say anything."""
    chosen = [row for row in rows if service in {None, *row.services}]
    seen = _observations(name, chosen, days, end)[: 2 if service == "search" else 200]
    counted = [o for o in seen if o.counted]
    rate = name == "deployment-frequency"
    values = sorted(o.value for o in counted if o.value is not None)
    enough = len(counted) >= NEEDED
    value = (len(counted) / days if rate else median(values)) if enough else None
    return measures.KpiView(
        name=name, title="Deployment frequency" if rate else "Change lead time",
        unit="per_day" if rate else "seconds", value=value,
        quantiles={} if rate else {
            f"p{q}": values[min(len(values) * q // 100, len(values) - 1)] if enough else None
            for q in (50, 75, 90)
        },
        n=len(counted), needed=NEEDED,
        provisional=rate, provisional_because="the last day is not over" if rate else "",
        excluded={} if rate or not seen else {"without a linked change": 4, "rolled back": 1},
        basis=(
            f"{len(counted)} successful production deployments in {days} days, rollbacks apart."
            if rate else
            f"From merge to production of {len(counted)} changes in {days} days, each counted once."
        ),
        definition="deployment-frequency/v1" if rate else "change-lead-time/v1",
        window_days=days, start=format_time(end - timedelta(days=days)), end=format_time(end),
        service=service, environment_tier="production", position=1204,
        series=_series(seen, days, end, rate=rate), observations=seen,
        by_service={s: None if s == "search" else v for s, v in
                    (("pay", value), ("web", value and value * 0.7), ("search", None))}
        if service is None and seen else {},
        extra={"rollbacks": 1.0, "active_days_per_week": 3.4} if rate else
              {"merge_to_deploy": 5400.0},
    )  # fmt: skip


def _observations(
    name: str, rows: list[views.ReleaseRow], days: int, end: datetime
) -> list[measures.Observation]:
    rate = name == "deployment-frequency"
    found = []
    for n, row in enumerate(rows):
        at = end - timedelta(hours=7 + n * 37 + (n * n) % 29)
        if at < end - timedelta(days=days):
            break
        counted = rate or n % 9 != 4
        found.append(measures.Observation(
            label=row.name, release_id=row.release_id, service=row.services[0],
            at=format_time(at), value=None if rate else 3600.0 * (3 + (n * 7) % 31),
            position=row.last_position, counted=counted,
            reason="" if counted else "no change is linked",
        ))  # fmt: skip
    return found


def _series(
    seen: list[measures.Observation], days: int, end: datetime, *, rate: bool
) -> list[measures.Point]:
    width = 1 if rate else 7
    points = []
    for back in range(days // width, 0, -1):
        start, stop = end - timedelta(days=back * width), end - timedelta(days=(back - 1) * width)
        inside = [o for o in seen if o.counted and format_time(start) <= o.at < format_time(stop)]
        values = [o.value for o in inside if o.value is not None]
        value = float(len(inside)) if rate else (median(values) if values else None)
        points.append(measures.Point(start=format_time(start), value=value, n=len(inside)))
    return points
