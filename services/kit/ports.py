"""What the services ask of each other. The promises stand here; adapters keep them.

`Ledger` is served over HTTP by services/ledger/api and reached through `kit.remote`.
`Feed` is served by `kit.kafka.KafkaFeed` and `kit.remote.HttpFeed`; one contract suite holds both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from contracts.event import Event, HistoryPage, Page, Receipt, RecordedEvent
from services.kit.identity import Principal


class Ledger(Protocol):
    """The append-only log of one or more ledgers."""

    async def append(
        self,
        ledger: str,
        events: Sequence[Event],
        expect: Mapping[str, int] | None = None,
        acting_for: Principal | None = None,
    ) -> list[Receipt]:
        """Append a group: all events or none, at consecutive positions.

        Durability: on return they are committed. Idempotence: an id that is stored already with
        the same content gives its first receipt. Isolation: `expect` {subject: version} holds at
        the instant of the append, else `Conflict` (its `actual` names the versions) and nothing is
        stored. Failure: `Unavailable`: the outcome may be unknown; send the same ids again.
        """

    async def page(
        self,
        ledger: str,
        after: int,
        *,
        limit: int = 500,
        wait: float = 0,
        type_: str | None = None,
        subject: str | None = None,
    ) -> Page:
        """Return events after a position, in order, without a gap (but for the filters).

        `wait` seconds: with nothing to give, answer as soon as there is something, or then.
        """

    async def history(
        self, ledger: str, subject: str, *, after_version: int = 0, as_of: str | None = None
    ) -> HistoryPage:
        """Return every event that names `subject`, in order; `as_of` is a position or a time.

        A subject that nobody has named yet has version 0 and no events.
        """

    async def histories(
        self, ledger: str, subjects: Sequence[str], *, as_of: str | None = None
    ) -> list[HistoryPage]:
        """Return several histories in one snapshot, in the order asked; `as_of` is a position."""

    async def event(self, ledger: str, position: int) -> RecordedEvent:
        """Return one event, or raise `NotFound`."""

    async def sealed(self, ledger: str, position: int, wait: float) -> bool:
        """Say whether a published checkpoint covers a position, waiting for one up to `wait` s."""


class Shelf(Ledger, Protocol):
    """A ledger and what came to it and could not be read."""

    async def quarantined(self, ledger: str) -> int:
        """Return how many deliveries stand in quarantine."""


class Feed(Protocol):
    """Delivers a ledger's events to one reader, who keeps the cursor."""

    def follow(self, ledger: str, after: int) -> AsyncIterator[list[RecordedEvent]]:
        """Yield batches for ever: positions after+1, after+2, … each exactly once, in order.

        Never a gap: what the transport lost is read again from the ledger. Never a duplicate: what
        it repeats is dropped. An empty batch may come when there is nothing new. Failure: raises;
        the reader calls again with its cursor.
        """
