"""What strict readers make of a file: Python's csv and json modules, and pyarrow for Parquet."""

from __future__ import annotations

import csv as csv_module
import io
import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import polars as pl
import pyarrow.parquet as pq

Row = dict[str, Any]


class Refused(Exception):
    """The strict reader does not accept the file."""


class Undetected(Refused):
    """The strict reader does not accept the file, but reads of Polars cannot tell."""


class Judged(NamedTuple):
    """The rows of a file, and the number of values that have no column."""

    rows: list[Row]
    lost: int = 0


def csv(data: bytes, schema: pl.Schema) -> Judged:
    """Read CSV with the csv module; a blank line is a row of empty fields."""
    text = _text(data)
    try:
        lines = list(csv_module.reader(io.StringIO(text, newline=""), strict=True))
    except csv_module.Error as error:
        raise Refused(str(error)) from error
    while lines and not lines[0]:
        del lines[0]
    if not lines or lines[0] != schema.names():
        raise Refused("the names are not those of the schema")
    names, rows = lines[0], []
    for line in lines[1:]:
        fields = line or [""] * len(names)
        if len(fields) != len(names):
            raise Refused(f"{len(fields)} fields")
        rows.append({name: _field(field, schema[name]) for name, field in zip(names, fields, strict=True)})
    return Judged(rows)


def ndjson(data: bytes, schema: pl.Schema) -> Judged:
    """Read objects, one after the other, with the json module."""
    text = _text(data)
    found, at = [], _next(text, 0)
    while at < len(text):
        value, at = _decoded(text, at)
        found.append(value)
        at = _next(text, at)
    return _judged(found, schema)


def json_array(data: bytes, schema: pl.Schema) -> Judged:
    """Read an array of objects with the json module; a file that does not begin with one is NDJSON."""
    text = _text(data)
    if text[_next(text, 0) :][:1] != "[":
        return ndjson(data, schema)
    value, end = _decoded(text, _next(text, 0))
    if type(value) is not list or _next(text, end) != len(text):
        raise Refused("no array alone")
    return _judged(value, schema)


def parquet(data: bytes, schema: pl.Schema) -> Judged:
    """Read Parquet with pyarrow."""
    try:
        table = pq.read_table(io.BytesIO(data), use_threads=False)
        table.validate(full=True)
        frame = pl.from_arrow(table)
    except (Exception, pl.exceptions.PanicException) as error:
        for sign, why in _UNDETECTED.items():
            if sign in str(error):
                raise Undetected(why) from error
        raise Refused(str(error)) from error
    assert isinstance(frame, pl.DataFrame)
    return Judged(frame.to_dicts())


def same(found: Any, wanted: Any) -> bool:
    """Say whether two values are equal; NaN equals NaN, -0.0 is not 0.0, and True is not 1."""
    if wanted is NOTHING:
        return found in ("", None)
    if isinstance(wanted, Anything):
        return wanted.is_text(found)
    if isinstance(wanted, dict):
        return (
            isinstance(found, dict)
            and found.keys() == wanted.keys()
            and all(same(found[k], wanted[k]) for k in wanted)
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(same, found, wanted))
    return type(found) is type(wanted) and (found == wanted or found != found) and str(found) == str(wanted)


_UNDETECTED = {
    "GZipCodec": "Polars does not compare the checksums of pages compressed by gzip",
    "Invalid number of indices": "Polars does not compare the number of indexes with that of a page's values",
    "Length spanned by list offsets": "levels of a list contradict each other; pyarrow notices after reading",
    "Number of decoded rep / def levels": "Polars does not compare the number of levels with that of the page",
    "Page didn't decompress to expected size": "Polars does not compare the size of a page",
}
"""Errors of pyarrow for damage that Polars cannot tell from data, and why."""

NOTHING = object()
"""An empty field of text in CSV, null without quotes and empty text in them: the csv module does not tell."""


class Number(str):
    """A number as it is written."""


class Object(list[tuple[str, Any]]):
    """Keys and values, in order."""


class Anything:
    """A value that is no text, in a column of text: any JSON that says the same with the same digits."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def is_text(self, found: object) -> bool:
        """Say whether this text is JSON of the value."""
        return isinstance(found, str) and _decoded(found, 0)[0] == self.value

    def __repr__(self) -> str:
        return f"Anything({self.value!r})"


def _text(data: bytes) -> str:
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        raise Refused(str(error)) from error


def _integer(text: str) -> int:
    text = text.lstrip(" \t")  # a space before a number changes nothing
    if not re.fullmatch(r"[+-]?[0-9]+", text) or not -(2**63) <= int(text) < 2**63:
        raise Refused(f"{text!r} is no Int64")
    return int(text)


def _float(text: str) -> float:
    text = text.lstrip(" \t")  # a space before a number changes nothing
    if not re.fullmatch(
        r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity|nan)", text, re.I
    ):
        raise Refused(f"{text!r} is no Float64")
    return float(text)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Refused(f"{text!r} is no Boolean")
    return text.lower() == "true"


_FIELDS: dict[pl.DataType, Callable[[str], Any]] = {
    pl.Int64(): _integer,
    pl.Float64(): _float,
    pl.String(): str,
    pl.Boolean(): _boolean,
}


def _field(text: str, dtype: pl.DataType) -> Any:
    if not text:
        return NOTHING if dtype == pl.String else None
    if dtype.is_numeric() and not text.strip(" \t"):
        return None
    return _FIELDS[dtype](text)


def _refuse(name: str) -> Any:
    raise Refused(f"{name} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=_refuse
)


def _next(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _decoded(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        raise Refused(str(error)) from error


def _judged(values: list[Any], schema: pl.Schema) -> Judged:
    rows, lost = [], 0
    for value in values:
        if not isinstance(value, Object):
            raise Refused("a row is no object")
        row, more = _value(value, pl.Struct(schema))
        rows.append(row)
        lost += more
    return Judged(rows, lost)


def _value(value: Any, dtype: Any) -> tuple[Any, int]:
    """Return what a column of this type makes of a value, and how many values have no place in that."""
    if value is None:
        return None, 0
    if isinstance(dtype, pl.Struct) and isinstance(value, Object):
        fields = {field.name: field.dtype for field in dtype.fields}
        row: Row = {}
        lost = 0
        for key, item in value:
            _whole(key)
            if key in fields and key not in row:
                row[key], more = _value(item, fields[key])
                lost += more
            else:
                lost += _inside(Object([(key, item)]))
        return {name: row.get(name) for name in fields}, lost
    if isinstance(dtype, pl.List) and type(value) is list:
        items = [_value(item, dtype.inner) for item in value]
        return [item for item, _ in items], sum(more for _, more in items)
    if dtype == pl.String:
        return (_whole(value), 0) if type(value) is str else (Anything(value), 0)
    if isinstance(value, Number) and dtype == pl.Int64:
        return _whole_number(value), 0
    if isinstance(value, Number) and dtype == pl.Float64:
        return (0.0 if value == "-0" else float(value)), 0  # as an integer, the json module's is 0
    raise Refused(f"{value!r} is no {dtype}")


def _whole_number(text: str) -> int:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise Refused(text) from error
    if number.adjusted() > 18 or number != int(number) or not -(2**63) <= number < 2**63:
        raise Refused(f"{text} is no Int64")
    return int(number)


def _whole(text: str) -> str:
    """Return a text of whole characters; half a pair of surrogates is none."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refused(str(error)) from error
    return text


def _inside(value: Any) -> int:
    """Count the values in what has no column."""
    if isinstance(value, Object):
        return sum((item is not None) + _inside(item) for _, item in value)
    return sum(map(_inside, value)) if type(value) is list else 0
