"""Fields of a Protocol Buffers message, and the columns that they are.

Only the descriptor of a message is read, which each compiled class has: the library itself is needed for files of
descriptors alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.errors import SchemaError
from arrowstream.io.messages.protobuf.known import Known, holds_any_json, known
from arrowstream.io.messages.protobuf.wire import BITS32, BITS64, BYTES, VARINT

Enums = Literal["text", "number"]

TEXT, BINARY, MESSAGE, ENUM, BOOL = 9, 12, 11, 14, 8
"""Types of fields that are special, by their numbers in descriptors."""

ZIGZAG: Final = (17, 18)
"""Types of integers that are written in zigzag."""


@dataclass(frozen=True, slots=True)
class _Scalar:
    wire: int
    dtype: Any
    physical: str
    arrow: pa.DataType


_SCALARS: Final = {
    1: _Scalar(BITS64, pl.Float64(), "f8", pa.float64()),
    2: _Scalar(BITS32, pl.Float32(), "f4", pa.float32()),
    3: _Scalar(VARINT, pl.Int64(), "i8", pa.int64()),
    4: _Scalar(VARINT, pl.UInt64(), "u8", pa.uint64()),
    5: _Scalar(VARINT, pl.Int32(), "i4", pa.int32()),
    6: _Scalar(BITS64, pl.UInt64(), "u8", pa.uint64()),
    7: _Scalar(BITS32, pl.UInt32(), "u4", pa.uint32()),
    BOOL: _Scalar(VARINT, pl.Boolean(), "u1", pa.bool_()),
    13: _Scalar(VARINT, pl.UInt32(), "u4", pa.uint32()),
    15: _Scalar(BITS32, pl.Int32(), "i4", pa.int32()),
    16: _Scalar(BITS64, pl.Int64(), "i8", pa.int64()),
    17: _Scalar(VARINT, pl.Int32(), "i4", pa.int32()),
    18: _Scalar(VARINT, pl.Int64(), "i8", pa.int64()),
}
"""Numbers of fields, by their numbers in descriptors."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message.

    Parameters
    ----------
    name, number, type
        As in its descriptor.
    wire
        Wire type of its values.
    repeated
        True for lists and maps.
    presence
        True if a value that is not there is a null, not the default.
    oneof
        Name of the choice that it is part of, with others; None if it is none.
    dtype
        Type of one value.
    physical, arrow
        Types of the numbers of one value; those of bytes and messages are not used.
    symbols
        Names of an enum by number, if they are its values.
    fields
        Fields of a message.
    known
        What a message is as a column, if it is no struct.
    """

    name: str
    number: int
    type: int
    wire: int
    repeated: bool
    presence: bool
    oneof: str | None
    dtype: Any
    physical: str
    arrow: Any
    symbols: dict[int, str] | None
    fields: tuple[Field, ...]
    known: Known | None

    @property
    def column(self) -> Any:
        """Type of the column."""
        return pl.List(self.dtype) if self.repeated else self.dtype

    @property
    def packable(self) -> bool:
        """Whether several values may be one after the other in a field of bytes."""
        return self.repeated and self.wire != BYTES


def fields_of(
    message: Any, enums: Enums, wanted: Mapping[str, Any] | None = None, around: tuple[str, ...] = ()
) -> tuple[Field, ...]:
    """Return the fields of a message.

    Parameters
    ----------
    message
        Its descriptor.
    enums
        Whether enums are texts or numbers.
    wanted
        Types of columns by name, if they are declared or written: times and durations are in their units, and fields
        that no column can have are left out if they are not among these.
    around
        Names of the messages around it.

    Raises
    ------
    SchemaError
        No column can have a field: the message has no fields, contains itself, or has a group.
    """
    name = message.full_name
    if holds_any_json(name):
        raise _unfit(
            name,
            "a message that may hold any JSON",
            "write JSON into a string; or leave the field out of schema=",
        )
    if name in around:
        raise _unfit(name, "a message that contains itself")
    if not message.fields:
        raise _unfit(name, "a message without fields")
    found: list[Field] = []
    for field in message.fields:
        try:
            found.append(_field(field, enums, (wanted or {}).get(field.name), (*around, name)))
        except SchemaError:
            if wanted is None or field.name in wanted:
                raise
    if not found:
        raise _unfit(name, "a message without fields that columns can have")
    return tuple(found)


def _field(field: Any, enums: Enums, wanted: Any, around: tuple[str, ...]) -> Field:
    is_map_entry = field.containing_type.GetOptions().map_entry
    choice = field.containing_oneof
    symbols: dict[int, str] | None = None
    fields: tuple[Field, ...] = ()
    special: Known | None = None
    scalar = _SCALARS.get(5 if field.type == ENUM else field.type, _Scalar(BYTES, pl.Binary(), "", None))
    dtype = scalar.dtype
    if field.type == MESSAGE:
        item = wanted.inner if isinstance(wanted, pl.List | pl.Array) else wanted
        inner = {each.name: each.dtype for each in item.fields} if isinstance(item, pl.Struct) else None
        fields = fields_of(field.message_type, enums, inner, around)
        special = known(field.message_type.full_name, fields[0].dtype, item)
        dtype = pl.Struct({each.name: each.column for each in fields}) if special is None else special.dtype
    elif field.type == TEXT:
        dtype = pl.String()
    elif field.type == ENUM and enums == "text":
        dtype = pl.String()
        symbols = {}
        for value in field.enum_type.values:
            symbols.setdefault(value.number, value.name)
    elif field.type == 10:
        raise _unfit(field.full_name, "a group")
    return Field(
        field.name,
        field.number,
        field.type,
        scalar.wire,
        field.is_repeated,
        field.has_presence and not field.is_repeated and not is_map_entry,
        choice.name if choice is not None and len(choice.fields) > 1 else None,
        dtype,
        scalar.physical,
        scalar.arrow,
        symbols,
        fields,
        special,
    )


def _unfit(
    name: str, found: str, hint: str = "read another message, or change its definition"
) -> SchemaError:
    return SchemaError(
        f"no column can have {name}",
        expected="messages of scalars, enums, times, repeated fields, maps and other messages",
        found=found,
        hint=hint,
    )


def table_of(fields: tuple[Field, ...]) -> Any:
    """Return the fields as `read_fields` takes them."""
    return np.array([[each.number, each.wire, each.packable] for each in fields], np.int64)
