"""Hints for error messages: nearest names, and fixes for errors of other libraries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

import polars as pl
import pyarrow as pa

from arrowstream.errors import PlanError


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return a hint with the known name that is most similar to `name`, or None if none is similar.

    Examples
    --------
    >>> did_you_mean("pirce", ["price", "item"])
    "did you mean 'price'?"
    >>> did_you_mean("A", ["a", "b"])
    "did you mean 'a'?"
    >>> did_you_mean("price", ["item;price"])
    "the only column is 'item;price': if ';' is between the fields of a CSV file, from_file(..., delimiter=';')"
    """
    names = list(known)
    if len(names) == 1 and (hint := delimiter_hint(names[0], name)) is not None:
        return hint
    close = [other for other in names if other.lower() == name.lower()] or get_close_matches(name, names, 1)
    return f"did you mean {close[0]!r}?" if close else None


def other_file(name: str, close: str) -> str:
    """Return a hint to a file with a similar name, in place of one that is missing.

    A name that differs in a number or date only is that of other data, so that it is not proposed.

    Examples
    --------
    >>> other_file("trips.cvs", "trips.csv")
    "did you mean 'trips.csv'?"
    >>> other_file("trips-2026-11-29.csv", "trips-2026-11-28.csv")
    "check the digits of the name, and whether the file has been written yet: 'trips-2026-11-28.csv' has others"
    """
    if re.sub(r"\d+", "0", name) == re.sub(r"\d+", "0", close):
        return (
            f"check the digits of the name, and whether the file has been written yet: {close!r} has others"
        )
    return f"did you mean {close!r}?"


def delimiter_hint(only: str, name: str | None = None) -> str | None:
    """Return a hint to the delimiter if the name of the only column looks like a header of several; else None.

    Parameters
    ----------
    only
        Name of the only column.
    name
        A name that must be among those of the header; None for any.

    Examples
    --------
    >>> delimiter_hint("item;price", "pirce") is None
    True
    """
    for delimiter in ";\t|":
        fields = [field.strip(' "') for field in only.split(delimiter)]
        if len(fields) > 1 and (name is None or name in fields):
            return (
                f"the only column is {only!r}: if {delimiter!r} is between the fields of a CSV file, "
                f"from_file(..., delimiter={delimiter!r})"
            )
    return None


def shortened(value: object, most: int = 200) -> str:
    """Return the text of a value, cut after `most` characters.

    Examples
    --------
    >>> shortened({"x": 1}), shortened("a" * 9, 5)
    ("{'x': 1}", "'aaaa...")
    """
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


def missing_column(error: BaseException) -> str | None:
    """Return the name of the column that Polars did not find, or None for any other error.

    Examples
    --------
    >>> import polars as pl
    >>> missing_column(pl.exceptions.ColumnNotFoundError('unable to find column "pirce"'))
    'pirce'
    """
    quoted = re.search(r'"([^"]*)"', str(error).split("\n\n")[0])
    return quoted[1] if quoted and isinstance(error, pl.exceptions.ColumnNotFoundError) else None


def frame_hint(error: BaseException) -> str | None:
    """Return a hint to ask for a dataframe, if an Arrow object was used like one; else None.

    The check reads the error's text, because errors from worker processes come without the object.

    Examples
    --------
    >>> frame_hint(AttributeError("'pyarrow.lib.RecordBatch' object has no attribute 'with_columns'"))
    'a batch is a pyarrow.RecordBatch: map(fn, frame="polars") gives a frame, as does pl.from_arrow(batch)'
    """
    if not (isinstance(error, AttributeError | TypeError) and "'pyarrow." in str(error)):
        return None
    return 'a batch is a pyarrow.RecordBatch: map(fn, frame="polars") gives a frame, as does pl.from_arrow(batch)'


def cast_hint(error: BaseException) -> str | None:
    """Return a hint to get nulls instead, if the error is that of a strict cast; else None.

    Examples
    --------
    >>> cast_hint(pl.exceptions.InvalidOperationError("conversion from `str` to `i64` failed in column 'x'"))
    'cast(..., strict=False), in SQL TRY_CAST, makes null of what does not fit'
    """
    # The errors of Polars, the Arrow backend and Arrow for a strict cast of a value that does not fit.
    in_polars = isinstance(error, pl.exceptions.InvalidOperationError) and "conversion" in str(error)
    in_arrow = isinstance(error, pa.ArrowInvalid) and re.search("does not fit|not in range", str(error))
    if in_polars or in_arrow:
        return "cast(..., strict=False), in SQL TRY_CAST, makes null of what does not fit"
    return None


def unfinished_text(step: str, missing: str, example: str) -> str:
    """Return what a step shows of itself before `missing` is called, in a console and in a notebook.

    Parameters
    ----------
    step, missing, example
        As for `unfinished`.

    Examples
    --------
    >>> unfinished_text("window(...)", ".agg(...)", ".window(...).agg(n=pl.len())")
    '<window(...), not finished: .agg(...) comes next, as in .window(...).agg(n=pl.len())>'
    """
    return f"<{step}, not finished: {missing} comes next, as in {example}>"


def unfinished(step: str, name: str, missing: str, example: str) -> Exception:
    """Return the error for using the attribute `name` where `missing` must be called first.

    Parameters
    ----------
    step
        The unfinished call, such as ``window(...)``.
    name
        The attribute that was used.
    missing
        The call that must come first, such as ``.agg(...)``.
    example
        A complete call, to which the hint appends `name`.

    Examples
    --------
    >>> print(unfinished("window(...)", "filter", ".agg(...)", ".window(...).agg(n=pl.len())"))
    window(...) is followed by .filter
      expected: .agg(...) first
      hint: write .window(...).agg(n=pl.len()).filter(...)
    >>> print(unfinished("group_by(...)", "sum", ".agg(...)", ".group_by(...).agg(n=pl.len())"))
    group_by(...) is followed by .sum
      expected: .agg(...) first
      hint: write .group_by(...).agg(pl.all().sum()), or with the columns to aggregate in place of pl.all()
    """
    if name.startswith("_"):
        # Python itself, copy and notebooks look up such names, and expect a plain AttributeError.
        return AttributeError(name)
    hint = f"write {example}.{name}(...)"
    if missing == ".agg(...)" and name in ("len", "count"):
        hint = f"write {example}"
    elif missing == ".agg(...)" and name in _AGGREGATES:
        hint = f"write .{step}.agg(pl.all().{name}()), or with the columns to aggregate in place of pl.all()"
    return PlanError(f"{step} is followed by .{name}", expected=f"{missing} first", hint=hint)


_AGGREGATES = ("sum", "mean", "min", "max", "first", "last", "median", "n_unique", "std", "var")
"""Short forms that a Polars group has next to ``agg``; a count of rows is apart."""


_SIZE = re.compile(r"(\d+) ?([kmgt])(i?)b?", re.IGNORECASE)


def size_hint(text: str) -> str | None:
    """Return a hint for a size with a unit in place of a whole number; None for any other text.

    Examples
    --------
    >>> size_hint("10MB"), size_hint("64 KiB"), size_hint("many")
    ('write 10_000_000', 'write 65_536', None)
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    power = "kmgt".index(found[2].lower()) + 1
    return f"write {int(found[1]) * (1024 if found[3] else 1000) ** power:_}"


def type_name_hint(text: str) -> str | None:
    """Return a hint for the name of a type in place of the type; None if no type has a similar name.

    Examples
    --------
    >>> type_name_hint("Float64"), type_name_hint("int"), type_name_hint("soft")
    ('write pl.Float64, without quotes', 'write pl.Int64, without quotes', None)
    """
    names = [name for name, value in vars(pl).items() if isinstance(value, pl.datatypes.DataTypeClass)]
    close = nearest_type(text, names, 0.8)
    return f"write pl.{close}, without quotes" if close else None


def nearest_type(text: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name of the type that SQL, Python or pandas call `text`, or the most similar name; else None.

    Examples
    --------
    >>> nearest_type("int", ["Int8", "Int64"]), nearest_type("Int46", ["Int8", "Int64"])
    ('Int64', 'Int64')
    """
    by_lower = {name.lower(): name for name in known}
    word = text.lower()
    if (other := _TYPES.get(word)) in by_lower.values():
        return other
    close = get_close_matches(word, by_lower, 1, cutoff)
    return by_lower[close[0]] if close else None


_TYPES = {
    **dict.fromkeys(("int", "integer", "bigint", "long"), "Int64"),
    **dict.fromkeys(("smallint", "short"), "Int16"),
    **dict.fromkeys(("tinyint", "byte"), "Int8"),
    **dict.fromkeys(("float", "double", "number"), "Float64"),
    **dict.fromkeys(("real",), "Float32"),
    **dict.fromkeys(("str", "text", "varchar", "char", "object"), "String"),
    **dict.fromkeys(("bool", "bit"), "Boolean"),
    **dict.fromkeys(("timestamp", "timestamptz", "datetime64", "datetime64[ns]"), "Datetime"),
    **dict.fromkeys(("bytes", "blob", "bytea"), "Binary"),
    **dict.fromkeys(("numeric",), "Decimal"),
}
"""Names of types in SQL, Python, pandas and Spark."""
