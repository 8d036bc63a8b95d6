"""A disk that is really full: no harm, and when there is room again everything goes on (I4)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.kit import database
from services.ledger.store import Reader
from tests.conftest import skip_loudly
from tests.faults.conftest import note, seeds
from tests.faults.doors import Engine
from tests.faults.record import Record
from tests.faults.schedule import Run, Stage, play
from tests.faults.victim import Victim
from tests.faults.workload import Workload

pytestmark = [pytest.mark.postgres, pytest.mark.slow]
ROOMY = 1_300_000_000
NO_SPACE = "No space left on device"


class SmallDisk:
    """A tmpfs of its own, whose size can be changed while it is in use."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def mount(self, *, again: bool, size: int) -> bool:
        options = f"{'remount,' if again else ''}size={size}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.place)]
        return subprocess.run(command, capture_output=True, check=again).returncode == 0

    def leave(self, room: int) -> None:
        """Make the disk so small that only `room` bytes are left."""
        found = os.statvfs(self.place)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        self.mount(again=True, size=used + room)

    def make_room(self) -> None:
        self.mount(again=True, size=ROOMY)


@pytest.fixture
def small_disk(work_dir: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(work_dir / "small-disk")
    disk.place.mkdir()
    if not disk.mount(again=False, size=ROOMY):
        skip_loudly("a full disk needs the right to mount a small tmpfs (root)")
    yield disk
    subprocess.run(["umount", disk.place], check=True)
    disk.place.rmdir()


@contextlib.asynccontextmanager
async def victim_on(disk: SmallDisk) -> AsyncIterator[Victim]:
    victim = Victim(disk.place / "victim")
    await victim.start()
    try:
        yield victim
    finally:
        await victim.stop()


@pytest.mark.parametrize("seed", seeds(0.003))
async def test_a_disk_that_is_full_for_a_while(small_disk: SmallDisk, seed: int) -> None:
    async with victim_on(small_disk) as victim:
        engine = database.engine(victim.url, "faults", size=2)
        stage = Stage(victim.url, Reader(engine))
        row = await stage.ledger()
        chance = random.Random(f"disk/{seed}")
        workload = Workload(chance, poison=False, pads=(0, 700, 60_000))
        run = Run(stage, row, chance, workload, [Engine(victim.url, row)], Record(row.name))
        logs: list[str] = []

        async def no_room(run: Run) -> None:
            small_disk.leave(run.chance.choice([0, 200_000, 2_000_000]))
            while not (found := NO_SPACE in victim.server._supervised.log_text()):
                if run.over.is_set():
                    break
                await asyncio.sleep(0.05)
            assert found, "the disk was not full"
            run.fired.append("disk full")
            await asyncio.sleep(0.5)
            logs.append(victim.server._supervised.log_text())
            small_disk.make_room()
            if "PANIC" in logs[0]:  # no room for the WAL: the server has given up, rightly
                run.fired.append("disk full, server down")
                await victim.up_again()

        await play(run, callers=4, calls=40, disturbances=[no_room])
        note(run.record, run.fired)
        assert NO_SPACE in logs[0]
        await stage.reader.close()
