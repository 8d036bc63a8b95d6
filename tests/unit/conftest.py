"""Where the known answers of others lie: beside the project, never in it."""

from __future__ import annotations

from pathlib import Path

import pytest

VECTORS = Path(__file__).parents[3] / "shared" / "vectors"


@pytest.fixture(scope="session")
def vectors() -> Path:
    if not VECTORS.is_dir():
        pytest.skip(f"no known answers in {VECTORS}")
    return VECTORS
