"""How long things took: a histogram whose buckets grow with the value, so that quantiles stay within 1 %."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import nan

_SUB_BITS = 6
"""Each power of two is cut into 2**6 buckets: half of a bucket's width is at most 0.8 % of its values."""

_EXACT = 1 << (_SUB_BITS + 1)
"""Below this every value has a bucket of its own."""

BOUNDS_SECONDS = (1e-5, 1e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0)
"""Upper bounds of the coarse buckets that a `Latency` keeps for Prometheus."""


class Histogram:
    """Weighted counts of durations in nanoseconds.

    The buckets between the least and the largest value are kept, eight bytes each: some kilobytes for
    times that differ a thousandfold. Sums and quantiles are worked out when asked for.

    Examples
    --------
    >>> histogram = Histogram()
    >>> for milliseconds in range(1, 101):
    ...     histogram.record(milliseconds * 1_000_000)
    >>> abs(histogram.quantile(0.5) / 50e6 - 1) < 0.01
    True
    """

    __slots__ = ("_counts", "_first")

    def __init__(self) -> None:
        self._first = 0
        self._counts = array("q")

    def record(self, nanoseconds: int, weight: int = 1) -> None:
        """Count `nanoseconds` for `weight` rows; a time below 0 counts as 0."""
        self.record_all(((nanoseconds, weight),))

    def record_all(self, samples: Iterable[tuple[int, int]]) -> None:
        """Count several times, each with its weight."""
        # One loop without calls: it runs for every batch.
        first, counts = self._first, self._counts
        end = first + len(counts)
        for nanoseconds, weight in samples:
            if nanoseconds >= _EXACT:
                shift = nanoseconds.bit_length() - _SUB_BITS - 1
                bucket = (shift << _SUB_BITS) + (nanoseconds >> shift)
            else:
                bucket = max(nanoseconds, 0)
            if not first <= bucket < end:
                self._make_room(bucket)
                first = self._first
                end = first + len(counts)
            counts[bucket - first] += weight

    def merge(self, other: Histogram) -> None:
        """Count everything that `other` has counted, too."""
        for bucket, weight in other.buckets():
            self._make_room(bucket)
            self._counts[bucket - self._first] += weight

    def copy(self) -> Histogram:
        """Another one that has counted the same."""
        other = Histogram()
        other._first, other._counts = self._first, self._counts[:]
        return other

    def buckets(self) -> list[tuple[int, int]]:
        """Numbers and weights of the buckets that were hit, in rising order."""
        return [(bucket, weight) for bucket, weight in enumerate(self._counts, self._first) if weight]

    @property
    def count(self) -> int:
        """The sum of all weights."""
        return sum(weight for _, weight in self.buckets())

    def quantile(self, share: float) -> float:
        """The duration, in nanoseconds, that a `share` of the weight does not exceed; NaN without any.

        Parameters
        ----------
        share
            From 0 to 1; 0.99 for the 99th percentile.
        """
        return _quantile(self.buckets(), share)

    def _make_room(self, bucket: int) -> None:
        """Let the counts reach to `bucket`."""
        counts = self._counts
        if not counts:
            self._first = bucket
        if bucket < self._first:
            counts[:0] = array("q", bytes((self._first - bucket) * counts.itemsize))
            self._first = bucket
        missing = bucket + 1 - self._first - len(counts)
        counts.frombytes(bytes(max(missing, 0) * counts.itemsize))


@dataclass(frozen=True, slots=True)
class Latency:
    """What a histogram held at one moment.

    Parameters
    ----------
    count
        Rows that were counted.
    sum_seconds
        The sum over all of them, within 1 %.
    p50_ms, p99_ms, p999_ms
        Milliseconds that 50 %, 99 % and 99.9 % of the rows did not exceed, within 1 %; NaN without rows.
    below
        For each of `BOUNDS_SECONDS`, how many rows took no longer.
    """

    count: int
    sum_seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    below: tuple[int, ...]

    @classmethod
    def of(cls, histogram: Histogram) -> Latency:
        """The state of a histogram.

        Examples
        --------
        >>> histogram = Histogram()
        >>> histogram.record(2_000_000, weight=10)
        >>> latency = Latency.of(histogram)
        >>> latency.count, round(latency.p99_ms, 1)
        (10, 2.0)
        """
        buckets = histogram.buckets()
        p50, p99, p999 = (_quantile(buckets, share) / 1e6 for share in (0.5, 0.99, 0.999))
        return cls(
            sum(weight for _, weight in buckets),
            sum(_middle(bucket) * weight for bucket, weight in buckets) / 1e9,
            p50,
            p99,
            p999,
            tuple(_below(buckets, bound * 1e9) for bound in BOUNDS_SECONDS),
        )


def _quantile(buckets: Sequence[tuple[int, int]], share: float) -> float:
    wanted = share * sum(weight for _, weight in buckets)
    seen = 0
    for bucket, weight in buckets:
        seen += weight
        if seen >= wanted:
            return _middle(bucket)
    return nan


def _below(buckets: Sequence[tuple[int, int]], bound: float) -> int:
    return sum(weight for bucket, weight in buckets if _middle(bucket) <= bound)


def _middle(bucket: int) -> float:
    """The value that stands for a bucket."""
    if bucket < _EXACT:
        return float(bucket)
    shift = (bucket >> _SUB_BITS) - 1
    first = (bucket - (shift << _SUB_BITS)) << shift
    return first + ((1 << shift) - 1) / 2
