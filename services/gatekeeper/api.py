"""The gatekeeper's HTTP verbs; what they take and give stands in `shapes`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request

from contracts.event import Receipt
from contracts.problem import Forbidden
from services.gatekeeper import (
    approving,
    deciding,
    deploying,
    permits,
    replaying,
)
from services.gatekeeper.shapes import (
    Ask,
    Begin,
    Decisions,
    DryRun,
    Name,
    Permit,
    Recorded,
    Replayed,
    Say,
    Voted,
)
from services.kit.identity import Keyring, Principal, authenticate

SEAL_SECONDS = 10
"""How long `sealed=true` waits."""


class Api:
    """The routes over one `Decider`."""

    def __init__(self, decider: deciding.Decider, keyring: Keyring) -> None:
        """Serve `decider` to whoever `keyring` knows."""
        self._decider, self._keyring = decider, keyring

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1", tags=["gatekeeper"])
        router.post("/decisions", status_code=201)(self.decide)
        router.post("/dry-runs")(self.dry_run)
        router.get("/decisions/{decision_id}")(self.decision)
        router.post("/decisions/{decision_id}/replay")(self.replay)
        router.get("/permits/{permit_id}")(self.permit)
        router.post("/permits/{permit_id}/deployments", status_code=201)(self.begin)
        router.get("/releases/{release:path}/decisions")(self.decisions)
        router.post("/releases/{release:path}/approvals", status_code=201)(self.approve)
        return router

    async def decide(
        self, request: Request, body: Ask, *, sealed: bool = False, permit: bool = False
    ) -> Recorded:
        """Judge a release at a gate and record the decision.

        `permit=true`: where the answer is yes, give a permit for one deployment. `sealed=true`:
        answer when the log's published tree covers it, or after ten seconds.
        """
        principal = self._who(request)
        if not principal.scopes & {"event:write", "decision:make"}:
            raise Forbidden("this needs the scope event:write or decision:make")
        made = _shown(await self._decider.decide(body.release, body.at, permit=permit))
        if not sealed:
            return made
        covered = await self._decider.ledger.sealed(self._decider.name, made.position, SEAL_SECONDS)
        return made.model_copy(update={"sealed": covered})

    async def dry_run(self, request: Request, body: Ask) -> DryRun:
        """Judge a release at a gate and record nothing."""
        self._who(request, "read")
        return DryRun(decision=(await self._decider.dry_run(body.release, body.at)).decision)

    async def decision(self, request: Request, decision_id: str) -> Recorded:
        """Give one recorded decision."""
        self._who(request, "read")
        return _shown(await self._decider.decision(decision_id))

    async def replay(self, request: Request, decision_id: str) -> Replayed:
        """Judge a recorded decision once more, from what it had read, and compare every byte."""
        self._who(request, "read")
        found = await replaying.one(self._decider.reader, decision_id)
        return Replayed.model_validate(found, from_attributes=True)

    async def permit(self, request: Request, permit_id: str) -> Permit:
        """Give a permit and say whether it can be used."""
        self._who(request, "read")
        page = await self._decider.reader.history(f"permit:{permit_id}")
        said = permits.issued(page).model_dump()
        return Permit(**said, state=permits.state(page, self._decider.now()))

    async def begin(self, request: Request, permit_id: str, body: Begin) -> Receipt:
        """Use a permit up: record that the deployment begins, if the gate is open still."""
        who = self._who(request, "event:write")
        start = deploying.Start(**body.model_dump())
        return await deploying.begin(self._decider, permit_id, start, who)

    async def decisions(
        self,
        request: Request,
        release: str,
        gate: str | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> Decisions:
        """Give the recorded decisions of a release, newest first."""
        self._who(request, "read")
        found = await self._decider.decisions(release)
        chosen = [_shown(one) for one in found if gate in {None, one.decision.gate}]
        return Decisions(release=release, decisions=chosen[:limit])

    async def approve(self, request: Request, release: Name, body: Say) -> Voted:
        """Approve, reject or abstain at a gate, as the authenticated person; judge it again."""
        person = self._who(request, "decision:make")
        said = body.model_dump(exclude={"gate", "target_digest"})
        vote = approving.Vote(release, body.gate, seen_digest=body.target_digest, **said)
        cast = await approving.cast(self._decider, person, vote)
        made = cast.decision
        return Voted(
            approval=cast.receipt,
            decision_id=made.decision_id if made else None,
            decision=made.decision if made else None,
            position=made.position if made else cast.receipt.position,
        )

    def _who(self, request: Request, scope: str | None = None) -> Principal:
        principal = authenticate(self._keyring, request.headers)
        if scope is not None:
            principal.require(scope)
        return principal


def _shown(found: deciding.Recorded) -> Recorded:
    return Recorded.model_validate(found, from_attributes=True)
