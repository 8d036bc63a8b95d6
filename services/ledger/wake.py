"""Tells readers that a ledger has grown: by NOTIFY at once, by a poll each second in any case."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from services.kit import clock, logs, metrics
from services.kit.database import DatabaseError
from services.ledger.databases import Database
from services.ledger.store import Reader, Window

CHANNEL = "ledger_appended"
"""The channel of append_v1; a payload is `<ledger id> <head>`."""
POLL_SECONDS = 1.0
_log = logs.get(__name__)


class Wake:
    """Hands out events that are set at the next growth of a ledger. `run` keeps the promise.

    A lost connection costs the notifications until it is opened again; the poll goes on meanwhile.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._heads: dict[str, int] = {}
        self._news: dict[str, asyncio.Event] = {}

    def news(self, name: str) -> asyncio.Event:
        """Return what is set when the ledger grows after this call. Ask first, then read.

        All who wait for a ledger share one event; who goes away leaves nothing behind.
        """
        self._reader.ledger(name)
        return self._news.setdefault(name, asyncio.Event())

    async def run(self, base: Database | None = None) -> None:
        """Listen and poll for ever in one database (default: the main one).

        Raises when neither works, to be started again.
        """
        base = base or self._reader.placement.databases[0]
        listening = asyncio.create_task(self._listen(base))
        try:
            while True:
                for row in self._reader.placement.inside(base):
                    self._is_at(row.name, (await self._reader.head(row.name))[0])
                await asyncio.sleep(POLL_SECONDS)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, base: Database) -> None:
        """Listen for ever; a connection that is lost is opened again, each second at most."""
        while True:
            try:
                await self._hear(base)
            except (TimeoutError, *DatabaseError) as error:
                _log.warning("wake.deaf", database=base.name, reason=str(error))
            await asyncio.sleep(POLL_SECONDS)

    async def _hear(self, base: Database) -> None:
        """Pass notifications on until the connection is lost."""
        lost = asyncio.Event()
        connection = await base.listener()

        def heard(_connection: Any, _pid: int, _channel: str, payload: object) -> None:
            ledger_id, _, head = str(payload).partition(" ")
            if not (ledger_id.isdigit() and head.isdigit()):  # anybody may notify; the poll goes on
                return
            for row in self._reader.placement.inside(base):
                if row.id == int(ledger_id):
                    self._is_at(row.name, int(head))

        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, heard)
            await lost.wait()
            raise ConnectionError("the connection that listens was lost")
        finally:
            connection.terminate()

    def _is_at(self, name: str, head: int) -> None:
        """Wake who waits for a ledger that is not where it was: also one that was restored."""
        metrics.gauge("rlg_ledger_head", head, ledger=name)
        if head != self._heads.get(name, 0):
            self._heads[name] = head
            if name in self._news:
                self._news.pop(name).set()


async def page_or_wait(  # noqa: PLR0913 - the parameters of a page and what it waits for
    reader: Reader,
    wake: Wake,
    name: str,
    after: int,
    limit: int,
    *,
    type_: str | None = None,
    subject: str | None = None,
    wait: float = 0,
) -> Window:
    """Return a page; with nothing to give, as soon as there is something or `wait` s are over."""
    deadline = clock.monotonic() + wait
    while True:
        news = wake.news(name)
        window = await reader.page(name, after, limit, type_=type_, subject_=subject)
        left = deadline - clock.monotonic()
        if window.events or left <= 0:
            return window
        after = window.scanned_to
        if after >= window.head:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), left)
