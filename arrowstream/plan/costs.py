"""What a backend costs: a line through its own measurements, fitted while the pipeline runs.

``fixed + slope * rows`` in microseconds, by recursive least squares with a forgetting factor (L. Ljung,
*System Identification: Theory for the User*, 2nd ed. 1999, section 11.2), each sample weighted by the
inverse of what was expected, because timings scatter in proportion to their size.
"""

from __future__ import annotations

FORGETTING = 0.98
"""Weight a sample loses with each later one: some 50 samples are remembered."""

WARM_UP = 2
"""First samples that are dropped: they pay for imports, caches and thread pools."""

OUTLIER = 3.0
"""A sample counts at most as so many times what was expected: a busy machine is not a slow backend."""

SCATTER = 0.2
"""Relative spread of timings that the start values are trusted against."""


class LineCost:
    """The cost of one backend for one segment.

    Parameters
    ----------
    fixed, slope
        Start values: microseconds a batch, and microseconds a row.
    """

    __slots__ = ("_limit", "_p00", "_p01", "_p11", "fixed", "samples", "slope")

    def __init__(self, fixed: float, slope: float) -> None:
        self.fixed = fixed
        self.slope = slope
        self.samples = 0
        self._p00 = (fixed / SCATTER) ** 2
        self._p01 = 0.0
        self._p11 = (slope / SCATTER) ** 2
        self._limit = (self._p00 * 100.0, self._p11 * 100.0)

    def predict(self, rows: int) -> float:
        """Microseconds a batch of `rows` rows is expected to take; never negative."""
        return self.fixed + self.slope * rows

    def observe(self, rows: int, micros: float) -> None:
        """Learn that a batch of `rows` rows took `micros` microseconds."""
        self.samples += 1
        if self.samples <= WARM_UP:
            return
        expected = max(self.predict(rows), 1.0)
        weight = 1.0 / expected
        y = min(micros, OUTLIER * expected) * weight
        x0, x1 = weight, weight * rows
        p00, p01, p11 = self._p00, self._p01, self._p11
        px0, px1 = p00 * x0 + p01 * x1, p01 * x0 + p11 * x1
        gain = 1.0 / (FORGETTING + x0 * px0 + x1 * px1)
        error = y - (self.fixed * x0 + self.slope * x1)
        self.fixed = max(self.fixed + px0 * gain * error, 0.0)
        self.slope = max(self.slope + px1 * gain * error, 0.0)
        p00, p01, p11 = p00 - px0 * px0 * gain, p01 - px0 * px1 * gain, p11 - px1 * px1 * gain
        # Batches of one size say nothing about the other direction, whose uncertainty would grow for ever.
        if p00 < self._limit[0] and p11 < self._limit[1]:
            p00, p01, p11 = p00 / FORGETTING, p01 / FORGETTING, p11 / FORGETTING
        self._p00, self._p01, self._p11 = p00, p01, p11

    def __str__(self) -> str:
        return f"{self.fixed:.0f} us + {self.slope * 1000:.1f} ns/row"
