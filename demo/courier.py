"""The courier: carries a story's steps to the services, and can do it again without harm."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx2

from contracts import problem
from contracts.event import OURS, RecordedEvent, format_time
from demo.native import note
from demo.steps import Ask, Await, Facts, Permit, Sit, Story, Vote, Webhook
from services.kit import clock
from services.kit.identity import DEMO_KEY, Principal
from services.kit.remote import Client, HttpLedger

if TYPE_CHECKING:
    from starlette.types import ASGIApp

LEDGER = "main"
ANCHOR = "event:demo"
STARTED, FINISHED = "demo.started", "demo.finished"
PATIENCE_SECONDS = 60
_PAUSES = (0.2, 0.5, 1, 2, 4, 8)
_LOOKS = 10
T = TypeVar("T")
Body = dict[str, Any]


class LoadError(Exception):
    """The demo could not be loaded; the message is one sentence for people."""


class Courier:
    """Carries steps to the services. Every method can be repeated."""

    def __init__(self, ledger_url: str, gatekeeper_url: str, app: ASGIApp | None) -> None:
        """Speak to the services at two URLs, or in this process when there is an app."""
        self._ledger = Client(ledger_url, DEMO_KEY, app)
        self._gatekeeper = Client(gatekeeper_url, DEMO_KEY, app)
        transport = None if app is None else httpx2.ASGITransport(app=app)
        self._hooks = httpx2.AsyncClient(base_url=ledger_url, transport=transport, timeout=30)
        self.ledger = HttpLedger(self._ledger)
        self.resumed = False
        """Whether votes may have been cast before."""

    async def close(self) -> None:
        """Close the connections."""
        for client in (self._ledger, self._gatekeeper):
            await client.close()
        await self._hooks.aclose()

    async def anchored(self, seed: int, now: datetime) -> list[RecordedEvent]:
        """Return what the ledger knows of the demo; when that is nothing, begin one."""
        told = (await patiently(lambda: self.ledger.history(LEDGER, ANCHOR))).events
        if not told:
            event = note(STARTED, ANCHOR, now, {"seed": seed, "now": format_time(now)})
            body: Body = {"events": [event], "expect": {ANCHOR: 0}}
            try:
                await self._ledger.post(f"/v1/ledgers/{LEDGER}/appends", body)
            except (problem.Conflict, problem.Unavailable):
                self.resumed = True
            return (await patiently(lambda: self.ledger.history(LEDGER, ANCHOR))).events
        self.resumed = True
        return told

    async def finish(self, tale: Story) -> None:
        """Note that the whole story is told."""
        told = {"releases": len(tale.releases), "waiting": tale.waiting}
        anchor = (await self.ledger.history(LEDGER, ANCHOR)).events[0]
        await self.facts(Facts("", (note(FINISHED, ANCHOR, anchor.occurred_at, told),)))

    async def ready(self, gate: str) -> None:
        """Wait until the gatekeeper has a policy for the gate; before that no vote counts."""
        deadline = clock.monotonic() + PATIENCE_SECONDS
        while clock.monotonic() < deadline:
            answer = await patiently(lambda: self._gatekeeper.get("/v1/policies"))
            if any(gate in policy["gates"] for policy in answer["policies"]):
                return
            await asyncio.sleep(0.2)
        raise LoadError(f"the gatekeeper has no active policy for {gate}")

    async def hook(self, webhook: Webhook) -> None:
        """Deliver a webhook."""

        async def deliver() -> None:
            path, headers = f"/v1/hooks/{webhook.connection}", webhook.headers()
            try:
                answer = await self._hooks.post(path, content=webhook.body(), headers=headers)
            except httpx2.HTTPError as error:
                raise problem.Unavailable(f"no answer: {type(error).__name__}") from error
            if answer.status_code == problem.Unavailable.status:
                raise problem.Unavailable("the ledger is busy")
            if not answer.is_success:
                raise LoadError(f"a {webhook.kind} webhook was refused: HTTP {answer.status_code}")

        await patiently(deliver)

    async def facts(self, facts: Facts) -> list[str]:
        """Append facts as their actor; return the outcomes."""
        actor = Principal(facts.actor, "A0") if facts.actor else None
        path = f"/v1/ledgers/{LEDGER}/events"
        body: list[Any] = list(facts.events)
        answer = await patiently(lambda: self._ledger.post(path, body, actor))
        for result, event in zip(answer["results"], facts.events, strict=True):
            if result["outcome"] not in {"appended", "duplicate"}:
                detail = result.get("problem", {}).get("detail", result["outcome"])
                raise LoadError(f"{event['type']} of {event['subject']} was refused: {detail}")
        return [result["outcome"] for result in answer["results"]]

    async def mapped(self, step: Await) -> None:
        """Wait until a subject's history has an event of a type."""
        deadline, after, seen = clock.monotonic() + PATIENCE_SECONDS, 0, 0
        while seen < step.count:
            if clock.monotonic() > deadline:
                raise LoadError(f"no {step.type} of {step.subject} came from the webhooks")
            page = await self.ledger.page(
                LEDGER, after, wait=2, type_=OURS + step.type, subject=step.subject
            )
            after, seen = page.scanned_to, seen + len(page.events)

    async def vote(self, vote: Vote) -> str | None:
        """Cast a vote unless it is cast; return the gate's verdict after it, None when unknown."""
        path = f"/v1/releases/{quote(vote.release, safe='')}/approvals"
        said: Body = {"gate": vote.gate, "decision": vote.decision, "comment": vote.comment}
        person = Principal(vote.person, "A0")
        for pause in (*_PAUSES, None):
            if self.resumed and await self._is_cast(vote):
                return None
            try:
                answer = await self._having_looked(vote.release, vote.gate, path, said, person)
            except problem.Unavailable:
                if pause is None:
                    raise
                self.resumed = True  # it may have been recorded: look before the next attempt
                await asyncio.sleep(pause)
            else:
                return answer["decision"] and str(answer["decision"]["decision"])
        return None

    async def _having_looked(
        self, release: str, gate: str, path: str, said: Body, person: Principal
    ) -> Any:
        """Say something of the gate as it was judged last; look again where that has moved."""
        for _ in range(_LOOKS):
            newest = await self._newest(release, gate)
            seen = newest or await self._gatekeeper.post(
                "/v1/decisions", {"release": release, "gate": gate}, person
            )
            said = said | {"seen_decision": seen["decision_id"]}
            with contextlib.suppress(problem.PreconditionFailed):
                return await self._gatekeeper.post(path, said, person)
        raise LoadError(f"{release} moved whenever {person.id} had looked at {gate}")

    async def _newest(self, release: str, gate: str) -> Any:
        """Return the newest recorded decision of a gate, None when nobody has asked."""
        path = f"/v1/releases/{quote(release, safe='')}/decisions"
        answer = await patiently(lambda: self._gatekeeper.get(path, gate=gate, limit=1))
        return next(iter(answer["decisions"]), None)

    async def _is_cast(self, vote: Vote) -> bool:
        wanted_ = {"gate": vote.gate, "principal": vote.person, "decision": vote.decision}
        history = await self.ledger.history(LEDGER, f"release:{vote.release}")
        return any(
            event.type == f"{OURS}approval.decided.v1" and wanted_.items() <= event.data.items()
            for event in history.events
        )

    async def sit(self, sit: Sit) -> None:
        """Hold a session of a board. What is refused was said before the load was cut off."""
        item, path = {"release": sit.release, "gate": sit.gate}, "/v1/board-sessions"

        async def say(who: str, verb: str, body: Body) -> None:
            call = path + verb, body, Principal(who, "A0")
            with contextlib.suppress(problem.Conflict):
                await patiently(lambda: self._gatekeeper.post(*call))

        async def vote(who: str, body: Body) -> None:
            call = sit.release, sit.gate, f"{path}{here}/votes", body, Principal(who, "A0")
            with contextlib.suppress(problem.Conflict):
                await patiently(lambda: self._having_looked(*call))

        here, chair = f"/{quote(sit.session, safe='')}", sit.members[0]
        opened: Body = {"session_id": sit.session, "board": sit.board, "agenda": [item]}
        await say(chair, "", opened)
        for member in sit.members:
            await say(member, f"{here}/attendance", {"presence": "joined"})
        for member in sit.members:
            await vote(member, {**item, "vote": "approved", "reason": sit.reason})
        await say(chair, f"{here}/close", {"minutes": sit.minutes})

    async def verdict(self, ask: Ask) -> str | None:
        """Return the newest recorded verdict of a gate, None when nobody has asked."""
        newest = await self._newest(ask.release, ask.gate)
        return newest and str(newest["decision"]["decision"])

    async def ask(self, ask: Ask) -> str:
        """Ask the gatekeeper for a decision; return the verdict."""
        body: Body = {"release": ask.release, "gate": ask.gate}
        actor = Principal(ask.actor, "A0")
        answer = await patiently(lambda: self._gatekeeper.post("/v1/decisions", body, actor))
        return str(answer["decision"]["decision"])

    async def permit(self, asked: Permit) -> str | None:
        """Return the permit of a deployment, the one that it had before if there is one."""
        history = await patiently(lambda: self.ledger.history(LEDGER, f"release:{asked.release}"))
        issued = [
            str(event.data["permit_id"])
            for event in history.events
            if event.type == f"{OURS}permit.issued.v1" and event.data.get("gate") == asked.gate
        ]
        if len(issued) >= asked.attempt:
            return issued[asked.attempt - 1]
        body: Body = {"release": asked.release, "gate": asked.gate}
        actor = Principal(asked.actor, "A0")
        answer = await patiently(
            lambda: self._gatekeeper.post("/v1/decisions?permit=true", body, actor)
        )
        return answer["permit"] and str(answer["permit"]["permit_id"])


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Call again while the service is unavailable, a few seconds long."""
    for pause in _PAUSES:
        try:
            return await call()
        except problem.Unavailable:
            await asyncio.sleep(pause)
    return await call()
