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

HEADER = ("cell", "figure", "min", "median", "max")
LOW_PERCENT, HIGH_PERCENT = 50, 99


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

    def ratio(self, cell: str, over: str, figure: str) -> float:
        """Return the median of the ratios of the same rounds."""
        pairs = zip(self._column(cell, figure), self._column(over, figure), strict=True)
        return median(ours / theirs for ours, theirs in pairs)

    def figures(self) -> dict[str, float]:
        """Return the median of every figure as `<cell>_<figure>`."""
        return {f"{cell}_{figure}": _rounded(one.middle) for cell, figure, one in self._spreads()}

    def table(self) -> str:
        """Return minimum, median and maximum of every figure, for people."""
        rows = [
            (cell, figure, _shown(one.low), _shown(one.middle), _shown(one.high))
            for cell, figure, one in self._spreads()
        ]
        widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
        return "\n".join(_aligned(row, widths) for row in (HEADER, *rows))

    def line(self, ratios: Mapping[str, float], figures: Mapping[str, float]) -> str:
        """Return the last line of a benchmark: one JSON object."""
        said = {
            "bench": self._bench,
            "ratios": {name: round(value, 3) for name, value in ratios.items()},
            "figures": dict(figures),
        }
        return json.dumps(said)

    def _column(self, cell: str, figure: str) -> list[float]:
        return [noted[figure] for noted in self._noted[cell]]

    def _spreads(self) -> Iterator[tuple[str, str, Spread]]:
        for cell, noted in self._noted.items():
            for figure in noted[0] if noted else ():
                yield cell, figure, spread(self._column(cell, figure))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    words, numbers = row[:2], row[2:]
    left = [word.ljust(width) for word, width in zip(words, widths[:2], strict=True)]
    right = [number.rjust(width) for number, width in zip(numbers, widths[2:], strict=True)]
    return "  ".join((*left, *right))


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"  # noqa: PLR2004 - three digits or so


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
