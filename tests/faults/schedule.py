"""One schedule: callers drawn from a seed, disturbances beside them, a reader, then the judge.

The seed fixes what is asked and which faults are armed; the machine decides how it interleaves.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from services.kit import clock
from services.ledger.store import Reader
from services.ledger.tables import LedgerRow
from tests.faults import oracle, stored
from tests.faults.doors import Door, Engine, Late, NotSent, Unknown
from tests.faults.record import LATE, UNKNOWN, Answer, Call, Record, Sent, Sighting, content
from tests.faults.serial import Violation
from tests.faults.workload import Ask, Workload

ANSWER_SECONDS = 60.0
"""Who has no answer by then never gets one."""
Disturbance: TypeAlias = "Callable[[Run], Coroutine[Any, Any, None]]"
_numbers = itertools.count(1)


@dataclass
class Stage:
    """The database that schedules run on; each brings a ledger of its own."""

    url: str
    reader: Reader

    async def ledger(self) -> LedgerRow:
        name = f"ledger-{next(_numbers)}"
        await self.reader.open([name])
        return self.reader.ledger(name)


@dataclass
class Run:
    """A schedule while it runs."""

    stage: Stage
    row: LedgerRow
    chance: random.Random
    workload: Workload
    doors: list[Door]
    record: Record
    impatience: float = 0.0
    """Share of calls whose caller goes away at once."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    fired: list[str] = field(default_factory=list)
    """The faults that happened."""
    unknown: list[Ask] = field(default_factory=list)
    _batches: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def caller(self, calls: int, pause: float) -> None:
        for _ in range(calls):
            ask = self.workload.next()
            while not await self.ask(self.chance.choice(self.doors), ask):
                if self.chance.random() < 0.5:
                    break  # the question is asked again at the end
                await asyncio.sleep(0.02)
            await asyncio.sleep(self.chance.uniform(0, pause))

    async def ask(self, door: Door, ask: Ask, *, patient: bool = False) -> bool:
        """Ask and write down what came; False when the outcome is not known."""
        calls = self._written_down(ask)
        leaves = not patient and self.chance.random() < self.impatience
        seconds = self.chance.uniform(0, 0.01) if leaves else ANSWER_SECONDS
        began = clock.monotonic()
        try:
            async with asyncio.timeout(seconds):
                answers = await door.ask(ask)
        except NotSent:
            self.record.calls = [call for call in self.record.calls if call not in calls]
            return False
        except Late:
            answers = [Answer(LATE)] * len(ask.events)
        except Unknown:
            self.unknown.append(ask)
            return False
        except TimeoutError:
            if not leaves:
                raise Violation(f"no answer for {clock.monotonic() - began:.0f} s") from None
            self.fired.append("client gone")
            self.unknown.append(ask)
            return False
        if self._answered(calls, answers):
            return True
        self.unknown.append(ask)
        return False

    def _written_down(self, ask: Ask) -> list[Call]:
        events = tuple(map(Sent.of, ask.events))
        now, batch = clock.monotonic(), next(self._batches)
        if ask.expect is None:
            calls = [Call((event,), {}, now, batch=batch) for event in events]
        else:
            calls = [Call(events, dict(ask.expect), now)]
        self.record.calls += calls
        return calls

    def _answered(self, calls: list[Call], answers: list[Answer]) -> bool:
        """Write down what each call was told; False when some of it is not known."""
        now, given = clock.monotonic(), iter(answers)
        for call in calls:
            told = list(itertools.islice(given, len(call.events)))
            kinds = {one.kind for one in told}
            if kinds <= {LATE, UNKNOWN}:
                call.never = kinds == {LATE}
            else:
                call.answers, call.ended = told, now
        for one in answers:
            self.workload.seen |= one.actual or {}
        for call in calls:
            self._learn(call)
        self.fired += ["deadline passed" for call in calls if call.never]
        return all(call.never or call.is_known() for call in calls)

    def _learn(self, call: Call) -> None:
        for one in call.answers or ():
            if one.receipt is not None and one.kind == "appended":
                self.workload.seen |= json.loads(one.receipt)["versions"]

    async def tail(self) -> None:
        """Read on for ever, only forward, and write down every page."""
        after = 0
        while not self.over.is_set():
            began = clock.monotonic()
            try:
                page = await self.stage.reader.page(
                    self.row.name, after, self.chance.randint(1, 50)
                )
            except Exception:  # noqa: BLE001 - the database may be away
                await asyncio.sleep(0.05)
                continue
            events = tuple((e.position, content(json.loads(e.event))) for e in page.events)
            seen = Sighting(began, clock.monotonic(), after, page.head, events)
            self.record.sightings.append(seen)
            after += len(events)
            await asyncio.sleep(self.chance.uniform(0, 0.02))

    async def settle(self) -> None:
        """Ask again, with the same ids, what nobody knows the outcome of; then judge everything."""
        engine = Engine(self.stage.url, self.row)
        try:
            for ask in {id(ask): ask for ask in self.unknown}.values():
                if not await self.ask(engine, replace(ask, seconds=None), patient=True):
                    raise Violation("an engine on a healthy database does not know the outcome")
        finally:
            await engine.stop()
        await stored.read(self.stage.url, self.row.id, self.record)
        oracle.judge(self.record)


async def play(run: Run, *, callers: int, calls: int, disturbances: Iterable[Disturbance]) -> None:
    """Run a schedule to its end and judge it."""
    beside = [asyncio.create_task(run.tail())]
    beside += [asyncio.create_task(disturb(run)) for disturb in disturbances]
    pause = run.chance.choice([0, 0.005, 0.02])
    try:
        await asyncio.gather(*(run.caller(calls, pause) for _ in range(callers)))
        run.over.set()
        await asyncio.gather(*beside)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        for door in run.doors:
            await door.stop()
    await run.settle()
    for door in run.doors:
        if isinstance(door, Engine) and door.falls:
            raise Violation(f"the engine fell: {door.falls[0]!r}") from door.falls[0]
