"""The gatekeeper over HTTP in process, against a ledger in memory that holds a release's story."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from services.gatekeeper import service
from services.gatekeeper.activating import activate, read_folder
from services.gatekeeper.deciding import Decider
from services.kit import clock
from services.kit.identity import Keyring
from services.kit.settings import Shared
from tests.integration.gatekeeper.people import HAL, QI, ROSA, SETTINGS, Caller
from tests.unit.gatekeeper.memory import MemoryLedger
from tests.unit.gatekeeper.told import Told


@pytest.fixture
def policies() -> Path:
    """The folder of the policies that judge."""
    return SETTINGS.policies


@pytest.fixture
def told() -> Told:
    told = (
        Told(clock.now() - timedelta(hours=1))
        .planned()
        .risk()
        .merged()
        .candidate()
        .tests()
        .scan()
        .plan()
    )
    return told.role("release-manager", ROSA, HAL).role("qa", QI)


@pytest.fixture
def ledger(told: Told) -> MemoryLedger:
    return MemoryLedger(told)


@pytest.fixture
async def caller(ledger: MemoryLedger) -> AsyncIterator[Caller]:
    ring = Keyring()
    built = service.build(Shared(), SETTINGS, ring, ledger)
    await activate(Decider(ledger, "main", ["standard"]), read_folder(SETTINGS.policies))
    transport = httpx2.ASGITransport(app=built.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gk") as http:
        yield Caller(http, ring)
