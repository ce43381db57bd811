"""Conversion of pandas frames into Polars frames."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.rows.frame_of import with_names
from arrowstream.errors import SchemaError

_UNFIT = (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, TypeError, ValueError)

_HINTS = {
    "object": 'give all its values one type, such as .astype("string") or .astype("Int64")',
    "complex": "split it into its real and its imaginary part",
    "Sparse": "make it dense with .sparse.to_dense()",
}
"""Hints for a column, by the beginning of its dtype."""


def from_pandas(data: Any) -> pl.DataFrame | pl.Series:
    """Convert a pandas frame, without its index, or a series.

    Raises
    ------
    SchemaError
        Two columns share a name, or the values of a column have no common Arrow type; the error names the column.
    """
    try:
        # Not through pandas' own Arrow export, which turns the index into a column.
        found = pl.from_pandas(data)
    except _UNFIT as error:
        raise _unfit(data, error) from None
    return (
        with_names(found, [str(name) for name in data.columns]) if isinstance(found, pl.DataFrame) else found
    )


def _unfit(data: Any, error: BaseException) -> SchemaError:
    names = [str(name) for name in getattr(data, "columns", ())]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        return SchemaError(
            f"several columns of a pandas frame are called {twice[0]!r}",
            expected="each column under a name of its own",
            found=", ".join(names),
            hint="rename or drop all but one of them",
        )
    for place, name in enumerate(names):
        column = data.iloc[:, [place]]
        try:
            pl.from_pandas(column)
        except _UNFIT as reason:
            dtype = str(column.dtypes.iloc[0])
            hint = next((text for start, text in _HINTS.items() if dtype.startswith(start)), None)
            return SchemaError(
                f"column {name!r} of a pandas frame cannot be taken in",
                expected="values of one type that Arrow has",
                found=f"{dtype}: {str(reason).splitlines()[0]}",
                hint=hint or "convert the column first",
            )
    return SchemaError(
        "a pandas frame cannot be taken in",
        expected="columns of types that Arrow has",
        found=str(error).splitlines()[0],
    )
