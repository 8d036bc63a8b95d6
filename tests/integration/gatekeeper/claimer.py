"""A process of its own: claims what is due with a lease of some seconds, says so, and hangs."""

from __future__ import annotations

import asyncio
import sys

from services.gatekeeper.store import Store
from services.kit import clock, database


async def main(url: str, lease: float) -> None:
    store = Store(database.engine(url, "claimer", role="rlg_gatekeeper"), "main", lease)
    while True:
        for claim in await store.claim(clock.now(), 1):
            print(f"claimed {claim.release}", flush=True)  # noqa: T201
            await asyncio.Event().wait()
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
