"""Column names that windows and keyed state keep for themselves."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from arrowstream.errors import SchemaError

START, END = "window_start", "window_end"


def check_names(step: str, schema: pl.Schema, by: Sequence[str] = ()) -> None:
    """Refuse names that the state or the result has itself.

    Raises
    ------
    SchemaError
        A column begins and ends with two underscores, or a key is called like a bound of the window.
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
    """Refuse names of results that state has itself.

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
