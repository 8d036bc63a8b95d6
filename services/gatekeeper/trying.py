"""Trying: a policy that nobody has approved is run where it can take nothing down.

A child process of its own bounds its processor time and memory before it looks at the text. It
reaches no ledger: what it has to read it asks its parent for, a line of JSON each way. To start it
takes a second of processor time; use it for drafts, never for gates.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from contracts.event import HistoryPage, RecordedEvent
from contracts.problem import Invalid, Unavailable
from services.gatekeeper import linting, testing
from services.gatekeeper.backtesting import Remembered, backtest
from services.gatekeeper.linting import Remark
from services.gatekeeper.points import Points
from services.gatekeeper.policy import Policy, PolicyFaultsError
from services.gatekeeper.policy_shapes import Table, table
from services.gatekeeper.reading import Histories

MIB = 1024 * 1024
AT_ONCE = 2
"""Children of one process at a time; others wait for their turn."""
MOST_WAITING = 20
MOST_FAULTS = 1000
_ROOT = Path(__file__).parents[2]
_START = 20.0
"""Seconds for the child to come up and wait on a busy machine, beyond those it may compute."""
_LINE = 32 * MIB
_Json: TypeAlias = dict[str, Any]
_Question: TypeAlias = Callable[[], Awaitable[_Json]]
Holders: TypeAlias = Callable[[Sequence[str]], Awaitable[Mapping[str, Sequence[str]]]]
"""Says who holds each of some roles."""


class Checked(NamedTuple):
    """What is to be known of a draft without loading it; only `faults` where there are some."""

    faults: list[str]
    name: str = ""
    version: int = 0
    digest: str = ""
    gates: Sequence[str] = ()
    tests: int = 0


class Trials:
    """Runs drafts, each in its child, with what one ledger says."""

    def __init__(
        self, ledger: Histories, name: str, seconds: int = 30, memory: int = 1024 * MIB
    ) -> None:
        """Let a draft compute for `seconds` and use `memory` bytes of address space, of which
        Python and the expression engine themselves take some 100 MiB.
        """
        self._ledger, self._name = ledger, name
        self._seconds, self._memory = seconds, memory
        self._turn, self._asked = asyncio.Semaphore(AT_ONCE), 0

    async def check(self, text: str) -> Checked:
        """Return every fault of a text, its failing tests included, or what it is."""
        return Checked(**await self._run(_asking({"text": text})))

    async def lint(self, text: str, holders: Holders) -> tuple[list[str], list[Remark]]:
        """Return every fault of a text, and what is valid and odd. `holders`: of roles, by role."""
        answer = await self._run(_asking({"text": text, "lint": True}), holders)
        return answer["faults"], [Remark(**one) for one in answer["remarks"]]

    async def backtest(self, text: str, find: Callable[[], Awaitable[Points]]) -> Table:
        """Judge recorded decisions by a text; they are found when it has its turn. Raises `Invalid`
        with its faults.
        """

        async def question() -> _Json:
            found = await find()
            told = [point.model_dump(mode="json") for point in found.decisions]
            return {"text": text, "first": found.first, "last": found.last, "points": told}

        answer = await self._run(question)
        refuse(answer["faults"])
        return Table.model_validate(answer["table"])

    async def _run(self, question: _Question, holders: Holders | None = None) -> _Json:
        """Return the child's answer. Raises `Invalid` when it comes to none within its bounds,
        `Unavailable` when too many wait.
        """
        if self._asked >= AT_ONCE + MOST_WAITING:
            raise Unavailable("too many drafts are being tried; try again", retry_after_seconds=10)
        self._asked += 1
        try:
            async with self._turn:
                return await self._try(await question(), holders)
        finally:
            self._asked -= 1

    async def _try(self, question: _Json, holders: Holders | None) -> _Json:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, str(self._seconds), str(self._memory),
            cwd=_ROOT, env={}, limit=_LINE, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._seconds + _START):
                return await self._talk(child, question, holders)
        except (TimeoutError, ConnectionError, ValueError):
            bounds = f"{self._seconds} s and {self._memory // MIB} MiB"
            raise Invalid(f"the policy came to no answer within {bounds}") from None
        finally:
            await _end(child)

    async def _talk(
        self, child: asyncio.subprocess.Process, question: _Json, holders: Holders | None
    ) -> _Json:
        """Answer what the child asks until it answers. Raises `ValueError` where it dies first."""
        assert child.stdin is not None  # noqa: S101 - both are pipes
        assert child.stdout is not None  # noqa: S101
        said: bytes = json.dumps(question).encode()
        while True:
            child.stdin.write(said + b"\n")
            await child.stdin.drain()
            heard: _Json = json.loads(await child.stdout.readline())
            if "answer" in heard:
                answer: _Json = heard["answer"]
                return answer
            if holders is not None and "holders" in heard:
                said = json.dumps(await holders(heard["holders"])).encode()
                continue
            page = await self._ledger.history(
                self._name, heard["history"], as_of=str(question["last"])
            )
            said = page.model_dump_json().encode()


def _asking(question: _Json) -> _Question:
    async def asked() -> _Json:
        return question

    return asked


def refuse(faults: Sequence[str]) -> None:
    """Raise `Invalid` where there are faults."""
    if faults:
        errors = [{"pointer": "/content", "detail": one} for one in faults]
        raise Invalid(f"the policy is not valid: {faults[0]}", errors=errors)


async def _end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    await child.communicate()  # closes the pipes


class _Asked(Remembered):
    """Histories that are asked for once each, when somebody reads them."""

    def __init__(self, points: Sequence[RecordedEvent]) -> None:
        super().__init__()
        self.events = list(points)

    async def history(
        self, ledger: str, subject: str, *, after_version: int = 0, as_of: str | None = None
    ) -> HistoryPage:
        if subject not in self._by_subject:
            _say({"history": subject})
            page = HistoryPage.model_validate_json(sys.stdin.buffer.readline())
            self._by_subject[subject] = page.events
        return await super().history(ledger, subject, after_version=after_version, as_of=as_of)


def _work(question: _Json) -> _Json:
    try:
        candidate = testing.check(question["text"])
    except PolicyFaultsError as error:
        faults = error.faults[:MOST_FAULTS]
        return {"faults": faults} | ({"remarks": []} if "lint" in question else {})
    if "lint" in question:
        roles = {role for gate in candidate.document.gates for role in gate.roles()}
        _say({"holders": sorted(roles)})
        found = linting.lint(candidate, json.loads(sys.stdin.buffer.readline()))
        return {"faults": [], "remarks": [asdict(one) for one in found]}
    if "points" not in question:
        gates, tests = [gate.id for gate in candidate.document.gates], len(candidate.document.tests)
        return {"faults": [], "gates": gates, "tests": tests} | candidate.ref.model_dump()
    return _backtested(question, candidate)


def _backtested(question: _Json, candidate: Policy) -> _Json:
    first, last = question["first"], question["last"]
    points = [RecordedEvent.model_validate(point) for point in question["points"]]
    found = asyncio.run(backtest(_Asked(points), "", candidate, first, last))
    ref = candidate.ref
    return {"faults": [], "table": table(found, ref.name, ref.digest, first, last).model_dump()}


def _say(line: _Json) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _child(seconds: int, memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    with contextlib.suppress(ValueError):  # macOS refuses this one; there time is the only bound
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    question = json.loads(sys.stdin.buffer.readline())
    _say({"answer": _work(question)})


if __name__ == "__main__":
    _child(int(sys.argv[1]), int(sys.argv[2]))
