"""What is asked and answered about policies over HTTP, as models."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from contracts.decision import Verdict
from contracts.event import Receipt
from services.gatekeeper.backtesting import Backtest
from services.gatekeeper.shapes import In, Name, Prose

MOST = 500
"""Rows of a table that are given out; sums are over all."""


class ActivePolicy(BaseModel):
    """The text that judges now. `valid` is false when it cannot, which denies everything."""

    name: str
    version: int | None
    digest: str | None
    gates: list[str]
    position: int
    activated_at: str
    activated_by: str
    effective_from: str | None
    """Null: since it was activated."""
    valid: bool
    content: str


class Policies(BaseModel):
    """All policies that judge now."""

    policies: list[ActivePolicy]


class LintWarning(BaseModel):
    """Something valid that will not do what was meant. `rule` is empty: the gate as a whole."""

    gate: str
    rule: str
    text: str


class Lint(BaseModel):
    """What to look at in a policy. A text that is not valid has problems and no warnings."""

    valid: bool
    problems: list[str]
    warnings: list[LintWarning]


class Validation(BaseModel):
    """Whether a text is a policy, its tests included. Each problem is `file:line:column
    rule.field: text`.
    """

    valid: bool
    problems: list[str]
    name: str | None = None
    version: int | None = None
    digest: str | None = None
    gates: list[str] = []
    tests: int = 0
    """How many have passed."""


class VerdictCount(BaseModel):
    """How often one verdict would have been another, or the same."""

    was: Verdict
    would_be: Verdict
    count: int


class ChangedDecision(BaseModel):
    """A recorded decision (`was`) that would have been another."""

    position: int
    decision_id: str
    release: str
    gate: str
    was: Verdict
    would_be: Verdict
    rules: list[str]
    """Those that differ: `id: status there → status here`."""
    summary: str


class Table(BaseModel):
    """What a policy would have said wherever a decision was made between two positions."""

    policy: str
    digest: str
    first: int
    last: int
    decisions: int
    """`covered`: those that are for this policy to answer."""
    covered: int
    verdicts: list[VerdictCount]
    changed: int
    changes: list[ChangedDecision]
    """The first 500 of them."""
    releases: list[str]
    """Those to which it would have made a difference."""
    added_seconds: float
    saved_seconds: float
    """Waiting from the first question to the first yes, summed up."""
    never: list[str]
    """Releases that passed, and would not have yet."""
    failed: list[str]
    """Releases that were let pass and failed; `blocked`: those that it would have held up."""
    blocked: list[str]
    summary: str


class Draft(In):
    """Somebody would have this text judge. `shadow`: let it judge beside the active one."""

    content: Annotated[str, Field(min_length=1, max_length=100_000)]
    reason: Annotated[Prose, Field(min_length=1)]
    shadow: bool = False


class Range(In):
    """Positions, both included; null: from the first, to the last."""

    first: Annotated[int, Field(ge=1)] | None = None
    last: Annotated[int, Field(ge=1)] | None = None


class Agreement(In):
    """A person approves of a proposed text."""

    comment: Prose | None = None


class ApprovalWithdrawal(In):
    """A person takes an approval back."""

    reason: Annotated[Prose, Field(min_length=1)]


class Start(In):
    """When an approved text shall judge; null: at once."""

    effective_from: AwareDatetime | None = None


class Retirement(In):
    """A policy ends: the gates that it guards are covered no more, and deny."""

    reason: Annotated[Prose, Field(min_length=1)]


class PolicyReceipt(BaseModel):
    """Something was recorded about a text."""

    policy: Name
    digest: str | None
    receipt: Receipt


class Backtested(PolicyReceipt):
    """A backtest that was attached to a proposal."""

    table: Table


class Supporter(BaseModel):
    """A person who approved; `counts` says why not, or is null."""

    principal: str
    position: int
    fault: str | None


class ProposedPolicy(BaseModel):
    """A proposal and how far it has come; `missing`: what it lacks to be activated, in words."""

    policy: str
    version: int
    digest: str
    author: str
    reason: str
    shadow: bool
    position: int
    backtests: list[int]
    """Positions."""
    approvals: list[Supporter]
    activated: int | None
    """Position; null: not yet."""
    missing: list[str]


class Proposals(BaseModel):
    """All that was proposed of one policy, newest first."""

    policy: str
    proposals: list[ProposedPolicy]


class Shadow(BaseModel):
    """What the newest text that was proposed with `shadow` would have said otherwise since."""

    policy: str
    since: int
    table: Table


def table(found: Backtest, policy: str, digest: str, first: int, last: int) -> Table:
    """Return a backtest as it is given out."""
    summary = (f"{len(found.changes)} of {found.covered} decisions would have been another; it "
               f"would have blocked {len(found.blocked)} of the {len(found.failed)} releases that "
               "were let pass and failed")  # fmt: skip
    rows = [ChangedDecision.model_validate(each, from_attributes=True)
            for each in found.changes[:MOST]]  # fmt: skip
    return Table(
        policy=policy, digest=digest, first=first, last=last,
        decisions=found.decisions, covered=found.covered,
        verdicts=[VerdictCount(was=was, would_be=now, count=count)
                  for (was, now), count in sorted(found.verdicts.items())],
        changed=len(found.changes), changes=rows, releases=found.releases,
        added_seconds=found.added.total_seconds(), saved_seconds=found.saved.total_seconds(),
        never=sorted(found.never), failed=sorted(found.failed), blocked=sorted(found.blocked),
        summary=summary,
    )  # fmt: skip
