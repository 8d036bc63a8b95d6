"""What expressions see: plain dataclasses, and the typed messages that are derived from them.

Pure. Each field of `CelFacts`, `CelRelease`, `CelMetrics` is a variable. Expressions are checked
against these very fields, so that a slip in a name is a fault of the policy, not a surprise at a
gate. A scalar that nobody knows is an empty string; `has(release.incident)` asks if it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

from google.protobuf import message_factory, timestamp_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pool import DescriptorPool

Metrics: TypeAlias = Mapping[str, float]
MAX_ITEMS = 2000
"""Of any one list: what `map` and `filter` take grows with its square (2,000: 0.2 s, 67 MiB)."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCALARS: dict[Any, Field.Type.ValueType] = {
    str: Field.TYPE_STRING,
    bool: Field.TYPE_BOOL,
    float: Field.TYPE_DOUBLE,
}


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
    bound: bool = False
    """Whether it is about the candidate and the scope that are judged."""
    ties: tuple[str, ...] = ()
    """What ties the person to the release: `requester`, `author`, `deployer` …"""


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
        return _CLASSES[type(self).__name__](**_fields(self))

    @cached_property
    def size(self) -> int:
        """The bytes that the message takes."""
        return int(self.message.ByteSize())

    @cached_property
    def values(self) -> dict[str, Any]:
        """Each variable as the engine takes it: messages, in plain lists and dicts."""
        hints = _HINTS[type(self).__name__]
        return {name: _plain(getattr(self.message, name), hint) for name, hint in hints.items()}


@dataclass(frozen=True)
class CelFacts(Variables):
    """What rules see; `now` comes with the question."""

    release: Release = Release()
    deployments: tuple[Deployment, ...] = ()
    approvals: tuple[Approval, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class CelRelease(Variables):
    """What `when` sees: the release alone, so that a policy is chosen by nothing that piles up."""

    release: Release = Release()


@dataclass(frozen=True)
class CelMetrics(Variables):
    """What a threshold sees: the metrics of one piece of evidence."""

    m: Metrics


def variables(seen: type[Variables]) -> dict[str, str]:
    """Return each variable's name and its type as the engine writes it."""
    return {name: _signature(hint) for name, hint in _HINTS[seen.__name__].items()}


def _signature(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return f"list<{_signature(get_args(hint)[0])}>"
    return "map<string, double>" if hint == Metrics else str(hint.__name__)


def _fields(part: Any) -> dict[str, Any]:
    return {name: _value(getattr(part, name)) for name in _HINTS[type(part).__name__]}


def _value(value: Any) -> Any:
    if isinstance(value, (str, bool)):
        return value
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, datetime):
        since = value - _EPOCH  # a time without a zone is no instant, and raises here
        return {"seconds": since.days * 86_400 + since.seconds, "nanos": since.microseconds * 1000}
    if not isinstance(value, (tuple, Mapping)):
        raise TypeError(f"{value!r} cannot be a fact")
    if len(value) > MAX_ITEMS:
        raise ValueError(f"a list has {len(value)} items, and {MAX_ITEMS} are the most")
    return value if isinstance(value, Mapping) else [_value(item) for item in value]


def _plain(value: Any, hint: Any) -> Any:
    if get_origin(hint) is tuple:
        return list(value)
    if hint != Metrics:
        return value
    if any("\0" in name for name in value):
        raise ValueError("a name with a NUL in it would be cut short")
    return dict(value)


def _describe(message: DescriptorProto) -> None:
    for number, (name, hint) in enumerate(_HINTS[message.name].items(), 1):
        kind = get_args(hint)[0] if get_origin(hint) is tuple else hint
        one = kind is hint and hint != Metrics
        label = Field.LABEL_OPTIONAL if one else Field.LABEL_REPEATED
        described = message.field.add(name=name, number=number, label=label)
        if kind in _SCALARS:
            described.type = _SCALARS[kind]
        elif kind is datetime:
            described.type_name = ".google.protobuf.Timestamp"
        elif kind == Metrics:
            described.type_name = f".{message.name}.{_pairs(message, name)}"
        else:
            described.type_name = f".{kind.__name__}"


def _pairs(message: DescriptorProto, field_name: str) -> str:
    """Add the type of a map's entries under the name that protobuf prescribes."""
    entry = message.nested_type.add(name=f"{field_name.capitalize()}Entry")
    entry.options.map_entry = True
    for number, (name, type_) in enumerate((("key", str), ("value", float)), 1):
        entry.field.add(name=name, number=number, label=Field.LABEL_OPTIONAL, type=_SCALARS[type_])
    return entry.name


_HINTS = {
    part.__name__: get_type_hints(part)
    for part in (Release, Deployment, Approval, Evidence, CelFacts, CelRelease, CelMetrics)
}


def _derived() -> DescriptorPool:
    pool, stamp = DescriptorPool(), timestamp_pb2.DESCRIPTOR
    file = FileDescriptorProto(name="facts.proto", syntax="proto3", dependency=[stamp.name])
    for name in _HINTS:
        _describe(file.message_type.add(name=name))
    pool.AddSerializedFile(stamp.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _derived()
"""Knows the types that stand above by their plain names."""
_CLASSES = {
    name: message_factory.GetMessageClass(found)
    for name, found in POOL.FindFileByName("facts.proto").message_types_by_name.items()
}
