"""The columns of a join: which columns of the other side follow those of the stream, and under which names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from arrowstream.errors import SchemaError
from arrowstream.operators.joins.keys import JoinKeys

TableHow = Literal["inner", "left", "semi", "anti"]


@dataclass(frozen=True, slots=True)
class JoinColumns:
    """The columns that the other side adds to those of the stream.

    Parameters
    ----------
    how
        Which rows come out.
    added
        New names by the names that the columns have on the other side, in its order.
    schema
        Names and types of all columns that come out.
    """

    how: TableHow
    added: dict[str, str]
    schema: pl.Schema


def table_columns(
    left: pl.Schema, right: pl.Schema, keys: JoinKeys, how: TableHow, suffix: str
) -> JoinColumns:
    """Return the columns of a join with a table, which are those of Polars' `join`.

    Raises
    ------
    SchemaError
        Two columns would have the same name.
    """
    if how in ("semi", "anti"):
        return JoinColumns(how, {}, left)
    added = {name: f"{name}{suffix}" if name in left else name for name in right if name not in keys.right}
    names = [*left, *added.values()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SchemaError(
            f"{keys.step}() would give two columns the same name",
            expected="a suffix that makes the names of the other side unique",
            found=", ".join(twice),
            hint=f"give another suffix= than {suffix!r}, or rename or drop columns of one side",
        )
    return JoinColumns(how, added, pl.Schema({**left, **{new: right[name] for name, new in added.items()}}))
