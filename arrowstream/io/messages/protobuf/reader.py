"""Columns out of Protocol Buffers messages."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.io.messages.first_bad import first_bad
from arrowstream.io.messages.protobuf import wire
from arrowstream.io.messages.protobuf.fields import BOOL, MESSAGE, TEXT, ZIGZAG, Field, table_of
from arrowstream.io.messages.protobuf.known import OutOfRange
from arrowstream.io.messages.wire.byte_ranges import ByteRanges, Int64s, gathered, offsets_of

Mask = npt.NDArray[np.bool_]


class BadField(Exception):
    """A message that cannot be read.

    Parameters
    ----------
    index
        Its place among those that are read together.
    found
        What is wrong with it.
    """

    def __init__(self, index: int, found: str) -> None:
        super().__init__(found)
        self.index = index


def columns(fields: tuple[Field, ...], places: ByteRanges) -> list[pa.Array]:
    """Return the columns of messages, in the order of the fields.

    Raises
    ------
    BadField
        A message is not valid.
    """
    count = len(places.starts)
    found = _found(fields, places)
    kept = _without_rivals(fields, found, count)
    return [
        _column(field, every, values, places, count)
        for field, every, values in zip(fields, found, kept, strict=True)
    ]


def _found(fields: tuple[Field, ...], places: ByteRanges) -> list[Int64s]:
    """Return the values of each field, as `read_fields` writes them."""
    starts, ends = (np.ascontiguousarray(bounds) for bounds in (places.starts, places.ends))
    table, groups = table_of(fields), np.empty(wire.GROUPS, np.int64)
    counts, bases = np.zeros(len(fields), np.int64), np.zeros(len(fields), np.int64)
    out = np.empty((0, 4), np.int64)
    row, fault = wire.read_fields(places.data, starts, ends, table, bases, counts, out, groups)
    if fault:
        raise BadField(int(row), wire.FAULTS[fault])
    bounds = offsets_of(counts)
    out = np.empty((max(1, int(bounds[-1])), 4), np.int64)
    wire.read_fields(places.data, starts, ends, table, bounds, np.zeros_like(counts), out, groups)
    return [out[start:end] for start, end in pairwise(bounds)]


def _without_rivals(fields: tuple[Field, ...], found: list[Int64s], count: int) -> list[Int64s]:
    """Return the values without those of choices that another field of the choice came after."""
    kept = list(found)
    for choice in {field.oneof for field in fields} - {None}:
        members = [index for index, field in enumerate(fields) if field.oneof == choice]
        for index in members:
            latest = np.zeros(count, np.int64)
            for other in members:
                if other != index:
                    np.maximum.at(latest, found[other][:, wire.ROW], found[other][:, wire.PLACE])
            values = found[index]
            kept[index] = values[values[:, wire.PLACE] > latest[values[:, wire.ROW]]]
    return kept


def _column(field: Field, every: Int64s, values: Int64s, places: ByteRanges, count: int) -> pa.Array:
    """Return a column of `values`, which are those of `every` that a field of the same choice does not replace."""
    rows = values[:, wire.ROW]
    if field.repeated:
        items = _checked(field, values, places)
        offsets = offsets_of(np.bincount(rows, minlength=count))
        kind = pa.large_list(items.type)
        return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(offsets)], children=[items])
    last = np.flatnonzero(np.append(rows[1:] != rows[:-1], True)) if len(rows) else rows
    if field.type in (MESSAGE, TEXT) and len(last) < len(every):
        _checked(field, every, places)
    if field.type == MESSAGE and len(last) < len(rows):
        values, places = _merged(values, last, places)
        rows, last = values[:, wire.ROW], np.arange(len(values))
    chosen = rows[last]
    firsts, sizes = np.zeros(count, np.int64), np.zeros(count, np.int64)
    firsts[chosen] = values[last, wire.FIRST]
    sizes[chosen] = values[last, wire.SIZE]
    valid = None
    if field.presence and len(last) < count:
        valid = np.zeros(count, np.bool_)
        valid[chosen] = True
    return _values(field, firsts, sizes, places, valid)


def _checked(field: Field, values: Int64s, places: ByteRanges) -> pa.Array:
    """Return each of the values, which must be valid by itself even if others replace it or are merged with it."""
    try:
        return _values(field, values[:, wire.FIRST], values[:, wire.SIZE], places, None)
    except BadField as error:
        raise BadField(int(values[error.index, wire.ROW]), str(error)) from None


def _merged(values: Int64s, last: Int64s, places: ByteRanges) -> tuple[Int64s, ByteRanges]:
    """Return one value for each message: the bytes of several, joined, are those of the merged message."""
    offsets, data = gathered(places.data, values[:, wire.FIRST], values[:, wire.SIZE])
    ends = offsets[last + 1]
    starts = np.append(0, ends[:-1])
    merged = np.stack((values[last, wire.ROW], starts, ends - starts, ends), axis=1)
    return merged, ByteRanges(data, starts, ends)


def _values(field: Field, firsts: Int64s, sizes: Int64s, places: ByteRanges, valid: Mask | None) -> pa.Array:
    """Return values as an array, with nulls where `valid` is False."""
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    if field.type == MESSAGE:
        arrays = columns(field.fields, ByteRanges(places.data, firsts, firsts + sizes))
        if field.known is not None:
            try:
                return field.known.column(arrays, bitmap)
            except OutOfRange as error:
                raise BadField(error.index, f"field {field.name}: {error}") from None
        names = [each.name for each in field.fields]
        kind = pa.struct([pa.field(name, array.type) for name, array in zip(names, arrays, strict=True)])
        return pa.Array.from_buffers(kind, len(firsts), [bitmap], children=arrays)
    if field.wire == wire.BYTES:
        offsets, data = gathered(places.data, firsts, sizes)
        kind = pa.large_string() if field.type == TEXT else pa.large_binary()
        buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(data)]
        found = pa.Array.from_buffers(kind, len(firsts), buffers)
        if field.type == TEXT and not _is_utf8(found):
            index = first_bad(found, _is_utf8)
            raise BadField(index, f"field {field.name} is not UTF-8")
        return found
    numbers = _numbers(field, firsts)
    content = np.packbits(numbers != 0, bitorder="little") if field.type == BOOL else numbers
    found = pa.Array.from_buffers(field.arrow, len(firsts), [bitmap, pa.py_buffer(content)])
    return found if field.symbols is None else _texts(field.symbols, found)


def _numbers(field: Field, bits: Int64s) -> npt.NDArray[Any]:
    if field.type == BOOL:
        return bits
    if field.type in ZIGZAG:
        bits = bits & 0xFFFF_FFFF if field.physical == "i4" else bits
        bits = ((bits >> 1) & 0x7FFF_FFFF_FFFF_FFFF) ^ -(bits & 1)
    # Only as many bits as the type has count.
    width = field.physical[1]
    return bits.astype(f"i{width}").view(field.physical)


def _texts(symbols: dict[int, str], numbers: pa.Array) -> pa.Array:
    """Return the names of the symbols of an enum; a number without a name is its digits."""
    known = pc.index_in(numbers, pa.array(list(symbols), numbers.type))
    names = pc.take(pa.array(list(symbols.values()), pa.large_string()), known)
    return pc.coalesce(names, numbers.cast(pa.large_string())) if names.null_count else names


def _is_utf8(texts: pa.LargeStringArray) -> bool:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
