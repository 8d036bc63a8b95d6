"""`python -m bench`: all benchmarks; `python -m bench NAME`: one. The last line is JSON."""

from __future__ import annotations

import argparse
import random
import signal
import sys
from dataclasses import replace
from pathlib import Path

import uvloop

from bench import (
    append,
    backtest,
    decide,
    edge,
    explain,
    freshness,
    growth,
    judge,
    pack,
    read,
    readmodels,
    relay,
    replay,
    seal,
    verify,
)
from bench.asked import Asked
from deploy.embedded import EmbeddedUnavailable

_ALL = (append, edge, read, growth, freshness, seal, verify, pack, relay, judge, decide, backtest)
BENCHES = {bench.NAME: bench.run for bench in _ALL} | {
    readmodels.RUNNER: readmodels.run_runner,
    readmodels.REBUILD: readmodels.run_rebuild,
}
TOOLS = {explain.NAME: explain.run, replay.NAME: replay.run}
"""Not run unless asked for: they measure nothing."""
EVENTS = dict.fromkeys((readmodels.RUNNER, readmodels.REBUILD), readmodels.EVENTS) | {
    replay.NAME: replay.EVENTS
}
MANY_EVENTS = 500_000
"""Where `EVENTS` says nothing else."""


def main() -> int:
    """Run what was asked for; 1 when this machine cannot run it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is put away
    name, said = _asked()
    for one in [name] if name else BENCHES:
        asked = replace(said, events=said.events or EVENTS.get(one, MANY_EVENTS))
        if one in BENCHES:
            print(f"{one}: {asked.rounds} rounds, {asked.seconds:g} s a cell", flush=True)
        try:
            print(uvloop.run((BENCHES | TOOLS)[one](asked)), flush=True)
        except EmbeddedUnavailable as reason:
            print(f"bench {one}: {reason}", file=sys.stderr)
            return 1
    return 0


def _asked() -> tuple[str | None, Asked]:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    add = parser.add_argument
    add("name", nargs="?", choices=sorted(BENCHES | TOOLS), help="default: all")
    add("--seconds", type=float, default=3, help="of one cell (default: 3)")
    add("--rounds", type=int, default=5, help="each has every cell (default: 5)")
    add("--seed", type=int, help="of the order of the cells")
    add("--only", default=[], nargs="+", metavar="CELL", help="only these cells (with * and ?)")
    add("--events", type=int, default=0,
        help=f"of all that fill a ledger, growth's large one too (default: {MANY_EVENTS};"
        f" runner and rebuild: {readmodels.EVENTS})")  # fmt: skip
    add("--held-minutes", type=float, default=1,
        help="age of growth's snapshot (default: 1; the goal speaks of 10)")  # fmt: skip
    add("--opa", type=Path, metavar="PROGRAM", help="decide's peer, else Go builds it once")
    said = parser.parse_args()
    if said.seconds <= 0 or said.rounds < 1 or said.events < 0 or said.held_minutes < 0:
        parser.error("seconds and rounds are positive, events and held-minutes not negative")
    chance = random.Random(said.seed)
    return said.name, Asked(
        said.seconds, said.rounds, chance, said.events, said.held_minutes, said.only, said.opa
    )


if __name__ == "__main__":
    sys.exit(main())
