"""Polars types by the names that Polars prints: ``"Int64"``, ``"Datetime('us')"``, ``"List(Int64)"``."""

from __future__ import annotations

import ast
from typing import Any

import polars as pl

from arrowstream.core.hints import nearest_type

_TYPES: dict[str, type[pl.DataType]] = {
    name: getattr(pl, name)
    for name in (
        *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
        *("Float32", "Float64", "Decimal", "Boolean", "String", "Binary", "Categorical", "Enum"),
        *("Date", "Time", "Datetime", "Duration", "List", "Array", "Struct", "Null"),
    )
}


def dtype(text: str) -> pl.DataType:
    """Return the type of a name as ``str(dtype)`` writes it; arguments with a default may be left out.

    Raises
    ------
    ValueError
        The type does not exist, or its arguments do not fit; the message says which, in one line.

    Examples
    --------
    >>> dtype("Int64"), dtype("Datetime('ms')"), dtype("List(Int64)")
    (Int64, Datetime(time_unit='ms', time_zone=None), List(Int64))
    >>> dtype("Int46")
    Traceback (most recent call last):
    ValueError: unknown type 'Int46' (did you mean 'Int64'?)
    """
    try:
        found = _value(ast.parse(text.strip(), mode="eval").body)
        if not isinstance(found, pl.DataType):
            raise ValueError("a type begins with its name, such as Int64")
        pl.DataFrame(schema={"": found})  # Polars checks precision and time zone only here
    except _UnknownType as error:
        raise ValueError(str(error)) from None
    except SyntaxError:
        raise ValueError(f"unknown type {text!r}") from None
    except (TypeError, ValueError, AttributeError, OverflowError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split("\n\n")[0].split())
        raise ValueError(f"no type {text!r}: {reason}") from None
    return found


class _UnknownType(Exception):
    def __init__(self, name: str) -> None:
        close = nearest_type(name, _TYPES)
        hint = f"did you mean {close!r}?" if close else "one of " + ", ".join(_TYPES)
        super().__init__(f"unknown type {name!r} ({hint})")


def _value(node: ast.expr | None) -> Any:
    """Return the type, or the argument of a type, that a piece of a type's name stands for. Calls only types."""
    match node:
        case ast.Name(id=name):
            return _type(name)()
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=named):
            options = {str(keyword.arg): _value(keyword.value) for keyword in named}
            return _type(name)(*map(_value, arguments), **options)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return tuple(map(_value, items))
        case ast.Dict(keys=keys, values=values):
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True)}
        case ast.Constant(value=value):
            return value
        case _:
            raise ValueError("only types, texts, numbers and lists of them stand in a type")


def _type(name: str) -> type[pl.DataType]:
    if name not in _TYPES:
        raise _UnknownType(name)
    return _TYPES[name]
