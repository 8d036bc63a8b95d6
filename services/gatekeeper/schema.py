"""The shape of a policy document: what may stand in it, and how rules read it.

Pure. Unknown keys are refused everywhere, because a key that is ignored is a control that is not
there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from contracts.payloads.plan import ReleaseType

Exclusion = Literal["requester", "author"]
Binding = Literal["artefact"]
Kind = Literal["tests", "scan", "pipeline", "plan", "verification", "analysis"]
RiskTier = Literal["low", "medium", "high", "critical"]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Role = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\s,\x00-\x1f\x7f]+$")]
Title = Annotated[str, Field(min_length=1, max_length=200)]
GateId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}:[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]

THRESHOLDS: dict[str, tuple[Kind, Literal["max", "min"], str]] = {
    "max_failed": ("tests", "max", "failed"),
    "min_passed": ("tests", "min", "passed"),
    "min_coverage": ("tests", "min", "coverage"),
    "max_critical": ("scan", "max", "critical"),
    "max_high": ("scan", "max", "high"),
    "max_medium": ("scan", "max", "medium"),
}
"""Field of an evidence rule → the kind that it suits, the side of the bound, the metric."""

_SPAN = re.compile(r"([1-9]\d{0,3})([mhdw])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(value: object) -> timedelta:
    match = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("is not a duration such as 15m, 48h, 30d or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


Duration = Annotated[timedelta, BeforeValidator(_duration)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class When(_Part):
    """A rule applies when each list that is given has the release's value in it.

    What is not known (nobody assessed the risk, nobody planned the release) is taken to match.
    """

    risk: list[RiskTier] | None = Field(default=None, min_length=1)
    type: list[ReleaseType] | None = Field(default=None, min_length=1)


class Rule(_Part):
    """What all rules have."""

    id: Slug
    title: Title | None = None
    when: When = When()
    bind: list[Binding] | None = None


class Approvals(Rule):
    """`count` different people who hold one of `roles` say yes, and none of them says no.

    Rules with the same `distinct_group` never count one person twice between them.
    """

    type: Literal["approvals"]
    count: int = Field(ge=1, le=20)
    roles: list[Role] = Field(min_length=1, max_length=20)
    expires_after: Duration | None = None
    distinct_group: Slug | None = None
    exclude: list[Exclusion] | None = None


class Evidence(Rule):
    """Recorded facts of one kind show that something is so, for every artefact of the candidate."""

    type: Literal["evidence"]
    kind: Kind
    name: Title | None = None
    """Only this suite, scanner, pipeline, metric set or kind of verification; else all of them."""
    plan: Literal["rollout", "rollback", "test", "comms"] | None = None
    max_age: Duration | None = None
    max_failed: int | None = Field(default=None, ge=0)
    min_passed: int | None = Field(default=None, ge=0)
    min_coverage: float | None = Field(default=None, ge=0, le=100)
    max_critical: int | None = Field(default=None, ge=0)
    max_high: int | None = Field(default=None, ge=0)
    max_medium: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Evidence:
        asked = [f for f in THRESHOLDS if self.bound(f) is not None]
        odd = [f for f in asked if THRESHOLDS[f][0] != self.kind]
        if odd:
            raise ValueError(f"{', '.join(odd)} cannot be asked of {self.kind}")
        if (self.kind == "plan") != (self.plan is not None):
            raise ValueError("`plan` says which plan, and belongs to kind plan alone")
        if self.kind == "scan" and not asked:
            raise ValueError("a scan needs a threshold: max_critical, max_high or max_medium")
        return self

    def bound(self, field: str) -> float | None:
        """Return the value of one of `THRESHOLDS`, or None where it is not asked for."""
        value: float | None = getattr(self, field)
        return value


AnyRule = Annotated[Approvals | Evidence, Field(discriminator="type")]


class Stage(_Part):
    """Rules that people think of together. All stages of a gate must pass; order is for reading."""

    id: Slug
    title: Title | None = None
    rules: list[AnyRule] = Field(min_length=1, max_length=50)


class Gate(_Part):
    """One question, for example `deploy:production`, and everything that must be so for a yes."""

    id: GateId
    environment: Title | None = None
    """Default: what stands after the colon of the id."""
    stages: list[Stage] = Field(min_length=1, max_length=20)

    @property
    def place(self) -> str:
        """The environment that the gate guards."""
        return self.environment or self.id.partition(":")[2]

    def rules(self) -> Iterator[tuple[Stage, Approvals | Evidence]]:
        """Yield each rule with its stage, in the order of the document."""
        for stage in self.stages:
            for rule in stage.rules:
                yield stage, rule

    def roles(self) -> list[str]:
        """Return every role that a rule asks for."""
        asked = (rule for _, rule in self.rules() if isinstance(rule, Approvals))
        return sorted({role for rule in asked for role in rule.roles})

    def kinds(self) -> set[str]:
        """Return every kind of evidence that a rule asks for."""
        return {rule.kind for _, rule in self.rules() if isinstance(rule, Evidence)}


class Metadata(_Part):
    """Which policy. The pair of name and version is never used for two texts."""

    name: Slug
    version: int = Field(ge=1)
    owner: Title


class AppliesTo(_Part):
    """Empty means all."""

    environment: list[Title] = Field(default_factory=list)
    type: list[ReleaseType] = Field(default_factory=list)


class Defaults(_Part):
    """What rules do that do not say otherwise."""

    exclude: list[Exclusion] = ["requester", "author"]
    bind: list[Binding] = ["artefact"]


class Document(_Part):
    """The whole document."""

    api_version: Literal["release-ledger/v1"] = Field(alias="apiVersion")
    kind: Literal["ReleasePolicy"]
    metadata: Metadata
    applies_to: AppliesTo = AppliesTo()
    defaults: Defaults = Defaults()
    gates: list[Gate] = Field(min_length=1, max_length=20)
