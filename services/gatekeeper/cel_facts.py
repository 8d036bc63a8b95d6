"""What expressions see: plain dataclasses, and the typed messages that are derived from them.

Pure. Each field of `CelFacts` and `CelMetrics` is a variable. Expressions are checked against these
very fields, so that a slip in a name is a fault of the policy and no surprise at a gate. A scalar
that nobody knows is an empty string; `has(release.incident)` asks whether it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from datetime import datetime
from functools import cache, cached_property
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

from google.protobuf import message_factory, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

Metrics: TypeAlias = Mapping[str, float]
_SCALARS = {str: Field.TYPE_STRING, bool: Field.TYPE_BOOL}


@dataclass(frozen=True, slots=True)
class Release:
    """The release and its candidate."""

    id: str = ""
    type: str = ""
    risk: str = ""
    version: str = ""
    digest: str = ""
    services: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    incident: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment, wherever it went and however it ended."""

    at: datetime
    id: str = ""
    environment: str = ""
    digest: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's yes or no, and the roles that the person holds."""

    at: datetime
    principal: str = ""
    gate: str = ""
    approved: bool = False
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something that was checked."""

    at: datetime
    kind: str = ""
    series: str = ""
    about: str = ""
    outcome: str = ""
    metrics: Metrics = field(default_factory=dict)


@dataclass(frozen=True)
class Variables:
    """Facts that an expression can be asked about."""

    @cached_property
    def message(self) -> Any:
        """All of it as one message, made once. Raises ValueError or TypeError where none can be."""
        return _message(self)

    def values(self) -> dict[str, Any]:
        """Return each variable as the engine takes it: messages, in plain lists and dicts."""
        return {name: _plain(getattr(self.message, name), hint) for name, hint in hints(type(self))}


@dataclass(frozen=True)
class CelFacts(Variables):
    """What `when` and rules see; for rules `now` comes with the question."""

    release: Release = Release()
    deployments: tuple[Deployment, ...] = ()
    approvals: tuple[Approval, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class CelMetrics(Variables):
    """What a threshold sees: the metrics of one piece of evidence."""

    m: Metrics


@cache
def hints(part: type) -> tuple[tuple[str, Any], ...]:
    """Return the names and the types of a dataclass's fields."""
    return tuple(get_type_hints(part).items())


def signature(hint: Any) -> str:
    """Return a field's type as the engine writes it, for example `list<Deployment>`."""
    if get_origin(hint) is tuple:
        return f"list<{signature(get_args(hint)[0])}>"
    return "map<string, double>" if hint == Metrics else str(hint.__name__)


def _message(part: Any) -> Any:
    values = {name: _value(getattr(part, name)) for name, _ in hints(type(part))}
    return _CLASSES[type(part).__name__](**values)


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("a time without a zone is no instant")
    return _message(value) if is_dataclass(value) else value


def _plain(value: Any, hint: Any) -> Any:
    if get_origin(hint) is tuple:
        return list(value)
    if hint != Metrics:
        return value
    if any("\0" in name for name in value):
        raise ValueError("a name with a NUL in it would be cut short")
    return dict(value)


def _describe(file: FileDescriptorProto, part: type) -> None:
    message = file.message_type.add(name=part.__name__)
    for number, (name, hint) in enumerate(hints(part), 1):
        many = get_origin(hint) is tuple
        kind = get_args(hint)[0] if many else hint
        field_ = message.field.add(name=name, number=number, label=3 if many else 1)
        if hint == Metrics:
            entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, label=1, type=Field.TYPE_STRING)
            entry.field.add(name="value", number=2, label=1, type=Field.TYPE_DOUBLE)
            field_.label, field_.type_name = 3, f".{part.__name__}.{entry.name}"
        elif kind is datetime:
            field_.type_name = ".google.protobuf.Timestamp"
        elif kind in _SCALARS:
            field_.type = _SCALARS[kind]
        else:
            field_.type_name = f".{kind.__name__}"


def _derived() -> DescriptorPool:
    pool, stamp = DescriptorPool(), timestamp_pb2.DESCRIPTOR
    file = FileDescriptorProto(name="facts.proto", syntax="proto3", dependency=[stamp.name])
    for part in (Release, Deployment, Approval, Evidence, CelFacts, CelMetrics):
        _describe(file, part)
    pool.AddSerializedFile(stamp.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _derived()
"""Knows the types that stand above by their plain names."""
_CLASSES = {
    name: message_factory.GetMessageClass(found)
    for name, found in POOL.FindFileByName("facts.proto").message_types_by_name.items()
}
