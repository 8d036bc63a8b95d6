"""Tells readers that a ledger has grown: by NOTIFY at once, by a poll each second in any case."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from services.kit import clock, database, metrics
from services.ledger.store import Reader, Window

CHANNEL = "ledger_appended"
"""The channel of append_v1; a payload is `<ledger id> <head>`."""
POLL_SECONDS = 1.0


class Wake:
    """Hands out events that are set at the next growth of a ledger. `run` keeps the promise."""

    def __init__(self, url: str, reader: Reader) -> None:
        self._url = url
        self._reader = reader
        self._heads: dict[int, int] = {}
        self._news: dict[int, asyncio.Event] = {}

    def news(self, name: str) -> asyncio.Event:
        """Return what is set when the ledger grows after this call. Ask first, then read."""
        return self._news.setdefault(self._reader.ledger(name).id, asyncio.Event())

    async def run(self) -> None:
        """Listen and poll for ever. Raises when the connection is lost, to be started again."""
        connection = await database.connection(self._url, "ledger wake", role="rlg_reader")
        try:
            await connection.add_listener(CHANNEL, self._heard)
            while not connection.is_closed():
                for row in self._reader.ledgers:
                    self._grown(row.id, (await self._reader.head(row.name))[0])
                    metrics.gauge("rlg_ledger_head", self._heads[row.id], ledger=row.name)
                await asyncio.sleep(POLL_SECONDS)
            raise ConnectionError("the connection that listens was lost")
        finally:
            connection.terminate()

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        ledger_id, _, head = str(payload).partition(" ")
        self._grown(int(ledger_id), int(head))

    def _grown(self, ledger_id: int, head: int) -> None:
        if head > self._heads.setdefault(ledger_id, 0):
            self._heads[ledger_id] = head
            self._news.pop(ledger_id, asyncio.Event()).set()


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
