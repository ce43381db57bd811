"""NDJSON as a text format: blocks, schema and rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from arrowstream.io.files.columnar.given_types import cast_to
from arrowstream.io.files.text.formats import INFER_ROWS, FlawedRecord, LineFormat
from arrowstream.io.files.text.json.apart import Apart, objects_apart
from arrowstream.io.files.text.json.depth import DEEPEST, DEEPEST_INFERRED, OVERFLOWS, too_deep
from arrowstream.io.files.text.json.number_ends import LENIENT, stuck_signs
from arrowstream.io.files.text.records import occurrences
from arrowstream.io.files.text.times import times_as_texts, with_times

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

_NARROW: Final = (pl.Int8, pl.Int16, pl.UInt8, pl.UInt16)
# Polars' NDJSON reader panics if a column, outside lists and structs, has one of these types.

_SIGN: Final = re.compile(rb"[^ \t\r\n]")

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_PAIRED: Final = re.compile(
    rb"(?:[^\\]++|\\(?:[^u]|u(?:[^dD]|[dD](?:[0-7]|[89abAB]..\\u[dD][c-fC-F]))))*+", re.DOTALL
)
# Matches everything up to the first lone escaped surrogate, which Polars would turn into a NUL character.


@dataclass(frozen=True, slots=True)
class Ndjson(LineFormat):
    """Format with JSON objects on lines; blank lines are skipped.

    Parameters
    ----------
    several
        Whether a line may hold several objects.
    """

    several: bool = True

    def infer(self, block: bytes, overrides: pl.Schema, *, rows: int | None = INFER_ROWS) -> pl.Schema:
        if is_blank(block):
            return overrides
        _check_depth(block, DEEPEST_INFERRED)
        try:
            found = pl.scan_ndjson(block, infer_schema_length=rows).collect_schema()
        except pl.exceptions.PolarsError:
            if (apart := self.apart(block)) is None:
                raise
            return self.infer(apart.data, overrides, rows=rows)
        if "\0" in "".join(_names(pl.Struct(found))):
            self.checked(block)  # half of a surrogate pair became this character
        return pl.Schema({**{name: _settled(dtype) for name, dtype in found.items()}, **overrides})

    def checked(self, block: bytes, *, in_order: bool = False) -> bytes:
        if OVERFLOWS:
            _check_depth(block, DEEPEST)
        if LENIENT and (line := stuck_signs(block)) is not None:
            raise FlawedRecord(line, "no object", 0)
        # In this order because Python finds one byte, and numpy two, ten times as fast as Python finds three.
        if b"\\" in block and occurrences(block, b"\\u") and (b"\\ud" in block or b"\\uD" in block):
            sound = _PAIRED.match(block)
            assert sound is not None
            if _SURROGATE.match(block, sound.end()):
                raise FlawedRecord(block.count(b"\n", 0, sound.end()), "lone surrogate", sound.end())
        return block

    def apart(self, block: bytes) -> Apart | None:
        return objects_apart(block) if self.several else None

    def scan(self, block: bytes, schema: pl.Schema, *, lenient: bool = False) -> pl.LazyFrame:
        """Return the rows of a checked block; if `lenient`, with nulls for values that do not fit their types."""
        if is_blank(block):
            return pl.LazyFrame(schema=schema)
        # By identity: comparing types compares what is inside of them, by recursion.
        others = {name: wide for name, dtype in schema.items() if (wide := _wide(dtype)) is not dtype}
        wide_schema = pl.Schema({**schema, **others})
        times = {n: texts for n, wide in wide_schema.items() if (texts := times_as_texts(wide)) is not wide}
        rows = pl.scan_ndjson(
            block,
            schema=pl.Schema({**wide_schema, **times}) or None,
            infer_schema_length=None,
            ignore_errors=lenient,
        )
        return rows.with_columns(
            with_times(pl.col(name), wide_schema[name], lenient=lenient) for name in times
        ).with_columns(cast_to(name, wide, schema[name], lenient=lenient) for name, wide in others.items())


def _check_depth(block: bytes, most: int) -> None:
    """Raise FlawedRecord for a line on which a stack could overflow."""
    if (line := too_deep(block, most)) is not None:
        raise FlawedRecord(line, "too deep", 0)


def is_blank(block: bytes) -> bool:
    """Return whether bytes hold nothing but the blank space that JSON allows."""
    return _SIGN.search(block) is None  # `strip` would copy the block


def _wide(dtype: PolarsDataType, *, inside: bool = False) -> PolarsDataType:
    """Return the type that values are read as before they are cast: Polars makes infinity of 1e300 as Float32.

    A type that stays the same is returned itself.
    """
    if isinstance(dtype, pl.List | pl.Array):
        inner = _wide(dtype.inner, inside=True)
        if inner is dtype.inner:
            return dtype
        return pl.List(inner) if isinstance(dtype, pl.List) else pl.Array(inner, dtype.shape[0])
    if isinstance(dtype, pl.Struct):
        fields = {field.name: _wide(field.dtype, inside=True) for field in dtype.fields}
        same = all(fields[field.name] is field.dtype for field in dtype.fields)
        return dtype if same else pl.Struct(fields)
    if dtype == pl.Float32:
        return pl.Float64()
    return pl.Int64() if dtype in _NARROW and not inside else dtype


def _names(dtype: PolarsDataType) -> Iterator[str]:
    """Yield the names of all fields of a type, at any depth."""
    if isinstance(dtype, pl.List):
        yield from _names(dtype.inner)
    elif isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield field.name
            yield from _names(field.dtype)


def _settled(dtype: PolarsDataType, *, inside: bool = False) -> PolarsDataType:
    """Return a type that loses no values: String for elements and fields without values so far, Null in Polars."""
    if isinstance(dtype, pl.List):
        return pl.List(_settled(dtype.inner, inside=True))
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _settled(field.dtype, inside=True) for field in dtype.fields})
    return pl.String() if inside and dtype == pl.Null else dtype
