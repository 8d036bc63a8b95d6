"""The requests that wait for an appender: bounded, fair between callers, cut into batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from contracts.problem import Problem, Unavailable
from services.kit import clock, metrics
from services.ledger.model import Outcome, Request

MAX_BATCH_EVENTS = 256
MAX_BATCH_BYTES = 1024 * 1024
MAX_WAITING_BYTES = 64 * 1024 * 1024
_FOR_EVER = 1e9
"""Seconds beyond which no timer is worth setting."""
End: TypeAlias = "list[Outcome] | Problem"
"""What became of a request: an outcome for each of its events, or why there is none."""


@dataclass(slots=True)
class Call:
    """What a caller put in at once. One future for all of it: who asks for many wakes up once."""

    answer: asyncio.Future[None]
    """Done when every request has its end; cancelled when the caller has gone."""
    since: float
    deadline: float
    """The instant (`clock.monotonic`) after which nothing of it must be begun any more."""
    unanswered: int


@dataclass(slots=True)
class Waiting:
    """A request with the place where its end goes."""

    request: Request
    call: Call
    events: int
    size: int
    """Bytes of the bodies."""
    end: End | None = None

    def finish(self, end: End) -> None:
        """Answer, if nobody has answered yet."""
        if self.end is None:
            self.end, call = end, self.call
            call.unanswered -= 1
            if not call.unanswered and not call.answer.done():
                call.answer.set_result(None)

    def wanted(self, now: float) -> bool:
        """Say whether it is still worth a commit: its caller is there and its deadline ahead."""
        if self.end is not None or self.call.answer.done():
            return False
        if self.call.deadline < now:
            late = "its deadline passed while it waited; nothing was stored"
            self.finish(Unavailable(late))
            return False
        return True


@dataclass(slots=True)
class _Line:
    """What waits for one caller, in the order in which it was sent."""

    waiting: deque[Waiting] = field(default_factory=deque)
    events: int = 0
    size: int = 0


class Backlog:
    """A bounded queue for each caller; their turns go round.

    What one caller sends is decided in the order in which it was sent. A caller may hold as much,
    in events and in bytes, as is still free (the dynamic threshold of Choudhury and Hahne, 1998): a
    busy one can never take the last place, and alone it has half of the queue. Whoever is not begun
    by its deadline is refused at that moment.
    """

    def __init__(self, ledger: str, limit: int) -> None:
        self._ledger = ledger
        self._limit = limit
        self._lines: dict[str, _Line] = {}
        """Of the callers that have something waiting, the next one in turn first."""
        self._size = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        # Asked for when somebody scrapes, instead of told with every item.
        metrics.child("rlg_ledger_queue_items", ledger=ledger).set_function(lambda: self.events)
        self.events: int = 0
        """Events that wait."""
        self.wanted = 1
        """So many events are worth a look; see `stir`."""
        self.stir = asyncio.Event()
        """Set when `wanted` events wait. Whoever waits on it clears it."""

    async def ask(self, caller: str, requests: Sequence[Request], deadline: float) -> list[End]:
        """Queue all requests and return their ends, or raise `Unavailable` at once: full.

        An empty backlog takes anything, so that no request is too big for ever. Cancelling it
        takes back what is not begun.
        """
        some = self.put(caller, requests, deadline)
        await some[0].call.answer
        return [one.end for one in some if one.end is not None]

    def put(self, caller: str, requests: Sequence[Request], deadline: float) -> list[Waiting]:
        """Queue all requests, at least one; see `ask`."""
        answer = asyncio.get_running_loop().create_future()
        call = Call(answer, clock.monotonic(), deadline, len(requests))
        some = [_waiting(request, call) for request in requests]
        events, size = total(some), sum([one.size for one in some])
        line = self._lines.get(caller) or _Line()
        self._admit(line, events, size)
        line.waiting += some
        line.events += events
        line.size += size
        self._lines[caller] = line
        self._size += size
        self.events += events
        if self.events >= self.wanted:
            self.stir.set()
        if self._alarm is None or deadline < self._alarm_at:
            self._wake_at(deadline)
        return some

    def _admit(self, line: _Line, events: int, size: int) -> None:
        if not self.events:
            return
        full = line.events + events > self._limit - self.events
        if full or line.size + size > MAX_WAITING_BYTES - self._size:
            detail = (
                f"{self.events} events wait for the ledger {self._ledger} already, "
                f"{line.events} of them from this caller"
            )
            raise Unavailable(detail)

    def _expire(self) -> None:
        """Refuse what nobody has begun in time, and look again when the next one is due."""
        self._alarm = None
        now = clock.monotonic()
        waiting = [one for line in self._lines.values() for one in line.waiting if one.wanted(now)]
        if waiting:
            self._wake_at(min(one.call.deadline for one in waiting))

    def _wake_at(self, deadline: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        pause = max(deadline - clock.monotonic(), 0) + 0.001  # never a hair too early
        if pause < _FOR_EVER:
            self._alarm = asyncio.get_running_loop().call_later(pause, self._expire)
            self._alarm_at = deadline

    def take(self, limit: int) -> list[Waiting]:
        """Return a batch: at least one request, then up to `limit` events and the batch's limits.

        Callers take turns, a request each. Those that nobody waits for any more are left out, so
        the batch may be empty.
        """
        now, batch, events, size = clock.monotonic(), list[Waiting](), 0, 0
        limit = min(limit, MAX_BATCH_EVENTS)
        while self._lines:
            caller, line = next(iter(self._lines.items()))
            first = line.waiting[0]
            if batch and (events + first.events > limit or size + first.size > MAX_BATCH_BYTES):
                break
            self._take_first(caller, line)
            if first.wanted(now):
                batch.append(first)
                events, size = events + first.events, size + first.size
        return batch

    def _take_first(self, caller: str, line: _Line) -> None:
        """Take a line's first request out; the line goes to the end, alone it is there already."""
        first = line.waiting.popleft()
        line.events -= first.events
        line.size -= first.size
        self.events -= first.events
        self._size -= first.size
        if not line.waiting:
            del self._lines[caller]
        elif len(self._lines) > 1:
            self._lines[caller] = self._lines.pop(caller)

    def fail(self, problem: Problem) -> None:
        """Answer everybody who waits with a problem."""
        for line in self._lines.values():
            for one in line.waiting:
                one.finish(problem)
        self._lines.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self.events = self._size = 0


def _waiting(request: Request, call: Call) -> Waiting:
    items = request.items
    size = len(items[0].body) if len(items) == 1 else sum([len(item.body) for item in items])
    return Waiting(request, call, len(items), size)


def total(some: Sequence[Waiting]) -> int:
    """Return how many events some requests have."""
    return sum([one.events for one in some])
