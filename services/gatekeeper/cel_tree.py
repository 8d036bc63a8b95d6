"""The checked tree of an expression, as far as we ask for it: what its loops run over, and which
texts it names.

Pure. The engine gives maps in another order in each process. A loop over one could answer otherwise
when a decision is replayed, and `all` over a map that is empty would be true without any evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import message_factory
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

_SHAPE = {
    "Checked": "types:3:Typed* root:4:Node source:5:Source",
    "Typed": "key:1:int64 value:2:Type",
    "Type": "list:6:Type",
    "Source": "places:4:Place*",
    "Place": "key:1:int64 value:2:int32",
    "Node": "id:2:int64 constant:3:Constant select:5:Select call:6:Call list:7:List "
    "struct:8:Struct loop:9:Loop",
    "Constant": "text:6:string",
    "Select": "operand:1:Node",
    "Call": "target:1:Node args:3:Node*",
    "List": "elements:1:Node*",
    "Struct": "entries:2:Entry*",
    "Entry": "key:3:Node value:4:Node",
    "Loop": "over:2:Node start:4:Node condition:5:Node step:6:Node result:7:Node",
}
"""The parts of cel.expr.CheckedExpr that lead to loops and texts: name, number, type. The numbers
are theirs (checked.proto and syntax.proto), the names ours."""
_SCALARS = {"int32": Field.TYPE_INT32, "int64": Field.TYPE_INT64, "string": Field.TYPE_STRING}


class DeepError(ValueError):
    """The tree is deeper than protobuf reads."""


def loops_without_order(serialized: bytes) -> list[int]:
    """Return where loops run over anything but a list: offsets into the text, in characters."""
    tree = _tree(serialized)
    lists = {one.key for one in tree.types if one.value.HasField("list")}
    places = {one.key: one.value for one in tree.source.places}
    return sorted(places.get(over, 0) for over in _ranges(tree.root) if over not in lists)


def texts(serialized: bytes) -> frozenset[str]:
    """Return the texts that stand in an expression."""
    return frozenset(_texts(_tree(serialized).root))


def _tree(serialized: bytes) -> Any:
    try:
        return _CHECKED.FromString(Packed.FromString(serialized).value)
    except DecodeError:
        raise DeepError from None


def _texts(part: Any) -> Iterator[str]:
    for field, value in part.ListFields():
        if field.name == "text":
            yield value
        if field.message_type is not None:
            for inner in value if hasattr(value, "append") else [value]:
                yield from _texts(inner)


def _ranges(part: Any) -> Iterator[int]:
    for field, value in part.ListFields():
        if field.name == "over":
            yield value.id
        if field.message_type is not None:
            for inner in value if hasattr(value, "append") else [value]:
                yield from _ranges(inner)


def _class() -> Any:
    file = FileDescriptorProto(name="tree.proto", syntax="proto3")
    for message, fields in _SHAPE.items():
        described = file.message_type.add(name=message)
        for name, number, type_ in (field.split(":") for field in fields.split()):
            label = Field.LABEL_REPEATED if type_.endswith("*") else Field.LABEL_OPTIONAL
            field = described.field.add(name=name, number=int(number), label=label)
            if type_.islower():
                field.type = _SCALARS[type_]
            else:
                field.type_name = f".{type_.rstrip('*')}"
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Checked"))


_CHECKED = _class()
