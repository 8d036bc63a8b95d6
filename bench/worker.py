"""`python -m bench.worker`: one ledger process with its callers, told over its standard input.

First line {url, first, callers, seed}: it opens the ledger and answers {}. Second line {starts,
ends} (of the machine's monotonic clock): it drives its callers and answers what they did.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any, ClassVar

import uvloop

from bench import meters, workload
from bench.driving import drive, tidy
from bench.meters import Window
from bench.ours import known, ours
from services.ledger.model import Plan
from services.ledger.writer import Answer, Writer


class Counting(Writer):
    """The ledger's writer, which counts what its tries came to."""

    tries: ClassVar[Counter[str]] = Counter()
    """By outcome; `stored` are the events of those that appended."""

    async def append(self, lane: int, plan: Plan, *, probe: bool = False) -> Answer:
        """See `Writer`."""
        answer = await super().append(lane, plan, probe=probe)
        self.tries[answer.outcome] += 1
        self.tries["stored"] += len(plan.items) if answer.outcome == "appended" else 0
        return answer


_STOCK_SECONDS = 2.5


async def main() -> None:
    """Do one drive."""
    asked = await _line()
    stop = asked["first"] + asked["callers"]
    events = workload.templates(stop)[asked["first"] :]
    versions = (await known(asked["url"])).versions
    callers = workload.callers(events, versions, asked["seed"])
    workload.stock_up(callers, _STOCK_SECONDS)
    tidy()
    async with ours(asked["url"], Counting) as design:
        print("{}", flush=True)
        told = await _line()
        window, cpu = Window(told["starts"], told["ends"]), time.process_time()
        await drive(design, callers, window)
        spent = time.process_time() - cpu
    said = {
        "events": window.events,
        "appended": sum(caller.appended for caller in callers),
        "took": window.took,
        "cpu_us": spent * 1e6,
        "peak_mb": meters.peak_mb(),
        "moved": Counting.tries["moved"],
        "batches": Counting.tries["appended"],
        "stored": Counting.tries["stored"],
    }
    print(json.dumps(said), flush=True)


async def _line() -> dict[str, Any]:
    line = await asyncio.to_thread(sys.stdin.readline)
    told: dict[str, Any] = json.loads(line)
    return told


if __name__ == "__main__":
    uvloop.run(main())
