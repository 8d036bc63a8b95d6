"""`python -m bench.worker`: one ledger process with its callers, told over its standard input.

First line {url, first, callers, seed}: it opens the ledger and answers {}. Second line {starts,
ends} (of the machine's monotonic clock): it drives its callers and answers what they did.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

from bench import meters, workload
from bench.driving import drive, tidy
from bench.meters import Window
from bench.ours import known, ours
from services.kit.metrics import REGISTRY

_LEDGER = {"ledger": "main"}


async def main() -> None:
    """Do one drive."""
    asked = await _line()
    stop = asked["first"] + asked["callers"]
    events = workload.templates(stop)[asked["first"] :]
    versions = (await known(asked["url"])).versions
    callers = workload.callers(events, versions, asked["seed"])
    tidy()
    async with ours(asked["url"]) as design:
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
        "moved": _value("rlg_ledger_moved_total") or 0,
        "batches": _value("rlg_ledger_batch_events_count"),
        "stored": _value("rlg_ledger_batch_events_sum"),
    }
    print(json.dumps(said), flush=True)


def _value(name: str) -> float | None:
    return REGISTRY.get_sample_value(name, _LEDGER)


async def _line() -> dict[str, Any]:
    line = await asyncio.to_thread(sys.stdin.readline)
    told: dict[str, Any] = json.loads(line)
    return told


if __name__ == "__main__":
    uvloop.run(main())
