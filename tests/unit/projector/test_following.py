"""How a runner lets go of its feed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.event import Page, RecordedEvent
from services.projector.folding import OutOfOrder
from services.projector.runner import Runner
from services.projector.writing import Claim
from tests.unit.projector.recorded import Log, story


class Source:
    """A ledger, and a feed of it that leaves events out and notes when it is closed."""

    def __init__(self, log: Log, first: int) -> None:
        self.log = log
        self.first = first
        self.is_open = False

    async def follow(self, _ledger: str, _after: int) -> AsyncIterator[list[RecordedEvent]]:
        self.is_open = True
        try:
            yield self.log.events[self.first :]
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # closing a connection takes its time
            self.is_open = False

    async def page(self, _ledger: str, after: int, **_: Any) -> Page:
        return Page(events=[], head=after, scanned_to=after)


class Held:
    """A cursor at the beginning, held by us."""

    ledger = "main"

    @contextlib.asynccontextmanager
    async def claim(self) -> AsyncIterator[Claim]:
        yield Claim(0, 1)

    async def seen(self, *_: Any) -> None:
        pass


def following(first: int) -> tuple[Source, Runner]:
    log = Log()
    story(log)
    source = Source(log, first)
    return source, Runner(Held(), source, source)  # type: ignore[arg-type]  # all that is asked of them


async def test_after_an_error_the_feed_is_closed_before_anybody_hears_of_it() -> None:
    source, runner = following(first=1)
    with pytest.raises(ExceptionGroup) as caught:
        await runner.run()
    assert not source.is_open
    assert caught.group_contains(OutOfOrder)


async def test_who_stops_the_runner_finds_the_feed_closed() -> None:
    source, runner = following(first=10**6)
    running = asyncio.create_task(runner.run())
    async with asyncio.timeout(5):
        while not source.is_open:  # noqa: ASYNC110 - a generator has no event to wait for
            await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not source.is_open
