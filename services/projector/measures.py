"""What a KPI answers. Durations are seconds; null is not measurable, zero is measured zero."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.projector.view import View


class Point(View):
    """One value of a series; null where nothing was measured."""

    start: str
    value: float | None
    n: int


class Observation(View):
    """One thing that a KPI counted, so that a reader can check it."""

    label: str
    release_id: str | None
    service: str
    at: str
    value: float | None
    position: int
    counted: bool
    reason: str = ""
    """Why it was left out."""


class KpiView(View):
    """A KPI with everything that it rests on (definitions: docs/kpis.md)."""

    name: str
    title: str
    unit: Literal["per_day", "seconds"]
    value: float | None
    """Headline: deployments per day, or the median lead time."""
    quantiles: dict[str, float | None]
    """p50, p75, p90 for durations; empty for rates."""
    n: int
    needed: int
    """Fewer observations than this: no headline."""
    provisional: bool
    """Whether the figure can still move by itself: the window's last day is not over, or the read
    models are behind the ledger."""
    provisional_because: str
    """Why, in a few words; empty when it is not provisional."""
    excluded: dict[str, int]
    basis: str
    """One sentence: what was counted."""
    definition: str
    """Name and version of the definition."""
    window_days: int
    start: str
    end: str
    service: str | None
    environment_tier: str
    position: int
    """The ledger position up to which this holds."""
    series: list[Point]
    """By day (rates) or by week (durations)."""
    observations: list[Observation]
    """Newest first, at most 200."""
    by_service: dict[str, float | None]
    extra: dict[str, float | None] = Field(default_factory=dict)
    """Named side figures, for example rollbacks, active days a week, merge to deploy."""
