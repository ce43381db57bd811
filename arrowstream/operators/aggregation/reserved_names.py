"""Column names reserved for windows and keyed state."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from arrowstream.errors import SchemaError

START, END = "window_start", "window_end"
"""The columns of a window's bounds in the output."""


def check_names(step: str, schema: pl.Schema, by: Sequence[str] = ()) -> None:
    """Raise if an input column has a reserved name.

    Parameters
    ----------
    step
        Name of the operator, for errors.
    schema
        The schema of the rows.
    by
        The key columns that appear in the output next to the bounds of a window.

    Raises
    ------
    SchemaError
        A column's name begins and ends with two underscores, or a key has the name of a window bound.
    """
    for name in schema:
        if _is_reserved(name):
            raise _reserved(
                step, name, "other names", f'rename it: .rename({{"{name}": "{name.strip("_")}"}})'
            )
    for name in by:
        if name in (START, END):
            raise SchemaError(
                f"{step} gives a column of this name itself",
                expected="a key of another name",
                found=name,
                hint=f'rename it: .rename({{"{name}": "earlier_{name}"}})',
            )


def check_results(step: str, names: Sequence[str]) -> None:
    """Raise if a result has a name that is reserved for state.

    Raises
    ------
    SchemaError
        A name begins and ends with two underscores.
    """
    for name in names:
        if _is_reserved(name):
            raise _reserved(step, name, "a result of another name", 'name it with .alias("...")')


def _is_reserved(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _reserved(step: str, name: str, expected: str, hint: str) -> SchemaError:
    what = f"{step} keeps names with two underscores on either side for itself"
    return SchemaError(what, expected=expected, found=name, hint=hint)
