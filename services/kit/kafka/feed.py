"""A ledger's events by Kafka, each once, in order; the ledger fills what Kafka cannot give."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from contracts import topics
from services.kit import logs, metrics
from services.kit.kafka import gapless
from services.kit.kafka.reader import Tail, tail
from services.kit.kafka.record import EVENTS_PARTITION

if TYPE_CHECKING:
    from contracts.event import Page, RecordedEvent

EpochOf = Callable[[str], Awaitable[int]]
"""Tells the epoch of a ledger."""
LIMIT = 1000
_log = logs.get(__name__)


async def first_epoch(_: str) -> int:
    """Return the epoch of a ledger that never failed over and was never restored."""
    return 1


class Pages(Protocol):
    """The part of `ports.Ledger` from which a feed refills."""

    async def page(self, ledger: str, after: int, *, limit: int = 500, wait: float = 0) -> Page:
        """See `ports.Ledger.page`."""


class KafkaFeed:
    """`ports.Feed` over the events topic.

    A reader listens at the end of the topic first and then reads from the ledger what it lacks: an
    event relayed before the end was looked up was committed before, so nothing falls between.
    After `silence` seconds without a record the ledger is asked too: neither a relay that stands
    still nor a lost last record holds events back for longer than that.
    """

    def __init__(
        self, bootstrap: str, refill: Pages, *, epoch_of: EpochOf = first_epoch, silence: float = 5
    ) -> None:
        self._bootstrap = bootstrap
        self._refill = refill
        self._epoch_of = epoch_of
        self._silence = silence

    async def follow(self, ledger: str, after: int) -> AsyncIterator[list[RecordedEvent]]:
        """See `ports.Feed.follow`.

        Raises `Unavailable` when Kafka or the ledger is away, `FeedBroken` when the two contradict
        each other, also by their epochs. `contextlib.aclosing` frees the connections at once.
        """
        async with tail(self._bootstrap, topics.EVENTS, EVENTS_PARTITION) as listener:
            reader = _Reader(ledger, after, await self._epoch_of(ledger))
            while True:
                if reader.lacks:
                    page = await self._refill.page(ledger, reader.cursor, limit=LIMIT)
                    yield reader.refill(page)
                else:
                    yield await self._listen(listener, reader)

    async def _listen(self, listener: Tail, reader: _Reader) -> list[RecordedEvent]:
        records = await listener.read(LIMIT, self._silence)
        arrivals = (gapless.Arrival(dict(r.headers), r.value) for r in records)
        taken = gapless.take(arrivals, reader.ledger, reader.epoch, reader.cursor)
        if taken.gap:  # told here: the ledger may have nothing with which to fill it
            last = reader.cursor + len(taken.events)
            _log.info("feed.gap", ledger=reader.ledger, after=last, shows=taken.reaches)
        return reader.hear(taken, silent=not records)


@dataclass
class _Reader:
    """Where one reader stands."""

    ledger: str
    cursor: int
    epoch: int
    lacks: bool = True
    """Whether the ledger has to be asked; so it is at the start."""
    cause: str = ""
    """Why, when Kafka is to blame."""
    reaches: int = 0
    """The position that the ledger must have, for Kafka has shown it."""

    def hear(self, taken: gapless.Taken, *, silent: bool) -> list[RecordedEvent]:
        """Move over what Kafka gave."""
        self.cursor += len(taken.events)
        self.lacks, self.reaches = taken.gap or silent, taken.reaches
        self.cause = "gap" if taken.gap else "silence"
        return taken.events

    def refill(self, page: Page) -> list[RecordedEvent]:
        """Move over a page of the ledger; at its head, listen to Kafka again."""
        events = gapless.follows(page.events, self.cursor)
        self.cursor += len(events)
        self._count(events)
        self.lacks = bool(events) and self.cursor < page.head
        if not self.lacks and self.cursor < self.reaches:
            message = f"Kafka shows position {self.reaches}, and the ledger ends at {self.cursor}"
            raise gapless.FeedBroken(message)
        return events

    def _count(self, events: list[RecordedEvent]) -> None:
        if events and self.cause:
            metrics.count("rlg_feed_gaps_total", ledger=self.ledger)
            _log.info("feed.refilled", ledger=self.ledger, cause=self.cause, to=self.cursor)
            self.cause = ""
