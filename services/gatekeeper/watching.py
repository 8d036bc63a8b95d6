"""Watching: the feed tells which gates are asked about, and which of them an event may move.

Of any number of gatekeepers one follows the feed; what it notes, all of them judge (`timers`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable
from datetime import datetime, timedelta
from typing import Any, cast

from contracts.catalogue import type_of
from contracts.event import RecordedEvent, parse_time
from contracts.payloads.control import PermitIssued
from contracts.payloads.plan import ReleaseCancelled, ReleaseCompleted
from services.gatekeeper.folding import DECISION
from services.gatekeeper.store import Newest, Seen, Store
from services.kit import clock, metrics
from services.kit.ports import Feed

SETTLES = timedelta(milliseconds=100)
"""Events that come within it are judged together."""
_ENDS = frozenset({type_of(ReleaseCompleted), type_of(ReleaseCancelled)})
_MADE = frozenset({DECISION, type_of(PermitIssued)})
"""What we make of facts moves no gate."""


def seen(events: Iterable[RecordedEvent]) -> Seen:
    """Return what events say about gates, the newest of each. Pure."""
    found = Seen()
    for event in events:
        if event.type in _MADE:
            _decided(found, event)
            continue
        if event.type in _ENDS:
            found.ended |= {k.removeprefix("release:") for k in event.versions if _is_release(k)}
        found.moved |= dict.fromkeys(event.versions, event.position)
    found.newest = {key: one for key, one in found.newest.items() if key[0] not in found.ended}
    return found


def instant(text: str | None) -> datetime | None:
    """Return a time of a decision."""
    return None if text is None else parse_time(text)


class Watcher:
    """Follows one ledger's feed and notes what it says about gates."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store, self._feed = store, feed

    async def run(self) -> None:
        """Follow for ever, alone. Raises; the caller starts it again, and it goes on from there."""
        async with self._store.alone() as start:
            position, feed = start, self._feed.follow(self._store.ledger, start)
            # A generator that is left to the garbage collector outlives the error that ended us.
            feed = cast("AsyncGenerator[list[RecordedEvent], None]", feed)
            async with contextlib.aclosing(feed):
                async for batch in feed:
                    if batch:
                        to = batch[-1].position
                        settles_at = clock.now() + SETTLES
                        await self._store.take(position, to, seen(batch), settles_at)
                        position = to
                        metrics.gauge("rlg_gate_feed_position", to, ledger=self._store.ledger)


def _is_release(key: str) -> bool:
    return key.startswith("release:")


def _decided(found: Seen, event: RecordedEvent) -> None:
    decision: dict[str, Any] = event.data.get("decision") or {}
    if event.type != DECISION or not decision or _of_an_ended_release(decision):
        return  # a permit, or content that was removed
    fires_at, read = instant(decision.get("next_change_at")), decision["read_set"]
    if decision.get("policy") is None and fires_at is None:
        return  # a gate of no policy: whoever invents names would have us watch them all
    key = (decision["release"], decision["gate"])
    found.newest[key] = Newest(event.position, fires_at, tuple(read))


def _of_an_ended_release(decision: dict[str, Any]) -> bool:
    return any(r["type"] == "release" and r["rule"] == "release-open" for r in decision["rules"])
