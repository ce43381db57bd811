"""Messages of Protocol Buffers for tests, described without a compiler."""

from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

SCALARS = {
    "double": 1,
    "float": 2,
    "int64": 3,
    "uint64": 4,
    "int32": 5,
    "fixed64": 6,
    "fixed32": 7,
    "bool": 8,
    "string": 9,
    "bytes": 12,
    "uint32": 13,
    "sfixed32": 15,
    "sfixed64": 16,
    "sint32": 17,
    "sint64": 18,
}
"""Types by their numbers in descriptors."""


def described() -> descriptor_pb2.FileDescriptorProto:
    """A file with the messages ``t.Other``, ``t.All`` and ``t.All.Point``."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    color = file.enum_type.add(name="Color")
    for name, number in (("NONE", 0), ("RED", 1), ("BLUE", -3)):
        color.value.add(name=name, number=number)
    file.message_type.add(name="Other").field.add(name="x", number=1, type=5, label=1)
    every = file.message_type.add(name="All")
    point = every.nested_type.add(name="Point")
    point.field.add(name="x", number=1, type=17, label=1)
    point.field.add(name="tags", number=2, type=9, label=3)
    number = 0
    kinds = {**SCALARS, "enum": 14, "point": 11}
    names = {"enum": ".t.Color", "point": ".t.All.Point"}

    def add(name: str, kind: str, label: int = 1, **more: Any) -> None:
        nonlocal number
        number += 1 if number != 18 else 2000
        every.field.add(
            name=name, number=number, type=kinds[kind], type_name=names.get(kind), label=label, **more
        )

    for kind in kinds:
        add(kind, kind)
        add(f"{kind}s", kind, 3)
    optional = [kind for kind in kinds if kind != "point"]
    every.oneof_decl.add(name="choice")
    for kind in ("int32", "string", "point"):
        add(f"choice_{kind}", kind, oneof_index=0)
    for place, kind in enumerate(optional):
        add(f"maybe_{kind}", kind, proto3_optional=True, oneof_index=place + 1)
        every.oneof_decl.add(name=f"_maybe_{kind}")
    for kind in ("int32", "point"):
        entry = every.nested_type.add(name=f"Map{kind}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=9, label=1)
        entry.field.add(name="value", number=2, type=kinds[kind], type_name=names.get(kind), label=1)
        names["map"], kinds["map"] = f".t.All.Map{kind}Entry", 11
        add(f"map_{kind}", "map", 3)
    return file


def classes(file: descriptor_pb2.FileDescriptorProto) -> dict[str, Any]:
    """The classes of a file's messages, by their full names."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClassesForFiles([file.name], pool)


CLASSES = classes(described())
ALL, OTHER = CLASSES["t.All"], CLASSES["t.Other"]
POINT = ALL.Point

TYPES = {
    "at": "Timestamp",
    "took": "Duration",
    "number": "Int32Value",
    "text": "StringValue",
    "flag": "BoolValue",
    "data": "BytesValue",
    "large": "UInt64Value",
}


def described_known() -> descriptor_pb2.FileDescriptorProto:
    """A file with the messages ``k.Known``, which has a field and a list of each, and ``k.Loose``."""
    files = [each.DESCRIPTOR.name for each in (timestamp_pb2, duration_pb2, wrappers_pb2, struct_pb2)]
    file = descriptor_pb2.FileDescriptorProto(name="k.proto", package="k", syntax="proto3", dependency=files)
    known = file.message_type.add(name="Known")
    for number, (name, kind) in enumerate(TYPES.items(), 1):
        for label, suffix in ((1, ""), (3, "s")):
            known.field.add(
                name=name + suffix,
                number=number + label * 10,
                type=11,
                label=label,
                type_name=f".google.protobuf.{kind}",
            )
    loose = file.message_type.add(name="Loose")
    loose.field.add(name="id", number=1, type=3, label=1)
    loose.field.add(name="more", number=2, type=11, label=1, type_name=".google.protobuf.Struct")
    loose.field.add(name="again", number=3, type=11, label=1, type_name=".k.Loose")
    only = file.message_type.add(name="Only")
    only.field.add(name="more", number=1, type=11, label=1, type_name=".google.protobuf.Value")
    return file


def made_known() -> dict[str, Any]:
    pool = descriptor_pool.Default()
    pool.Add(described_known())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"k.{name}")) for name in NAMES}


NAMES = ("Known", "Loose", "Only")
KNOWN, LOOSE, ONLY = made_known().values()
