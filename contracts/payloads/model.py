"""What all payload models share: strictness, marked subjects, and the common field types."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from contracts.event import parse_time
from contracts.subject import Names


def _timestamp(text: str) -> str:
    parse_time(text)
    return text


def _local(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Identifier = Annotated[str, Field(min_length=1, max_length=480, pattern=r"^[^\s,\x00-\x1f\x7f]+$")]
Label = Annotated[str, Field(min_length=1, max_length=500)]
Prose = Annotated[str, Field(max_length=20_000)]
Uri = Annotated[str, Field(min_length=1, max_length=2000)]
Sha256Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
GitSha = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Timestamp = Annotated[
    str, AfterValidator(_timestamp), Field(json_schema_extra={"format": "date-time"})
]
"""RFC 3339, kept as sent."""
LocalTime = Annotated[
    str, AfterValidator(_local), Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$")
]
"""A wall clock's reading, for example `2026-12-20T18:00`."""
LocalDate = Annotated[str, AfterValidator(_local), Field(pattern=r"^\d{4}-\d\d-\d\d$")]
Count = Annotated[int, Field(ge=0)]

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$"), Names("artifact")]
ReleaseId = Annotated[Identifier, Names("release")]
ServiceId = Annotated[Identifier, Names("service")]
DeploymentId = Annotated[Identifier, Names("deployment")]
ApprovalId = Annotated[Identifier, Names("approval")]
IncidentId = Annotated[Identifier, Names("incident")]
TicketId = Annotated[Identifier, Names("ticket")]
PolicyId = Annotated[Identifier, Names("policy")]
FreezeId = Annotated[Identifier, Names("freeze")]
ExceptionId = Annotated[Identifier, Names("exception")]
PermitId = Annotated[Identifier, Names("permit")]
VetoId = Annotated[Identifier, Names("veto")]
SessionId = Annotated[Identifier, Names("board")]
DelegationId = Annotated[Identifier, Names("delegation")]
ChangeRef = Annotated[Identifier, Names("change")]
"""`<repo>@<sha>`, for example `acme/pay@9fceb02d…`."""
RunId = Annotated[Identifier, Names("pipelinerun")]
EnvironmentId = Annotated[Identifier, Names("environment")]
Principal = Annotated[str, Field(min_length=1, max_length=300)]
"""A person or workload: `<issuer>:<subject>`, pseudonymous. Names live in a directory, not here."""

Tier = Literal["development", "testing", "staging", "production", "other"]


class Strict(BaseModel):
    """Refuses unknown fields when we write. Reading tolerates them: readers take plain dicts."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class Environment(Strict):
    """Where something runs. `tier` is what KPIs and policies go by, not the free-text id."""

    id: EnvironmentId
    tier: Tier


class Window(Strict):
    """A half-open span of time; `tz` is the IANA zone that people meant."""

    start: Timestamp
    end: Timestamp
    tz: Label = "UTC"


class Payload(Strict):
    """The data of one event type.

    `composed` lists subjects that are made of several fields, as `kind:{field}…` templates.
    """

    composed: ClassVar[tuple[str, ...]] = ()

    def subjects(self) -> Iterator[str]:
        """Yield the key of every subject that the marked fields name, in field order."""
        yield from _named(self)
        for template in self.composed:
            yield template.format_map(self.__dict__)


def _named(model: BaseModel) -> Iterator[str]:
    for name, kind in _fields(type(model)):
        yield from _keys(getattr(model, name), kind)


@functools.cache
def _fields(model: type[BaseModel]) -> tuple[tuple[str, str | None], ...]:
    """Return the fields that may name subjects, with the kind; a class never changes.

    This is walked for every event twice, when it comes in and when it is sealed.
    """
    found = ((name, _kind(field), field) for name, field in model.model_fields.items())
    return tuple(
        (name, kind) for name, kind, field in found if kind or _holds_names(field.annotation)
    )


def _holds_names(annotation: Any) -> bool:
    """Say whether there is a model inside of a type that may name subjects."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return bool(_fields(annotation))
    return any(_holds_names(inner) for inner in getattr(annotation, "__args__", ()))


def _kind(field: FieldInfo) -> str | None:
    for mark in field.metadata:
        if isinstance(mark, Names):
            return mark.kind
    return _kind_within(field.annotation)


def _kind_within(annotation: Any) -> str | None:
    """Find the mark inside `X | None` and `list[X]`, where pydantic leaves it on the inner type."""
    for mark in getattr(annotation, "__metadata__", ()):
        if isinstance(mark, Names):
            return mark.kind
    for inner in getattr(annotation, "__args__", ()):
        if (kind := _kind_within(inner)) is not None:
            return kind
    return None


def _keys(value: object, kind: str | None) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from _named(value)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item, kind)
    elif kind is not None and isinstance(value, str):
        yield f"{kind}:{value}"
