"""The rebuild beside the live read models: the same rows, one flip, and a way back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.event import Page
from contracts.problem import Unavailable
from services.projector import checking, rebuilding
from services.projector.checking import Differs
from services.projector.following import Follower
from services.projector.generations import FIRST, Generation, Generations
from services.projector.rebuilding import NothingKept, Rebuild
from services.projector.store import Store
from services.projector.writing import Claim, Folded, Projection, Superseded
from tests.integration.projector.memory import Memory, everything, parked, project, runner
from tests.integration.projector.test_runner import failing_at, world
from tests.unit.projector.recorded import Log

pytestmark = pytest.mark.postgres


def rebuild(engine: AsyncEngine, memory: Memory, **how: Any) -> Rebuild:
    return Rebuild(engine, memory, "main", **how)  # type: ignore[arg-type]  # all that it asks of a ledger


class Meanwhile(Memory):
    """A ledger to which something happens when a page is read from `at` on."""

    def __init__(self, log: Log, at: int, what: Callable[[], Awaitable[None]]) -> None:
        super().__init__(log)
        self._at = at
        self._what = what
        self._done = False

    async def page(self, _ledger: str, after: int, limit: int = 500, **how: Any) -> Page:
        if after >= self._at and not self._done:
            self._done = True
            await self._what()
        return await super().page(_ledger, after, limit, **how)


@contextlib.asynccontextmanager
async def following(engine: AsyncEngine, memory: Memory) -> AsyncIterator[Follower]:
    """Follow whatever is live, and start again after an error, as the service does."""

    def runner_of(generation: Generation) -> Any:
        return runner(engine, memory, generation=generation)

    follower = Follower(Generations(engine, "main"), runner_of)
    task = asyncio.create_task(follower.run())
    yield follower
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or task.exception() is None


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "PAGE", 10)
    monkeypatch.setattr("services.projector.runner.WATCH_SECONDS", 0.05)


async def test_a_rebuild_gives_the_same_rows(engine: AsyncEngine) -> None:
    log, seen = world(), list[tuple[int, int]]()
    await project(engine, log)
    live = await everything(engine)
    assert "pay-2" in live
    made = await rebuild(engine, Memory(log), progress=lambda *at: seen.append(at)).run()
    assert (made.generation, made.events) == (Generation(2, "projector_b"), len(log.events))
    assert await everything(engine) == live
    assert seen[0] == (10, len(log.events))
    assert seen[-1] == (len(log.events), len(log.events))
    assert made.compared > len(log.events)
    fresh = await Store(engine).freshness()
    assert (fresh.position, fresh.events_behind) == (len(log.events), 0)


async def test_who_claims_what_is_live_no_more_does_not_follow_it(engine: AsyncEngine) -> None:
    """A way back that comes before the claim fences nobody off: whoever claims has to look."""
    log = world()
    memory = Memory(log)
    await project(engine, log)
    await rebuild(engine, memory).run()
    second = await Generations(engine, "main").live()
    await rebuild(engine, memory).back()
    async with asyncio.timeout(20):
        with pytest.raises(ExceptionGroup) as caught:
            await runner(engine, memory, generation=second).run()
    assert caught.group_contains(Superseded)


async def test_what_is_shown_never_goes_back(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers ask all the time while events come in and generations change, there and back."""
    log, seen, store = world(), list[int](), Store(engine)
    monkeypatch.setattr(rebuilding, "PAGE", 100)
    await project(engine, log)

    async def read() -> None:
        while True:
            shown = await store.now(None)
            assert shown.recent[0].position == shown.events  # rows and cursor are of one moment
            seen.append(shown.events)

    async def write() -> None:
        while True:
            log.append({"type": "com.example.note", "subject": "release:pay-2", "data": [1]})
            await asyncio.sleep(0.03)

    memory = Memory(log)
    async with following(engine, memory):
        busy = [asyncio.create_task(read()), asyncio.create_task(write())]
        await rebuild(engine, memory).run()
        await rebuild(engine, memory).run()
        await rebuild(engine, memory).back()
        at = len(log.events)
        assert await store.wait_for(at + 20, 20)
        for task in busy:
            task.cancel()
        ended = await asyncio.gather(*busy, return_exceptions=True)
        assert [type(each) for each in ended] == [asyncio.CancelledError] * 2, ended
        assert await store.wait_for(len(log.events), 10)
    assert seen == sorted(seen)
    assert seen[-1] > at
    now = await everything(engine)
    await project(engine, log, ledger="other")
    assert now == await everything(engine, "other")


async def test_generations_take_turns_and_one_is_kept(engine: AsyncEngine) -> None:
    log, generations = world(), Generations(engine, "main")
    with pytest.raises(NothingKept):
        await rebuild(engine, Memory(log)).back()
    await project(engine, log)
    assert await generations.known() == []
    for _ in range(3):
        await rebuild(engine, Memory(log)).run()
    known = await generations.known()
    assert [(each.generation.number, each.state) for each in known] == [
        (4, "live"), (3, "kept"), (2, "dropped"), (1, "dropped"),
    ]  # fmt: skip
    assert known[0].digest
    assert known[0].generation.slot != known[1].generation.slot
    log.append({"type": "com.example.note", "subject": "release:pay-2", "data": [1]})
    assert await rebuild(engine, Memory(log)).back() == known[1].generation
    assert (await Store(engine).freshness()).position == len(log.events)
    assert await rebuild(engine, Memory(log)).back() == known[0].generation


async def test_an_interrupted_rebuild_goes_on(engine: AsyncEngine) -> None:
    log = world()
    await project(engine, log)

    async def fail() -> None:
        raise Unavailable("the ledger is away")

    with pytest.raises(Unavailable):
        await rebuild(engine, Meanwhile(log, 30, fail)).run()
    assert await Generations(engine, "main").live() == FIRST
    made = await rebuild(engine, Memory(log)).run()
    assert made.generation.number == 2
    assert 0 < made.events < len(log.events)
    await project(engine, log, ledger="other")
    assert await everything(engine) == await everything(engine, "other")


async def test_dying_before_any_commit_of_the_rebuild_leaves_what_is_shown(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, commit, left = world(), Projection.commit, 3
    await project(engine, log)
    before = await everything(engine)

    async def dying(self: Projection, claim: Claim, folded: Folded) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError("the connection is gone")
        await commit(self, claim, folded)

    with monkeypatch.context() as broken:
        broken.setattr(Projection, "commit", dying)
        for commits in range(4):
            left = commits
            with pytest.raises(OSError, match="gone"):
                await rebuild(engine, Memory(log)).run()
            assert await everything(engine) == before
    await rebuild(engine, Memory(log)).run()
    assert await everything(engine) == before


TAMPER = {
    "a row": ("UPDATE projector_b.release SET owner = 'eve'", "release .*: owner is"),
    "a row that is gone": ("DELETE FROM projector_b.release", "and the events say|does not"),
    "an entry": ("UPDATE projector_b.entry SET title = 'x'", "the entry of position "),
    "an entry that is gone": (
        "DELETE FROM projector_b.entry",
        "the entry of position .* does not have it",
    ),
}


@pytest.mark.parametrize("what", TAMPER)
async def test_a_rebuild_that_differs_is_not_made_live(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    log, (statement, told) = world(), TAMPER[what]
    await project(engine, log)
    before, commit = await everything(engine), Projection.commit

    async def tampered(self: Projection, claim: Claim, folded: Folded) -> None:
        await commit(self, claim, folded)
        if folded.position == len(log.events):  # before anything is compared
            async with engine.begin() as connection:
                await connection.execute(text(statement))

    monkeypatch.setattr(Projection, "commit", tampered)
    with pytest.raises(Differs, match=told):
        await rebuild(engine, Memory(log)).run()
    assert await Generations(engine, "main").live() == FIRST
    assert await everything(engine) == before


async def test_after_the_first_events_each_entry_is_compared_still(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "EVENTS", 20)
    monkeypatch.setattr(rebuilding, "EVENTS", 20)
    log = world()

    async def tamper() -> None:
        async with engine.begin() as connection:
            await connection.execute(
                text("UPDATE projector_b.entry SET title = 'x' WHERE position > 20")
            )

    with pytest.raises(Differs, match="the entry of position"):
        await rebuild(engine, Meanwhile(log, len(log.events), tamper)).run()


async def test_what_was_parked_comes_back_with_a_rebuild(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = world()
    with monkeypatch.context() as odd:
        failing_at(odd, 8)
        await project(engine, log)
        assert await parked(engine)
        made = await rebuild(engine, Memory(log)).run()
        assert made.parked == 1
        assert len(await parked(engine)) > 1
    made = await rebuild(engine, Memory(log)).run()  # the fold is mended
    assert made.parked == 0
    assert await parked(engine) == []
    await project(engine, log, ledger="other")
    assert await everything(engine) == await everything(engine, "other")


async def test_a_row_that_no_table_can_hold_does_not_stop_a_rebuild(engine: AsyncEngine) -> None:
    log = world()
    log.events[2].event["data"]["reviewer"] = "not for \x00 PostgreSQL"
    made = await rebuild(engine, Memory(log)).run()
    assert made.parked == 1


async def test_the_flip_fences_off_who_follows(engine: AsyncEngine) -> None:
    log = world()
    projection = Projection(engine, "main")
    async with projection.claim() as claim:
        await rebuild(engine, Memory(log)).run()
        with pytest.raises(Superseded):
            await projection.seen(claim, 5, None)


async def test_two_rebuilds_at_once_make_one_generation(engine: AsyncEngine) -> None:
    """The second one waits for the first one's claim and finds nothing left to do."""
    log = world()
    await project(engine, log)
    made = await asyncio.gather(*(rebuild(engine, Memory(log)).run() for _ in range(2)))
    known = await Generations(engine, "main").known()
    assert sum(each.state == "live" for each in known) == 1
    assert sum(each.state == "building" for each in known) == 0
    assert {each.generation.number for each in made} <= {2, 3}
    await project(engine, log, ledger="other")
    assert await everything(engine) == await everything(engine, "other")


async def test_ledgers_have_generations_of_their_own(engine: AsyncEngine) -> None:
    log = world()
    await project(engine, log)
    await project(engine, log, ledger="other")
    other = await everything(engine, "other")
    await rebuild(engine, Memory(log)).run()
    assert await Generations(engine, "other").live() == FIRST
    assert await everything(engine, "other") == other
