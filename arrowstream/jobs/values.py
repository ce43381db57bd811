"""Readers of a job's values: SQL expressions, types, durations, arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl

from arrowstream.config.toml_file import Value
from arrowstream.core.duration import seconds
from arrowstream.core.hints import did_you_mean
from arrowstream.expressions.type_names import dtype
from arrowstream.jobs.job_errors import located

T = TypeVar("T")

Reader = Callable[[Value], Any]
"""Reads a value of a file, and raises JobError if it does not fit."""

# In SQL, double quotes enclose a name with spaces, or one that is also a keyword.
_NAMED = re.compile(
    r'(?P<expression>.+?)\s+AS\s+(?P<name>"[^"]+"|[A-Za-z_]\w*)\s*', re.DOTALL | re.IGNORECASE
)

_OWN = re.compile(r"unsupported function '(\w+)'|found '(\w+)' clause")
"""Errors of Polars for a keyword where a column is meant: ``user`` is a function to it, ``order`` a clause."""


def expression(value: Value) -> pl.Expr:
    """Read one SQL expression with `polars.sql_expr`.

    Raises
    ------
    JobError
        It is not SQL: ``flights.toml:8: 'filter' in [[steps]]: 'a >' is not an SQL expression: ...``
    """
    return _parsed(value, value.text())


def _parsed(value: Value, text: str) -> pl.Expr:
    """Parse `text`: the SQL of `value`, without ``AS name`` if it has one."""
    try:
        pl.sql_expr(text)  # first as written, so that a position in an error message is right
        # The line break ends a comment in the last line of `text`.
        found = pl.sql_expr(f"({text}\n)")
        followed = pl.sql_expr(f"({text}\n) IS NULL")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:  # a panic: INTERVAL 'x'
        raise value.error(
            f"{value.text()!r} is not an SQL expression: {error}{_quoted(text, error)}{_several(error)}{_all(text)}"
        ) from None
    # Polars before 2 reads "a > 1) b" as "a > 1" without an error, and then does not read IS NULL either.
    if not followed.meta.eq(found.is_null()):
        raise value.error(f"{value.text()!r} is not an SQL expression: there is more after its end")
    return found


def _quoted(text: str, error: BaseException) -> str:
    """Return a hint to quote the column if its name is a keyword of SQL, else no text."""
    found = _OWN.search(str(error))
    word = found and (found[1] or found[2])
    if not word or re.search(rf"\b{word}\s*\(", text, re.IGNORECASE):
        return ""
    return f'; a column of this name stands in double quotes: "{word}"'


def _several(error: BaseException) -> str:
    """Return a hint to write a list if Polars refused a comma between several expressions, else no text."""
    refused = "','" in str(error) or "Tuple(" in str(error)  # Polars before 2 reads them as a tuple first
    return "; several go into a list of texts: ['a', 'b * 2 AS b2']" if refused else ""


def _all(text: str) -> str:
    """Return what stands for all columns if `text` is a star, else no text."""
    return (
        "; leave 'select' out to keep all columns: 'with_columns' adds to them" if text.strip() == "*" else ""
    )


def named_expression(value: Value) -> pl.Expr:
    """Read one SQL expression, with or without a name: ``distance / 60 AS miles``."""
    named = _NAMED.fullmatch(value.text())
    if named is None:
        return expression(value)
    return _parsed(value, named["expression"]).alias(named["name"].strip('"'))


def expressions(value: Value) -> list[pl.Expr]:
    """Read a string, or an array of strings, each of them one SQL expression."""
    return [expression(item) for item in value.items()]


def columns(value: Value) -> list[pl.Expr]:
    """Read named expressions: ``{ name = "SQL" }``, or an array of SQL with or without ``AS name``."""
    if isinstance(value.found, dict):
        return [expression(item).alias(name) for name, item in value.table().items()]
    return [named_expression(item) for item in value.items()]


def flags(value: Value) -> list[bool] | bool:
    """Read a boolean, or an array of them."""
    if isinstance(value.found, list):
        return [item.flag() for item in value.items()]
    return value.flag()


_TOTALS = ("cum_sum", "cum_prod", "cum_min", "cum_max", "cum_count", "forward_fill")
_SHIFTS = ("shift", "diff")
_ROLLING = ("rolling_sum", "rolling_mean", "rolling_min", "rolling_max", "rolling_var", "rolling_std")
RUNNING: dict[str, dict[str, Reader]] = {
    **{name: {} for name in _TOTALS},
    **{name: {"n": Value.count} for name in _SHIFTS},
    **{name: {"window_size": Value.count} for name in _ROLLING},
}
"""Polars' functions of earlier rows, which SQL lacks, and the readers of their arguments."""


def running(value: Value) -> list[pl.Expr]:
    """Read running values: ``{ total = { cum_sum = "price" }, mean = { rolling_mean = "x", window_size = 9 } }``.

    Raises
    ------
    JobError
        A function is unknown, an argument does not fit, or the operand is not SQL.
    """
    return [_running(item).alias(name) for name, item in value.table().items()]


def _running(value: Value) -> pl.Expr:
    if isinstance(value.found, str):
        return expression(value)
    names = [key for key in value.table() if key in RUNNING]
    if len(names) != 1:
        known = ", ".join(RUNNING)
        raise value.error(f"{_elsewhere(value)}expected SQL, or a table with one of {known} and its operand")
    (name,) = names
    readers = {name: expression, **RUNNING[name]}
    required = [key for key in readers if key != "n"]
    found = arguments(value, readers, required)
    made: pl.Expr = getattr(found.pop(name), name)(**found)
    return made


def _elsewhere(value: Value) -> str:
    """Return a hint for a first key that is not one of these functions, else no text."""
    key = next(iter(value.table()), "")
    if key in RUNNING:
        return ""
    if hasattr(pl.Expr, key):
        return f"{key!r} needs Python, Pipeline.builder() and .scan(x=pl.col(...).{key}(...)); "
    hint = did_you_mean(key, RUNNING)
    return f"{hint} " if hint else ""


def duration(value: Value) -> str | float:
    """Read a duration: text such as ``"1m30s"``, or a number of seconds."""
    found = length(value)
    with located(value):
        seconds(found)
    return found


EVENT_TIME: dict[str, Reader] = {
    "lateness": duration,
    "idle": duration,
    "advance_when_idle": Value.flag,
    "max_jump": duration,
}
"""The arguments of event time next to its column, at a source and as a step."""


def reach(value: Value) -> str | float | tuple[str | float, ...]:
    """Read a duration, or an array of two: how far before, and how far after."""
    return _pair(value, duration)


def times(value: Value) -> str | tuple[str, ...]:
    """Read the name of a column, or an array of two: of this stream, and of the other."""
    return _pair(value, Value.text)


def _pair(value: Value, read: Callable[[Value], T]) -> T | tuple[T, ...]:
    if not isinstance(value.found, list):
        return read(value)
    found = tuple(read(item) for item in value.items())
    if len(found) != 2:
        raise value.error(f"expected one value, or an array of two, found {len(found)}")
    return found


def length(value: Value) -> str | float:
    """Read a length of windows: a duration, or text such as ``"1mo"``; `window` checks it."""
    return value.text() if isinstance(value.scalar(), str) else value.number()


@dataclass(frozen=True, slots=True)
class OneOf:
    """Reads one of several names."""

    names: tuple[str, ...]

    def __call__(self, value: Value) -> str:
        return value.one_of(self.names)


@dataclass(frozen=True, slots=True)
class Arguments:
    """Reads a table of arguments, or the first argument alone.

    Parameters
    ----------
    readers
        The reader of each argument; the first may stand alone, unless another one is required.
    required
        Names of the arguments that must be there.
    """

    readers: Mapping[str, Reader]
    required: tuple[str, ...] = ()

    def __call__(self, value: Value) -> dict[str, Any]:
        return arguments(value, self.readers, self.required)


def arguments(value: Value, readers: Mapping[str, Reader], required: Collection[str] = ()) -> dict[str, Any]:
    """Read the values of a table, each with its reader; a value that is not a table is the first argument.

    Raises
    ------
    JobError
        A key is unknown or missing, or a value is wrong.
    """
    if isinstance(value.found, dict):
        value.check_keys(readers, required)
        return {name: readers[name](item) for name, item in value.table().items()}
    first, *_ = readers
    if set(required) - {first}:
        value.table()  # raises, because one value is not enough
    return {first: readers[first](value)}


@dataclass(frozen=True, slots=True)
class Either(Arguments):
    """Reads a table of arguments that has exactly one of two keys.

    Parameters
    ----------
    one_of
        The keys.
    """

    one_of: tuple[str, ...] = ()

    def __call__(self, value: Value) -> dict[str, Any]:
        found = arguments(value, self.readers, self.required)
        given = [name for name in self.one_of if name in found]
        if not given:
            value.need(self.one_of[0])
        if len(given) > 1:
            raise value.table()[given[1]].error(f"does not go with {given[0]!r}: one of them says it")
        return found


def types(value: Value) -> dict[str, pl.DataType]:
    """Read a table from columns to names of types."""
    return {name: _type(item) for name, item in value.table().items()}


def renames(value: Value) -> dict[str, str]:
    """Read a table from old names to new ones."""
    return {old: new.text() for old, new in value.table().items()}


CASTS = Arguments({"dtypes": types, "strict": Value.flag})


def casts(value: Value) -> dict[str, Any]:
    """Read types by column; or the table ``dtypes`` with them, next to ``strict``."""
    dtypes = value.table().get("dtypes")
    return CASTS(value) if dtypes is not None and isinstance(dtypes.found, dict) else {"dtypes": types(value)}


def _type(value: Value) -> pl.DataType:
    try:
        return dtype(value.text())
    except ValueError as error:
        raise value.error(str(error)) from None
