"""Time: the only place that reads a clock. Everything else is handed a moment or this function."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the present as an aware UTC datetime."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Return seconds on a clock that never runs backwards; only differences mean anything."""
    return time.monotonic()
