"""What the command line asks a benchmark for."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from bench.report import shuffled


@dataclass(frozen=True)
class Asked:
    """The options of one run; each benchmark reads those that concern it."""

    seconds: float
    """Of one cell, after the warm-up."""
    rounds: int
    chance: random.Random
    events: int
    """Of the large ledger of `growth`, and of the one that `explain` looks at."""
    held_minutes: float
    """How old a snapshot is held beside `growth`'s load."""
    only: Sequence[str] = ()
    """Patterns of cells; none: all."""
    opa: Path | None = None
    """A program that is there already; else Go builds it."""

    def order(self, cells: Iterable[str]) -> Iterator[str]:
        """Yield the cells that were asked for, once a round, in random order; say which is next."""
        chosen = [c for c in cells if not self.only or any(fnmatchcase(c, p) for p in self.only)]
        for number, cell in enumerate(shuffled(chosen, self.rounds, self.chance)):
            print(f"  {number + 1}/{len(chosen) * self.rounds} {cell}", file=sys.stderr, flush=True)
            yield cell
