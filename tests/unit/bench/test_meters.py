"""The window in which calls count, and what is read from /proc."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench import meters
from bench.meters import Window, metered
from services.kit import clock

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
BURN = "import time\nwhile time.process_time() < 0.3: pass"


def test_only_what_ends_in_the_window_counts() -> None:
    now = clock.monotonic()
    past, open_, future = Window(now - 2, now - 1), Window(now - 1, now + 60), Window(now + 60, 99)
    for window in (past, open_, future):
        window.note(now - 0.5, 100)
    assert (past.events, open_.events, future.events) == (0, 100, 0)
    assert open_.figures()["p50_ms"] >= 500


def test_a_window_without_a_call_is_an_error_and_no_zero() -> None:
    with pytest.raises(ValueError, match="no call"):
        Window(0, 1).figures()


async def test_counters_become_figures_an_event() -> None:
    window = Window.after_warming(2)
    read = iter((1000.0, 1600.0))

    async def counter() -> Mapping[str, float]:
        return {"wal_bytes": next(read)}

    async def work() -> None:
        await asyncio.sleep(window.starts + 0.01 - clock.monotonic())
        window.note(window.starts, 3)

    figures = await metered(window, [counter], work())
    assert figures["wal_bytes"] == 200
    assert figures["per_s"] == pytest.approx(3 / 2)


async def test_a_load_that_fails_fails_the_cell() -> None:
    async def work() -> None:
        raise RuntimeError("the peer is gone")

    with pytest.raises(RuntimeError, match="gone"):
        await metered(Window.after_warming(0.01), [], work())


def test_cpu_time_counts_children_that_live_and_that_have_ended() -> None:
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}]); input()"
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    try:
        ends = clock.monotonic() + 60
        while (spent := meters.cpu_seconds(parent.pid)) < 0.3:
            assert clock.monotonic() < ends, spent
    finally:
        parent.kill()
        parent.communicate()
    assert meters.cpu_seconds(parent.pid) == 0


def test_the_peak_starts_anew_when_it_is_forgotten() -> None:
    block = bytearray(b"x" * 200_000_000)
    high = meters.peak_mb()
    del block
    meters.forget_peak()
    assert high - meters.peak_mb() > 100
