"""Columns as the bytes of Avro datums.

The datum of a row is the bytes of its fields, one after the other. So each column becomes a few columns of bytes,
made by arithmetic on whole arrays, and a single call joins them row by row. The items of lists lie next to each other
already: joining those of a list is a choice of other bounds over the same buffer.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.io.messages.wire.byte_ranges import offsets_of
from arrowstream.io.messages.wire.varints import (
    BadValue,
    Pieces,
    fixed,
    joined,
    regrouped,
    sizes_of,
    spread,
    varints,
    zigzag,
)

_TIMES: Final = {"time-millis": 1_000_000, "time-micros": 1_000}
"""Nanoseconds of the unit of a time of day."""

_INTS: Final = (pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16(), pa.uint32(), pa.int64())


def pieces_of(schema: Any, values: pa.Array, name: str) -> Pieces:
    """Return the bytes of a column, as columns to be joined.

    Parameters
    ----------
    schema
        Avro type, as `AvroType` has it.
    values
        The column, in the type that `AvroType` has for it; enums as dictionaries of their symbols.
    name
        Name of the column, for errors.

    Raises
    ------
    BadValue
        A value is not one of the type.
    """
    if isinstance(schema, list):
        return _nullable(schema, values, name)
    if values.null_count:
        raise BadValue(f"{name}: a null, where the Avro schema has no null")
    if isinstance(schema, str):
        schema = {"type": schema}
    match schema["type"]:
        case "record":
            fields = zip(schema["fields"], values.flatten(), strict=True)
            return [
                piece
                for field, column in fields
                for piece in pieces_of(field["type"], column, f"{name}.{field['name']}")
            ]
        case "array":
            return _items(schema["items"], values, name)
        case "boolean":
            return [fixed(np.asarray(values.cast(pa.uint8())), 1)]
        case "float":
            return [fixed(np.asarray(values).astype("<f4", copy=False), 4)]
        case "double":
            return [fixed(np.asarray(values).astype("<f8", copy=False), 8)]
        case "bytes" | "string" if not pa.types.is_decimal(values.type):
            content = values.cast(pa.large_binary())
            return [varints(zigzag(sizes_of(content))), content]
        case "bytes":
            return [varints(np.full(len(values), 32, np.int64)), _decimals(values, 16, name)]
        case "fixed":
            return [_fixed(values, schema["size"], name)]
        case _:
            return [varints(zigzag(_numbers(values, schema.get("logicalType", ""), name)))]


def _nullable(schema: list[Any], values: pa.Array, name: str) -> Pieces:
    null = schema.index("null")
    if not values.null_count:
        return [_constant(2 * (1 - null), len(values)), *pieces_of(schema[1 - null], values, name)]
    there = np.asarray(values.is_valid())
    rows = np.flatnonzero(there)
    index = np.where(there, 2 * (1 - null), 2 * null).astype(np.uint8)
    pieces = pieces_of(schema[1 - null], values.drop_null(), name)
    return [fixed(index, 1), *(spread(piece, rows, len(values)) for piece in pieces)]


def _items(schema: Any, values: pa.Array, name: str) -> Pieces:
    """Return lists: the number of items and the items, unless there are none, and a zero."""
    sizes = np.asarray(pc.list_value_length(values)).astype(np.int64)
    content = regrouped(joined(pieces_of(schema, values.flatten(), name)), offsets_of(sizes))
    filled = np.flatnonzero(sizes)
    counts = spread(varints(zigzag(sizes[filled])), filled, len(sizes))
    return [counts, content, _constant(0, len(sizes))]


def _constant(byte: int, count: int) -> pa.LargeBinaryArray:
    return fixed(np.full(count, byte, np.uint8), 1)


def _numbers(values: pa.Array, logical: str, name: str) -> npt.NDArray[Any]:
    """Return the numbers that Avro has for integers, dates, times and symbols."""
    if pa.types.is_dictionary(values.type):
        return np.asarray(values.indices)
    if pa.types.is_time(values.type):
        numbers, unit = np.asarray(values.view(pa.int64())), _TIMES[logical]
        if (numbers % unit).any():
            raise BadValue(
                f"{name}: a time with a part of less than {unit:,} ns, which {logical} does not have"
            )
        return numbers // unit
    if values.type in _INTS:
        return np.asarray(values)
    return np.asarray(values.view(pa.int32() if pa.types.is_date32(values.type) else pa.int64()))


def _fixed(values: pa.Array, size: int, name: str) -> pa.LargeBinaryArray:
    if pa.types.is_decimal(values.type):
        return _decimals(values, size, name)
    content = values.cast(pa.large_binary())
    wrong = sizes_of(content) != size
    if wrong.any():
        raise BadValue(f"{name}: {int(sizes_of(content)[np.argmax(wrong)]):,} bytes, where Avro has {size:,}")
    return content


def _decimals(values: pa.Array, size: int, name: str) -> pa.LargeBinaryArray:
    """Return decimals as integers of some bytes, the highest first."""
    start = values.offset * 16
    low_first = np.frombuffer(values.buffers()[1], np.uint8)[start : start + len(values) * 16].reshape(-1, 16)
    sign = np.where(low_first[:, 15:] > 127, 255, 0).astype(np.uint8)
    kept = low_first[:, :size]
    if (low_first[:, size:] != sign).any() or ((kept[:, -1:] > 127) != (sign > 0)).any():
        raise BadValue(f"{name}: a decimal that does not fit in {size} bytes")
    return fixed(kept[:, ::-1], size)
