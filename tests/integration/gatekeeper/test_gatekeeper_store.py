"""The rows of timers: claims, leases, and what happens while somebody judges."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from services.gatekeeper.store import Claim, Newest, Seen, Store, Superseded
from services.kit import database

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON, LATER = NOW + timedelta(milliseconds=100), NOW + timedelta(hours=1)
LEASE = 0.5


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[database.Engine]:
    made = database.engine(database_url, "test", role="rlg_gatekeeper")
    yield made
    await made.dispose()


@pytest.fixture
async def store(engine: database.Engine) -> Store:
    """Two gates: one is due, the other in an hour."""
    made = Store(engine, "main", LEASE)
    async with made.alone() as position:
        assert position == 0
    found = Seen({
        ("pay-1", "g"): Newest(3, NOW, ["release:pay-1", "role:boss"]),
        ("pay-2", "g"): Newest(4, LATER, ["release:pay-2", "role:boss"]),
    })  # fmt: skip
    await made.take(0, 4, found, SOON)
    return made


async def due(store: Store, now: datetime = NOW) -> list[str]:
    return [claim.release for claim in await store.claim(now, 10)]


async def taken(store: Store) -> Claim:
    (claim,) = await store.claim(NOW, 10)
    return claim


async def test_what_is_due_is_claimed_by_one_until_its_lease_ends(
    store: Store, engine: database.Engine
) -> None:
    other = Store(engine, "main", 60)
    claim = await taken(store)
    assert (claim.release, claim.cause, claim.moved) == ("pay-1", "time", None)
    assert await due(other) == []
    await asyncio.sleep(LEASE + 0.1)
    assert await due(other) == ["pay-1"]
    await store.settle(claim, Newest(9, None, []), SOON)
    assert await due(store) == [], "whoever came too late has changed nothing"
    assert await due(store, LATER) == ["pay-2"]


async def test_many_that_claim_at_once_get_different_gates(
    store: Store, engine: database.Engine
) -> None:
    names = [f"r-{n:02}" for n in range(40)]
    many = Seen({(name, "g"): Newest(n + 5, NOW, []) for n, name in enumerate(names)})
    await store.take(4, 50, many, SOON)
    others = [Store(engine, "main", 60) for _ in range(4)]
    found = await asyncio.gather(*(each.claim(NOW, 10) for each in others * 2))
    claimed = [claim.release for claims in found for claim in claims]
    assert sorted(claimed + await due(others[0])) == ["pay-1", *names]


async def test_another_ledger_is_none_of_our_business(
    store: Store, engine: database.Engine
) -> None:
    assert await due(Store(engine, "other")) == []
    assert await due(store) == ["pay-1"]


async def test_what_moves_is_judged_once_it_has_settled_and_only_where_it_was_read(
    store: Store,
) -> None:
    await store.settle(await taken(store), Newest(3, None, ["release:pay-1", "role:boss"]), SOON)
    await store.take(4, 6, Seen(moved={"role:boss": 6, "service:pay": 6}), SOON)
    await store.take(6, 7, Seen(moved={"release:pay-1": 7}), SOON + timedelta(seconds=1))
    assert await due(store) == []
    claims = await store.claim(SOON, 10)
    assert {(c.release, c.moved, c.cause) for c in claims} == {
        ("pay-1", 7, "event"), ("pay-2", 6, "event"),
    }  # fmt: skip


async def test_what_moves_while_it_is_judged_is_judged_again(store: Store) -> None:
    claim = await taken(store)
    await store.take(4, 5, Seen(moved={"release:pay-1": 5}), SOON)
    await store.settle(claim, Newest(3, LATER, ["release:pay-1", "role:boss"]), SOON)
    assert await due(store, SOON) == ["pay-1"]


async def test_a_decision_in_the_feed_outdoes_whoever_judges_at_that_moment(store: Store) -> None:
    claim = await taken(store)
    read = ["release:pay-1"]
    await store.take(4, 6, Seen({("pay-1", "g"): Newest(6, LATER, read)}), SOON)
    await store.settle(claim, Newest(3, NOW, read), SOON)
    await store.take(6, 7, Seen(moved={"role:boss": 7}), SOON)
    assert await due(store, SOON) == ["pay-2"], "the new decision does not rest on that role"
    assert await due(store, LATER) == ["pay-1"]


async def test_what_is_read_for_the_first_time_is_looked_at_once_more(store: Store) -> None:
    """It may have moved after it was read and before anybody knew that it is read."""
    read = ["release:pay-1", "role:boss", "freeze:f1"]
    await store.settle(await taken(store), Newest(3, LATER, read), SOON)
    (claim,) = await store.claim(SOON, 10)
    assert (claim.release, claim.moved) == ("pay-1", None)
    await store.settle(claim, Newest(3, LATER, read), SOON)
    assert await due(store, SOON) == []


async def test_what_is_due_for_long_is_counted(store: Store) -> None:
    counted = [await store.overdue(at) for at in (NOW, SOON, LATER, LATER + LATER.resolution)]
    assert counted == [0, 1, 1, 2]
    await store.forget(await taken(store))
    assert await store.overdue(SOON) == 0


async def test_a_gate_that_was_put_off_stops_no_other(store: Store) -> None:
    await store.put_off(await taken(store), 1)
    await store.take(4, 5, Seen(moved={"release:pay-2": 5}), NOW)
    assert await due(store) == ["pay-2"]
    await asyncio.sleep(1.1)
    assert "pay-1" in await due(store)


async def test_one_follows_and_the_next_one_takes_over(
    store: Store, engine: database.Engine
) -> None:
    other = Store(engine, "main")
    waiting = contextlib.AsyncExitStack()
    async with store.alone() as position:
        second = asyncio.create_task(waiting.enter_async_context(other.alone()))
        await asyncio.sleep(0.2)
        assert (position, second.done()) == (4, False)
        await store.take(4, 9, Seen(), SOON)
    assert await asyncio.wait_for(second, 5) == 9
    await waiting.aclose()


async def test_a_batch_is_taken_once(store: Store) -> None:
    await store.take(4, 8, Seen(), SOON)
    with pytest.raises(Superseded):
        await store.take(4, 8, Seen(ended={"pay-1"}), SOON)
    assert await due(store) == ["pay-1"], "nothing was written"
