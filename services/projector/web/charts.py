"""Bars for a series: geometry only; the template draws them and puts the real table beneath."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.projector.measures import Point

WIDTH, HEIGHT, WIDEST = 1000.0, 160.0, 22.0
_DAY = 86_400.0
_NICE_SECONDS = (60, 300, 600, 1800, 3600, 2 * 3600, 4 * 3600, 6 * 3600, 12 * 3600)


class Bar(NamedTuple):
    """One bar in a box of `WIDTH` × `HEIGHT`; height None means that nothing was measured."""

    x: float
    y: float
    width: float
    height: float | None
    point: Point


class Chart(NamedTuple):
    """The bars, and the value at the top and in the middle of the scale."""

    bars: list[Bar]
    top: float
    middle: float


def chart(series: Sequence[Point], unit: str) -> Chart:
    """Lay a series out on a scale from zero to a round number above its highest value."""
    highest = max((point.value or 0 for point in series), default=0)
    top = _round_up(highest, unit)
    slot = WIDTH / max(len(series), 1)
    width = min(slot * 0.72, WIDEST)
    edge = (slot - width) / 2
    bars = [_bar(point, index * slot + edge, width, top) for index, point in enumerate(series)]
    return Chart(bars, top, top / 2)


def share(value: float | None, values: Sequence[float | None]) -> float:
    """Return a value as a percentage of the highest one, for a bar in a table row."""
    highest = max((v for v in values if v is not None), default=0)
    return round(100 * (value or 0) / highest, 1) if highest else 0


def _bar(point: Point, x: float, width: float, top: float) -> Bar:
    if point.value is None:
        return Bar(round(x, 2), HEIGHT, round(width, 2), None, point)
    height = HEIGHT * point.value / top
    return Bar(round(x, 2), round(HEIGHT - height, 2), round(width, 2), round(height, 2), point)


def _round_up(highest: float, unit: str) -> float:
    if unit == "seconds":
        nice = next((n for n in _NICE_SECONDS if n >= highest), None)
        return float(nice) if nice else math.ceil(highest / _DAY) * _DAY
    if highest <= 0:
        return 1.0
    magnitude = 10.0 ** math.floor(math.log10(highest))
    steps = (1, 2, 4, 5, 10)
    return next(step * magnitude for step in steps if step * magnitude >= highest)
