"""The read models: pure folds of events into rows, one noun a file.

`keys` says which rows a batch needs, in rounds: a row that was loaded may lead to others (a commit
to its release). `apply` folds one event. Neither does I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.projector.readmodels import (
    changes,
    deployments,
    gates,
    links,
    permits,
    releases,
    situation,
    timeline,
)

if TYPE_CHECKING:
    from services.projector.readmodels.fact import Fact
    from services.projector.readmodels.rows import Key, Rows

_DECLARING = (links, permits, deployments, gates, changes, situation, releases)
_FOLDS = (
    releases.begin,
    links.apply,
    releases.apply,
    gates.apply,
    permits.apply,
    deployments.apply,
    changes.apply,
    situation.apply,
    timeline.apply,
)
"""In this order: first who belongs to whom; releases see a place before a deployment moves it."""


def keys(fact: Fact, rows: Rows) -> set[Key]:
    """Return the keys that are still to be loaded before this event can be folded."""
    return rows.missing(key for model in _DECLARING for key in model.keys(fact, rows))


def apply(fact: Fact, rows: Rows) -> None:
    """Fold one event: all of it, or (raising) nothing."""
    try:
        for fold in _FOLDS:
            fold(fact, rows)
    except Exception:
        rows.undo()
        raise
    rows.keep()
