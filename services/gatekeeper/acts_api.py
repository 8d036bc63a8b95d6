"""The HTTP verbs of change control: vetoes, withdrawals, broken glass, exceptions and more."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request

from contracts.event import Receipt, format_time
from contracts.payloads.control import DelegationGranted, ExceptionGranted, FreezeDeclared
from contracts.payloads.model import Timestamp
from services.gatekeeper.acts import Acts
from services.gatekeeper.shapes import Digest, In, Name, Reason
from services.kit import clock
from services.kit.identity import Keyring, Principal, authenticate


class Withdrawal(In):
    """A person takes back what they said at a gate."""

    gate: Name
    reason: Reason


class Objection(In):
    """A veto, at one gate or (null) at all of them."""

    gate: Name | None = None
    reason: Reason


class End(In):
    """Something ends: a veto, an exception, a freeze."""

    reason: Reason


class Glass(In):
    """A person asks to pass a gate without its rules, for the candidate that they looked at."""

    gate: Name
    incident_id: Name
    reason: Reason
    target_digest: Digest


class Lending(In):
    """A holder of a role lets one other person approve in their place, at one gate, for a while."""

    role: Name
    gate: Name
    delegate: Name
    until: Timestamp
    reason: Reason


class Look(In):
    """What a review has found of a pass without rules."""

    gate: Name
    outcome: Literal["justified", "not_justified"]
    findings: Reason


class Raised(BaseModel):
    """A veto that was raised."""

    veto_id: str
    receipt: Receipt


class Lent(BaseModel):
    """A role that was delegated."""

    delegation_id: str
    receipt: Receipt


class FrozenWindow(BaseModel):
    """One window in UTC."""

    freeze_id: str
    reason: str
    start: str
    end: str


class Simulation(BaseModel):
    """The windows of a calendar's freezes to come, in order."""

    calendar: str
    windows: list[FrozenWindow]


class ActsApi:
    """The routes over `Acts`."""

    def __init__(self, acts: Acts, keyring: Keyring) -> None:
        """Serve `acts` to whoever `keyring` knows."""
        self._acts, self._keyring = acts, keyring

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1", tags=["change control"])
        of_release = "/releases/{release:path}"
        router.post(f"{of_release}/withdrawals", status_code=201)(self.withdraw)
        router.post(f"{of_release}/vetoes", status_code=201)(self.object)
        router.post(f"{of_release}/vetoes/{{veto}}/lift", status_code=201)(self.lift)
        router.post(f"{of_release}/break-glass", status_code=201)(self.break_glass)
        router.post(f"{of_release}/break-glass/review", status_code=201)(self.review)
        router.post("/exceptions", status_code=201)(self.grant)
        router.post("/exceptions/{exception}/revoke", status_code=201)(self.revoke)
        router.post("/delegations", status_code=201)(self.delegate)
        router.post("/delegations/{delegation}/revoke", status_code=201)(self.end_delegation)
        router.post("/freezes", status_code=201)(self.declare)
        router.post("/freezes/{freeze}/lift", status_code=201)(self.unfreeze)
        router.get("/freezes/simulation")(self.simulate)
        return router

    async def withdraw(self, request: Request, release: Name, body: Withdrawal) -> Receipt:
        """Take back an approval or a rejection, as the authenticated person."""
        who = self._who(request, "decision:make")
        return await self._acts.withdraw(who, release, body.gate, body.reason)

    async def object(self, request: Request, release: Name, body: Objection) -> Raised:
        """Raise a veto, as the authenticated person."""
        who = self._who(request, "decision:make")
        id_, receipt = await self._acts.object(who, release, body.gate, body.reason)
        return Raised(veto_id=id_, receipt=receipt)

    async def lift(self, request: Request, release: Name, veto: Name, body: End) -> Receipt:
        """Lift a veto: whoever raised it, or somebody of the role."""
        return await self._acts.lift(
            self._who(request, "decision:make"), release, veto, body.reason
        )

    async def break_glass(self, request: Request, release: Name, body: Glass) -> Receipt:
        """Ask to pass a gate without its rules. It takes as many people as the policy says."""
        who = self._who(request, "decision:make")
        said = (body.gate, body.incident_id, body.reason, body.target_digest)
        return await self._acts.break_glass(who, release, *said)

    async def review(self, request: Request, release: Name, body: Look) -> Receipt:
        """Record the review of a pass without rules. Who passed it may not review it."""
        who, good = self._who(request, "decision:make"), body.outcome == "justified"
        return await self._acts.review(who, release, body.gate, body.findings, justified=good)

    async def grant(self, request: Request, body: ExceptionGranted) -> Receipt:
        """Grant an exception, as the authenticated person: `approver` is theirs."""
        return await self._acts.grant(self._who(request, "decision:make"), body)

    async def revoke(self, request: Request, exception: Name, body: End) -> Receipt:
        """End an exception before its day."""
        return await self._acts.revoke(self._who(request, "decision:make"), exception, body.reason)

    async def delegate(self, request: Request, body: Lending) -> Lent:
        """Delegate a role that the authenticated person holds."""
        who, id_ = self._who(request, "decision:make"), str(uuid.uuid4())
        given = DelegationGranted(delegation_id=id_, delegator=who.id, **body.model_dump())
        return Lent(delegation_id=id_, receipt=await self._acts.delegate(who, given))

    async def end_delegation(self, request: Request, delegation: Name, body: End) -> Receipt:
        """Take a delegation back, or give it back."""
        who = self._who(request, "decision:make")
        return await self._acts.end_delegation(who, delegation, body.reason)

    async def declare(self, request: Request, body: FreezeDeclared) -> Receipt:
        """Declare a freeze, once or recurring."""
        return await self._acts.declare(self._who(request, "role:write"), body)

    async def unfreeze(self, request: Request, freeze: Name, body: End) -> Receipt:
        """Lift a freeze."""
        who = self._who(request, "role:write")
        return await self._acts.unfreeze(who, freeze, body.reason)

    async def simulate(
        self,
        request: Request,
        calendar: Name = "main",
        months: Annotated[int, Query(ge=1, le=24)] = 12,
    ) -> Simulation:
        """Give the windows of a calendar's freezes for the months to come, in UTC."""
        self._who(request, "read")
        planned = await self._acts.planned(calendar, clock.now(), months)
        windows = [
            FrozenWindow(freeze_id=each.id, reason=each.reason,
                         start=format_time(each.start), end=format_time(each.end))
            for each in planned
        ]  # fmt: skip
        return Simulation(calendar=calendar, windows=windows)

    def _who(self, request: Request, scope: str) -> Principal:
        principal = authenticate(self._keyring, request.headers)
        principal.require(scope)
        return principal
