"""`python -m bench replay --events N`: N generated decisions, judged again to the byte elsewhere.

A history is generated and written down here. Processes with other hash seeds, time zones and
locales read it, replay every decision, and name the first that differs. Measures nothing but time.

`python -m bench.replay FILE` is such a process.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bench.asked import Asked
from bench.history import NAME as POLICY
from bench.history import decided, generated
from contracts.event import RecordedEvent
from services.gatekeeper.backtesting import Remembered
from services.gatekeeper.reading import Reader
from services.gatekeeper.replaying import replay
from services.kit import clock
from services.kit.settings import environment

NAME = "replay"
EVENTS = 1_000
"""Decisions, unless told otherwise."""
ELSEWHERE = (
    {"PYTHONHASHSEED": "1", "TZ": "Pacific/Chatham", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "4242", "TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8"},
)


async def run(asked: Asked) -> str:
    """Generate and replay; return a line of JSON. An AssertionError names what differs."""
    began = clock.monotonic()
    history = await generated(asked.chance, asked.events)
    made = clock.monotonic() - began
    with tempfile.TemporaryDirectory(prefix="rlg-bench-") as folder:
        path = Path(folder) / "history.ndjson"
        lines = (event.model_dump_json() + "\n" for event in history.events)
        await asyncio.to_thread(path.write_text, "".join(lines), encoding="utf-8")
        found = [said async for said in _elsewhere(path)]
    decisions = len(decided(history))
    for env, said in zip(ELSEWHERE, found, strict=True):
        assert said["same"] == decisions, (env, said)
    figures = {"decisions": decisions, "events": len(history.events), "made_s": round(made, 1)}
    return json.dumps({"bench": NAME, "figures": figures, "elsewhere": found})


async def _elsewhere(path: Path) -> AsyncIterator[dict[str, Any]]:
    for env in ELSEWHERE:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.replay", str(path), stdout=asyncio.subprocess.PIPE,
            env={**environment(), **env},
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0, env
        yield json.loads(out)


async def _replayed(path: Path) -> dict[str, Any]:
    began = clock.monotonic()
    lines = (await asyncio.to_thread(path.read_text, encoding="utf-8")).splitlines()
    history = Remembered(map(RecordedEvent.model_validate_json, lines))
    reader, same, first = Reader(history, "main", [POLICY]), 0, None
    for event in decided(history):
        one = await replay(reader, event)
        same += one.outcome == "same"
        if one.outcome != "same" and first is None:
            first = f"{one.decision_id}: {one.outcome} {one.difference}"
    return {"same": same, "first_difference": first, "zone": environment().get("TZ"),
            "seconds": round(clock.monotonic() - began, 1)}  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_replayed(Path(sys.argv[1])))))
