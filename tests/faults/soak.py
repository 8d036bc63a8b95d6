"""The long run: many acknowledged events, kill −9 at random moments, then every single one checked.

    python -m tests.faults.soak --events 1000000 --kills 20 --seed 1

Several callers send batches of 100 to an engine in a process of its own. At drawn counts of
acknowledged events either the engine or PostgreSQL (postmaster and all backends) is killed and
brought up again; callers send what they have no answer for again with the same ids. The check at
the end reads every event in order. Prints a summary and, last, a line of JSON; exit status 1 when a
promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.kit import clock, database
from services.ledger.store import Reader
from services.ledger.tables import LedgerRow
from tests.faults.doors import EngineProcess, Unknown
from tests.faults.record import LATE, UNKNOWN, Answer
from tests.faults.soak_check import Acknowledged, check
from tests.faults.victim import Victim
from tests.faults.workload import FINE, Ask

BATCH = 100
CALLERS = 6


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much of everything."""

    events: int
    kills: int
    seed: int


@dataclass
class Soak:
    """A run: a server, an engine, callers, and a killer."""

    wanted: Wanted
    place: Path
    victim: Victim
    row: LedgerRow
    told: Acknowledged = field(default_factory=lambda: Acknowledged(CALLERS))
    tally: Counter[str] = field(default_factory=Counter)
    _engine: EngineProcess | None = None
    _sent: list[int] = field(default_factory=lambda: [0] * CALLERS)

    async def run(self) -> None:
        """Send until enough is acknowledged, with all kills on the way."""
        self._engine = await self._fresh_engine()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._kill_at_moments())
            for caller in range(CALLERS):
                tasks.create_task(self._send(caller))
        await self._engine.stop()

    async def _fresh_engine(self) -> EngineProcess:
        return await EngineProcess(self.victim.url, self.row, self.place).open()

    async def _send(self, caller: int) -> None:
        while self.told.count < self.wanted.events:
            first = self._sent[caller]
            self._sent[caller] += BATCH
            ask = Ask([event(caller, n) for n in range(first, first + BATCH)], None)
            answers = None
            while answers is None:
                answers = await self._try(ask)
            for n, answer in enumerate(answers, first):
                self.tally[answer.kind] += 1
                commitment = json.loads(str(answer.receipt))["commitment"]
                self.told.add(caller, n, int(answer.position or 0), commitment)

    async def _try(self, ask: Ask) -> list[Answer] | None:
        try:
            assert self._engine is not None
            answers = await self._engine.ask(ask)
        except (Unknown, OSError):
            answers = []
        if answers and not any(answer.kind in {LATE, UNKNOWN} for answer in answers):
            return answers
        self.tally["tried again"] += 1
        await asyncio.sleep(0.05)
        return None

    async def _kill_at_moments(self) -> None:
        chance = random.Random(self.wanted.seed)
        moments = sorted(chance.sample(range(self.wanted.events), self.wanted.kills))
        for moment in moments:
            while self.told.count < moment:  # noqa: ASYNC110 - a moment on purpose
                await asyncio.sleep(0.002)
            await asyncio.sleep(chance.uniform(0, 0.05))
            await (self._kill_engine() if chance.random() < 0.5 else self._kill_postgres())

    async def _kill_engine(self) -> None:
        assert self._engine is not None
        self.tally["engine kill -9"] += 1
        self._engine.signal(signal.SIGKILL)
        await self._engine.stop()
        self._engine = await self._fresh_engine()

    async def _kill_postgres(self) -> None:
        self.tally["PostgreSQL kill -9"] += 1
        await self.victim.kill()
        await self.victim.up_again()


def event(caller: int, n: int) -> dict[str, Any]:
    """Return the n-th event of a caller: its id says which it is. Names three subjects."""
    return {
        "specversion": "1.0", "id": f"{caller}-{n}", "source": "/soak", "type": FINE,
        "subjects": f"caller:{caller},run:{caller}-{n // 50},shared:{n % 997}",
        "data": {"n": n, "pad": "x" * 400},
    }  # fmt: skip


async def soak(wanted: Wanted, home: Path) -> dict[str, Any]:
    """Run and check; return the figures. Raises `Violation` when a promise was broken."""
    victim = Victim(home / "postgres", {"shared_buffers": "256MB", "max_wal_size": "512MB"})
    await victim.start()
    try:
        engine = database.engine(victim.url, "soak", size=2)
        reader = Reader(engine)
        await reader.open(["soak"])
        run = Soak(wanted, home, victim, reader.ledger("soak"))
        await reader.close()
        began = clock.monotonic()
        await run.run()
        ran = clock.monotonic()
        stored = await check(victim.url, run.row.id, run.told)
    finally:
        await victim.stop()
    return {
        "events": wanted.events, "seed": wanted.seed, "acknowledged": run.told.count,
        "stored": stored, "lost": 0, "doubled": 0, "seconds": round(ran - began, 1),
        "check_seconds": round(clock.monotonic() - ran, 1), **dict(sorted(run.tally.items())),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, default=None, help="where the server lives")
    given = parser.parse_args()
    wanted = Wanted(given.events, given.kills, given.seed)
    with tempfile.TemporaryDirectory(prefix="rlg-soak-", dir=given.directory) as home:
        Path(home).chmod(0o755)
        try:
            figures = asyncio.run(soak(wanted, Path(home)))
        except AssertionError as error:
            print(f"BROKEN, seed {wanted.seed}: {error}")  # noqa: T201
            return 1
    for name, figure in figures.items():
        print(f"{name:>20}  {figure}")  # noqa: T201
    print(json.dumps({"soak": figures}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
