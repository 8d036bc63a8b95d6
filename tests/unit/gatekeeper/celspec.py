"""The conformance cases of the Common Expression Language, read from their text and asked.

Of the files' schema only what the cases without messages of their own need stands here; a case that
needs more is one of `foreign`. The engine is asked directly: the adapter's variables and its duty
to answer true or false have tests of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cel_expr_python import cel
from google.protobuf import any_pb2, duration_pb2, message_factory, text_format, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

SCHEMA = {
    "File": "name:string description:string section:Section*",
    "Section": "name:string description:string test:Case*",
    "Case": "name:string description:string expr:string disable_check:bool container:string "
    "type_env:Decl* bindings:Binding* value:Value eval_error:Errors",
    "Errors": "errors:Error*",
    "Error": "message:string",
    "Binding": "key:string value:Known",
    "Known": "value:Value",
    "Value": "null_value:int32 bool_value:bool int64_value:int64 uint64_value:uint64 "
    "double_value:double string_value:string bytes_value:bytes type_value:string "
    "list_value:List map_value:Map object_value:google.protobuf.Any",
    "List": "values:Value*",
    "Map": "entries:Entry*",
    "Entry": "key:Value value:Value",
    "Decl": "name:string ident:Ident",
    "Ident": "type:Type",
    "Type": "primitive:Primitive null:int32 message_type:string list_type:ListType "
    "map_type:MapType",
    "ListType": "elem_type:Type",
    "MapType": "key_type:Type value_type:Type",
}
PRIMITIVES = ("DYN", "BOOL", "INT64", "UINT64", "DOUBLE", "STRING", "BYTES")
WELL_KNOWN = (any_pb2, duration_pb2, timestamp_pb2)
NAMES = {"null": "null_type", "timestamp": "google.protobuf.Timestamp"}
NAMES |= {"duration": "google.protobuf.Duration"}
KINDS = {"int64_value": "INT", "uint64_value": "UINT"}
"""Only where the name of a field does not tell the engine's type."""


def cases(path: Path) -> list[Any]:
    """Return every case of a file, in its order."""
    text = path.read_text().replace("NULL_VALUE", "0")
    file = text_format.Parse(text, _schema()["File"]())
    return [case for section in file.section for case in section.test]


def foreign(case: Any) -> bool:
    """Say whether a case needs the suite's own protobuf messages."""
    return "TestAllTypes" in case.expr or case.container.startswith("cel.expr.conformance")


def holds(case: Any) -> bool:
    """Ask the engine, and say whether it gives what the case tells."""
    variables = {one.name: cel.Type(_signature(one.ident.type)) for one in case.type_env}
    data = {one.key: _bound(one.value.value) for one in case.bindings}
    try:
        environment = cel.NewEnv(variables=variables, container=case.container)
        found = environment.compile(case.expr, case.disable_check).eval(data=data)
    except RuntimeError:
        return bool(case.HasField("eval_error"))
    if case.HasField("eval_error"):
        return bool(found.type() == cel.Type.ERROR)
    return _same(case.value, found) if case.HasField("value") else found.value() is True


def _same(wanted: Any, found: Any) -> bool:
    kind = _kind(wanted)
    engines = found.type().name().partition("<")[0]
    if engines != KINDS.get(kind, kind.removesuffix("_value").upper()):
        return False
    if kind == "null_value":
        return True
    if kind == "list_value":
        items = found.value()
        return len(items) == len(wanted.list_value.values) and all(
            _same(*pair) for pair in zip(wanted.list_value.values, items, strict=True)
        )
    if kind == "map_value":
        entries, known = wanted.map_value.entries, found.value()
        return len(entries) == len(known) and all(
            (key := _bound(one.key)) in known and _same(one.value, known[key]) for one in entries
        )
    if kind == "type_value":
        name = found.value().name().partition("<")[0].lower()
        return bool(wanted.type_value == NAMES.get(name, name))
    return bool(getattr(wanted, kind) == found.value())


def _kind(value: Any) -> str:
    return str(value.ListFields()[0][0].name)


def _bound(value: Any) -> Any:
    """Return a value as the engine takes it for a variable."""
    kind = _kind(value)
    if kind == "map_value":
        return {_bound(one.key): _bound(one.value) for one in value.map_value.entries}
    if kind == "list_value":
        return [_bound(one) for one in value.list_value.values]
    if kind == "object_value":
        duration = duration_pb2.Duration()
        assert value.object_value.Unpack(duration)
        return duration
    return getattr(value, kind)


def _signature(type_: Any) -> str:
    if type_.HasField("map_type"):
        key, value = type_.map_type.key_type, type_.map_type.value_type
        return f"map<{_signature(key)}, {_signature(value)}>"
    if type_.HasField("list_type"):
        return f"list<{_signature(type_.list_type.elem_type)}>"
    if type_.HasField("message_type"):
        return str(type_.message_type)
    return (
        "null" if type_.HasField("null") else PRIMITIVES[type_.primitive].lower().removesuffix("64")
    )


def _schema() -> dict[str, Any]:
    file = FileDescriptorProto(name="simple.proto", syntax="proto2")
    names = file.enum_type.add(name="Primitive").value
    for number, name in enumerate(PRIMITIVES):
        names.add(name=name, number=number)
    for message, text in SCHEMA.items():
        described = file.message_type.add(name=message)
        for number, (name, type_) in enumerate((one.split(":") for one in text.split()), 1):
            many = Field.LABEL_REPEATED if type_.endswith("*") else Field.LABEL_OPTIONAL
            field = described.field.add(name=name, number=number, label=many)
            if hasattr(Field, scalar := f"TYPE_{type_.upper()}"):
                field.type = getattr(Field, scalar)
            else:
                field.type_name = "." + type_.rstrip("*")
    pool = DescriptorPool()
    for module in WELL_KNOWN:
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        file.dependency.append(module.DESCRIPTOR.name)
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(found)
        for name, found in pool.FindFileByName(file.name).message_types_by_name.items()
    }
