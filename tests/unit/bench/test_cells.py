"""The order of cells, the callers of the load, the figures of several processes."""

from __future__ import annotations

import random

import pytest

from bench import workload
from bench.append import CELLS, RATIOS
from bench.asked import Asked
from bench.processes import figures


def asked(*only: str, rounds: int = 3) -> Asked:
    return Asked(1, rounds, random.Random(1), 1, 0, only)


def test_every_ratio_compares_cells_that_exist() -> None:
    assert {cell for pair in RATIOS.values() for cell in pair} <= set(CELLS)


def test_only_the_cells_that_were_asked_for_run(capsys: pytest.CaptureFixture[str]) -> None:
    order = list(asked("raw_1*", "append_1").order(["append_1", "raw_1", "raw_16", "raw2"]))
    assert sorted(set(order)) == ["append_1", "raw_1", "raw_16"]
    assert len(order) == 9
    assert "9/9" in capsys.readouterr().err


def test_a_batch_has_no_expectations_and_a_single_event_has_some() -> None:
    (caller,) = workload.callers(workload.templates(1), _versions(), seed=1, again=0)
    assert not any(call.expect for call in caller.request(100))
    assert any(call.expect for _ in range(100) for call in caller.request(1))


def test_the_lowest_share_is_that_of_the_slower_process() -> None:
    fast = {"events": 300, "took": [0.1], "cpu_us": 9000, "peak_mb": 90, "moved": 1,
            "batches": 10, "stored": 300}  # fmt: skip
    slow = fast | {"events": 100, "cpu_us": 3000, "peak_mb": 80, "batches": 10, "stored": 100}
    assert figures([fast, slow], 2) == {
        "per_s": 200,
        "p50_ms": 100,
        "p99_ms": 100,
        "client_us": 30,
        "peak_mb": 90,
        "lowest_share": 0.25,
        "failed_tries": 0.1,
        "batch_events": 20,
    }


def _versions() -> dict[str, int]:
    return {f"release:pay-0.{n}": 1 for n in range(4)}
