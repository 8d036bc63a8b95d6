"""explain: the plans of every statement that an append or a read runs on a populated ledger.

Nothing is copied from the product: its own appender and reader work on a ledger of --events events,
while PostgreSQL's auto_explain logs the plan of each statement, those inside functions too, as
EXPLAIN (ANALYZE, BUFFERS) does. Each action is done several times and the last one is printed, when
caches are warm and prepared statements have their final plans.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from bench import workload
from bench.asked import Asked
from bench.ours import LEDGER, Ours, appender, prepare
from bench.preload import preload
from bench.report import Book
from bench.servers import databases, name_of
from bench.workload import Caller
from services.ledger.appender import Appender
from services.ledger.store import Reader

NAME = "explain"
TIMES = 8
"""PostgreSQL may change to a generic plan after the fifth."""
_CALLERS = 64
_LOGGED = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_parameter_max_length": "100",
}
Action: TypeAlias = Callable[[], Awaitable[object]]


async def run(asked: Asked) -> str:
    """Print the plans; the line of JSON says how large the ledger was."""
    events = workload.templates(_CALLERS)
    async with databases() as servers:
        known = await prepare(servers.template, events)
        async with servers.copy() as url:
            head = await preload(url, known.ledger_id, known.head, asked.events)
            await servers.tell(name_of(url), _LOGGED)
            callers = workload.callers(events, known.versions, asked.chance.randrange(2**32))
            async with appender(url) as (made, reader):
                for title, action in _actions(made, reader, callers, head).items():
                    print(f"\n# {title}\n\n{await _plans(action, servers.log)}")
    return Book(NAME, ()).line({}, {"events": float(head)})


def _actions(
    made: Appender, reader: Reader, callers: Sequence[Caller], head: int
) -> Mapping[str, Action]:
    design = Ours(made)

    async def append(count: int) -> None:
        """Let so many callers ask for one event each, at once."""

        async def one(caller: Caller) -> None:
            calls = caller.request(1)
            (versions,) = await design.append(calls)
            caller.learn(calls[0], versions)

        await asyncio.gather(*map(one, callers[:count]))

    kind = callers[0].events[0].type
    return {
        "append one event": lambda: append(1),
        "append 64 events of 64 callers": lambda: append(_CALLERS),
        "a page of 100": lambda: reader.page(LEDGER, head // 2, 100),
        "a page of 100 of one type": lambda: reader.page(LEDGER, head // 2, 100, type_=kind),
        "a page of 100 of one subject": lambda: reader.page(
            LEDGER, head // 2, 100, subject_="environment:test"
        ),
        "a history, 100 events": lambda: reader.history(
            LEDGER, "environment:test", after_version=100
        ),
        "the event at a position": lambda: reader.at(LEDGER, head // 2),
    }


async def _plans(action: Action, log: Path) -> str:
    for _ in range(TIMES - 1):
        await action()
    async with _written(log) as lines:
        await action()
    return "\n".join(lines)


@asynccontextmanager
async def _written(log: Path) -> AsyncIterator[list[str]]:
    """Yield a list that holds, after the block, what the server has logged in it."""
    before, lines = await asyncio.to_thread(log.read_bytes), list[str]()
    yield lines
    await asyncio.sleep(0.1)  # what ended with the last answer is written by then
    after = await asyncio.to_thread(log.read_bytes)
    lines += after[len(before) :].decode(errors="replace").splitlines()
