"""Running functions that need all values of a window side by side."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import polars as pl

from arrowstream.operators.running.rolling import Rolling
from arrowstream.state.arrays import Array
from arrowstream.state.memory import StateMemory

_CELLS = 1 << 20
"""Values of windows that are laid out at a time."""


class RollingWindows(Rolling):
    """A function of each key's last `rows` rows, without nulls; costs rows times the window's length."""

    __slots__ = ()

    @abstractmethod
    def over(self, values: Array, known: Array, counts: Array) -> Array:
        """Return a result for each window (windows,), float64.

        Parameters
        ----------
        values, known
            The values of the windows, and a mask of those not null (windows, rows).
        counts
            The number of known values (windows,), int64; the result is arbitrary where it is too small.
        """

    def _results(self, values: Array, seen: Array, places: Array, counts: Array) -> Array:
        results = np.empty(len(places))
        back = np.arange(1 - self._rows, 1)
        size = max(_CELLS // self._rows, 1)
        for start in range(0, len(places), size):
            rows = slice(start, start + size)
            window = places[rows, None] + back
            results[rows] = self.over(values[window], seen[window], counts[rows])
        return results


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


class RollingQuantile(RollingWindows):
    """The value at a share of the way through a window's values in order; NaN is the largest, as in Polars.

    Parameters
    ----------
    share
        The quantile, 0 to 1.
    method
        The result between two values, by the names that Polars uses in its serialized expressions.
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
