"""The relay: the log is the outbox, and this copies it to Kafka in order of position.

Promises: every event gets to the topic at least once; first occurrences are in order; `confirmed`
never runs ahead of what Kafka has acknowledged without a gap. Any number of processes may run a
relay for the same ledger: one works, the others stand by. A former holder that wakes up late can
repeat records, which every reader drops, but cannot confirm anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from contracts import topics
from services.kit import clock, logs, metrics
from services.kit.database import DatabaseError
from services.kit.kafka import EVENTS_PARTITION, Flight, KafkaProducer, Record, Undelivered
from services.ledger.fence import Fence
from services.ledger.wake import page_or_wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.ledger.body import Recorded, Window
    from services.ledger.certify import Standbys
    from services.ledger.lease import Claim, Lease
    from services.ledger.store import Reader
    from services.ledger.tables import LedgerRow
    from services.ledger.wake import Wake

PAGE = 512
FLIGHTS = 4
"""Pages that are on their way to Kafka at once, at most."""
CONFIRM_SECONDS = 0.5
"""How often, at most, `confirmed` is written: it only spares repetition after a restart."""
RENEW_SECONDS = 1.0
STALLED_SECONDS = 5.0
"""A step takes `RENEW_SECONDS` and a delivery; one that takes so long is stuck."""
_JSON = (topics.HEADER_CONTENT_TYPE, b"application/json")
_log = logs.get(__name__)


@dataclass(slots=True)
class _Place:
    """How far a holder of the lease is."""

    claim: Claim
    sent: int
    """Acknowledged by Kafka, without a gap."""
    confirmed: int
    written_at: float
    flights: deque[tuple[Flight, int]] = field(default_factory=deque)
    """Pages that are on their way, each with its last position."""
    ahead: asyncio.Task[Window] | None = None
    """The next page, which is being read."""

    @property
    def read(self) -> int:
        """How far the log has been read."""
        return self.flights[-1][1] if self.flights else self.sent

    @property
    def pending(self) -> bool:
        return self.sent > self.confirmed

    async def drop_ahead(self) -> None:
        """Forget the page that is being read."""
        if self.ahead is not None:
            self.ahead.cancel()
            await asyncio.gather(self.ahead, return_exceptions=True)
            self.ahead = None

    def due(self) -> bool:
        """Say whether the row has to be written: something to confirm, or a lease to renew."""
        age = clock.monotonic() - self.written_at
        return age >= (CONFIRM_SECONDS if self.pending else RENEW_SECONDS)


class Relay:
    """Relays one ledger."""

    def __init__(  # noqa: PLR0913 - what a relay works with
        self,
        row: LedgerRow,
        reader: Reader,
        wake: Wake,
        lease: Lease,
        producer: KafkaProducer,
        *,
        fence: Fence | None = None,
        standbys: Standbys | None = None,
    ) -> None:
        """Describe it; with `standbys` only events that these have get to Kafka."""
        self._row = row
        self._ledger = row.name
        self._key = row.name.encode()
        self._reader = reader
        self._wake = wake
        self._lease = lease
        self._producer = producer
        self._fence = fence or Fence()
        self._standbys = standbys
        self._trouble: str | None = "has not started"
        self._alive_at = clock.monotonic()

    async def check(self) -> str | None:
        """Return None when the relay works or stands by, else what is wrong."""
        still = clock.monotonic() - self._alive_at
        if self._trouble is None and still > STALLED_SECONDS:
            return f"the relay of {self._ledger} has not moved for {still:.0f} s"
        return self._trouble

    async def run(self) -> None:
        """Relay for ever, or wait for the lease. Raises when the database is away: run it again."""
        try:
            while True:
                claim = await self._lease.claim()
                if claim is None:
                    self._healthy()
                    await asyncio.sleep(self._lease.seconds / 4)
                else:
                    await self._lead(claim)
        except Exception as error:
            self._trouble = f"stopped: {type(error).__name__}: {error}"
            raise
        finally:
            await self._producer.close()

    async def _lead(self, claim: Claim) -> None:
        # What a primary that was replaced has behind the last common event must not get to readers.
        self._fence.admit(replace(self._row, epoch=claim.epoch))
        place = _Place(claim, claim.confirmed, claim.confirmed, clock.monotonic())
        _log.info("relay.leading", ledger=self._ledger, fencing=claim.fencing, after=place.sent)
        try:
            pause = 0.1
            while await self._holds(place):
                try:
                    await self._step(place)
                    pause = 0.1
                except Undelivered as failure:
                    await self._start_over(place, failure, pause)
                    pause = min(pause * 2, RENEW_SECONDS)
            _log.info("relay.lost_lease", ledger=self._ledger, fencing=claim.fencing)
        finally:
            await place.drop_ahead()
            with contextlib.suppress(*DatabaseError):
                await self._let_go(place)

    async def _step(self, place: _Place) -> None:
        """Send the next page; with none, wait for news, but not so long that the lease runs out.

        While pages are in the air the next one is read, so that the rate is the client's and not
        that of round trips. What is confirmed follows what has landed, in order.
        """
        wait = 0 if place.flights else CONFIRM_SECONDS if place.pending else RENEW_SECONDS
        page = await self._page(place, wait)
        _refuse_gap(page.events, place.read)
        if page.events and self._standbys is not None:
            await self._standbys.confirm()
        epoch = b"%d" % place.claim.epoch
        records = [self._record(event, epoch) for event in page.events]
        flight = await self._producer.begin(records)
        if page.events or flight.failure:
            place.flights.append((flight, place.read + len(records)))
        if place.flights and (len(place.flights) >= FLIGHTS or not page.events):
            first, position = place.flights[0]
            await self._producer.land(first)
            place.flights.popleft()
            self._moved(place, position)
        elif place.flights:  # nobody knows yet what becomes of them
            return
        self._healthy()

    async def _page(self, place: _Place, wait: float) -> Window:
        """Return the next page, and have the one behind it read while this one is sent."""
        if place.ahead is None:
            place.ahead = self._read(place.read, wait)
        page = await place.ahead
        place.ahead = None
        if page.scanned_to < page.head:
            place.ahead = self._read(page.scanned_to, 0)
            await asyncio.sleep(0)  # it is asked for before the work here begins
        return page

    def _read(self, after: int, wait: float) -> asyncio.Task[Window]:
        return asyncio.create_task(
            page_or_wait(self._reader, self._wake, self._ledger, after, PAGE, wait=wait)
        )

    async def _start_over(self, place: _Place, failure: Undelivered, pause: float) -> None:
        """Go on behind what was acknowledged; the producer has been thrown away by now."""
        self._trouble = str(failure)
        place.flights.clear()
        await place.drop_ahead()
        metrics.count("rlg_relay_rebuilds_total", ledger=self._ledger)
        _log.warning("relay.undelivered", ledger=self._ledger, reason=str(failure))
        if failure.acknowledged:
            self._moved(place, place.sent + failure.acknowledged)
        await asyncio.sleep(pause)

    async def _holds(self, place: _Place) -> bool:
        """Confirm and renew when it is time; False when the lease is somebody else's."""
        if not place.due():
            return True
        if not await self._lease.confirm(place.claim, place.sent):
            return False
        place.confirmed, place.written_at = place.sent, clock.monotonic()
        return True

    async def _let_go(self, place: _Place) -> None:
        if place.pending:
            await self._lease.confirm(place.claim, place.sent)
        await self._lease.release(place.claim.fencing)

    def _record(self, event: Recorded, epoch: bytes) -> Record:
        headers = (
            (topics.HEADER_LEDGER, self._key),
            (topics.HEADER_POSITION, b"%d" % event.position),
            (topics.HEADER_EPOCH, epoch),
            (topics.HEADER_COMMITMENT, event.commitment.hex().encode()),
            _JSON,
        )
        return Record(topics.EVENTS, event.as_json(), self._key, headers, EVENTS_PARTITION)

    def _moved(self, place: _Place, position: int) -> None:
        place.sent = position
        metrics.gauge("rlg_relay_position", position, ledger=self._ledger)

    def _healthy(self) -> None:
        self._trouble = None
        self._alive_at = clock.monotonic()


def _refuse_gap(page: Sequence[Recorded], after: int) -> None:
    if [event.position for event in page] != list(range(after + 1, after + 1 + len(page))):
        raise RuntimeError(f"the log does not go on without a gap after position {after}")
