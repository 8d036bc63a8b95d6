"""Several histories in one request: one snapshot, in the order asked, long ones to their end."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack

import pytest

from contracts.event import Event
from contracts.problem import Invalid
from services.kit import remote
from services.kit.identity import Keyring
from services.kit.remote import Client, HttpLedger
from services.kit.settings import Shared
from services.ledger import service
from services.ledger.settings import LedgerSettings
from tests.integration.gatekeeper.test_gatekeeper_on_the_ledger import _key

pytestmark = pytest.mark.postgres


def event(*subjects: str) -> Event:
    return Event.model_validate({
        "specversion": "1.0", "id": str(uuid.uuid4()), "source": "/t", "type": "x.y",
        "subject": subjects[0], "subjects": ",".join(subjects)})  # fmt: skip


async def test_histories_are_one_snapshot_and_whole(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(remote, "HISTORIES", 3)
    ring = Keyring()
    built = service.build(Shared(), LedgerSettings(), ring)
    client = Client("http://ledger", _key(ring, "x"), built.app)
    ledger = HttpLedger(client)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        await stack.enter_async_context(built.run())
        for _ in range(3):
            await ledger.append("main", [event("a:1", "b:1") for _ in range(400)])
        await ledger.append("main", [event("b:1", "c:1")])
        asked = ["b:1", "nobody:1", "a:1", "c:1", "a:1"]
        found = await ledger.histories("main", asked)
        assert [(page.subject, page.version) for page in found] == [
            ("b:1", 1201), ("nobody:1", 0), ("a:1", 1200), ("c:1", 1), ("a:1", 1200),
        ]  # fmt: skip
        assert [len(page.events) for page in found] == [1201, 0, 1200, 1, 1200]
        assert found[0].events == (await ledger.history("main", "b:1")).events
        earlier = await ledger.histories("main", ["b:1", "c:1"], as_of="1200")
        assert [page.version for page in earlier] == [1200, 0]
        with pytest.raises(Invalid, match="not a subject key"):
            await ledger.histories("main", ["no key"])
