"""A short soak: the same command that is run with a million events, with a few thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.soak import Wanted, soak

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


async def test_a_short_soak_loses_nothing_and_doubles_nothing(work_dir: Path) -> None:
    home = work_dir / "soak"
    home.mkdir()
    figures = await soak(Wanted(events=5_000, kills=3, seed=2), home)
    assert figures["stored"] >= figures["acknowledged"] >= 5_000
    assert figures.get("engine kill -9", 0) + figures.get("PostgreSQL kill -9", 0) == 3
