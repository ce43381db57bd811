"""The fallback for batches that Arrow would treat differently: Polars computes that one column.

Some kernels are exact only for certain values, such as ASCII text or dates of four-digit years. They check each
batch, which is far cheaper than the function itself, and leave the rare other batch to Polars, so that the result
never depends on which of the two ran.
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
    """Return a function that uses `fast` for a batch whose first argument is `safe`, and Polars for any other.

    Parameters
    ----------
    safe
        Returns whether `fast` is exact for all values of the first argument.
    fast
        The Arrow form; it gets all arguments.
    slow
        The Polars form; it gets the first argument only, and knows the others, which are constants.
    dtype
        Arrow type of the result.
    """

    def evaluate(values: Values, *others: Values) -> Values:
        if safe(values):
            return fast(values, *others)
        return in_polars(values, slow, dtype)

    return evaluate


def in_polars(values: Values, function: InPolars, dtype: pa.DataType) -> Values:
    """Compute `function` of an Arrow array in Polars, and return an array of `dtype`."""
    return function(pl.Series(values=values)).to_arrow(compat_level=_OLDEST).cast(dtype)
