"""The quarantine: look at what was not understood, and try it again."""

from __future__ import annotations

from typing import Any

from services.kit import metrics
from services.ledger.hooks.deliveries import Hooks
from services.ledger.hooks.store import Claim


class Quarantine:
    """The quarantined deliveries of all ledgers. An unknown ledger or item raises `NotFound`."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    async def page(
        self, ledger: str, after: int, limit: int, state: str | None
    ) -> tuple[list[dict[str, Any]], int]:
        """Return items in order of id, and how many are open altogether."""
        self._hooks.reader.ledger(ledger)
        _, still_open = await self._hooks.store.counts()
        return await self._hooks.store.quarantined(ledger, after, limit, state), still_open

    async def content(self, ledger: str, item: int) -> tuple[dict[str, Any], dict[str, str], bytes]:
        """Return an item with its kept headers and raw bytes."""
        row = await self._hooks.store.item(ledger, item)
        _, headers, raw = await self._hooks.store.content(item)
        return row, headers, raw

    async def replay(self, ledger: str, item: int, principal: str) -> dict[str, Any]:
        """Map a delivery again and return the item as it stands then.

        Facts that are recorded already stay as they are. What the sender itself left out cannot
        come back by a replay; the item is closed all the same, because somebody has looked.
        """
        await self._hooks.store.item(ledger, item)
        delivery_id, _, _ = await self._hooks.store.content(item)
        async with self._hooks.store.claim_one(delivery_id) as claim:
            await self._replay(claim, principal)
        _, still_open = await self._hooks.store.counts()
        metrics.gauge("rlg_quarantine_open", still_open)
        return await self._hooks.store.item(ledger, item)

    async def _replay(self, claim: Claim, principal: str) -> None:
        settled = await self._hooks.record(claim.deliveries[0])
        await claim.settle(settled)
        if settled.state != "quarantined":
            await claim.close(settled, principal)
