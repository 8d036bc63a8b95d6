"""Primary and standby for fault tests: killed at once, or frozen so that nothing is confirmed."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from deploy.embedded import EmbeddedPostgres, EmbeddedStandby, wait_for_standbys

# Loaded machines: a standby that is slow for a moment is not to be disconnected.
SETTINGS = {"shared_buffers": "32MB", "wal_sender_timeout": "30s"}


def family(server: EmbeddedPostgres) -> list[int]:
    """The postmaster and its processes; each of these is a process group of its own."""
    postmaster = server.pid
    assert postmaster is not None
    stats = [path.parent for path in Path("/proc").glob("[0-9]*/stat")]
    return [postmaster, *(int(path.name) for path in stats if _parent(path) == postmaster)]


def _parent(process: Path) -> int:
    with contextlib.suppress(OSError):
        stat = (process / "stat").read_text(encoding="utf-8", errors="replace")
        return int(stat.rpartition(")")[2].split()[1])
    return 0


def _send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_at_once(server: EmbeddedPostgres) -> None:
    """kill −9 of the whole server, as when its machine loses power: nobody says goodbye."""
    pids = family(server)
    _send(signal.SIGSTOP, pids[:1])  # or it would start new processes for the ones that died
    _send(signal.SIGKILL, family(server)[::-1])


@contextlib.contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """Stop a server in its tracks for a block: its connections stay, it answers nothing."""
    pids = family(server)
    _send(signal.SIGSTOP, pids)
    try:
        yield
    finally:
        _send(signal.SIGCONT, pids)


@contextlib.asynccontextmanager
async def standby_of(
    primary: EmbeddedPostgres, home: Path, name: str
) -> AsyncIterator[EmbeddedStandby]:
    """Run a standby for a block; from here on commits on the primary wait for it."""
    standby = EmbeddedStandby(home, primary, name, SETTINGS)
    await standby.start()
    try:
        await wait_for_standbys(primary, f"ANY 1 ({name})")
        yield standby
    finally:
        await standby.stop()
