"""The runbooks of docs/operations.md: their commands, against the three processes and a broker.

Between the commands the test does what the runbook leaves to its reader: it stops the broker and
brings it back, and it makes and mends what an event cannot be folded for.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.event import Event
from deploy.embedded import EmbeddedKafka, default_cache_dir
from services.kit.remote import Client, HttpLedger
from tests.faults.kafka_world import World, audit, events, onlooker
from tests.story import told
from tests.story.served import ROOT, Shape, apart, free_port

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(240)]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
WANTED = ("LEDGER", "PROJECTOR", "KEY", "DATABASE_URL", "RLG_LEDGER_URL", "RLG_SERVICE_KEY")
BREAK = "ALTER TABLE {}.release ADD CONSTRAINT odd CHECK (release_id <> 'pay-1') NOT VALID"
MEND = "ALTER TABLE {}.release DROP CONSTRAINT odd"


class Stack:
    """What a runbook's reader has before him."""

    def __init__(self, shape: Shape, broker: EmbeddedKafka, here: World, desk: Path) -> None:
        self.shape = shape
        self.broker = broker
        self.here = here
        self.desk = desk
        values = (shape.ledger, shape.projector, "demo-key", here.place.database, shape.ledger,
                  "demo-key")  # fmt: skip
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        self._env = own | dict(zip(WANTED, values, strict=True))

    async def do(self, block: str) -> str:
        """Run a block as it stands in the document."""
        return await asyncio.to_thread(told.run, block, self.desk, self._env, 90)

    async def append(self, stories: int) -> None:
        client = Client(self.shape.ledger, "demo-key")
        some = [Event.model_validate(event) for event in events(random.Random("runbook"), stories)]
        await HttpLedger(client).append("main", some)
        await client.close()


@pytest.fixture
async def stack(database_url: str, work_dir: Path, tmp_path: Path) -> AsyncIterator[Stack]:
    broker = EmbeddedKafka(
        work_dir / "runbook-kafka", default_cache_dir(os.environ), print, port=free_port()
    )
    await broker.start()
    kafka = broker.bootstrap_servers
    await audit(database_url)  # before the services make their first move
    shape = await asyncio.to_thread(apart, "runbooks", tmp_path, database_url, kafka)
    try:
        async with onlooker(database_url, kafka, shape.ledger, "main") as here:
            yield Stack(shape, broker, here, tmp_path)
    finally:
        await asyncio.to_thread(shape.stop)
        await broker.stop()


def test_the_runbooks_say_what_their_commands_want() -> None:
    (wanted,) = told.blocks(OPERATIONS, "## Runbooks")
    assert tuple(re.findall(r"(\w+)=", wanted)) == WANTED


async def test_kafka_is_down(stack: Stack) -> None:
    taken, named, well = told.blocks(OPERATIONS, "### Kafka is down")
    await stack.append(3)
    await stack.here.relayed()
    await stack.here.projected()
    confirmed = await stack.here.ledger.confirmed()
    await stack.broker.stop()
    await stack.do(taken)
    assert await stack.here.head() == confirmed + 1
    await stack.do(named)
    assert await stack.here.ledger.confirmed() == confirmed
    await stack.broker.start()
    said = await stack.do(well)
    figures = dict(re.findall(r'^rlg_(\w+)\{ledger="main"\} (\S+)$', said, re.MULTILINE))
    assert float(figures["ledger_head"]) == float(figures["relay_position"]) == confirmed + 1
    await stack.here.judge()


async def test_what_is_parked_comes_back_by_a_rebuild(stack: Stack) -> None:
    (parked,) = told.blocks(OPERATIONS, "### A projection is parked")
    replay, back = told.blocks(OPERATIONS, "### Rebuild a read model")
    for slot in ("projector", "projector_b"):
        await stack.here.fetch(BREAK.format(slot))
    await stack.append(3)
    await stack.here.projected()
    said = await stack.do(parked)
    assert '"subject":"release:pay-1"' in said
    assert "Unstorable: 23514" in said
    with pytest.raises(AssertionError, match="parked_subjects"):
        await stack.do(replay)  # nothing was mended, and it says so
    for slot in ("projector", "projector_b"):
        await stack.here.fetch(MEND.format(slot))
    said = await stack.do(replay)
    assert "parked still" not in said
    assert "release:pay-1" not in said
    await stack.do(back)
    assert '"subject":"release:pay-1"' in await stack.do(parked), "the old ones, as they were"
