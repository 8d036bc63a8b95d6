"""Bugs that schedules have found, each as small as it can be made."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.faults.doors import Engine
from tests.faults.schedule import Stage
from tests.faults.workload import FINE, Ask

pytestmark = pytest.mark.postgres


def event(id_: str, *subjects: str) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": id_, "source": "/a", "type": FINE,
        "subjects": ",".join(subjects or ("s:1",)),
    }  # fmt: skip


async def test_a_group_sent_again_beside_fresh_events_gets_its_first_receipts(stage: Stage) -> None:
    """Its expectation fails by now, and the id is one that this process has not looked up."""
    row = await stage.ledger()
    one, two = Engine(stage.url, row), Engine(stage.url, row)
    (first,) = await one.ask(Ask([event("x")], {"s:1": 0}))
    await two.ask(Ask([event("y")], None))
    (again,), _ = await asyncio.gather(
        two.ask(Ask([event("x")], {"s:1": 0})), two.ask(Ask([event("z")], None))
    )
    assert (again.kind, again.receipt) == ("duplicate", first.receipt)
    await one.stop()
    await two.stop()
