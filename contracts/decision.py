"""A decision: the verdict of one policy for one release at one gate, and everything it rests on.

Error and fail deny, pending waits; a rule that is not applicable is not asked. A reason names its
evidence by ledger position, so that a reader can look each one up; `satisfy` and `who` say how a
gate opens, never how to get past it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["allow", "deny", "pending", "allow-by-break-glass"]
Status = Literal["pass", "waived", "not_applicable", "pending", "fail", "error"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class NotCounted(_Part):
    """Evidence that was seen and did not count, and why."""

    position: int
    reason: str


class RuleResult(_Part):
    """One rule's answer. `required` and `found` are short phrases for a ladder of gates."""

    rule: str
    title: str
    type: str
    stage: str
    status: Status
    reason: str
    required: str
    found: str
    evidence: list[int] = Field(default_factory=list)
    """Ledger positions."""
    not_counted: list[NotCounted] = Field(default_factory=list)
    satisfy: str | None = None
    """What would make it pass; null when it passes or when nothing can."""
    who: list[str] = Field(default_factory=list)
    """Principals who could act."""
    roles: list[str] = Field(default_factory=list)
    """Roles whose holders could act."""
    next_change_at: str | None = None


class PolicyRef(_Part):
    """The exact policy text that judged."""

    name: str
    version: int
    digest: str
    """`sha256:` of the document's bytes."""


class Obligation(_Part):
    """What somebody owes for a pass without rules. Once overdue it blocks others at the gate."""

    kind: Literal["review"]
    due_at: str
    lapses_at: str
    """When the pass ends."""
    by: list[str]
    """Principals who passed it; somebody else reviews."""
    evidence: list[int]


class Decision(_Part):
    """The decision document. The same facts, policy and `as_of` give the same bytes for ever."""

    decision: Verdict
    release: str
    gate: str
    environment: str
    artefact: str | None
    """Manifest digest that was judged; null before there is a candidate."""
    as_of: str
    policy: PolicyRef | None
    """Null when no policy applies, which is a deny."""
    summary: str
    """One sentence for people."""
    rules: list[RuleResult]
    read_set: dict[str, int]
    """Every history that was read, with its version."""
    facts_digest: str
    engine: str
    libraries: dict[str, str] = Field(default_factory=dict)
    """Name → version of what else the answer depends on: expressions, time zones."""
    obligations: list[Obligation] = Field(default_factory=list)
    next_change_at: str | None = None
    """The first instant at which time alone could change the answer."""
