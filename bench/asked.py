"""What the command line asks a benchmark for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


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

    def chosen(self, cells: Sequence[str]) -> list[str]:
        """Return the cells that were asked for, in their own order."""
        return [c for c in cells if not self.only or any(fnmatchcase(c, p) for p in self.only)]
