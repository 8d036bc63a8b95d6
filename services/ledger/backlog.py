"""The requests that wait for an appender, in order, and how they are cut into batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.problem import Problem, Unavailable
from services.kit import clock, metrics
from services.ledger.model import Outcome, Request

MAX_BATCH_EVENTS = 256
MAX_BATCH_BYTES = 1024 * 1024
MAX_WAITING_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request with the place where its outcomes go."""

    request: Request
    answer: asyncio.Future[list[Outcome]]
    since: float
    events: int
    size: int
    """Bytes of the bodies."""

    def fail(self, problem: Problem) -> None:
        """Answer with a problem, if nobody has answered yet."""
        if not self.answer.done():
            self.answer.set_exception(problem)


class Backlog:
    """A bounded queue. Order of arrival is order of decision."""

    def __init__(self, ledger: str, limit: int) -> None:
        self._ledger = ledger
        self._limit = limit
        self._queue: deque[Waiting] = deque()
        self._events = 0
        self._size = 0
        self._news = asyncio.Event()

    def put(self, requests: Iterable[Request]) -> list[asyncio.Future[list[Outcome]]]:
        """Queue all requests and return their answers to come, or raise `Unavailable`: full.

        An empty backlog takes anything, so that no request is too big for ever.
        """
        some = [_waiting(request) for request in requests]
        events, size = _sum(some)
        full = self._events + events > self._limit or self._size + size > MAX_WAITING_BYTES
        if self._queue and full:
            detail = f"{self._events} events wait for the ledger {self._ledger} already"
            raise Unavailable(detail)
        self._queue.extend(some)
        self._grow(events, size)
        return [one.answer for one in some]

    async def take(self) -> list[Waiting]:
        """Wait for a request and return a batch: at least one, then up to the limits."""
        await self._news.wait()
        batch = [self._queue.popleft()]
        events, size = batch[0].events, batch[0].size
        while self._queue:
            events += self._queue[0].events
            size += self._queue[0].size
            if events > MAX_BATCH_EVENTS or size > MAX_BATCH_BYTES:
                break
            batch.append(self._queue.popleft())
        taken_events, taken_size = _sum(batch)
        self._grow(-taken_events, -taken_size)
        return [one for one in batch if not one.answer.done()]

    def fail(self, problem: Problem) -> None:
        """Answer everybody who waits with a problem."""
        for one in self._queue:
            one.fail(problem)
        self._queue.clear()
        self._grow(-self._events, -self._size)

    def _grow(self, events: int, size: int) -> None:
        self._events += events
        self._size += size
        metrics.gauge("rlg_ledger_queue_items", self._events, ledger=self._ledger)
        (self._news.set if self._queue else self._news.clear)()


def _waiting(request: Request) -> Waiting:
    answer = asyncio.get_running_loop().create_future()
    size = sum(len(item.body) for item in request.items)
    return Waiting(request, answer, clock.monotonic(), len(request.items), size)


def _sum(some: Sequence[Waiting]) -> tuple[int, int]:
    return sum(one.events for one in some), sum(one.size for one in some)
