"""The way out for rows Arrow would treat differently: Polars computes that one column.

Some kernels are exact only for what they find in a batch (text that is ASCII, dates of four-digit
years). They look at each batch, which is far cheaper than the function itself, and hand the rare
other batch to Polars, so that the result never depends on which of the two ran.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pyarrow as pa

from arrowstream.backends.arrow.kernels.base import Evaluate, Values

_OLDEST = pl.CompatLevel.oldest()

InPolars = Callable[[pl.Series], pl.Series]
"""A function of one column, as Polars computes it."""


def fast_where(
    safe: Callable[[Values], bool], fast: Evaluate, slow: InPolars, dtype: pa.DataType
) -> Evaluate:
    """`fast` for a batch whose first argument is `safe`, Polars for any other.

    Parameters
    ----------
    safe
        Looks at the first argument's values: is `fast` exact for all of them?
    fast
        The Arrow form, given all arguments.
    slow
        The Polars form, given the first argument only (the others must be constants it knows).
    dtype
        Arrow type of the result.
    """

    def evaluate(values: Values, *others: Values) -> Values:
        if safe(values):
            return fast(values, *others)
        return in_polars(values, slow, dtype)

    return evaluate


def in_polars(values: Values, function: InPolars, dtype: pa.DataType) -> Values:
    """`function` of an Arrow array, computed by Polars, as an array of `dtype`."""
    return function(pl.Series(values=values)).to_arrow(compat_level=_OLDEST).cast(dtype)
