"""The HTTP verbs of policies: what a text says, what it would have said, and how it comes to judge.

People speak in their own name. Drafts are run in a child process (`trying`).
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Query
from starlette.requests import Request

from contracts.problem import Malformed
from services.gatekeeper import active
from services.gatekeeper.deciding import Decider
from services.gatekeeper.governing import Governing
from services.gatekeeper.policy_shapes import (
    ActivePolicy,
    Agreement,
    ApprovalWithdrawal,
    Backtested,
    Draft,
    Lint,
    LintWarning,
    Policies,
    PolicyReceipt,
    Proposals,
    ProposedPolicy,
    Range,
    Retirement,
    Shadow,
    Start,
    Supporter,
    Table,
    Validation,
)
from services.gatekeeper.proposals import Governance, Proposal, fault, missing
from services.gatekeeper.shapes import Digest, Name
from services.kit import clock
from services.kit.identity import Keyring, Principal, authenticate

_YAML = {
    "requestBody": {
        "required": True,
        "content": {"application/yaml": {"schema": {"type": "string"}}},
    }
}
From: TypeAlias = Annotated[str | None, Query(alias="from", max_length=40)]
To: TypeAlias = Annotated[str | None, Query(max_length=40)]


class PoliciesApi:
    """The routes over `Governing`."""

    def __init__(self, decider: Decider, governing: Governing, keyring: Keyring) -> None:
        """Serve whoever `keyring` knows."""
        self._decider, self._governing, self._keyring = decider, governing, keyring

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/policies", tags=["policies"])
        of_proposal = "/{name}/proposals/{digest}"
        router.get("")(self.policies)
        router.post("/validate", openapi_extra=_YAML)(self.validate)
        router.post("/lint", openapi_extra=_YAML)(self.lint)
        router.post("/backtest", openapi_extra=_YAML)(self.backtest)
        router.post("/proposals", status_code=201)(self.propose)
        router.get("/{name}/proposals")(self.proposals)
        router.post(f"{of_proposal}/backtest", status_code=201)(self.attach)
        router.post(f"{of_proposal}/approvals", status_code=201)(self.approve)
        router.post(f"{of_proposal}/withdrawals", status_code=201)(self.withdraw)
        router.post(f"{of_proposal}/activation", status_code=201)(self.activate)
        router.post("/{name}/retirement", status_code=201)(self.retire)
        router.get("/{name}/shadow")(self.shadow)
        return router

    async def policies(self, request: Request) -> Policies:
        """Give the policies that judge now, with the position since which they do."""
        self._who(request, "read")
        pages, now = await self._decider.reader.policies(), clock.now()
        texts = [found for page in pages if (found := active.at(page, now)) is not None]
        return Policies(policies=[_active(found) for found in texts])

    async def validate(self, request: Request) -> Validation:
        """Say whether a YAML text is a policy that passes its tests, with every fault at once."""
        self._who(request, "read")
        text = _text(await request.body())
        found = await self._governing.trials.check(text)
        if found.faults:
            return Validation(valid=False, problems=found.faults)
        return Validation(
            valid=True, problems=[], gates=list(found.gates), tests=found.tests, name=found.name,
            version=found.version, digest=found.digest,
        )  # fmt: skip

    async def lint(self, request: Request) -> Lint:
        """Say what in a YAML text is valid and odd: rules that nobody can satisfy, or is asked."""
        self._who(request, "read")
        text = _text(await request.body())
        reader, now = self._decider.reader, clock.now()
        faults, remarks = await self._governing.trials.lint(
            text, lambda roles: reader.holders(roles, now)
        )
        warnings = [LintWarning.model_validate(one, from_attributes=True) for one in remarks]
        return Lint(valid=not faults, problems=faults, warnings=warnings)

    async def backtest(self, request: Request, from_: From = None, to: To = None) -> Table:
        """Say what a YAML text would have decided wherever a decision was made.

        `from` and `to` are positions or times; together they may hold 1,000 decisions (else 413).
        """
        self._who(request, "read")
        return await self._governing.backtest(_text(await request.body()), from_, to)

    async def propose(self, request: Request, body: Draft) -> PolicyReceipt:
        """Propose a text, as the authenticated person; its faults are all of `errors`."""
        who = self._who(request, "decision:make")
        said = (body.content, body.reason)
        found, receipt = await self._governing.propose(who, *said, shadow=body.shadow)
        return PolicyReceipt(policy=found.name, digest=found.digest, receipt=receipt)

    async def proposals(self, request: Request, name: Name) -> Proposals:
        """Give what was proposed of a policy, newest first, with what each text still lacks."""
        self._who(request, "read")
        found = await self._governing.read(name)
        told = [_proposal(name, one, found.by) for one in reversed(found.proposals)]
        return Proposals(policy=name, proposals=told)

    async def attach(self, request: Request, name: Name, digest: Digest, body: Range) -> Backtested:
        """Backtest a proposed text, and record what came of it, as the authenticated person."""
        who = self._who(request, "decision:make")
        found = await self._governing.attach(who, name, digest, body.first, body.last)
        return Backtested(policy=name, digest=digest, table=found[0], receipt=found[1])

    async def approve(
        self, request: Request, name: Name, digest: Digest, body: Agreement
    ) -> PolicyReceipt:
        """Approve of a proposed text, as the authenticated person: not its author, in the role."""
        who = self._who(request, "decision:make")
        receipt = await self._governing.approve(who, name, digest, body.comment)
        return PolicyReceipt(policy=name, digest=digest, receipt=receipt)

    async def withdraw(
        self, request: Request, name: Name, digest: Digest, body: ApprovalWithdrawal
    ) -> PolicyReceipt:
        """Take back an approval, as the authenticated person: 409 when the text judges already."""
        who = self._who(request, "decision:make")
        receipt = await self._governing.withdraw(who, name, digest, body.reason)
        return PolicyReceipt(policy=name, digest=digest, receipt=receipt)

    async def activate(
        self, request: Request, name: Name, digest: Digest, body: Start
    ) -> PolicyReceipt:
        """Let a proposed text judge: 412 with what it lacks."""
        who = self._who(request, "decision:make")
        receipt = await self._governing.activate(who, name, digest, body.effective_from)
        return PolicyReceipt(policy=name, digest=digest, receipt=receipt)

    async def retire(self, request: Request, name: Name, body: Retirement) -> PolicyReceipt:
        """End a policy: its gates are covered no more, and deny."""
        who = self._who(request, "decision:make")
        receipt = await self._governing.retire(who, name, body.reason)
        return PolicyReceipt(policy=name, digest=None, receipt=receipt)

    async def shadow(
        self, request: Request, name: Name, from_: From = None, to: To = None
    ) -> Shadow:
        """Say what the text proposed with `shadow` would have said otherwise since; counts for
        nothing.
        """
        self._who(request, "read")
        since, table = await self._governing.shadow(name, from_, to)
        return Shadow(policy=name, since=since, table=table)

    def _who(self, request: Request, scope: str) -> Principal:
        principal = authenticate(self._keyring, request.headers)
        principal.require(scope)
        return principal


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("the body is not UTF-8") from None


def _active(found: active.Active) -> ActivePolicy:
    known = found.policy
    return ActivePolicy(
        name=found.name,
        version=known.ref.version if known else None,
        digest=known.ref.digest if known else None,
        gates=[gate.id for gate in known.document.gates] if known else [],
        position=found.position,
        activated_at=found.activated_at,
        activated_by=found.activated_by,
        effective_from=found.effective_from,
        valid=known is not None,
        content=found.content,
    )


def _proposal(name: str, one: Proposal, by: Governance) -> ProposedPolicy:
    return ProposedPolicy(
        policy=name,
        version=one.version,
        digest=one.digest,
        author=one.author,
        reason=one.reason,
        shadow=one.shadow,
        position=one.position,
        backtests=one.backtests,
        approvals=[
            Supporter(principal=who, position=position, fault=fault(one, who, by))
            for who, position in one.approvals.items()
        ],
        activated=one.activated,
        missing=[] if one.activated else missing(one, by),
    )
