"""Ways to an engine: one in this process, or one in a process of its own that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import pickle
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import uvloop

from contracts import catalogue
from contracts.event import Origin
from contracts.problem import Unavailable
from services.kit import clock, logs
from services.ledger.appender import Appender, Outcome, Submission
from services.ledger.tables import LedgerRow
from services.ledger.writer import Writer
from tests.faults.record import LATE, UNKNOWN, Answer
from tests.faults.workload import Ask

ORIGIN = Origin(principal="key:test", assurance="A2")
LENGTH = 4
_log = logs.get(__name__)


class Unknown(Exception):
    """Nobody can say what became of the call."""


class NotSent(Unknown):
    """The engine was dead before it was asked."""


class Late(Unknown):
    """Nothing of the whole call is stored."""


class Door(Protocol):
    """Takes calls for one ledger."""

    async def ask(self, ask: Ask) -> list[Answer]:
        """Return one answer an event; raise `Unknown` or `Late` where that is said of all."""

    async def stop(self) -> None:
        """End the engine behind it."""


def submissions(events: Sequence[dict[str, Any]]) -> list[Submission]:
    return [Submission(catalogue.parse(event), ORIGIN) for event in events]


def answer(outcome: Outcome) -> Answer:
    """Return what an item was told; one item of a batch may be `LATE` or `UNKNOWN`."""
    if isinstance(outcome.problem, Unavailable):
        return Answer(LATE if is_late(outcome.problem) else UNKNOWN)
    if outcome.receipt is not None:
        text = outcome.receipt.as_json().decode()
        return Answer(outcome.kind, text, position=outcome.receipt.position)
    members = outcome.problem.members if outcome.problem else {}
    return Answer(outcome.kind, actual=members.get("actual"), position=members.get("position"))


def is_late(problem: Unavailable) -> bool:
    """Say whether it promises that nothing was stored."""
    return "nothing was stored" in str(problem)


class Engine:
    """An appender in this process, started again when it falls, as the service would do."""

    def __init__(self, url: str, row: LedgerRow) -> None:
        self.appender = Appender(Writer(url, row))
        self.falls: list[BaseException] = []
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                await self.appender.run()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is to be reported
                self.falls.append(error)
                _log.error("engine.fell", exc_info=error)

    async def ask(self, ask: Ask) -> list[Answer]:
        items = submissions(ask.events)
        until = None if ask.seconds is None else clock.monotonic() + ask.seconds
        try:
            if ask.expect is None:
                outcomes = await self.appender.append_each(items, deadline=until)
            else:
                outcomes = await self.appender.append_group(items, ask.expect, deadline=until)
        except Unavailable as problem:
            # It is the answer to all of the call, and its words are said of all.
            raise (Late if is_late(problem) else Unknown)(str(problem)) from problem
        return [answer(outcome) for outcome in outcomes]

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class EngineProcess:
    """An engine in a process of its own; calls go through a unix socket."""

    _context = multiprocessing.get_context("forkserver")  # imports once, then forks in milliseconds
    _context.set_forkserver_preload([__name__])
    _numbers = itertools.count(1)

    def __init__(self, url: str, row: LedgerRow, place: Path) -> None:
        self._path = place / f"engine-{next(self._numbers)}"
        self._process = self._context.Process(
            target=serve, args=(url, row, str(self._path)), daemon=True
        )
        self._process.start()
        self._calls = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[list[Answer] | None]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> EngineProcess:
        async with asyncio.timeout(30):
            while not self._path.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.01)
            reader, self._writer = await asyncio.open_unix_connection(str(self._path))
        self._listening = asyncio.create_task(self._listen(reader))
        return self

    async def ask(self, ask: Ask) -> list[Answer]:
        if self._writer is None or self._listening is None or self._listening.done():
            raise NotSent("the engine is dead")
        number = next(self._calls)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(frame((number, ask)))
        answers: list[Answer] | None = await future
        if answers is None:
            raise Unknown("the engine does not know, or is dead")
        return answers

    def signal(self, number: signal.Signals) -> None:
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, number)

    async def stop(self) -> None:
        self.signal(signal.SIGKILL)
        await asyncio.to_thread(self._process.join, 10)
        if self._writer is not None:
            self._writer.transport.abort()
        if self._listening is not None:
            await self._listening

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                number, answers = await read_frame(reader)
                waiting = self._waiting.pop(number)
                if not waiting.done():
                    waiting.set_result(answers)
        for future in self._waiting.values():
            if not future.done():
                future.set_result(None)


def frame(message: Any) -> bytes:
    packed = pickle.dumps(message)
    return len(packed).to_bytes(LENGTH, "big") + packed


async def read_frame(reader: asyncio.StreamReader) -> Any:
    size = int.from_bytes(await reader.readexactly(LENGTH), "big")
    return pickle.loads(await reader.readexactly(size))  # noqa: S301 - our own process


def serve(url: str, row: LedgerRow, path: str) -> None:
    """Run an engine behind a unix socket until it is killed (target of a process)."""
    uvloop.run(_serve(url, row, path))  # the loop that the product runs on


async def _serve(url: str, row: LedgerRow, path: str) -> None:
    engine, tasks = Engine(url, row), set[asyncio.Task[None]]()

    async def reply(number: int, ask: Ask, writer: asyncio.StreamWriter) -> None:
        try:
            answers = await engine.ask(ask)
        except Unknown:
            answers = None
        writer.write(frame((number, answers)))

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                number, ask = await read_frame(reader)
                task = asyncio.create_task(reply(number, ask, writer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    listener = await asyncio.start_unix_server(client, path + ".new")
    os.rename(path + ".new", path)  # noqa: PTH104 - who sees it can connect
    await listener.serve_forever()
