"""Running functions over the last n rows of a key: rolling_var, rolling_std."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream.operators.key_table import Array
from arrowstream.operators.scan_rolling import Rolling

SPREADS = frozenset({"Var", "Std"})
_CELLS = 1 << 20
"""How many values of windows are laid out at a time."""


class RollingSpread(Rolling):
    """Variance or standard deviation of each key's last `rows` rows, nulls passed over.

    In two passes over the rows of each window, which loses no digits however large the mean is; a batch
    costs its rows times those of a window.
    """

    __slots__ = ("_ddof", "_root")

    def __init__(self, function: str, rows: int, least: int, dtype: pl.DataType, ddof: int) -> None:
        super().__init__("Sum", rows, max(least, ddof + 1), dtype)
        self._root = function == "Std"
        self._ddof = ddof

    def _results(self, values: Array, seen: Array, places: Array, counts: Array) -> Array:
        spread = np.empty(len(places))
        back = np.arange(1 - self._rows, 1)
        size = max(_CELLS // self._rows, 1)
        for start in range(0, len(places), size):
            rows = slice(start, start + size)
            window = places[rows, None] + back
            known, count = seen[window], counts[rows]
            members = np.where(known, values[window], 0)
            away = np.where(known, members - (members.sum(1) / count)[:, None], 0)
            spread[rows] = (away * away).sum(1) / (count - self._ddof)
        return np.sqrt(spread) if self._root else spread
