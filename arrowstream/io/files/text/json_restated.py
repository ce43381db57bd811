"""Rewriting of a block of NDJSON, so that Polars keeps every value that the schema has a column for.

This visits each value in Python and is for the few blocks that need it: those with a key twice in one object, and
those with numbers in text columns, which Polars would reformat (1.10 as 1.1).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from arrowstream.io.files.text.formats import FlawedRecord

if TYPE_CHECKING:
    from polars._typing import PolarsDataType


class _Number(str):
    """Digits of a number as they are in the text."""

    __slots__ = ()


class _Object(list[tuple[str, object]]):
    """Keys and values of an object in the order of the text."""

    __slots__ = ()


_PARSER: Final = json.JSONDecoder(object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number)


class Restated:
    """Rows of a block rewritten so that every key is a column, comes once, and has text if its column is text.

    If an object has a key twice, the first value stays, as in Polars.

    Parameters
    ----------
    block
        Lines of NDJSON that Polars can read.
    schema
        Names and types of the columns.

    Raises
    ------
    FlawedRecord
        The schema has a struct where the text has a value that is not an object.
    """

    __slots__ = ("_line", "data", "first", "lost")

    def __init__(self, block: bytes, schema: pl.Schema) -> None:
        self.lost = 0
        """Number of values that are not null and that the rows leave out."""
        self.first: tuple[int, str] | None = None
        """Line of the first of these values, counted from 0, and its key; None if there are none."""
        rows = pl.Struct(schema)
        lines: list[str] = []
        for self._line, line in enumerate(block.split(b"\n")):
            if line.strip():
                lines.append(f"{_written(self._fitted(_PARSER.decode(line.decode()), rows, ()))}\n")
        self.data = "".join(lines).encode()

    def _fitted(self, value: object, dtype: PolarsDataType, path: tuple[str, ...]) -> object:
        if isinstance(dtype, pl.Struct) and value is not None:
            return self._object(value, {field.name: field.dtype for field in dtype.fields}, path)
        if (
            isinstance(dtype, (pl.List, pl.Array))
            and isinstance(value, list)
            and not isinstance(value, _Object)
        ):
            return [self._fitted(item, dtype.inner, path) for item in value]
        if (
            dtype == pl.String
            and value is not None
            and (isinstance(value, _Number) or not isinstance(value, str))
        ):
            return _written(value)
        return value

    def _object(self, value: object, types: dict[str, PolarsDataType], path: tuple[str, ...]) -> _Object:
        if not isinstance(value, _Object):
            raise FlawedRecord(self._line, "no object", 0)
        kept: dict[str, object] = {}
        for key, item in value:
            if key in types and key not in kept:
                kept[key] = self._fitted(item, types[key], (*path, key))
            else:
                self._lose(item, (*path, key), twice=key in kept)
        return _Object(kept.items())

    def _lose(self, value: object, path: tuple[str, ...], *, twice: bool) -> None:
        size = _values(_Object([("", value)]))
        if size and self.first is None:
            self.first = self._line, f"key {'.'.join(path)!r}{', which comes twice' if twice else ''}"
        self.lost += size


def _values(value: object) -> int:
    """Count the values after a key, inside a value, that are not null."""
    if isinstance(value, _Object):
        return sum((item is not None) + _values(item) for _, item in value)
    return sum(map(_values, value)) if isinstance(value, list) else 0


def _written(value: object) -> str:
    """Return a value as JSON."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, _Object):
        return "{" + ",".join(f"{json.dumps(key)}:{_written(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value)
