"""Policies: proposed, tried on the past, approved, in force, over."""

from __future__ import annotations

from pydantic import Field

from contracts.payloads.model import (
    Count,
    Identifier,
    Payload,
    PolicyId,
    Principal,
    Prose,
    Sha256Hex,
    Timestamp,
)


class PolicyProposed(Payload):
    """Somebody would have this text judge. What is said of proposals moves no gate."""

    composed = ("proposal:{policy_id}",)

    policy_id: Identifier
    version: int = Field(ge=1)
    content_sha256: Sha256Hex
    content: str = Field(min_length=1, max_length=100_000)
    author: Principal
    reason: Prose = Field(min_length=1)
    shadow: bool = False
    """Judge beside the active text what is decided from here on; see the difference, count none."""


class PolicyBacktested(Payload):
    """A proposed text was judged over decisions of the past. `table_sha256` is that of the answer,
    as canonical JSON.
    """

    composed = ("proposal:{policy_id}",)

    policy_id: Identifier
    content_sha256: Sha256Hex
    first: int = Field(ge=1)
    """Range of positions, both included."""
    last: int = Field(ge=0)
    table_sha256: Sha256Hex
    decisions: Count
    """Decisions in the range; `covered`: by this policy; `changed`: with another verdict."""
    covered: Count
    changed: Count
    failed: Count
    """Releases that were let pass and failed; `blocked`: those of them that it would have held."""
    blocked: Count


class PolicyApproved(Payload):
    """A person approves of a proposed text."""

    composed = ("proposal:{policy_id}",)

    policy_id: Identifier
    content_sha256: Sha256Hex
    principal: Principal
    comment: Prose | None = None


class PolicyApprovalWithdrawn(Payload):
    """A person takes back an approval of a proposed text that does not judge yet."""

    composed = ("proposal:{policy_id}",)

    policy_id: Identifier
    content_sha256: Sha256Hex
    principal: Principal
    reason: Prose = Field(min_length=1)


class PolicyActivated(Payload):
    """From here on, or from `effective_from`, this text judges. `content` is the whole YAML."""

    policy_id: PolicyId
    version: int = Field(ge=1)
    content_sha256: Sha256Hex
    content: str = Field(min_length=1, max_length=100_000)
    author: Principal
    effective_from: Timestamp | None = None
    """Null: when it is recorded. Until then the text before it judges."""


class PolicyRetired(Payload):
    """From here on no text of this name judges: the gates that it guarded are covered no more."""

    policy_id: PolicyId
    reason: Prose = Field(min_length=1)
    retired_by: Principal
