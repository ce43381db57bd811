"""A histogram of durations whose bucket widths grow with the value, so that quantiles are within 1 %."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isnan, nan
from typing import NamedTuple

_SUB_BITS = 6
"""Each power of two is divided into 2**6 buckets, so that half of a bucket's width is at most 0.8 % of its values."""

_EXACT = 1 << (_SUB_BITS + 1)
"""Every value below this one has a separate bucket."""

BOUNDS_SECONDS = (1e-5, 1e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0)
"""Upper bounds, in seconds, of the coarse buckets that a `Latency` keeps for Prometheus."""


class Histogram:
    """Weighted counts of durations in nanoseconds.

    Each power of two that occurred has a row of buckets: half a kilobyte, and 32 bytes for each bucket
    that was hit. Sums and quantiles are computed on demand. The buckets are those of the HdrHistogram
    (G. Tene, hdrhistogram.org).

    Examples
    --------
    >>> histogram = Histogram()
    >>> for milliseconds in range(1, 101):
    ...     histogram.record(milliseconds * 1_000_000)
    >>> abs(histogram.quantile(0.5) / 50e6 - 1) < 0.01
    True
    """

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[int, _Row] = {}

    def record(self, nanoseconds: int, weight: int = 1) -> None:
        """Count `nanoseconds` for `weight` rows; a time below 0 counts as 0."""
        self.record_all(((nanoseconds, weight),))

    def record_all(self, samples: Iterable[tuple[int, int, *tuple[object, ...]]]) -> None:
        """Count several times, each with its weight.

        Parameters
        ----------
        samples
            Tuples of a time in nanoseconds, its weight, and values that are ignored. A time below 0 counts
            as 0.
        """
        # One loop without calls, because it runs for every batch; most times are in the row of the time before.
        rows = self._rows
        least = end = start = shift = 0
        counts: list[int] = []
        for sample in samples:
            time = sample[0]
            if not least <= time < end:
                time = max(time, 0)
                bits = time.bit_length()
                least, end, shift, start, counts = rows.get(bits) or self._new_row(bits)
            counts[(time >> shift) - start] += sample[1]

    def merge(self, other: Histogram) -> None:
        """Add the counts of `other`."""
        for bits, row in other._rows.items():
            counts = (self._rows.get(bits) or self._new_row(bits)).counts
            for place, weight in enumerate(row.counts):
                counts[place] += weight

    def copy(self) -> Histogram:
        """Return a histogram with the same counts."""
        other = Histogram()
        other._rows = {bits: row._replace(counts=row.counts[:]) for bits, row in self._rows.items()}
        return other

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was counted after `earlier`, a copy of this histogram at that time.

        Examples
        --------
        >>> histogram = Histogram()
        >>> histogram.record(5)
        >>> earlier = histogram.copy()
        >>> histogram.record(7, weight=2)
        >>> histogram.since(earlier).buckets()
        [(7, 2)]
        """
        later = self.copy()
        for bits, row in earlier._rows.items():
            counts = later._rows[bits].counts
            for place, weight in enumerate(row.counts):
                counts[place] -= weight
        return later

    def buckets(self) -> list[tuple[int, int]]:
        """Return numbers and weights of the buckets that were hit, in ascending order."""
        return [
            (bucket, weight)
            for _, row in sorted(self._rows.items())
            for bucket, weight in enumerate(row.counts, (row.shift << _SUB_BITS) + row.start)
            if weight
        ]

    @property
    def count(self) -> int:
        """Sum of all weights."""
        return sum(weight for _, weight in self.buckets())

    def quantile(self, share: float) -> float:
        """Return the duration, in nanoseconds, that a `share` of the weight does not exceed; NaN if empty.

        Parameters
        ----------
        share
            Fraction from 0 to 1; 0.99 for the 99th percentile.
        """
        buckets = self.buckets()
        values = [_middle(bucket) for bucket, _ in buckets]
        return _quantile(values, [0, *accumulate(weight for _, weight in buckets)], share)

    def _new_row(self, bits: int) -> _Row:
        end = 1 << bits
        least = end >> 1
        shift = max(bits - _SUB_BITS - 1, 0)
        row = _Row(least, end, shift, least >> shift, [0] * (end - least >> shift))
        self._rows[bits] = row
        return row


class _Row(NamedTuple):
    """The buckets of the values between two powers of two.

    Parameters
    ----------
    least, end
        The smallest value, and the value after the largest, in nanoseconds.
    shift, start
        Bucket number = value >> shift; `start` is the number of the first bucket.
    counts
        The weight of each bucket.
    """

    least: int
    end: int
    shift: int
    start: int
    counts: list[int]


@dataclass(frozen=True, slots=True)
class Latency:
    """A histogram of latencies at one moment.

    Parameters
    ----------
    count
        Number of rows that were counted.
    sum_seconds
        Sum of their latencies in seconds, within 1 %.
    p50_ms, p99_ms, p999_ms
        Milliseconds that 50 %, 99 % and 99.9 % of the rows did not exceed, within 1 %; NaN without rows.
    below
        For each of `BOUNDS_SECONDS`, the number of rows that took no longer.
    """

    count: int
    sum_seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    below: tuple[int, ...]

    @classmethod
    def of(cls, histogram: Histogram) -> Latency:
        """Freeze the counts of a histogram.

        Examples
        --------
        >>> histogram = Histogram()
        >>> histogram.record(2_000_000, weight=10)
        >>> latency = Latency.of(histogram)
        >>> latency.count, round(latency.p99_ms, 1)
        (10, 2.0)
        """
        buckets = histogram.buckets()
        values = [_middle(bucket) for bucket, _ in buckets]
        # Cumulative weight: 0, then that of the first bucket, of the first two, ...
        seen = [0, *accumulate(weight for _, weight in buckets)]
        p50, p99, p999 = (_quantile(values, seen, share) / 1e6 for share in (0.5, 0.99, 0.999))
        return cls(
            seen[-1],
            sum(value * weight for value, (_, weight) in zip(values, buckets, strict=True)) / 1e9,
            p50,
            p99,
            p999,
            tuple(seen[bisect_right(values, bound * 1e9)] for bound in BOUNDS_SECONDS),
        )

    def __str__(self) -> str:
        """Format the latencies that 50 % and 99 % of the rows did not exceed; a dash without rows, as at sources.

        Examples
        --------
        >>> histogram = Histogram()
        >>> print(Latency.of(histogram))
        p50 -, p99 -
        >>> histogram.record(2_000_000)
        >>> print(Latency.of(histogram))
        p50 2.01 ms, p99 2.01 ms
        """
        return f"p50 {_format_ms(self.p50_ms)}, p99 {_format_ms(self.p99_ms)}"


def _format_ms(milliseconds: float) -> str:
    return "-" if isnan(milliseconds) else f"{milliseconds:.3g} ms"


def _quantile(values: Sequence[float], seen: Sequence[int], share: float) -> float:
    """Return the first of the ascending `values` whose cumulative weight in `seen` reaches `share`; NaN if empty."""
    place = bisect_left(seen, share * seen[-1], 1)
    return values[place - 1] if values else nan


def _middle(bucket: int) -> float:
    """Return the middle of a bucket, which stands for its values."""
    if bucket < _EXACT:
        return float(bucket)
    shift = (bucket >> _SUB_BITS) - 1
    first = (bucket - (shift << _SUB_BITS)) << shift
    return first + ((1 << shift) - 1) / 2
