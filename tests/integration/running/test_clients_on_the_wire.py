"""What a real server does with clients that are fast, slow, greedy, half gone or gone."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest
import uvloop

from contracts.problem import Unavailable
from services import run
from services.kit import clock, gone, listening, problems
from tests.integration.running.served import (
    EVENTS,
    HeldAppender,
    app_on,
    event,
    listening_at,
    post,
    until,
    wire,
)


@pytest.fixture
def appender() -> HeldAppender:
    """An appender that answers at once."""
    made = HeldAppender()
    made.gate.set()
    return made


@pytest.fixture(params=["raw edge in front", "FastAPI alone"])
async def port(appender: HeldAppender, request: pytest.FixtureRequest) -> AsyncIterator[int]:
    app = app_on(appender)
    if request.param == "FastAPI alone":
        app.fronts = ()
    async with listening_at(app) as number:
        yield number


async def test_one_connection_carries_many_requests(port: int) -> None:
    async with wire(port) as one:
        for number in range(3):
            await one.send(post(event(f"e{number}")))
            answer = await one.answer()
            assert (answer.status, answer.json["receipt"]["event_id"]) == (201, f"e{number}")
            assert answer.headers["location"] == f"{EVENTS}/1"


async def test_pipelined_requests_are_answered_in_their_order(port: int) -> None:
    async with wire(port) as one:
        await one.send(b"".join(post(event(f"e{number}")) for number in range(5)))
        answers = [await one.answer() for _ in range(5)]
    assert [answer.json["receipt"]["event_id"] for answer in answers] == [
        f"e{number}" for number in range(5)
    ]


async def test_answers_of_hot_routes_are_not_compressed(port: int) -> None:
    many = b"[" + b",".join(event(f"e{n}") for n in range(100)) + b"]"
    async with wire(port) as one:
        await one.send(
            post(many, "accept-encoding: gzip, br").replace(b"cloudevents+", b"cloudevents-batch+")
        )
        answer = await one.answer()
    assert len(answer.json["results"]) == 100
    assert "content-encoding" not in answer.headers


async def test_a_body_that_declares_too_much_is_refused_before_it_is_read(
    port: int, appender: HeldAppender
) -> None:
    async with wire(port) as one:
        await one.send(post(b"", length=problems.MAX_BODY_BYTES + 1))
        answer = await one.answer()
    assert (answer.status, answer.json["type"].rpartition("/")[2]) == (413, "too-large")
    assert appender.asked == []


async def test_a_chunked_body_is_refused_when_it_has_become_too_large(
    port: int, appender: HeldAppender, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = b"x" * 100_000
    piece = b"%x\r\n%s\r\n" % (len(chunk), chunk)
    async with wire(port) as one:
        await one.send(post(b"", "transfer-encoding: chunked"))
        for _ in range(problems.MAX_BODY_BYTES // len(chunk) + 1):
            await one.send(piece)
        assert (await one.answer()).status == 413
        monkeypatch.setattr(listening, "MAX_IGNORED_BYTES", 1_000_000)
        with pytest.raises(ConnectionError):  # what follows is ignored for a while, not for ever
            await one.send_for_ever(piece)
    assert appender.asked == []


async def test_a_chunked_body_within_the_limit_is_read_whole(port: int) -> None:
    whole = event("chunked")
    pieces = [whole[:10], whole[10:11], whole[11:]]
    async with wire(port) as one:
        await one.send(post(b"", "transfer-encoding: chunked"))
        for piece in pieces:
            await one.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await one.send(b"0\r\n\r\n")
        assert (await one.answer()).status == 201


async def test_a_head_that_never_ends_is_refused(port: int) -> None:
    async with wire(port) as one:
        await one.send(b"GET / HTTP/1.1\r\n")
        await asyncio.sleep(0.3)  # so that it is a piece of its own
        await one.send(b"x-filler: x\r\n" * (listening.MAX_HEAD_BYTES // 13 + 10))
        answer = await one.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert await one.is_closed()


async def test_what_is_not_http_is_refused_with_a_problem(port: int) -> None:
    async with wire(port) as one:
        await one.send(b"\x16\x03\x01 hello\r\n\r\n")
        answer = await one.answer()
    assert (answer.status, answer.json["type"].rpartition("/")[2]) == (400, "malformed")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(listening, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(listening, "TICKS", 1)


async def test_a_head_that_comes_byte_by_byte_is_408(port: int, impatient: None) -> None:
    async with wire(port) as one:
        sending = asyncio.create_task(_drip(one.send, post(event("slow"))))
        answer = await one.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert answer.json["type"].endswith("/request-timeout")
        assert await one.is_closed()
        sending.cancel()


async def test_a_body_that_comes_byte_by_byte_is_408_and_nothing_is_appended(
    port: int, impatient: None, appender: HeldAppender
) -> None:
    whole = post(event("slow"))
    head, _, body = whole.partition(b"\r\n\r\n")
    async with wire(port) as one:
        await one.send(head + b"\r\n\r\n")
        sending = asyncio.create_task(_drip(one.send, body))
        assert (await one.answer()).status == 408
        assert await one.is_closed()
        sending.cancel()
    assert appender.asked == []


async def test_a_connection_that_says_nothing_is_closed(port: int, impatient: None) -> None:
    async with wire(port) as one:
        assert await one.is_closed()


async def test_empty_lines_do_not_keep_a_connection(port: int, impatient: None) -> None:
    async with wire(port) as one:
        await one.send(post(event("first")))
        await one.answer()
        with pytest.raises(ConnectionError):
            await one.send_for_ever(b"\r\n", 0.02)


async def test_a_fast_enough_body_may_take_longer(
    port: int, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "BODY_BYTES_PER_SECOND", 10)
    whole = event("steady", data="x" * 2000)
    async with wire(port) as one:
        await one.send(post(b"", length=len(whole)))
        for start in range(0, len(whole), 200):
            await one.send(whole[start : start + 200])
            await asyncio.sleep(0.06)
        assert (await one.answer()).status == 201


async def test_answering_may_take_longer_than_asking(
    port: int, impatient: None, appender: HeldAppender
) -> None:
    appender.gate.clear()
    async with wire(port) as one:
        await one.send(post(event("patient")))
        await until(lambda: appender.asked)
        await asyncio.sleep(0.8)
        appender.gate.set()
        assert (await one.answer()).status == 201


@pytest.mark.parametrize("leave", ["close", "half-close"])
async def test_the_append_of_a_client_that_went_away_is_given_up(
    port: int, appender: HeldAppender, leave: str
) -> None:
    await _one_leaves(port, appender, leave)
    assert appender.given_up == ["left"]


@pytest.mark.parametrize("leave", ["close", "half-close"])
def test_it_is_given_up_on_the_event_loop_of_production_too(leave: str) -> None:
    async def whole() -> HeldAppender:
        appender = HeldAppender()
        async with listening_at(app_on(appender)) as port:
            await _one_leaves(port, appender, leave)
        return appender

    assert uvloop.run(whole()).given_up == ["left"]


async def _one_leaves(port: int, appender: HeldAppender, leave: str) -> None:
    appender.gate.clear()
    async with wire(port) as leaving, wire(port) as staying:
        await leaving.send(post(event("left")))
        await staying.send(post(event("stayed")))
        await until(lambda: len(appender.asked) == 2)
        if leave == "close":
            leaving.close()
        else:  # treated as gone: TCP cannot tell, see services/kit/gone.py
            leaving.writer.write_eof()
        await until(lambda: appender.given_up)
        appender.gate.set()
        assert (await staying.answer()).status == 201


async def test_a_quick_answer_costs_no_watcher(
    port: int, appender: HeldAppender, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: gone.UnlessGone) -> None:
        raise AssertionError("an answer that is there at once needs no watcher")

    monkeypatch.setattr(gone.UnlessGone, "_watch", never)
    async with wire(port) as one:
        await one.send(post(event("quick")))
        assert (await one.answer()).status == 201
        await asyncio.sleep(2 * gone.PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [("wait=5", 5), ("respond-async, wait=20", 20), ('Wait="7"; x=1', 7), ("wait=999", 30)],
)
async def test_prefer_wait_sets_the_deadline_of_the_append(
    port: int, appender: HeldAppender, prefer: str, seconds: int
) -> None:
    async with wire(port) as one:
        await one.send(post(event("patient"), f"prefer: {prefer}"))
        assert (await one.answer()).status == 201
    (deadline,) = appender.deadlines
    assert deadline is not None
    assert 0 <= clock.monotonic() + seconds - deadline < 5


@pytest.mark.parametrize("prefer", ["wait=-1", "wait=soon", "await=5", "return=minimal", ""])
async def test_without_a_wait_that_can_be_read_the_ledgers_own_patience_holds(
    port: int, appender: HeldAppender, prefer: str
) -> None:
    async with wire(port) as one:
        await one.send(post(event("plain"), f"prefer: {prefer}"))
        assert (await one.answer()).status == 201
    assert appender.deadlines == [None]


async def test_a_problem_of_the_appender_goes_out_with_its_words_and_retry_after(
    port: int, appender: HeldAppender
) -> None:
    appender.failure = Unavailable("come back later", 3)
    async with wire(port) as one:
        await one.send(post(event("unlucky")))
        answer = await one.answer()
    assert (answer.status, answer.headers["retry-after"]) == (503, "3")
    assert answer.json["detail"] == "come back later"
    assert answer.json["instance"].startswith("urn:request:")


async def test_a_fault_of_ours_is_500_without_the_inside(
    port: int, appender: HeldAppender, capfd: pytest.CaptureFixture[str]
) -> None:
    appender.failure = RuntimeError("secret of the house")
    async with wire(port) as one:
        await one.send(post(event("broken")))
        answer = await one.answer()
    assert (answer.status, answer.json["type"].rpartition("/")[2]) == (500, "internal")
    assert b"secret" not in answer.body


async def test_a_server_sets_the_garbage_collector_once_it_has_started() -> None:
    before = gc.get_threshold()
    gate = asyncio.Event()

    async def started(_url: str) -> None:
        gate.set()

    appender = HeldAppender()
    from socket import create_server  # noqa: PLC0415 - for this test alone

    with create_server(("127.0.0.1", 0)) as sock:
        serving = asyncio.create_task(run.serve(app_on(appender), sock, started))
        await gate.wait()
        try:
            assert gc.get_threshold() == run.GC_THRESHOLDS
        finally:
            gc.set_threshold(*before)
            gc.unfreeze()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


async def _drip(send: object, data: bytes) -> None:
    """Send byte by byte, faster than any idle limit and slower than any use."""
    assert callable(send)
    for index in range(len(data)):
        await send(data[index : index + 1])
        await asyncio.sleep(0.02)
