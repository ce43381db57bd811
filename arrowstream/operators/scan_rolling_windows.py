"""Running functions that need all values of a window side by side."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from arrowstream.operators.arrays import Array
from arrowstream.operators.scan_rolling import Rolling

_CELLS = 1 << 20
"""How many values of windows are laid out at a time."""


class RollingWindows(Rolling):
    """A function of each key's last `rows` rows, nulls passed over; costs rows times those of a window."""

    __slots__ = ()

    @abstractmethod
    def over(self, values: Array, known: Array, counts: Array) -> Array:
        """The results of some windows, one a row; `known` tells the values in them, of which there are `counts`.

        Windows with too few values are among them, and may give anything.
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
