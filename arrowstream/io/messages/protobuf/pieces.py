"""Columns as the bytes of Protocol Buffers messages, as `arrowstream.io.messages.avro.pieces` does it for Avro."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.io.messages.protobuf.fields import BOOL, MESSAGE, ZIGZAG, Field
from arrowstream.io.messages.protobuf.wire import BYTES, VARINT
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


def pieces_of(field: Field, values: pa.Array) -> Pieces:
    """Return the bytes of a field of each row, as columns to be joined.

    Parameters
    ----------
    field
        The field.
    values
        The column, in its type.

    Raises
    ------
    BadValue
        A value is not one of the field.
    """
    if values.null_count and not field.presence:
        raise BadValue(f"{field.name}: a null, where the field has no presence")
    if field.repeated:
        return _repeated(field, values)
    rows = np.flatnonzero(np.asarray(values.is_valid()))
    there = values.drop_null() if values.null_count else values
    content = _content(field, there)
    if not field.presence and field.type != MESSAGE:
        filled = _is_filled(field, content)
        rows = rows[filled]
        content = [piece.filter(pa.array(filled)) for piece in content]
    return [spread(piece, rows, len(values)) for piece in (_tags(field, len(rows)), *content)]


def message_pieces(fields: tuple[Field, ...], columns: list[pa.Array]) -> Pieces:
    """Return the bytes of messages, as columns to be joined, of the columns of their fields.

    Raises
    ------
    BadValue
        A value is not one of its field, or two fields of a choice have one.
    """
    for choice in {field.oneof for field in fields} - {None}:
        members = [column for field, column in zip(fields, columns, strict=True) if field.oneof == choice]
        if (np.sum([np.asarray(column.is_valid()) for column in members], axis=0) > 1).any():
            raise BadValue(f"two fields of the choice {choice!r} have a value")
    return [
        piece for field, column in zip(fields, columns, strict=True) for piece in pieces_of(field, column)
    ]


def _repeated(field: Field, values: pa.Array) -> Pieces:
    items = values.flatten()
    if items.null_count:
        raise BadValue(f"{field.name}: a null in a list")
    groups = offsets_of(np.asarray(pc.list_value_length(values)))
    content = _content(field, items)
    if field.wire == BYTES:
        return [regrouped(joined([_tags(field, len(items)), *content]), groups)]
    packed = regrouped(content[0], groups)
    rows = np.flatnonzero(np.diff(groups))
    sizes = varints(sizes_of(packed)[rows])
    tags = _tags(field, len(rows), BYTES)
    return [spread(tags, rows, len(values)), spread(sizes, rows, len(values)), packed]


def _content(field: Field, values: pa.Array) -> Pieces:
    """Return values that are not null without their tags."""
    if field.type == MESSAGE:
        parts = values.flatten() if field.known is None else field.known.parts(values)
        content = joined(message_pieces(field.fields, parts))
        return [varints(sizes_of(content)), content]
    if field.wire == BYTES:
        content = values.cast(pa.large_binary())
        return [varints(sizes_of(content)), content]
    numbers = _numbers(field, values)
    if field.wire == VARINT:
        return [varints(numbers)]
    return [fixed(numbers, numbers.dtype.itemsize)]


def _numbers(field: Field, values: pa.Array) -> npt.NDArray[Any]:
    if field.symbols is not None:
        return _of_symbols(field, values)
    numbers = np.asarray(values.cast(pa.uint8()) if field.type == BOOL else values)
    if field.type == ZIGZAG[0]:
        return zigzag(numbers) & np.uint64(0xFFFF_FFFF)
    if field.type == ZIGZAG[1]:
        return zigzag(numbers)
    return numbers if field.wire != VARINT else numbers.astype(np.int64)


def _of_symbols(field: Field, names: pa.Array) -> npt.NDArray[Any]:
    """Return the numbers of an enum's symbols, and those that are written as digits."""
    assert field.symbols is not None
    names = names.cast(pa.large_string())
    known = pc.index_in(names, pa.array(list(field.symbols.values()), pa.large_string()))
    numbers = pc.take(pa.array(list(field.symbols), pa.int32()), known)
    if numbers.null_count:
        try:
            numbers = pc.coalesce(numbers, pc.if_else(known.is_null(), names, None).cast(pa.int32()))
        except pa.ArrowInvalid as error:
            raise BadValue(f"{field.name}: not a symbol of the enum ({error})") from error
    return np.asarray(numbers).astype(np.int64)


def _is_filled(field: Field, content: Pieces) -> npt.NDArray[np.bool_]:
    """Return which values are not the default, whose bytes are all zero."""
    if field.wire == BYTES:
        return sizes_of(content[1]) > 0
    width = int(sizes_of(content[0]).min(initial=8))
    return np.asarray(pc.not_equal(content[0], pa.scalar(bytes(width), pa.large_binary())))


def _tags(field: Field, count: int, wire: int | None = None) -> pa.LargeBinaryArray:
    tag = varints(np.array([field.number << 3 | (field.wire if wire is None else wire)]))[0].as_py()
    return fixed(np.tile(np.frombuffer(tag, np.uint8), count), len(tag))
