"""A client that goes away does not cost a commit; what is on its way keeps its true outcome."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
import pytest

from services.kit.gone import PATIENCE_SECONDS
from services.kit.identity import Keyring, demo_key
from services.kit.service import compose
from services.kit.settings import Shared
from services.ledger.service import build
from services.ledger.settings import LedgerSettings
from tests.integration.running.served import event, listening_at, post, wire

pytestmark = pytest.mark.postgres
AHEAD = 4
"""More events, one after the other, than batches are on their way to the database at once."""


async def test_an_event_whose_client_left_the_queue_is_not_stored(database_url: str) -> None:
    keys = Keyring([demo_key()])
    service = build(Shared(DATABASE_URL=database_url), LedgerSettings(), keys)
    blocker = await asyncpg.connect(database_url)
    async with listening_at(compose([service], service.app, {})) as port:
        held = blocker.transaction()
        await held.start()
        await blocker.execute("LOCK TABLE ledger.event IN ACCESS EXCLUSIVE MODE")
        async with contextlib.AsyncExitStack() as stack:
            ahead = [await stack.enter_async_context(wire(port)) for _ in range(AHEAD)]
            leaving, behind = [await stack.enter_async_context(wire(port)) for _ in range(2)]
            for number, one in enumerate(ahead):
                await one.send(post(event(f"stays-{number}")))
                await asyncio.sleep(0.1)
            await leaving.send(post(event("left")))
            await asyncio.sleep(2 * PATIENCE_SECONDS)
            await behind.send(post(event("behind")))
            leaving.close()
            await asyncio.sleep(4 * PATIENCE_SECONDS)
            await held.rollback()
            assert [(await one.answer()).status for one in (*ahead, behind)] == [201] * (AHEAD + 1)
        bodies = await blocker.fetch("SELECT body FROM ledger.event_body ORDER BY position")
        await blocker.close()
    ids = [row["body"].partition(b'"id":"')[2].partition(b'"')[0].decode() for row in bodies]
    assert ids == [*(f"stays-{number}" for number in range(AHEAD)), "behind"]


async def test_what_is_on_its_way_to_the_database_is_stored_though_its_client_left(
    database_url: str,
) -> None:
    keys = Keyring([demo_key()])
    service = build(Shared(DATABASE_URL=database_url), LedgerSettings(), keys)
    blocker = await asyncpg.connect(database_url)
    async with listening_at(compose([service], service.app, {})) as port:
        held = blocker.transaction()
        await held.start()
        await blocker.execute("LOCK TABLE ledger.event IN SHARE MODE")  # reads pass, appends wait
        async with wire(port) as leaving:
            await leaving.send(post(event("on-its-way")))
            await asyncio.sleep(0.3)
            leaving.close()
        await asyncio.sleep(4 * PATIENCE_SECONDS)
        await held.rollback()
        async with wire(port) as again:
            await again.send(post(event("on-its-way")))
            answer = await again.answer()
        await blocker.close()
    assert (answer.status, answer.json["outcome"]) == (200, "duplicate")
