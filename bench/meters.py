"""What a cell has spent: CPU time, write-ahead log, table and index bytes, peak memory.

Source of the CPU time: proc(5), /proc/PID/stat, fields utime, stime, and for a process whose
children end while it runs (PostgreSQL's postmaster) also cutime and cstime.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from bench.report import latencies
from services.kit import clock, database

WARM_SECONDS = 0.3
"""Before the clock starts: connections open, statements are planned."""
Counters: TypeAlias = Callable[[], Awaitable[Mapping[str, float]]]
"""Counters that only grow, by the name of the figure per event that they become."""
_TICKS = os.sysconf("SC_CLK_TCK")
_MICROSECONDS = 1_000_000
_SPENT = """
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS wal_bytes,
       (SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
         WHERE relkind = 'r' AND relnamespace NOT IN (
               'pg_catalog'::regnamespace, 'information_schema'::regnamespace))::float8
           AS stored_bytes
"""


@dataclass
class Window:
    """The time in which calls count, and the calls that ended in it."""

    starts: float
    ends: float
    took: list[float] = field(default_factory=list)
    events: int = 0

    @classmethod
    def after_warming(cls, seconds: float) -> Window:
        """Return a window that opens soon."""
        starts = clock.monotonic() + WARM_SECONDS
        return cls(starts, starts + seconds)

    def note(self, began: float, events: int = 1) -> None:
        """Take down a call that has just ended."""
        if self.starts <= (done := clock.monotonic()) <= self.ends:
            self.took.append(done - began)
            self.events += events

    def figures(self) -> dict[str, float]:
        """Return per_s (events), p50_ms and p99_ms (calls)."""
        if not self.took:
            raise ValueError("no call ended in the window: give a cell more --seconds")
        return {"per_s": self.events / (self.ends - self.starts)} | latencies(self.took)


async def metered(
    window: Window, sources: Sequence[Counters], work: Awaitable[object]
) -> dict[str, float]:
    """Do the work; return the window's figures and, per event, what grew while it was open."""
    task = asyncio.ensure_future(work)
    try:
        before = await _read_at(window.starts, sources)
        after = await _read_at(window.ends, sources)
        await task
    finally:
        task.cancel()
    figures = window.figures()
    return figures | {name: (after[name] - before[name]) / window.events for name in after}


async def _read_at(moment: float, sources: Sequence[Counters]) -> dict[str, float]:
    await asyncio.sleep(max(0.0, moment - clock.monotonic()))
    found: dict[str, float] = {}
    for source in sources:
        found |= await source()
    return found


async def own_cpu() -> Mapping[str, float]:
    """Return client_us: this process, with its load, its driver and what it measures."""
    return {"client_us": time.process_time() * _MICROSECONDS}


def of_process(pid: int, name: str) -> Counters:
    """Return the CPU time of a process and its children, as a figure of this name."""

    async def read() -> Mapping[str, float]:
        return {name: cpu_seconds(pid) * _MICROSECONDS}

    return read


def of_postgres(connection: database.Connection, pid: int) -> Counters:
    """Return server_us (of all its processes), wal_bytes and stored_bytes (of this database)."""

    async def read() -> Mapping[str, float]:
        row = await connection.fetchrow(_SPENT)
        return {"server_us": cpu_seconds(pid) * _MICROSECONDS, **dict(row or {})}

    return read


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, its living children and those it has reaped."""
    processes = dict(_processes())
    mine = processes.get(pid)
    if mine is None:
        return 0.0
    children = sum(own for parent, own, _ in processes.values() if parent == pid)
    return (mine[1] + mine[2] + children) / _TICKS


def _processes() -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Yield pid, (parent, own ticks, ticks of reaped children)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue  # it has ended since
            own, reaped = map(int, fields[11:13]), map(int, fields[13:15])
            yield int(entry.name), (int(fields[1]), sum(own), sum(reaped))


def forget_peak() -> None:
    """Let this process's peak memory start anew (proc(5), /proc/PID/clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mb(pid: int | None = None) -> float:
    """Return the peak resident memory of a process in MB (VmHWM of proc(5))."""
    text = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e6
