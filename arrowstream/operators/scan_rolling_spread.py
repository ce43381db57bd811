"""Running spreads over the last n rows of a key: rolling_var, rolling_std."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.operators.arrays import Array
from arrowstream.operators.scan_rolling_windows import RollingWindows
from arrowstream.operators.state_memory import StateMemory

SPREADS = frozenset({"Var", "Std"})


class RollingSpread(RollingWindows):
    """Variance or deviation, in two passes over each window: no digits are lost however large the mean is."""

    __slots__ = ("_ddof", "_root")

    def __init__(
        self, memory: StateMemory, function: str, rows: int, least: int, dtype: pl.DataType, ddof: int
    ) -> None:
        super().__init__(memory, "Sum", rows, max(least, ddof + 1), dtype)
        self._root = function == "Std"
        self._ddof = ddof

    def over(self, values: Array, known: Array, counts: Array) -> Array:
        members = np.where(known, values, 0)
        away = np.where(known, members - (members.sum(1) / counts)[:, None], 0)
        spread: Array = (away * away).sum(1) / (counts - self._ddof)
        return np.sqrt(spread) if self._root else spread
