"""The shape of a policy document: what may stand around its rules. Pure; rules: `rules.schema`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from contracts.payloads.plan import ReleaseType
from services.gatekeeper.records import TieKind
from services.gatekeeper.rules.schema import (
    AnyRule,
    Approvals,
    Binding,
    Board,
    Condition,
    Dependencies,
    Duration,
    Evidence,
    FreezeRule,
    Part,
    Role,
    RoleHeld,
    Rule,
    Slug,
    Title,
    Veto,
    leaves,
)

GateId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}:[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
_TIES: tuple[TieKind, ...] = ("requester", "author", "committer", "co_author")
_BOUND: tuple[Binding, ...] = ("artefact",)
T = TypeVar("T", bound=Rule)


class Stage(Part):
    """Rules that people think of together. All stages of a gate must pass; order is for reading."""

    id: Slug
    title: Title | None = None
    rules: list[AnyRule] = Field(min_length=1, max_length=50)


class BreakGlass(Part):
    """So many different holders of these roles may pass the gate without its rules, together.

    Each names the incident and the reason. What they did falls due for review; once overdue, it
    blocks every other release at the gate.
    """

    roles: list[Role] = Field(min_length=1, max_length=20)
    count: int = Field(default=2, ge=1, le=20)
    lasts: Duration = timedelta(hours=4)
    """From the last invocation that it took; a review ends it earlier."""
    review_within: Duration
    review_by: list[Role] | None = Field(default=None, min_length=1, max_length=20)
    """Who may review; default: `roles`. Never somebody who took part."""

    @property
    def reviewers(self) -> list[Role]:
        """The roles that may review."""
        return self.review_by or self.roles


class Gate(Part):
    """One question, for example `deploy:production`, and everything that must be so for a yes."""

    id: GateId
    environment: Title | None = None
    """Default: what stands after the colon of the id."""
    stages: list[Stage] = Field(min_length=1, max_length=20)
    break_glass: BreakGlass | None = None

    @property
    def place(self) -> str:
        """The environment that the gate guards."""
        return self.environment or self.id.partition(":")[2]

    def rules(self) -> Iterator[tuple[Stage, AnyRule]]:
        """Yield each rule with its stage, in the order of the document."""
        for stage in self.stages:
            for rule in stage.rules:
                yield stage, rule

    def of(self, kind: type[T]) -> list[T]:
        """Return the rules of one type, those within `any_of` too."""
        every = leaves([rule for _, rule in self.rules()])
        return [rule for rule in every if isinstance(rule, kind)]

    def roles(self) -> list[str]:
        """Return every role that a rule asks for, whatever it asks of it."""
        found = {role for rule in self.of(Approvals) for role in rule.roles}
        found |= {role for rule in self.of(Veto) for role in rule.roles}
        found |= {role for rule in self.of(Board) for role in rule.members}
        found |= {r for _, rule in self.rules() if rule.waivable for r in rule.waivable.by}
        return sorted(found | _glass(self.break_glass))

    def kinds(self) -> set[str]:
        """Return every kind of evidence that a rule asks for."""
        return {rule.kind for rule in self.of(Evidence)}

    def calendars(self) -> list[str]:
        """Return every calendar that a rule asks."""
        return sorted({name for rule in self.of(FreezeRule) for name in rule.calendars})

    def waivable(self) -> list[str]:
        """Return the ids of the rules from which exceptions can be granted."""
        return [rule.id for _, rule in self.rules() if rule.waivable]

    def asks_others(self) -> bool:
        """Say whether a rule asks about the releases that this one depends on."""
        return bool(self.of(Dependencies))

    def excludes(self) -> set[str]:
        """Return every tie that keeps somebody from approving."""
        asked: list[Approvals | Board] = [*self.of(Approvals), *self.of(Board)]
        return {tie for rule in asked for tie in rule.exclude or ()}


def _glass(glass: BreakGlass | None) -> set[str]:
    return {*glass.roles, *glass.reviewers} if glass else set()


class Metadata(Part):
    """Which policy. The pair of name and version is never used for two texts."""

    name: Slug
    version: int = Field(ge=1)
    owner: Title


class AppliesTo(Part):
    """Empty means all. `when`: an expression over the release, for example its labels."""

    environment: list[Title] = Field(default_factory=list)
    type: list[ReleaseType] = Field(default_factory=list)
    when: Condition | None = None


class Defaults(Part):
    """What rules do that do not say otherwise."""

    exclude: list[TieKind] = Field(default_factory=lambda: list(_TIES))
    bind: list[Binding] = Field(default_factory=lambda: list(_BOUND))
    role_held: RoleHeld = "both"


class Document(Part):
    """The whole document."""

    api_version: Literal["release-ledger/v1"] = Field(alias="apiVersion")
    kind: Literal["ReleasePolicy"]
    metadata: Metadata
    applies_to: AppliesTo = AppliesTo()
    defaults: Defaults = Defaults()
    gates: list[Gate] = Field(min_length=1, max_length=20)
