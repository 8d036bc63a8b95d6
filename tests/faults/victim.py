"""A PostgreSQL of a test's own, to be killed with all its backends, as a power cut would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from deploy.embedded import EmbeddedPostgres, EmbeddedUnavailable
from migrations.run import upgrade

SMALL: Mapping[str, str] = {
    "shared_buffers": "32MB",
    "min_wal_size": "32MB",
    "max_wal_size": "96MB",
    "max_connections": "30",
}


class Victim:
    """An embedded server with one migrated database, which can be killed and brought up again."""

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self.server = EmbeddedPostgres(home, {**SMALL, **(settings or {})})
        self.url = self.server.dsn("victim")

    async def start(self) -> None:
        await self.server.start()
        await self.server.ensure_database("victim")
        await asyncio.to_thread(upgrade, self.url)

    async def kill(self) -> None:
        """Kill −9 the postmaster and all its processes."""
        postmaster = self.server.pid
        if postmaster is None:
            return
        for pid in [postmaster, *children(postmaster)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while self.server.pid is not None:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.01)

    async def up_again(self) -> None:
        """Start it after a kill; on return it has recovered and takes connections."""
        await self.server.stop()
        for attempt in range(5):
            try:
                await self.server.start()
            except EmbeddedUnavailable:
                if attempt == 4:
                    raise
                await asyncio.sleep(0.3)
            else:
                return

    async def stop(self) -> None:
        await self.server.stop()


def children(parent: int) -> list[int]:
    """Return the processes that `parent` has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(status.parent.name))
    return found
