"""Telling a story: its steps in order, its threads side by side, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from demo.steps import Ask, Await, Facts, Permit, Sit, Step, Story, Thread, Vote, Webhook

if TYPE_CHECKING:
    from demo.courier import Courier

Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""


@dataclass
class Summary:
    """What a load did. `surprises` names verdicts that the story did not expect."""

    releases: int
    waiting: str
    gate: str
    now: str
    already: bool = False
    """The demo was loaded whole before; nothing was sent."""
    webhooks: int = 0
    facts: int = 0
    duplicates: int = 0
    votes: int = 0
    decisions: int = 0
    surprises: list[str] = field(default_factory=list)
    seconds: float = 0

    def lines(self) -> list[str]:
        """Return what a person should know after a load."""
        head = (
            f"the demo is there: {self.releases} releases from {self.webhooks} webhooks, "
            f"{self.facts} facts and {self.votes} votes, in {self.seconds} s"
        )
        if self.already:
            head = f"the demo was there already: {self.releases} releases up to {self.now}"
        waits = f"{self.waiting} waits at {self.gate} for a release manager: dev:grace"
        return [head, waits, *(f"unexpected: {text}" for text in self.surprises)]


class Telling:
    """Tells a story once, chapter by chapter, and keeps count."""

    def __init__(self, courier: Courier, summary: Summary, progress: Progress) -> None:
        """Send by `courier`, count in `summary`."""
        self._courier, self._summary, self._progress = courier, summary, progress
        self._verdicts: dict[tuple[str, str], str] = {}
        self._permits: dict[str, str] = {}
        self._done = 0

    async def tell(self, tale: Story) -> None:
        """Tell all of it. The threads of a chapter go side by side; the first failure stops all."""
        total = len(tale.steps())
        for chapter in tale.chapters:
            try:
                async with asyncio.TaskGroup() as group:
                    for thread in chapter:
                        group.create_task(self._thread(thread, total))
            except ExceptionGroup as failed:
                raise _first(failed) from None

    async def _thread(self, thread: Thread, total: int) -> None:
        for step in thread:
            await self._step(step)
            self._done += 1
            self._progress(self._done, total)

    async def _step(self, step: Step) -> None:
        match step:
            case Webhook():
                permit = self._permits.get(step.permit)
                await self._courier.hook(step if permit is None else step.permitted(permit))
                self._summary.webhooks += 1
            case Facts():
                outcomes = await self._courier.facts(step)
                self._summary.facts += len(outcomes)
                self._summary.duplicates += outcomes.count("duplicate")
            case Await():
                await self._courier.mapped(step)
            case Vote():
                await self._vote(step)
            case Sit():
                await self._courier.sit(step)
            case Ask():
                await self._ask(step)
            case Permit():
                await self._permit(step)

    async def _vote(self, vote: Vote) -> None:
        verdict = await self._courier.vote(vote)
        self._summary.votes += 1
        if verdict is not None:
            self._verdicts[vote.release, vote.gate] = verdict

    async def _ask(self, ask: Ask) -> None:
        """Ask, unless the last vote has answered: a gate is judged again after each vote."""
        verdict = self._verdicts.get((ask.release, ask.gate))
        if verdict not in ask.expect and self._courier.resumed:
            verdict = await self._courier.verdict(ask)
        if verdict not in ask.expect:
            verdict = await self._courier.ask(ask)
        self._summary.decisions += 1
        if verdict not in ask.expect:
            expected = " or ".join(ask.expect)
            self._summary.surprises.append(
                f"{ask.release} at {ask.gate}: {verdict}, the story expects {expected}"
            )

    async def _permit(self, asked: Permit) -> None:
        permit = await self._courier.permit(asked)
        self._summary.decisions += 1
        if permit is None:
            self._summary.surprises.append(f"{asked.deployment} got no permit at {asked.gate}")
        else:
            self._permits[asked.deployment] = permit


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    """Return the first failure of a group; the others are like it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
