"""How a runner lets go of its feed, and how long it waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.event import Page, RecordedEvent
from contracts.problem import Unavailable
from services.projector.folding import Folding, OutOfOrder
from services.projector.following import Follower
from services.projector.generations import FIRST, Generation
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
        yield Claim(0, 1, None)  # type: ignore[arg-type]  # nothing is written

    async def is_live(self) -> bool:
        return True

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


class Failing(Source):
    """Fails at once, as a feed whose broker is away, until it is mended."""

    broken = True

    async def follow(self, ledger: str, after: int) -> AsyncIterator[list[RecordedEvent]]:
        if self.broken:
            raise Unavailable("Kafka does not answer")
        async for batch in super().follow(ledger, after):
            yield batch

    async def page(self, _ledger: str, after: int, **_: Any) -> Page:
        return Page(events=[], head=len(self.log.events), scanned_to=after)


class Live:
    """The first generation is live."""

    ledger = "main"

    async def live(self) -> Generation:
        return FIRST


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> tuple[Failing, Runner, list[int]]:
    """A feed that fails, a runner of it with a patience of 10 s, and a clock to be moved."""
    log, now = Log(), [100]
    story(log)
    source = Failing(log, 0)
    monkeypatch.setattr("services.kit.clock.monotonic", lambda: now[0])
    return source, Runner(Held(), source, source, stall=10), now  # type: ignore[arg-type]  # as above


async def test_failing_at_once_does_not_start_the_clock_again(
    failing: tuple[Failing, Runner, list[int]],
) -> None:
    _, runner, now = failing
    said = []
    for second in (0, 4, 6, 9, 11):
        now[0] = 100 + second
        with pytest.raises(ExceptionGroup) as caught:
            await runner.run()
        assert caught.group_contains(Unavailable)
        said.append((bool(await runner.stalled()), bool(runner.given_up())))
    assert said == [(False, False), (False, False), (True, False), (True, False), (True, True)]


async def test_an_event_that_is_applied_starts_the_clock_again(
    failing: tuple[Failing, Runner, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, runner, now = failing
    with pytest.raises(ExceptionGroup):
        await runner.run()
    now[0] += 11
    source.broken = False

    async def applied(_self: Folding, claim: Claim, batch: list[RecordedEvent]) -> None:
        claim.position += len(batch)
        assert runner.given_up(), "up to now it counts"

    monkeypatch.setattr(Folding, "take", applied)
    running = asyncio.create_task(runner.run())
    async with asyncio.timeout(5):
        while runner.given_up():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert await runner.stalled() is None
    running.cancel()
    await asyncio.wait([running])


async def test_who_waits_for_the_cursor_says_nothing_of_an_old_standstill(
    failing: tuple[Failing, Runner, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, runner, now = failing
    with pytest.raises(ExceptionGroup):
        await runner.run()
    now[0] += 6
    assert await runner.stalled()

    @contextlib.asynccontextmanager
    async def never(_self: Held) -> AsyncIterator[Claim]:
        await asyncio.Event().wait()
        yield Claim(0, 1, None)  # type: ignore[arg-type]  # nothing is written

    monkeypatch.setattr(Held, "claim", never)
    running = asyncio.create_task(runner.run())
    await asyncio.sleep(0.01)
    assert await runner.stalled(), "one moment is not standing by"
    now[0] += 6
    assert await runner.stalled() is None
    running.cancel()
    await asyncio.wait([running])


async def test_the_process_is_given_up_only_when_its_time_is_over(
    failing: tuple[Failing, Runner, list[int]],
) -> None:
    _, runner, now = failing
    reasons: list[str] = []
    follower = Follower(Live(), lambda _: runner, reasons.append)  # type: ignore[arg-type]  # all that is asked of it
    for _ in range(2):
        with pytest.raises(ExceptionGroup):
            await follower.run()
        now[0] += 8
    assert reasons == []
    with pytest.raises(ExceptionGroup):
        await follower.run()
    assert len(reasons) == 1
    assert "events wait and the cursor has not moved for 16 s" in reasons[0]
    with pytest.raises(ExceptionGroup) as caught:
        await Follower(Live(), lambda _: runner).run()  # type: ignore[arg-type]  # as above
    assert caught.group_contains(Unavailable), "without a way to end the process, it tries on"
