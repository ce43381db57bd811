"""Running quantiles of the last n rows of a key: rolling_quantile, rolling_median."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.operators.arrays import Array
from arrowstream.operators.scan_rolling_windows import RollingWindows
from arrowstream.operators.state_memory import StateMemory


class RollingQuantile(RollingWindows):
    """The value at a share of the way through a window's values in order; NaN is the largest, as in Polars.

    Parameters
    ----------
    share
        Which quantile, 0 to 1.
    method
        What to take where that falls between two values, in Polars' words.
    """

    __slots__ = ("_method", "_share")

    def __init__(
        self, memory: StateMemory, rows: int, least: int, dtype: pl.DataType, share: float, method: str
    ) -> None:
        super().__init__(memory, "Sum", rows, least, dtype)
        self._share = share
        self._method = method

    def over(self, values: Array, known: Array, counts: Array) -> Array:
        ordered = np.sort(np.where(known, values, np.nan), axis=1)
        place = self._share * (counts - 1)
        low, high = np.floor(place), np.ceil(place)
        match self._method:
            case "Nearest":
                low = high = np.floor(place + 0.5)
            case "Lower":
                high = low
            case "Higher":
                low = high
            case "Equiprobable":
                low = high = np.maximum(np.ceil(self._share * counts) - 1, 0)
        below, above = (
            np.take_along_axis(ordered, at.astype(np.int64)[:, None], 1)[:, 0] for at in (low, high)
        )
        part = place - low
        between = (below + above) / 2 if self._method == "Midpoint" else part * (above - below) + below
        result: Array = np.where(low == high, below, between)
        return result
