"""Quantiles from buckets, against the sorted values themselves."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowstream.metrics.histogram import BOUNDS_SECONDS, Histogram, Latency

pytestmark = pytest.mark.once

DURATIONS = st.one_of(st.integers(0, 300), st.integers(0, 10**7), st.integers(0, 10**15))
SAMPLES = st.lists(st.tuples(DURATIONS, st.integers(1, 1_000)), min_size=1, max_size=50)


def recorded(samples: list[tuple[int, int]]) -> Histogram:
    histogram = Histogram()
    for nanoseconds, weight in samples:
        histogram.record(nanoseconds, weight)
    return histogram


def exact(samples: list[tuple[int, int]], share: float) -> int:
    """The quantile by sorting: the smallest value at which the share of the weight is reached."""
    wanted, seen = share * sum(weight for _, weight in samples), 0
    for nanoseconds, weight in sorted(samples):
        seen += weight
        if seen >= wanted:
            return nanoseconds
    raise AssertionError


@given(samples=SAMPLES, share=st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.999, 1.0]))
def test_quantiles_are_within_one_percent(samples: list[tuple[int, int]], share: float) -> None:
    expected = exact(samples, share)
    assert abs(recorded(samples).quantile(share) - expected) <= expected / 100


@given(samples=SAMPLES)
def test_sum_and_count(samples: list[tuple[int, int]]) -> None:
    latency = Latency.of(recorded(samples))
    assert latency.count == recorded(samples).count == sum(weight for _, weight in samples)
    assert latency.sum_seconds == pytest.approx(sum(ns * weight for ns, weight in samples) / 1e9, rel=0.01)
    assert latency.p50_ms == recorded(samples).quantile(0.5) / 1e6
    assert latency.p99_ms == recorded(samples).quantile(0.99) / 1e6
    assert latency.p999_ms == recorded(samples).quantile(0.999) / 1e6


@given(samples=SAMPLES, others=SAMPLES)
def test_merging_is_recording_both(samples: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    merged = recorded(samples)
    merged.merge(recorded(others))
    assert merged.buckets() == recorded(samples + others).buckets()


@given(value=st.integers(128, 2**60))
def test_larger_values_never_land_in_lower_buckets(value: int) -> None:
    ((low, _),), ((high, _),) = recorded([(value - 1, 1)]).buckets(), recorded([(value, 1)]).buckets()
    assert low <= high <= low + 1


@given(samples=SAMPLES)
def test_a_copy_goes_its_own_way(samples: list[tuple[int, int]]) -> None:
    histogram = recorded(samples)
    copy = histogram.copy()
    assert copy.buckets() == histogram.buckets()
    copy.record(5)
    assert histogram.buckets() == recorded(samples).buckets()


def test_nothing_recorded() -> None:
    latency = Latency.of(Histogram())
    assert (latency.count, latency.sum_seconds, set(latency.below)) == (0, 0.0, {0})
    assert math.isnan(latency.p50_ms)


def test_a_clock_that_was_set_back_counts_as_no_time() -> None:
    assert recorded([(-5, 3)]).buckets() == [(0, 3)]


def test_the_coarse_buckets_add_up_towards_the_larger_bounds() -> None:
    latency = Latency.of(recorded([(50_000, 1), (2_000_000, 10), (3_600 * 10**9, 100)]))
    below = dict(zip(BOUNDS_SECONDS, latency.below, strict=True))
    assert (below[1e-5], below[1e-4], below[1e-3], below[5e-3], below[600.0]) == (0, 1, 1, 11, 11)
