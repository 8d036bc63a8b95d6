"""One schedule: a ledger, what is appended to it and when, and what it went through."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections import Counter
from typing import Any

from contracts.event import Event
from contracts.problem import Unavailable
from services.kit.remote import Client, HttpLedger
from tests.faults.kafka_faulty import Crowd
from tests.faults.kafka_world import Requests, World, batches, events
from tests.integration.kafka.live import LiveLedger

WITHIN_A_STEP = 0.5
"""Seconds over which a step's batches are spread."""


class Schedule:
    """Appends batches of drawn sizes, each at a drawn step of the round.

    A batch whose outcome is unknown is sent again with the same ids.
    """

    def __init__(self, seed: str, steps: int) -> None:
        self.seed = seed
        self.name = f"s-{uuid.uuid4().hex[:12]}"
        chance = random.Random(f"kafka/{seed}")
        some = batches(chance, events(chance, chance.randint(3, 9)), chance.choice([3, 10, 30]))
        self._batches = [[Event.model_validate(event) for event in batch] for batch in some]
        # The last step meets every schedule.
        moments = [chance.uniform(0, steps) for _ in self._batches[1:]] + [steps - 0.001]
        self._moments = sorted(moments)
        self._reached = [asyncio.Event() for _ in range(steps)]
        self._acknowledged: dict[str, int] = {}
        self.left = len(self._batches)
        self.met: Counter[str] = Counter()
        """Faults that came upon it while it was at work, and what they led to."""

    def reach(self, step: int) -> None:
        """Let the batches of a step be appended."""
        self._reached[step].set()

    async def append(self, client: Client) -> None:
        ledger = HttpLedger(client)
        for batch, moment in zip(self._batches, self._moments, strict=True):
            if not self._reached[int(moment)].is_set():
                await self._reached[int(moment)].wait()
                await asyncio.sleep(moment % 1 * WITHIN_A_STEP)
            await self._append(ledger, batch)
            self.left -= 1

    async def _append(self, ledger: HttpLedger, batch: list[Event]) -> None:
        while True:
            try:
                receipts = await ledger.append(self.name, batch)
            except Unavailable:
                self.met["→ a batch had to be sent again"] += 1
                await asyncio.sleep(0.1)
            else:
                break
        self._acknowledged |= {receipt.event_id: receipt.position for receipt in receipts}

    async def open(self, place: Crowd) -> None:
        """Look at what became of it."""
        ledger = LiveLedger(place.database)
        ledger.name = self.name
        await ledger.open()
        self._world = World(ledger, place, Requests(None))

    async def settled(self) -> None:
        with self._named():
            await self._world.relayed()
            await self._world.projected()

    async def judge(self, records: list[Any]) -> None:
        """Hold everything against the ledger, and say whether a fault had hit it."""
        with self._named():
            history = await self._world.history()
            stored = {event.event["id"]: event.position for event in history}
            assert stored == self._acknowledged, "what was acknowledged, where it was, and no more"
            await self._world.judge_relay(history, records)
            await self._world.judge_projection(history)
            await self._count(records, len(history))
            await self._world.ledger.reader.close()
            assert self.met, "nothing hit it"

    async def _count(self, records: list[Any], head: int) -> None:
        """Count what the faults led to: a claim that was not the first one had a reason."""
        for what, led_to in {"relay": "relay", "cursor": "projector"}.items():
            claims = {row["fencing"] for row in await self._world.done(what)}
            self.met[f"→ another {led_to} went on"] += len(claims) - 1
        self.met["→ records repeated"] += len(await self._world.on_the_topic(records)) - head
        self.met += Counter()  # without zeros

    @contextlib.contextmanager
    def _named(self) -> Any:
        try:
            yield
        except AssertionError as error:
            error.add_note(f"schedule {self.seed} ({self.name}): {dict(self.met)}")
            raise
