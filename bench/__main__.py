"""`python -m bench`: all benchmarks; `python -m bench NAME`: one. The last line is JSON."""

from __future__ import annotations

import argparse
import random
import signal
import sys

import uvloop

from bench import append, freshness
from deploy.embedded import EmbeddedUnavailable

BENCHES = {bench.NAME: bench.run for bench in (append, freshness)}


def main() -> int:
    """Run what was asked for; 1 when this machine cannot run it."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(BENCHES), help="default: all")
    parser.add_argument("--seconds", type=float, default=3, help="of one cell (default: 3)")
    parser.add_argument("--rounds", type=int, default=5, help="each has every cell (default: 5)")
    parser.add_argument("--seed", type=int, help="of the order of the cells")
    asked = parser.parse_args()
    if asked.seconds <= 0 or asked.rounds < 1:
        parser.error("seconds and rounds are positive")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is put away
    chance = random.Random(asked.seed)
    for name in [asked.name] if asked.name else BENCHES:
        print(f"{name}: {asked.rounds} rounds, {asked.seconds:g} s a cell", flush=True)
        try:
            print(uvloop.run(BENCHES[name](asked.seconds, asked.rounds, chance)), flush=True)
        except EmbeddedUnavailable as reason:
            print(f"bench {name}: {reason}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
