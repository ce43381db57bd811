"""The shape of the values in the last n rows of a key: rolling_skew, rolling_kurtosis."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from arrowstream.operators.arrays import Array
from arrowstream.operators.scan_rolling_windows import RollingWindows
from arrowstream.operators.state_memory import StateMemory

SHAPES = frozenset({"Skew", "Kurtosis"})
_NONE = np.finfo(np.float64).eps


class RollingShape(RollingWindows):
    """Third or fourth moment over a power of the second, as NaN where all values of a window are the same."""

    __slots__ = ("_bias", "_fisher", "_third")

    def __init__(
        self,
        memory: StateMemory,
        function: str,
        rows: int,
        least: int,
        dtype: pl.DataType,
        options: dict[str, Any],
    ) -> None:
        self._third = function == "Skew"
        self._bias = options["bias"]
        self._fisher = 3 * options.get("fisher", False)
        corrected = 3 if self._third else 4
        super().__init__(memory, "Sum", rows, least if self._bias else max(least, corrected), dtype)

    def over(self, values: Array, known: Array, counts: Array) -> Array:
        members = np.where(known, values, 0)
        mean = members.sum(1) / counts
        away = np.where(known, members - mean[:, None], 0)
        second = (away**2).sum(1) / counts
        shape: Array = (away ** (3 if self._third else 4)).sum(1) / counts
        shape /= np.where(second > (_NONE * mean) ** 2, second, np.nan) ** (1.5 if self._third else 2)
        if self._third:
            return shape if self._bias else shape * np.sqrt(counts * (counts - 1)) / (counts - 2)
        if not self._bias:
            rest = (counts - 2) * (counts - 3)
            shape = (counts - 1) / rest * ((counts + 1) * shape - 3 * (counts - 1)) + 3
        excess: Array = shape - self._fisher
        return excess
