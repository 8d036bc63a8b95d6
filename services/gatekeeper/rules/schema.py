"""The shape of rules in a policy document, one class a type.

Pure. Unknown keys are refused everywhere, because a key that is ignored is a control that is not
there.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from contracts.payloads.plan import ReleaseType
from services.gatekeeper import cel
from services.gatekeeper.records import TieKind
from services.gatekeeper.rules.quorum import Majority, Quorum

Binding = Literal["artefact", "scope"]
Kind = Literal[
    "tests", "scan", "pipeline", "plan", "verification", "analysis", "gate", "attestation"
]
RiskTier = Literal["low", "medium", "high", "critical"]
RoleHeld = Literal["at_approval", "at_judging", "both"]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Role = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\s,\x00-\x1f\x7f]+$")]
Title = Annotated[str, Field(min_length=1, max_length=200)]

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


def duration(value: object) -> timedelta:
    """Read a duration as documents write it."""
    match = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("is not a duration such as 15m, 48h, 30d or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _expression(scope: cel.Scope) -> BeforeValidator:
    """Return a validator that lets a CEL text of the scope through, or names all its faults."""

    def check(value: object) -> object:
        if isinstance(value, str):
            try:
                cel.compile(value, scope)
            except cel.CelFaultsError as error:
                raise ValueError("; ".join(str(error).splitlines())) from None
        return value

    return BeforeValidator(check)


Duration = Annotated[timedelta, BeforeValidator(duration)]
Condition = Annotated[str, _expression("when")]
Threshold = Annotated[str, _expression("metrics")]
Expression = Annotated[str, _expression("rule")]


class Part(BaseModel):
    """A mapping of the document."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class When(Part):
    """A rule applies when each list that is given has the release's value in it.

    What is not known (nobody assessed the risk, nobody planned the release) is taken to match.
    """

    risk: list[RiskTier] | None = Field(default=None, min_length=1)
    type: list[ReleaseType] | None = Field(default=None, min_length=1)
    expr: Condition | None = None


class Waivable(Part):
    """Holders of a role in `by` may grant an exception from the rule, for at most `max`."""

    by: list[Role] = Field(min_length=1, max_length=20)
    max: Duration


class Rule(Part):
    """What all rules have."""

    id: Slug
    title: Title | None = None
    when: When = When()
    waivable: Waivable | None = None


class Bound(Rule):
    """Rules that count only what is bound to the candidate, or to the scope, as `bind` says."""

    bind: list[Binding] | None = None


class Approvals(Bound):
    """`count` different people who hold one of `roles` say yes, and none of them says no.

    Rules with the same `distinct_group` never count one person twice between them.
    """

    type: Literal["approvals"]
    count: int = Field(ge=1, le=20)
    roles: list[Role] = Field(min_length=1, max_length=20)
    expires_after: Duration | None = None
    distinct_group: Slug | None = None
    exclude: list[TieKind] | None = None
    role_held: RoleHeld | None = None


class Board(Bound):
    """A session of a board, once closed, had a quorum and a majority for it (`rules.board`)."""

    type: Literal["board"]
    board: Slug
    members: list[Role] = Field(min_length=1, max_length=20)
    quorum: Quorum
    majority: Majority = "simple"
    valid_for: Duration | None = None
    session_within: Duration | None = None
    exclude: list[TieKind] | None = None
    role_held: RoleHeld | None = None


class Evidence(Bound):
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
    require: Threshold | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Evidence:
        asked = [f for f in THRESHOLDS if getattr(self, f) is not None]
        odd = [f for f in asked if THRESHOLDS[f][0] != self.kind]
        if odd:
            raise ValueError(f"{', '.join(odd)} cannot be asked of {self.kind}")
        if (self.kind == "plan") != (self.plan is not None):
            raise ValueError("`plan` says which plan, and belongs to kind plan alone")
        if self.kind == "scan" and not asked and not self.require:
            raise ValueError(
                "a scan needs a threshold: max_critical, max_high, max_medium, require"
            )
        return self

    @cached_property
    def bounds(self) -> list[tuple[Literal["max", "min"], str, float]]:
        """What is asked of metrics: side, metric, value, in the order of `THRESHOLDS`."""
        asked = ((side, metric, getattr(self, f)) for f, (_, side, metric) in THRESHOLDS.items())
        return [(side, metric, value) for side, metric, value in asked if value is not None]


class Veto(Rule):
    """Nobody who holds one of `roles` stands in the way."""

    type: Literal["veto"]
    roles: list[Role] = Field(min_length=1, max_length=20)


class Soak(Rule):
    """Every artefact of the candidate has been in an environment for a while, and did not fail."""

    type: Literal["soak"]
    environment: Title
    at_least: Duration


class Dependencies(Rule):
    """The releases that this one depends on are out: `deployed` where the gate leads, or over."""

    type: Literal["dependencies"]
    state: Literal["deployed", "completed"] = "deployed"


class FreezeRule(Rule):
    """No freeze of these calendars holds the release."""

    type: Literal["freeze"]
    calendars: list[Role] = Field(default=["main"], min_length=1, max_length=20)


class LateScope(Rule):
    """Nothing came into the release, or left it, within so long before its window."""

    type: Literal["late_scope"]
    within: Duration


class Cel(Rule):
    """An expression over the facts is true. The last resort: other rules say what would help."""

    type: Literal["cel"]
    expr: Expression
    unmet: Title
    """What is the matter when it is false."""


Simple = Approvals | Board | Evidence | Veto | Soak | Dependencies | FreezeRule | LateScope | Cel
AnySimple = Annotated[Simple, Field(discriminator="type")]


class AnyOf(Rule):
    """One of several rules is enough. Approvals in it stand alone: no `distinct_group`."""

    type: Literal["any_of"]
    rules: list[AnySimple] = Field(min_length=2, max_length=10)

    @model_validator(mode="after")
    def _stands_alone(self) -> AnyOf:
        grouped = [r.id for r in self.rules if isinstance(r, Approvals) and r.distinct_group]
        if grouped:
            raise ValueError(f"{', '.join(grouped)}: no distinct_group within any_of")
        if waived := [rule.id for rule in self.rules if rule.waivable]:
            raise ValueError(f"{', '.join(waived)}: only any_of as a whole can be waivable")
        return self


AnyRule = Annotated[Simple | AnyOf, Field(discriminator="type")]


def leaves(rules: list[Any]) -> list[Rule]:
    """Return the rules, those within `any_of` in its place."""
    return [each for rule in rules for each in (rule.rules if isinstance(rule, AnyOf) else [rule])]
