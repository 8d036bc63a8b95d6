"""The queue before an appender: bounded, fair, in order for each caller."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.problem import Unavailable
from services.kit import clock
from services.ledger import backlog as queueing
from services.ledger.backlog import MAX_BATCH_EVENTS, Backlog, Waiting
from services.ledger.model import Item, Outcome, Request

LATER = float("inf")


def request(events: int = 1, size: int = 10) -> Request:
    body = b"x" * size
    item = Item(
        uuid=uuid.uuid4(),
        event_id="e",
        source="/s",
        type="t",
        subjects=("a:1",),
        occurred_at=None,
        principal="p",
        assurance="A2",
        causation=None,
        salt=b"s" * 16,
        body=body,
        commitment=hashlib.sha256(body).digest(),
    )
    return Request((item,) * events)


def filled(backlog: Backlog, caller: str, many: int) -> list[Waiting]:
    return backlog.put(caller, [request() for _ in range(many)], LATER)


async def test_a_batch_has_at_least_one_request_and_then_keeps_to_its_limits() -> None:
    backlog = Backlog("q", 10_000)
    backlog.put("a", [request(MAX_BATCH_EVENTS + 50), request(), request()], LATER)
    assert [one.events for one in backlog.take(1)] == [MAX_BATCH_EVENTS + 50]
    assert len(backlog.take(1)) == 1
    assert len(backlog.take(10)) == 1
    assert backlog.take(10) == []
    assert backlog.events == 0


async def test_a_batch_is_bounded_in_bytes() -> None:
    backlog = Backlog("q", 10_000)
    backlog.put("a", [request(1, 400_000) for _ in range(5)], LATER)
    assert [len(backlog.take(256)) for _ in range(3)] == [2, 2, 1]


async def test_a_busy_caller_leaves_room_for_others() -> None:
    backlog = Backlog("q", 100)
    for _ in range(50):  # as much as is still free
        filled(backlog, "busy", 1)
    with pytest.raises(Unavailable, match="50 of them from this caller"):
        filled(backlog, "busy", 1)
    for name in range(10):  # everybody else still finds a place
        filled(backlog, f"quiet {name}", 1)
    with pytest.raises(Unavailable):
        filled(backlog, "busy", 1)


async def test_a_caller_with_large_bodies_leaves_room_for_others() -> None:
    backlog = Backlog("q", 10_000)
    for _ in range(128):  # half of what may wait
        backlog.put("busy", [request(1, 250_000)], LATER)
    for _ in range(6):
        backlog.put("busy", [request(1, 250_000)], LATER)
    with pytest.raises(Unavailable):
        backlog.put("busy", [request(1, 250_000)], LATER)
    for name in range(5):
        backlog.put(f"quiet {name}", [request(1, 250_000)], LATER)


async def test_whoever_waits_too_long_is_told_at_its_deadline_and_not_later() -> None:
    backlog = Backlog("q", 1000)
    began = clock.monotonic()
    (late,) = backlog.put("a", [request()], began + 0.2)
    (early,) = backlog.put("b", [request()], began + 0.05)
    (patient,) = backlog.put("c", [request()], LATER)
    for one, least in ((early, 0.05), (late, 0.2)):
        await asyncio.wait_for(one.call.answer, 5)
        assert "nothing was stored" in str(one.end)
        assert least <= clock.monotonic() - began < 2
    assert not patient.call.answer.done()
    assert backlog.take(9) == [patient]


async def test_an_empty_queue_takes_anything_and_a_full_one_says_when_to_come_back() -> None:
    backlog = Backlog("q", 3)
    backlog.put("a", [request(500)], LATER)
    with pytest.raises(Unavailable) as caught:
        filled(backlog, "b", 1)
    assert caught.value.headers == {"Retry-After": "1"}
    backlog.take(1)
    assert filled(backlog, "b", 1)


async def test_the_queue_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "MAX_WAITING_BYTES", 1000)
    backlog = Backlog("q", 1000)
    backlog.put("a", [request(1, 900)], LATER)
    with pytest.raises(Unavailable):
        backlog.put("b", [request(1, 200)], LATER)


async def test_callers_take_turns() -> None:
    backlog = Backlog("q", 1000)
    busy, quiet = filled(backlog, "busy", 50), filled(backlog, "quiet", 2)
    batch = list(map(id, backlog.take(6)))
    of_quiet, of_busy = list(map(id, quiet)), list(map(id, busy))
    assert [one in of_quiet for one in batch] == [False, True, False, True, False, False]
    assert [one for one in batch if one in of_busy] == of_busy[:4]


async def test_what_nobody_waits_for_costs_nothing() -> None:
    backlog = Backlog("q", 1000)
    asked = asyncio.create_task(backlog.ask("a", [request(), request()], LATER))
    await asyncio.sleep(0)
    (kept,) = filled(backlog, "a", 1)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    (taken,) = backlog.take(9)
    assert taken is kept


async def test_an_answer_comes_when_all_of_a_call_has_its_end() -> None:
    backlog = Backlog("q", 1000)
    asked = asyncio.create_task(backlog.ask("a", [request(), request()], LATER))
    await asyncio.sleep(0)
    (first,), (second,) = backlog.take(1), backlog.take(1)
    second.finish(problem := Unavailable("away"))
    second.finish([])  # the first end counts
    await asyncio.sleep(0)
    assert not asked.done()
    first.finish(outcomes := [Outcome("appended")])
    assert await asked == [outcomes, problem]


async def test_a_deadline_that_has_passed_refuses_before_anything_is_begun() -> None:
    backlog = Backlog("q", 1000)
    (late,) = backlog.put("a", [request()], clock.monotonic() - 1)
    (timely,) = backlog.put("a", [request()], clock.monotonic() + 60)
    assert backlog.take(9) == [timely]
    await late.call.answer
    assert "nothing was stored" in str(late.end)


async def test_whoever_sleeps_is_woken_when_enough_waits() -> None:
    backlog = Backlog("q", 1000)
    backlog.wanted = 3
    filled(backlog, "a", 2)
    assert not backlog.stir.is_set()
    filled(backlog, "b", 1)
    assert backlog.stir.is_set()


async def test_stopping_answers_all_and_leaves_the_queue_usable() -> None:
    backlog = Backlog("q", 10)
    waiting = [*filled(backlog, "a", 2), *filled(backlog, "b", 1)]
    backlog.fail(Unavailable("stopping"))
    for one in waiting:
        await one.call.answer
        assert isinstance(one.end, Unavailable)
    assert backlog.events == 0
    assert filled(backlog, "a", 5)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(1, 9)),
        st.tuples(st.just("take"), st.just(""), st.integers(1, 12)),
    ),
    max_size=40,
)


@given(steps)
@settings(max_examples=200)
def test_nothing_is_lost_doubled_or_reordered_within_a_caller(
    some: list[tuple[str, str, int]],
) -> None:
    async def play() -> None:
        backlog, put, taken = Backlog("q", 30), dict[str, list[Request]](), list[Waiting]()
        for act, caller, number in some:
            if act == "take":
                taken += backlog.take(number)
                continue
            new = [request() for _ in range(number)]
            try:
                backlog.put(caller, new, LATER)
            except Unavailable:
                continue
            put.setdefault(caller, []).extend(new)
            assert backlog.events <= 30
        while batch := backlog.take(5):
            taken += batch
        for sent in put.values():
            mine = [one.request for one in taken if any(one.request is other for other in sent)]
            assert [id(one) for one in mine] == [id(one) for one in sent]
        assert Counter(id(one.request) for one in taken) == Counter(
            id(one) for sent in put.values() for one in sent
        )

    asyncio.run(play())
