"""The gatekeeper's HTTP verbs. Shapes in and out are models, so that OpenAPI tells the truth."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from starlette.requests import Request

from contracts import ijson
from contracts.decision import Decision
from contracts.event import Receipt
from contracts.payloads.model import Identifier
from contracts.problem import Forbidden, Malformed
from services.gatekeeper import approving, deciding, policy
from services.kit.identity import Keyring, Principal, authenticate


def _clean(text: str) -> str:
    ijson.check(text)
    return text


Name = Annotated[Identifier, AfterValidator(_clean)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Prose = Annotated[str, Field(max_length=20_000), AfterValidator(_clean)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Ask(_In):
    """May this release pass? Give the gate, or the environment that `deploy:…` guards."""

    release: Name
    gate: Name | None = None
    environment: Name | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Ask:
        if (self.gate is None) == (self.environment is None):
            raise ValueError("give either gate or environment")
        return self

    @property
    def at(self) -> str:
        """The gate that is asked about."""
        return self.gate or f"deploy:{self.environment}"


class Say(_In):
    """A person's yes or no. Who says it is the authenticated person; a body cannot name one."""

    gate: Name
    decision: Literal["approved", "rejected"]
    comment: Prose | None = None
    target_digest: Digest | None = None
    """The manifest that the person looked at; another current one is refused with 412."""
    statement: Prose | None = None
    """What the person was shown, as text; its SHA-256 is recorded. `artefact` in a JSON object is
    the manifest that the person looked at."""

    @model_validator(mode="after")
    def _no_says_why(self) -> Say:
        if self.decision == "rejected" and not (self.comment or "").strip():
            raise ValueError("a rejection needs a comment that says why")
        return self


class Recorded(BaseModel):
    """A decision with its place in the ledger."""

    decision_id: str
    position: int
    recorded_at: str
    decision: Decision


class DryRun(BaseModel):
    """What the decision would be. Nothing was recorded."""

    decision: Decision


class Decisions(BaseModel):
    """The decisions of a release, newest first."""

    release: str
    decisions: list[Recorded]


class Voted(BaseModel):
    """The recorded vote, and the gate's decision after it.

    `decision` is null when the gate could not be judged at once: the vote stands, ask again.
    `position` is the last one that was written: wait for it to see all of this in a projection.
    """

    approval: Receipt
    decision_id: str | None
    decision: Decision | None
    position: int


class ActivePolicy(BaseModel):
    """The text that judges now. `valid` is false when it cannot, which denies everything."""

    name: str
    version: int | None
    digest: str | None
    gates: list[str]
    position: int
    activated_at: str
    valid: bool
    content: str


class Policies(BaseModel):
    """All policies that judge now."""

    policies: list[ActivePolicy]


class Validation(BaseModel):
    """Whether a text is a policy. Each problem is `file:line:column rule.field: text`."""

    valid: bool
    problems: list[str]
    name: str | None = None
    version: int | None = None
    digest: str | None = None
    gates: list[str] = []


_YAML = {
    "requestBody": {
        "required": True,
        "content": {"application/yaml": {"schema": {"type": "string"}}},
    }
}


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
        router.get("/releases/{release:path}/decisions")(self.decisions)
        router.post("/releases/{release:path}/approvals", status_code=201)(self.approve)
        router.get("/policies")(self.policies)
        router.post("/policies/validate", openapi_extra=_YAML)(self.validate)
        return router

    async def decide(self, request: Request, body: Ask) -> Recorded:
        """Judge a release at a gate and record the decision."""
        principal = self._who(request)
        if not principal.scopes & {"event:write", "decision:make"}:
            raise Forbidden("this needs the scope event:write or decision:make")
        return _shown(await self._decider.decide(body.release, body.at))

    async def dry_run(self, request: Request, body: Ask) -> DryRun:
        """Judge a release at a gate and record nothing."""
        self._who(request, "read")
        return DryRun(decision=(await self._decider.dry_run(body.release, body.at)).decision)

    async def decision(self, request: Request, decision_id: str) -> Recorded:
        """Give one recorded decision."""
        self._who(request, "read")
        return _shown(await self._decider.decision(decision_id))

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
        """Approve or reject a release at a gate, as the authenticated person; judge it again."""
        person = self._who(request, "decision:make")
        yes = body.decision == "approved"
        vote = approving.Vote(
            release, body.gate, yes, body.comment, body.target_digest, body.statement
        )
        cast = await approving.cast(self._decider, person, vote)
        made = cast.decision
        return Voted(
            approval=cast.receipt,
            decision_id=made.decision_id if made else None,
            decision=made.decision if made else None,
            position=made.position if made else cast.receipt.position,
        )

    async def policies(self, request: Request) -> Policies:
        """Give the policies that judge now."""
        self._who(request, "read")
        return Policies(policies=[_policy(found) for found in await self._decider.active()])

    async def validate(self, request: Request) -> Validation:
        """Say whether a YAML text is a policy, with every fault at once."""
        self._who(request, "read")
        try:
            found = policy.load((await request.body()).decode("utf-8"), "policy.yaml")
        except UnicodeDecodeError:
            raise Malformed("the body is not UTF-8") from None
        except policy.PolicyFaultsError as error:
            return Validation(valid=False, problems=error.faults)
        gates = [gate.id for gate in found.document.gates]
        return Validation(valid=True, problems=[], gates=gates, **found.ref.model_dump())

    def _who(self, request: Request, scope: str | None = None) -> Principal:
        principal = authenticate(self._keyring, request.headers)
        if scope is not None:
            principal.require(scope)
        return principal


def _shown(found: deciding.Recorded) -> Recorded:
    return Recorded.model_validate(found, from_attributes=True)


def _policy(found: deciding.Active) -> ActivePolicy:
    known = found.policy
    return ActivePolicy(
        name=found.name,
        version=known.ref.version if known else None,
        digest=known.ref.digest if known else None,
        gates=[gate.id for gate in known.document.gates] if known else [],
        position=found.position,
        activated_at=found.activated_at,
        valid=known is not None,
        content=found.content,
    )
