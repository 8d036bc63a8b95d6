"""A socket between an engine and PostgreSQL that loses the connection exactly where it is told to.

It understands the framing of the frontend/backend protocol 3.0 (PostgreSQL manual, "Message
Formats"): a type byte – none in the first message of a connection – and a length. So a fault can
name the n-th message of a type and one side of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

How: TypeAlias = Literal["before", "after", "middle", "unanswered", "delay", "stall"]
STARTUP = b"\0"
FRONT = {b"\0": "startup", b"P": "Parse", b"D": "Describe", b"B": "Bind", b"E": "Execute",
         b"S": "Sync"}  # fmt: skip
BACK = {b"1": "ParseComplete", b"t": "ParameterDescription", b"2": "BindComplete", b"D": "DataRow",
        b"C": "CommandComplete", b"Z": "ReadyForQuery"}  # fmt: skip
SOCKET = ".s.PGSQL.5432"


@dataclass(slots=True)
class Fault:
    """What happens to one message.

    before: cut, the message does not arrive · middle: half of it does · after: all of it does, then
    cut · unanswered: the server does the work, then cut before any of its answer passes · delay:
    it arrives late, its connection goes on · stall: nothing passes either way for a time, then cut.
    """

    side: Literal["front", "back"]
    type: bytes
    nth: int
    how: How
    seconds: float = 0.05
    fired: bool = False

    def __str__(self) -> str:
        names = FRONT if self.side == "front" else BACK
        return f"{self.how} {names[self.type]}"


def draw(chance: random.Random) -> Fault:
    """Return some fault; most of them meet something in a short run."""
    side: Literal["front", "back"] = chance.choice(["front", "front", "back"])
    hows: list[How] = ["before", "after", "middle", "delay", "stall"]
    hows += ["unanswered", "unanswered"] if side == "front" else []
    type_ = chance.choice(sorted(FRONT if side == "front" else BACK))
    most = 3 if type_ in {STARTUP, b"P", b"1", b"t"} else 14
    return Fault(
        side, type_, chance.randint(1, most), chance.choice(hows), chance.uniform(0.01, 0.2)
    )


class Cut(Exception):
    """The connection has to go."""


class Link:
    """One connection through the proxy."""

    def __init__(self, front: asyncio.StreamWriter, back: asyncio.StreamWriter) -> None:
        self.ends = (front, back)
        self.swallowing = False
        self.flowing = asyncio.Event()
        self.flowing.set()

    def abort(self) -> None:
        for end in self.ends:
            end.transport.abort()


class Proxy:
    """Listens in `place`, as PostgreSQL would, and passes everything on to the server behind it."""

    def __init__(self, place: Path, server: Path) -> None:
        self._place = place
        self._server = server / SOCKET
        self._faults: list[Fault] = []
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    def dsn(self, url: str) -> str:
        """Return the URL of a database of the server as it is reached through here."""
        return f"{url.partition('?')[0]}?host={self._place}"

    def arm(self, *faults: Fault) -> None:
        """Let these happen, once each; counting starts now."""
        self._faults += faults

    def disarm(self) -> None:
        """Let everything pass from now on."""
        self._faults.clear()

    def cut_all(self) -> None:
        """Lose every connection that is open."""
        for link in list(self._links):
            link.abort()

    async def start(self) -> None:
        self._place.mkdir(parents=True, exist_ok=True)
        path = str(self._place / SOCKET)
        self._listener = await asyncio.start_unix_server(self._serve, path)

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self.cut_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            back_reader, back = await asyncio.open_unix_connection(str(self._server))
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        link = Link(writer, back)
        self._links.add(link)
        try:
            await self._pump_both(link, reader, back_reader)
        finally:
            link.abort()
            self._links.discard(link)
            self._tasks.discard(task)

    async def _pump_both(
        self, link: Link, reader: asyncio.StreamReader, back_reader: asyncio.StreamReader
    ) -> None:
        front, back = link.ends
        pumps = [
            asyncio.create_task(self._pump(link, reader, back, "front")),
            asyncio.create_task(self._pump(link, back_reader, front, "back")),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, side: str
    ) -> None:
        first = side == "front"
        with contextlib.suppress(asyncio.IncompleteReadError, OSError, Cut):
            while True:
                type_, message = await _message(reader, untyped=first)
                first = False
                await link.flowing.wait()
                if side == "back" and link.swallowing:
                    if type_ == b"Z":
                        raise Cut
                    continue
                await self._pass(link, writer, self._due(side, type_), message)

    def _due(self, side: str, type_: bytes) -> Fault | None:
        """Count the message; return the fault that it is the message of, if any."""
        for fault in self._faults:
            if fault.side == side and fault.type == type_:
                fault.nth -= 1
                if fault.nth == 0:
                    self._faults.remove(fault)
                    fault.fired = True
                    return fault
        return None

    async def _pass(
        self, link: Link, writer: asyncio.StreamWriter, fault: Fault | None, message: bytes
    ) -> None:
        if fault is not None:
            await _DOES[fault.how](link, writer, message, fault.seconds)
            return
        writer.write(message)
        await writer.drain()


async def _message(reader: asyncio.StreamReader, *, untyped: bool) -> tuple[bytes, bytes]:
    head = await reader.readexactly(4 if untyped else 5)
    rest = await reader.readexactly(int.from_bytes(head[-4:], "big") - 4)
    return (STARTUP if untyped else head[:1]), head + rest


async def _before(_link: Link, _to: asyncio.StreamWriter, _message: bytes, _s: float) -> None:
    raise Cut


async def _middle(_link: Link, to: asyncio.StreamWriter, message: bytes, _s: float) -> None:
    to.write(message[: len(message) // 2])
    await to.drain()
    await asyncio.sleep(0.002)  # let it arrive: abort throws away what is not sent
    raise Cut


async def _after(_link: Link, to: asyncio.StreamWriter, message: bytes, _s: float) -> None:
    to.write(message)
    await to.drain()
    await asyncio.sleep(0.002)
    raise Cut


async def _unanswered(link: Link, to: asyncio.StreamWriter, message: bytes, _s: float) -> None:
    link.swallowing = True
    to.write(message)
    await to.drain()
    # A message without a Sync behind it never gets its ReadyForQuery.
    asyncio.get_running_loop().call_later(0.3, link.abort)


async def _delay(_link: Link, to: asyncio.StreamWriter, message: bytes, seconds: float) -> None:
    await asyncio.sleep(seconds)
    to.write(message)
    await to.drain()


async def _stall(link: Link, _to: asyncio.StreamWriter, _message: bytes, seconds: float) -> None:
    link.flowing.clear()
    await asyncio.sleep(seconds)
    raise Cut


_DOES: dict[str, Callable[..., Awaitable[None]]] = {
    "before": _before, "middle": _middle, "after": _after,
    "unanswered": _unanswered, "delay": _delay, "stall": _stall,
}  # fmt: skip
