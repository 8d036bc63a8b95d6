"""`python -m demo --url http://127.0.0.1:8080`: load the demo into a running development server."""

from __future__ import annotations

import argparse
import asyncio
import sys

from demo.courier import LoadError
from demo.load import SEED, load
from services.kit import clock


def main() -> int:
    """Load the demo, show progress, say what to look at; 1 when it could not be loaded."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="where the services answer")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed, another story")
    asked = parser.parse_args()
    url = asked.url.rstrip("/")
    work = load(
        f"{url}/ledger", f"{url}/gatekeeper", seed=asked.seed, now=clock.now(), progress=show
    )
    try:
        summary = asyncio.run(work)
    except LoadError as failed:
        print(f"\n{failed}", file=sys.stderr)
        return 1
    print("\r" + "\n".join(summary.lines()))
    return 0


def show(done: int, total: int) -> None:
    """Write the progress line over itself; one line in all where the output is no terminal."""
    if sys.stdout.isatty():
        print(f"\rdemo: {done} of {total} steps", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
