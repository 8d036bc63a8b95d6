"""The shape of a policy document: what may stand around its rules. Pure; rules: `rules.schema`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from contracts import subject
from contracts.decision import Status, Verdict
from contracts.payloads.model import Timestamp
from contracts.payloads.plan import ReleaseType
from services.gatekeeper import cel
from services.gatekeeper.records import TieKind
from services.gatekeeper.rules.schema import (
    AnyRule,
    Approvals,
    Binding,
    Board,
    Cel,
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
    duration,
    leaves,
)

GateId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}:[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
_TIES: tuple[TieKind, ...] = ("requester", "author", "committer", "co_author")
_BOUND: tuple[Binding, ...] = ("artefact", "scope")
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
        found |= {text for rule in self.of(Cel) for text in _named_roles(rule)}
        return sorted(found | _glass(self.break_glass))

    def looks_at(self, *variables: str) -> bool:
        """Say whether an expression may look at one of these variables: it names one."""
        return any(name in rule.expr for rule in self.of(Cel) for name in variables)

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


def _named_roles(rule: Cel) -> list[str]:
    """Return the roles that an expression may ask about: the texts in it that could be one."""
    texts = cel.compile(rule.expr, "rule").texts if "roles" in rule.expr else ()
    return [text for text in texts if subject.is_key(f"role:{text}")]


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


class Param(Part):
    """A value with a name: `$name` stands for it wherever the rules ask for one of its type."""

    type: Literal["integer", "number", "duration", "text", "list"]
    default: int | float | str | list[str]

    @model_validator(mode="after")
    def _is_of_its_type(self) -> Param:
        value, plain = self.default, isinstance(self.default, str)
        fits = {
            "integer": isinstance(value, int),
            "number": isinstance(value, int | float),
            "duration": plain and _is_duration(value),
            "text": plain,
            "list": isinstance(value, list),
        }
        if not fits[self.type]:
            raise ValueError(f"the default is no {self.type}")
        return self


def _is_duration(value: object) -> bool:
    try:
        return bool(duration(value))
    except ValueError:
        return False


class Given(Part):
    """One event of a test, by the name of its type without the major. What `data` leaves out is
    the sample's; `by` says who was signed in, else the person whom the event names.
    """

    event: Annotated[str, Field(pattern=r"^[a-z]+\.[a-z_]+$")]
    data: dict[str, Any] = Field(default_factory=dict)
    after: Duration | None = None
    """Since the event before; default: a minute."""
    by: Title | None = None


def _event(value: object) -> object:
    """Let a name alone stand for an event that is the sample's."""
    return {"event": value} if isinstance(value, str) else value


class Expected(Part):
    """The verdict, and the status of those rules that the test is about."""

    verdict: Literal[Verdict, "not_covered"]
    rules: dict[Slug, Status] = Field(default_factory=dict)


class Test(Part):
    """What this policy alone says of a release to which just this has happened."""

    name: Title
    gate: GateId
    begins: Timestamp = "2026-01-05T09:00:00Z"
    given: list[Annotated[Given, BeforeValidator(_event)]] = Field(
        default_factory=list, max_length=100
    )
    after: Duration | None = None
    """When it is judged, since the last event; default: at it."""
    expect: Expected


class Document(Part):
    """The whole document."""

    api_version: Literal["release-ledger/v1"] = Field(alias="apiVersion")
    kind: Literal["ReleasePolicy"]
    metadata: Metadata
    applies_to: AppliesTo = AppliesTo()
    defaults: Defaults = Defaults()
    params: dict[Slug, Param] = Field(default_factory=dict, max_length=100)
    gates: list[Gate] = Field(min_length=1, max_length=20)
    tests: list[Test] = Field(default_factory=list, max_length=100)
