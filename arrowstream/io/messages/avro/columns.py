"""Columns of Avro types: the steps that read their values, and Arrow arrays of what was read.

A type that may be null has a value for each row or item: a null is a 0, or a text of no bytes, under a mask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.io.messages.avro import datums
from arrowstream.io.messages.avro.program import AvroProgram, BadDatum, ReadSlots
from arrowstream.io.messages.first_bad import first_bad
from arrowstream.io.messages.wire.byte_ranges import gathered, offsets_of

_INT: Final = (-(2**31), 2**31 - 1)
_LONG: Final = (-(2**63), 2**63 - 1)
_TIMES: Final = {"time-millis": (86_400_000, 1_000_000), "time-micros": (86_400_000_000, 1_000)}
"""Times of day: number of them in a day, and nanoseconds of one."""

Mask = npt.NDArray[np.bool_] | None
"""True where a value is there; None if all are."""


class AvroColumn(ABC):
    """A column of one type, whose steps are in a program."""

    @abstractmethod
    def array(self, slots: ReadSlots, valid: Mask) -> pa.Array:
        """Return the values, and nulls where `valid` is False.

        Raises
        ------
        BadDatum
            A value cannot be that of its type; the index is that of the value.
        """


@dataclass(frozen=True, slots=True)
class Numbers(AvroColumn):
    """Integers, dates and times, times a factor; numbers of enum symbols; bits of floats."""

    slot: int
    physical: Any
    type: pa.DataType
    factor: int = 1

    def array(self, slots: ReadSlots, valid: Mask) -> pa.Array:
        values = slots.of(self.slot)
        if self.factor != 1:
            values = values * self.factor
        return _plain(self.type, values.astype(self.physical), valid)


@dataclass(frozen=True, slots=True)
class Booleans(AvroColumn):
    """Truth values."""

    slot: int

    def array(self, slots: ReadSlots, valid: Mask) -> pa.Array:
        values = slots.of(self.slot)
        return _plain(pa.bool_(), np.packbits(values != 0, bitorder="little"), valid, len(values))


@dataclass(frozen=True, slots=True)
class Texts(AvroColumn):
    """Texts or bytes."""

    slot: int
    is_text: bool

    def array(self, slots: ReadSlots, valid: Mask) -> pa.Array:
        offsets, data = gathered(slots.data, slots.of(self.slot), slots.of(self.slot + 1))
        kind = pa.large_string() if self.is_text else pa.large_binary()
        buffers = [_bitmap(valid), pa.py_buffer(offsets), pa.py_buffer(data)]
        found = pa.Array.from_buffers(kind, len(offsets) - 1, buffers)
        if self.is_text and not _is_utf8(found):
            index = first_bad(found, _is_utf8)
            raise BadDatum(
                index, f"a text that is not UTF-8: {found.view(pa.large_binary())[index].as_py()[:60]!r}"
            )
        return found


@dataclass(frozen=True, slots=True)
class Decimals(AvroColumn):
    """Decimals of at most 128 bits."""

    slot: int
    type: pa.Decimal128Type

    def array(self, slots: ReadSlots, valid: Mask) -> pa.Array:
        words = np.stack((slots.of(self.slot + 1), slots.of(self.slot)), axis=1)
        found = _plain(self.type, words, valid, len(words))
        most = Decimal(10**self.type.precision - 1).scaleb(-self.type.scale)
        limits = pa.scalar(-most, self.type), pa.scalar(most, self.type)
        wide = pc.or_(pc.less(found, limits[0]), pc.greater(found, limits[1]))
        if pc.any(wide).as_py():
            raise BadDatum(
                int(np.argmax(wide.fill_null(False))), f"a decimal of more than {self.type.precision} digits"
            )
        return found


@dataclass(frozen=True, slots=True)
class Nullable(AvroColumn):
    """Values of another type, or null."""

    slot: int
    values: AvroColumn

    def array(self, slots: ReadSlots, valid: Mask) -> pa.Array:
        # A value is there only where the record around it is.
        there = slots.of(self.slot) != 0
        return self.values.array(slots, None if bool(there.all()) else there)


@dataclass(frozen=True, slots=True)
class Lists(AvroColumn):
    """Lists of another type; a map is one of keys and values."""

    slot: int
    values: AvroColumn

    def array(self, slots: ReadSlots, valid: Mask) -> pa.Array:
        offsets = offsets_of(slots.of(self.slot))
        try:
            items = self.values.array(slots, None)
        except BadDatum as error:
            raise BadDatum(int(np.searchsorted(offsets, error.index, "right")) - 1, str(error)) from None
        buffers = [_bitmap(valid), pa.py_buffer(offsets)]
        kind = pa.large_list(items.type)
        return pa.Array.from_buffers(kind, len(offsets) - 1, buffers, children=[items])


@dataclass(frozen=True, slots=True)
class Record(AvroColumn):
    """Records of several fields."""

    fields: dict[str, AvroColumn]

    def array(self, slots: ReadSlots, valid: Mask) -> pa.Array:
        arrays = [column.array(slots, None) for column in self.fields.values()]
        kind = pa.struct(
            [pa.field(name, array.type) for name, array in zip(self.fields, arrays, strict=True)]
        )
        return pa.Array.from_buffers(kind, len(arrays[0]), [_bitmap(valid)], children=arrays)


def column_of(program: AvroProgram, schema: Any, dtype: Any) -> AvroColumn:
    """Append the steps of a type to a program, and return its column.

    Parameters
    ----------
    program
        Where the steps go.
    schema
        The type, as `AvroType` has it.
    dtype
        Type of the column.
    """
    if isinstance(schema, list):
        return _nullable(program, schema, dtype)
    if isinstance(schema, str):
        schema = {"type": schema}
    match schema["type"]:
        case "record":
            types = {field.name: field.dtype for field in dtype.fields}
            return Record(
                {
                    each["name"]: column_of(program, each["type"], types[each["name"]])
                    for each in schema["fields"]
                }
            )
        case "array":
            return _items(program, schema["items"], dtype)
        case "bytes" | "string" | "fixed" as name:
            return _sized(program, name, schema.get("size", -1), dtype)
        case "boolean":
            program.add(datums.BOOLEAN, slot := program.slot())
            return Booleans(slot)
        case "float" | "double" as name:
            size = 4 if name == "float" else 8
            program.add(datums.BITS, slot := program.slot(), size)
            return Numbers(slot, f"i{size}", pa.float32() if size == 4 else pa.float64())
        case name:
            return _numbers(program, name, schema.get("logicalType", ""), dtype)


def _nullable(program: AvroProgram, schema: list[Any], dtype: Any) -> AvroColumn:
    null = schema.index("null")
    slot, step, before = program.slot(), len(program.steps), len(program.level)
    program.add(datums.UNION, slot)
    program.add(-1, 0)
    values = column_of(program, schema[1 - null], dtype)
    first = len(program.fills)
    program.fills += program.level[before:]
    program.steps[step][2:] = [null, first, len(program.fills)]
    program.steps[step + 1][1] = len(program.steps)
    return Nullable(slot, values)


def _items(program: AvroProgram, items: Any, dtype: Any) -> AvroColumn:
    slot, loop, step = program.slot(), program.loops, len(program.steps)
    program.loops += 1
    program.add(datums.LIST, 0, loop)
    program.add(datums.BLOCK, slot, loop)
    outside, program.level = program.level, []
    values = column_of(program, items, dtype.inner)
    program.level = outside
    program.add(datums.ITEM, 0, loop, step + 2, step + 1)
    program.steps[step + 1][3] = len(program.steps)
    return Lists(slot, values)


def _sized(program: AvroProgram, name: str, size: int, dtype: Any) -> AvroColumn:
    slot = program.slot(2)
    if dtype == pl.Decimal:
        program.add(datums.DECIMAL if size < 0 else datums.FIXED_DECIMAL, slot, size)
        return Decimals(slot, pa.decimal128(dtype.precision, dtype.scale))
    program.add(datums.TEXT if size < 0 else datums.FIXED, slot, size)
    return Texts(slot, name == "string")


def _numbers(program: AvroProgram, name: str, logical: str, dtype: Any) -> AvroColumn:
    slot = program.slot()
    least, most = _INT if name == "int" else _LONG
    physical, kind, factor = (np.int32, pa.int32(), 1) if name == "int" else (np.int64, pa.int64(), 1)
    if dtype == pl.Enum:
        least, most = 0, len(dtype.categories) - 1
    elif dtype == pl.Time:
        least, (day, factor) = 0, _TIMES[logical]
        most, physical, kind = day - 1, np.int64, pa.time64("ns")
    elif dtype == pl.Date:
        kind = pa.date32()
    elif dtype == pl.Datetime:
        kind = pa.timestamp(dtype.time_unit, dtype.time_zone)
    program.add(datums.NUMBER, slot, least, most)
    return Numbers(slot, physical, kind, factor)


def _plain(kind: pa.DataType, values: npt.NDArray[Any], valid: Mask, count: int | None = None) -> pa.Array:
    size = len(values) if count is None else count
    return pa.Array.from_buffers(kind, size, [_bitmap(valid), pa.py_buffer(np.ascontiguousarray(values))])


def _bitmap(valid: Mask) -> pa.Buffer | None:
    return None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))


def _is_utf8(texts: pa.LargeStringArray) -> bool:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
