"""The requests that wait for an appender: bounded, fair between callers, cut into batches."""

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
_FOR_EVER = 1e9
"""Seconds beyond which no timer is worth setting."""


@dataclass(slots=True)
class Waiting:
    """A request with the place where its outcomes go."""

    request: Request
    answer: asyncio.Future[list[Outcome]]
    since: float
    deadline: float
    """The instant (`clock.monotonic`) after which it must not be begun any more."""
    events: int
    size: int
    """Bytes of the bodies."""

    def fail(self, problem: Problem) -> None:
        """Answer with a problem, if nobody has answered yet."""
        if not self.answer.done():
            self.answer.set_exception(problem)

    def wanted(self, now: float) -> bool:
        """Say whether it is still worth a commit: its caller is there and its deadline ahead."""
        if self.answer.done():
            return False
        if self.deadline < now:
            late = "its deadline passed while it waited; nothing was stored"
            self.fail(Unavailable(late))
            return False
        return True


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
        self._queues: dict[str, deque[Waiting]] = {}
        self._held: dict[str, tuple[int, int]] = {}
        """Events and bytes that wait, by caller."""
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

    def put(
        self, caller: str, requests: Iterable[Request], deadline: float
    ) -> list[asyncio.Future[list[Outcome]]]:
        """Queue all requests and return their answers to come, or raise `Unavailable`: full.

        An empty backlog takes anything, so that no request is too big for ever.
        """
        some = [_waiting(request, deadline) for request in requests]
        if not some:
            return []
        events, size = sum(one.events for one in some), sum(one.size for one in some)
        self._admit(caller, events, size)
        self._queues.setdefault(caller, deque()).extend(some)
        self._grow(caller, events, size)
        self._wake_at(deadline)
        return [one.answer for one in some]

    def _admit(self, caller: str, events: int, size: int) -> None:
        if not self.events:
            return
        held, held_size = self._held.get(caller, (0, 0))
        full = held + events > self._limit - self.events
        if full or held_size + size > MAX_WAITING_BYTES - self._size:
            detail = (
                f"{self.events} events wait for the ledger {self._ledger} already, "
                f"{held} of them from this caller"
            )
            raise Unavailable(detail)

    def _expire(self) -> None:
        """Refuse what nobody has begun in time, and look again when the next one is due."""
        self._alarm = None
        now = clock.monotonic()
        waiting = [one for queue in self._queues.values() for one in queue if one.wanted(now)]
        if waiting:
            self._wake_at(min(one.deadline for one in waiting))

    def _wake_at(self, deadline: float) -> None:
        if self._alarm is not None and self._alarm_at <= deadline:
            return
        if self._alarm is not None:
            self._alarm.cancel()
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
        while self._queues:
            caller, queue = next(iter(self._queues.items()))
            first = queue[0]
            full = events + first.events > min(limit, MAX_BATCH_EVENTS)
            if batch and (full or size + first.size > MAX_BATCH_BYTES):
                break
            queue.popleft()
            self._pass_turn(caller, queue)
            self._grow(caller, -first.events, -first.size)
            if first.wanted(now):
                batch.append(first)
                events, size = events + first.events, size + first.size
        return batch

    def _pass_turn(self, caller: str, queue: deque[Waiting]) -> None:
        """Go to the end of the line; alone it is the same place."""
        if not queue or len(self._queues) > 1:
            del self._queues[caller]
            if queue:
                self._queues[caller] = queue

    def fail(self, problem: Problem) -> None:
        """Answer everybody who waits with a problem."""
        for queue in self._queues.values():
            for one in queue:
                one.fail(problem)
        self._queues.clear()
        self._held.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self.events = self._size = 0

    def _grow(self, caller: str, events: int, size: int) -> None:
        self.events += events
        self._size += size
        held, held_size = self._held.get(caller, (0, 0))
        self._held[caller] = (held + events, held_size + size)
        if caller not in self._queues:
            del self._held[caller]
        if self.events >= self.wanted:
            self.stir.set()


def _waiting(request: Request, deadline: float) -> Waiting:
    answer = asyncio.get_running_loop().create_future()
    size = sum(len(item.body) for item in request.items)
    return Waiting(request, answer, clock.monotonic(), deadline, len(request.items), size)


def total(some: Sequence[Waiting]) -> int:
    """Return how many events some requests have."""
    return sum(one.events for one in some)
