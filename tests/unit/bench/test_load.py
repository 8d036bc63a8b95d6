"""The HTTP client of the benchmarks, against servers that answer as told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from bench.load import Connection, Requests, Task
from bench.meters import Window
from contracts import catalogue
from services.kit import clock


def task(port: int = 1, *, kind: str = "post", size: int = 1) -> Task:
    return Task(port, "secret", 1, "get" if kind == "get" else "post", ["/events?after=7"], size, 3)


def parts(request: bytes) -> tuple[list[str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


def test_each_request_is_an_event_under_an_id_of_its_own() -> None:
    requests = Requests(task(), 0)
    sent = [parts(requests.next()) for _ in range(200)]
    for head, body in sent:
        assert head[0] == "POST /events?after=7 HTTP/1.1"
        assert f"content-length: {len(body)}" in head
        assert "authorization: Bearer secret" in head
        assert len(catalogue.subjects_of(catalogue.parse(json.loads(body)))) == 4
    ids = {json.loads(body)["id"] for _, body in sent}
    assert len(ids) == requests.appended < 200  # a few were sent again


def test_a_batch_is_an_array_of_that_many_events() -> None:
    head, body = parts(Requests(task(size=5), 0).next())
    assert "content-type: application/cloudevents-batch+json" in head
    assert len(json.loads(body)) == 5


def test_a_read_has_no_body() -> None:
    head, body = parts(Requests(task(kind="get"), 0).next())
    assert head[0] == "GET /events?after=7 HTTP/1.1"
    assert body == b""


def test_a_question_is_drawn_from_those_of_its_connection_alone() -> None:
    asking = replace(task(kind="get"), kind="ask", connections=2, bodies=["[0]", "[1]", "[2]"])
    sent = [[parts(one.next()) for _ in range(40)] for one in map(asking_as(asking), range(2))]
    assert [{body for _, body in each} for each in sent] == [{b"[0]", b"[2]"}, {b"[1]"}]
    head, _ = sent[0][0]
    assert head[0] == "POST /events?after=7 HTTP/1.1"
    assert "content-type: application/json" in head


def asking_as(asking: Task) -> Callable[[int], Requests]:
    return lambda number: Requests(asking, number)


async def test_a_connection_sends_again_until_the_window_ends() -> None:
    async with server(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}") as (port, seen):
        connection, window = await connected(port), Window.after_warming(0.05)
        connection.start(window)
        await asyncio.wait_for(connection.done, 30)
        connection.close()
        await asyncio.sleep(0)
    assert 0 < window.events <= len(seen)
    assert clock.monotonic() >= window.ends


async def test_a_refusal_ends_the_load() -> None:
    async with server(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n") as (port, _):
        connection = await connected(port)
        connection.start(Window.after_warming(5))
        with pytest.raises(AssertionError, match="503"):
            await asyncio.wait_for(connection.done, 30)
        connection.close()
        await asyncio.sleep(0)


async def connected(port: int) -> Connection:
    loop = asyncio.get_running_loop()
    requests = Requests(task(port), 0)
    _, made = await loop.create_connection(lambda: Connection(requests, 1), "127.0.0.1", port)
    return made


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer every request with the same bytes."""
    seen: list[bytes] = []
    tasks: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                seen.append(await reader.readexactly(length))
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], seen
    finally:
        listening.close()
        await asyncio.gather(*(task for task in tasks if task))
