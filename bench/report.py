"""Statistics and the form of a report. Pure: no clock, no I/O.

A *cell* is one thing measured under one load. Every cell is measured once a round, so the n-th
figures of two cells stand side by side and their ratio is the ratio of one round.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

LOW_PERCENT, HIGH_PERCENT = 50, 99
_NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Spread:
    """What several rounds gave for one figure."""

    low: float
    middle: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return minimum, median and maximum of at least one value."""
    return Spread(min(values), median(values), max(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile by nearest rank (a value that was measured, never one in between)."""
    if not values:
        raise ValueError("nothing was measured")
    rank = max(1, math.ceil(len(values) * percent / 100))
    return sorted(values)[rank - 1]


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50_ms and p99_ms."""
    return {
        "p50_ms": percentile(seconds, LOW_PERCENT) * 1000,
        "p99_ms": percentile(seconds, HIGH_PERCENT) * 1000,
    }


def shuffled(cells: Sequence[str], rounds: int, chance: random.Random) -> Iterator[str]:
    """Yield every cell once a round, in another order each round: drift then favours nobody."""
    for _ in range(rounds):
        yield from chance.sample(cells, len(cells))


class Book:
    """The figures of all cells, in order of rounds."""

    def __init__(self, bench: str, cells: Sequence[str]) -> None:
        self._bench = bench
        self._noted: dict[str, list[Mapping[str, float]]] = {cell: [] for cell in cells}

    def note(self, cell: str, figures: Mapping[str, float]) -> None:
        """Take down what one cell gave in one round."""
        self._noted[cell].append(figures)

    def ratio(self, cell: str, over: str, figure: str) -> Spread | None:
        """Return the spread of the ratios of the same rounds; None if a cell was not measured."""
        ours, theirs = self._column(cell, figure), self._column(over, figure)
        if not ours or not theirs:
            return None
        return spread([one / other for one, other in zip(ours, theirs, strict=True)])

    def figures(self) -> dict[str, float]:
        """Return the median of every figure as `<cell>_<figure>`."""
        return {
            f"{cell}_{figure}": _rounded(spread(self._column(cell, figure)).middle)
            for cell, noted in self._noted.items()
            for figure in (noted[0] if noted else ())
        }

    def table(self) -> str:
        """Return a row a cell: minimum / median / maximum of every figure, for people."""
        measured = [cell for cell, noted in self._noted.items() if noted]
        names = list(dict.fromkeys(f for cell in measured for f in self._noted[cell][0]))
        rows = [(cell, *(self._shown(cell, name) for name in names)) for cell in measured]
        return _aligned([("cell", *names), *rows])

    def line(self, ratios: Mapping[str, Spread | None], figures: Mapping[str, float]) -> str:
        """Return the last line of a benchmark: one JSON object; null is what was not measured."""
        said = {
            "bench": self._bench,
            "ratios": {name: one and round(one.middle, 3) for name, one in ratios.items()},
            "figures": dict(figures),
        }
        return json.dumps(said)

    def _column(self, cell: str, figure: str) -> list[float]:
        return [noted[figure] for noted in self._noted[cell]]

    def _shown(self, cell: str, figure: str) -> str:
        if figure not in self._noted[cell][0]:
            return _NOTHING
        return _in_words(spread(self._column(cell, figure)))


def ratio_table(ratios: Mapping[str, Spread | None]) -> str:
    """Return minimum / median / maximum of every ratio, for people."""
    rows = [(name, _NOTHING if one is None else _in_words(one)) for name, one in ratios.items()]
    return _aligned([("ratio", "min/median/max"), *rows])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            (row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])),
        )
        for row in rows
    )


def _in_words(one: Spread) -> str:
    if one.low == one.high:
        return _short(one.middle)
    return "/".join(map(_short, (one.low, one.middle, one.high)))


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"  # noqa: PLR2004 - three digits or so


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
