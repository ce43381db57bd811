"""Polars expressions made from their serialised trees, and the types of their results."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any

import polars as pl

from arrowstream.core.rows.empty_frames import no_rows

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?')
_LONG = re.compile(r"\d[\d.]{15}|\d[eE][-+]?\d")
"""A number with 16 digits or more, or with an exponent, which Polars may read inexactly."""


class NotRebuilt(Exception):
    """A tree gives no expression.

    JSON has neither NaN nor infinity, and Polars reads at most 127 levels of it and some floats not exactly.
    """


def rebuild(tree: Any) -> pl.Expr:
    """Return the expression of a serialised tree.

    Raises
    ------
    NotRebuilt
        The tree holds NaN, infinity or a float that Polars cannot read, is too deep, or is of another version of
        Polars.
    """
    text = json.dumps(tree)
    return _read(_TOKEN.sub(_exact, text) if _LONG.search(text) else text)


def _exact(token: re.Match[str]) -> str:
    """Return a token of JSON, floats in a form that Polars reads exactly."""
    text = token[0]
    return _readable(float(text)) if text[0] != '"' and not text.lstrip("-").isdigit() else text


@lru_cache
def _readable(value: float) -> str:
    """Return digits that Polars reads as `value`: its parser is off by the last bit for one in ten of 17 digits."""
    for text in _close_to(value):
        if _value(_read(f'{{"Literal": {{"Dyn": {{"Float": {text}}}}}}}')) == value:
            return text
    raise NotRebuilt(f"Polars reads {value} as another number")


def _value(literal: pl.Expr) -> Any:
    return json.loads(literal.meta.serialize(format="json"))["Literal"]["Dyn"]["Float"]


def _close_to(value: float) -> Iterator[str]:
    """Yield the digits of `value`, then of numbers up to one and a half units in its last place away.

    Polars divides the digits, as a float, by a power of ten: other digits are another float and another power.
    """
    yield repr(value)
    sixteenth = Decimal(math.ulp(value)) / 16
    for digits in (17, 16, 15, 18):
        for steps in sorted(range(-24, 25), key=abs):
            yield f"{Decimal(value) + steps * sixteenth:.{digits}e}".replace("e+", "e")


def column_types(tree: Any, schema: pl.Schema) -> list[pl.DataType] | None:
    """Return the types of the columns that a tree gives over rows of `schema`; None if it cannot stand alone."""
    text = json.dumps(tree)
    # NaN and infinity, which JSON writes as null, have the same type as zero.
    for kind in ("Float", "Float64", "Float32"):
        text = text.replace(f'{{"{kind}": null}}', f'{{"{kind}": 0.0}}')
    try:
        return no_rows(schema).lazy().select(_read(text)).collect_schema().dtypes()
    except (NotRebuilt, pl.exceptions.PolarsError):
        return None


def cast_type(tree: Any, schema: pl.Schema | None = None) -> pl.DataType:
    """Return the type that a ``Cast`` node casts to; it needs `schema` if the type is taken from a column."""
    cast = {**tree["Cast"], "expr": {"Literal": {"Scalar": {"Null": "Null"}}}}
    frame = no_rows(schema or pl.Schema()).lazy()
    return frame.select(rebuild({"Cast": cast})).collect_schema().dtypes()[0]


def _read(text: str) -> pl.Expr:
    try:
        return pl.Expr.deserialize(io.BytesIO(text.encode()), format="json")
    except pl.exceptions.PolarsError as error:
        raise NotRebuilt(str(error)) from error
