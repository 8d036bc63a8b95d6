"""Clients that go away: what was asked for them and has not begun need not be done.

A client that has shut down its side of the connection counts as gone: TCP cannot tell one that
still reads from one that died, and uvicorn closes the connection of both.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import Receive

PATIENCE_SECONDS = 0.05
"""Most answers are there before; watching costs a task, so it starts after this."""


class Gone(Exception):
    """The client is not there any more: there is nobody to answer."""


class UnlessGone:
    """Cancel the body of the block when the client goes away, and raise `Gone`.

    The request's body must have been read. Works like `asyncio.timeout`: a cancellation from
    elsewhere passes through.
    """

    __slots__ = ("_before", "_gone", "_receive", "_task", "_timer", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        """Start the clock."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of asyncio always runs in a task
        self._task, self._before = task, task.cancelling()
        self._timer = task.get_loop().call_later(PATIENCE_SECONDS, self._watch)

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Stop watching; turn our own cancellation into `Gone`."""
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._gone and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise Gone

    def _watch(self) -> None:
        self._watcher = self._task.get_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()
