"""The cost of a backend: a line through its measurements, fitted while the pipeline runs.

``fixed + slope * rows`` in microseconds, by recursive least squares with a forgetting factor (L. Ljung,
*System Identification: Theory for the User*, 2nd ed. 1999, section 11.2). Batches of one size say nothing
about other sizes, and plain forgetting would lose all information about those until the line becomes unstable; so
a little of the start values' certainty comes back with each sample (S. Gunnarsson, "Combining tracking and
regularization in recursive least squares identification", *Proc. 35th IEEE CDC*, 1996).

Timings scatter in proportion to their size: each is weighted by the inverse of the expected time. Some are far too
long, because the machine did something else: those are clipped. If several in a row are clipped, the machine has
changed: each halves the trust in the line so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

FORGETTING = 0.95
"""Factor on a sample's weight with each later sample: about the last 20 samples matter."""

WARM_UP = 2
"""Number of first samples that are dropped: they include imports, cold caches and the start of thread pools."""

OUTLIER = 3.0
"""Largest sample, as a multiple of the expected time. Longer ones are clipped: the machine may have been busy."""

SCATTER = 0.2
"""Relative standard deviation of timings; that of start values is 1."""

LIGHTEST = 0.01
"""Smallest factor that scales start values; a clock that stands still would give 0."""

_REMAINS = 0.1 * (1.0 - FORGETTING)
"""Share of the start values' information that comes back with each sample."""


class LineCost:
    """The cost of one backend for one segment.

    Parameters
    ----------
    fixed, slope
        Start values, above 0: microseconds a batch, and microseconds a row.

    Examples
    --------
    >>> cost = LineCost(20.0, 0.005)
    >>> for _ in range(20):
    ...     cost.observe(1_000, 50.0)
    >>> round(cost.predict(1_000))
    50
    """

    # _i..: the information matrix, the inverse of the covariance; _add..: the part of the first one that comes back.
    __slots__ = ("_add00", "_add11", "_factor", "_i00", "_i01", "_i11", "fixed", "samples", "slope")

    def __init__(self, fixed: float, slope: float) -> None:
        self.samples = 0
        self._factor = inf
        self._start(fixed, slope)

    def _start(self, fixed: float, slope: float) -> None:
        self.fixed = fixed
        self.slope = slope
        self._i00 = (SCATTER / fixed) ** 2
        self._i01 = 0.0
        self._i11 = (SCATTER / slope) ** 2
        self._add00 = _REMAINS * self._i00
        self._add11 = _REMAINS * self._i11

    def scale(self, factor: float) -> None:
        """Start again from `factor` times the start values; call it only before `measured`."""
        factor = max(factor, LIGHTEST)
        self._factor /= factor
        self._start(self.fixed * factor, self.slope * factor)

    @property
    def measured(self) -> bool:
        """True once the line rests on samples and not only on start values."""
        return self.samples > WARM_UP

    def predict(self, rows: int) -> float:
        """Return the expected time of a batch of `rows` rows, in microseconds; never negative."""
        return self.fixed + self.slope * rows

    def observe(self, rows: int, micros: float) -> None:
        """Learn that a batch of `rows` rows took `micros` microseconds."""
        self.samples += 1
        if self.samples <= WARM_UP + 1:
            self._begin(rows, micros)
            return
        fixed, slope = self.fixed, self.slope
        expected = fixed + slope * rows
        # Near 0 the weight of a sample would have no bound.
        weight = 1.0 / max(expected, 1.0)
        x1 = weight * rows
        i00 = FORGETTING * self._i00 + self._add00
        i01 = FORGETTING * self._i01
        i11 = FORGETTING * self._i11 + self._add11
        # Rounding may cancel it if one direction is known far better than the other.
        determinant = max(i00 * i11 - i01 * i01, 1e-12 * i00 * i11)
        gain0 = (i11 * weight - i01 * x1) / determinant
        gain1 = (i00 * x1 - i01 * weight) / determinant
        uncertainty = weight * gain0 + x1 * gain1
        sample, trust = micros * weight, 1.0
        if sample > OUTLIER:
            # Negative trust: forget half of the information along this sample.
            sample, trust = OUTLIER, -0.5 / max(uncertainty, 1e-3)
        step = (sample - expected * weight) / (1.0 + uncertainty)
        fixed += gain0 * step
        slope += gain1 * step
        self._i00 = i00 = i00 + trust * weight * weight
        self._i01 = i01 = i01 + trust * weight * x1
        self._i11 = i11 = i11 + trust * x1 * x1
        # Clamp a negative coefficient to 0 and refit the other.
        if slope < 0.0:
            fixed, slope = fixed + slope * i01 / i00, 0.0
        elif fixed < 0.0:
            fixed, slope = 0.0, slope + fixed * i01 / i11
        self.fixed = fixed if fixed > 0.0 else 0.0
        self.slope = slope if slope > 0.0 else 0.0

    def _begin(self, rows: int, micros: float) -> None:
        """Warm up, then scale the start values to the fastest of the first samples."""
        self._factor = min(self._factor, micros / self.predict(rows))
        if self.measured:
            self.scale(self._factor)

    def __str__(self) -> str:
        return f"{self.fixed:.0f} us + {self.slope * 1000:.1f} ns/row"


def measure(cost: LineCost, rows: int, micros: float, others: Iterable[LineCost]) -> None:
    """Take the first sample of a line that counts, and scale the start values of unmeasured others to fit it."""
    before = cost.predict(rows)
    cost.observe(rows, micros)
    for other in others:
        if not other.measured:
            other.scale(cost.predict(rows) / before)
