"""What stands between Kafka's clients and the broker: a plain TCP proxy that cuts and stalls.

The broker must advertise this port (`EmbeddedKafka(advertised_port=…)`), or clients would go to it
directly after their first question.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeAlias

HOST = "127.0.0.1"
_CHUNK = 64 * 1024
Ends: TypeAlias = set[asyncio.StreamWriter]


class KafkaProxy:
    """Passes bytes on, both ways, unless it is told otherwise."""

    def __init__(self, port: int, broker_port: int) -> None:
        self._ports = (port, broker_port)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: Ends = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def cut_all(self) -> int:
        """Lose every open connection; return how many there were."""
        _abort(self._ends)
        return len(self._ends) // 2

    def hold(self) -> None:
        """Let nothing pass; what arrives is kept."""
        self._flowing.clear()

    def let_go(self) -> None:
        """Let everything pass again."""
        self._flowing.set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen for the time of the block."""
        server = await asyncio.start_server(self._serve, HOST, self._ports[0])
        try:
            yield
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = {writer}
        try:
            back_reader, back = await asyncio.open_connection(HOST, self._ports[1])
            ends.add(back)
            self._ends |= ends
            # One that ends aborts both ends, and so ends the other.
            await asyncio.gather(
                self._pump(reader, back, ends), self._pump(back_reader, writer, ends)
            )
        except OSError:
            pass  # no broker
        finally:
            _abort(ends)
            self._ends -= ends
            self._tasks.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ends: Ends
    ) -> None:
        try:
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        finally:
            _abort(ends)


def _abort(ends: Ends) -> None:
    for end in ends:
        end.transport.abort()
