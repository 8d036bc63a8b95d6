"""A process of its own: says `ready`, waits for a line, then appends for ever.

Prints `<id> <position> .` after each answer.
"""

from __future__ import annotations

import asyncio
import sys

from services.kit import database
from services.ledger.appender import Appender
from services.ledger.store import Reader
from services.ledger.writer import Writer
from tests.integration.ledger.conftest import submission


async def main(url: str, name: str) -> None:
    reader = Reader(database.engine(url, "worker"))
    await reader.open(["main"])
    appender = Appender(Writer(url, reader.ledger("main")))
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(appender.run())
        for caller in range(4):
            tasks.create_task(append(appender, f"{name}-{caller}"))


async def append(appender: Appender, name: str) -> None:
    n = 0
    while True:
        n += 1
        (outcome,) = await appender.append_each(
            [submission("s:1", f"own:{name}", id=f"{name}-{n}")]
        )
        assert outcome.receipt is not None
        print(f"{name}-{n} {outcome.receipt.position} .", flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
