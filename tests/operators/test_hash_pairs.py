"""Pairs of equal hashes and close times, next to every pair looked at."""

import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arrowstream.operators.joins.interval import hash_pairs
from arrowstream.operators.joins.interval.hash_pairs import spell_pairs
from arrowstream.state.arrays import Array

Pairs = set[tuple[int, int]]
_SPREAD = np.uint64(0x5851F42D4C957F2D)


def hashes_of(keys: list[int]) -> Array:
    return np.array(keys, np.uint64) * _SPREAD


def found_and_expected(
    asked: Array, first: Array, last: Array, there: Array, times: Array, most: int
) -> tuple[Pairs, Pairs] | None:
    """The pairs that are found, once each and with equal hashes, and those whose times are close, among all."""
    found = spell_pairs(asked, first, last, there, times, most)
    if found is None:
        return None
    places = list(zip(*(each.tolist() for each in found), strict=True))
    assert len(set(places)) == len(places), "a pair is found twice"
    assert all(asked[question] == there[row] for question, row in places)
    alike = asked[:, None] == there[None, :]
    close = (first[:, None] <= times[None, :]) & (times[None, :] <= last[:, None])
    questions, rows = np.nonzero(alike & close)
    return set(places), set(zip(questions.tolist(), rows.tolist(), strict=True))


@pytest.mark.parametrize("layers", [1, 3, 8])
@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(-40, 40)), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 6), st.integers(-40, 40)), max_size=30),
    st.sampled_from([0, 1, 2, 7, 100, 2**62]),
    st.integers(1, 3),
)
def test_every_pair_of_equal_hashes_and_close_times_is_found(
    monkeypatch: pytest.MonkeyPatch,
    layers: int,
    questions: list[tuple[int, int]],
    rows: list[tuple[int, int]],
    width: int,
    bits: int,
) -> None:
    """Few buckets, so that other hashes take the places of a layer."""
    monkeypatch.setattr(hash_pairs, "_LAYERS", layers)
    monkeypatch.setattr(hash_pairs, "_LEAST_BITS", bits)
    monkeypatch.setattr(hash_pairs, "_MOST_BITS", bits)
    first = np.array([time for _, time in questions])
    asked, there = (hashes_of([key for key, _ in each]) for each in (questions, rows))
    times = np.array([time for _, time in rows], np.int64)
    both = found_and_expected(asked, first, first + width, there, times, most=1_000)
    assert both is not None
    found, expected = both
    assert expected <= found


@pytest.mark.parametrize("keys", [4_000, 300, 40])
def test_many_hashes_are_found_by_layers_and_by_sorting(keys: int) -> None:
    random = np.random.default_rng(keys)
    asked, there = (hashes_of(random.integers(0, keys, 2_000).tolist()) for _ in range(2))
    zero = np.zeros(2_000, np.int64)
    both = found_and_expected(asked, zero, zero, there, zero, most=1_000_000)
    assert both is not None
    assert both[0] == both[1] and len(both[0]) > 500


def test_more_pairs_than_may_be_looked_at_are_not_looked_for() -> None:
    same, zero = hashes_of([5] * 100), np.zeros(100, np.int64)
    assert found_and_expected(same, zero, zero, same, zero, most=9_000) is None
    both = found_and_expected(same, zero, zero, same, zero, most=10_000)
    assert both is not None and len(both[0]) == 10_000


def test_times_far_apart_are_not_looked_at() -> None:
    """Hashes of a few keys come in pairs by the thousand, but not those of close times."""
    random, times = np.random.default_rng(3), np.arange(1_000) * 100
    keys = hashes_of(random.integers(0, 2, 1_000).tolist())
    both = found_and_expected(keys, times - 50, times + 50, keys, times, most=1_500)
    assert both is not None
    found, expected = both
    assert len(expected) == 1_000 and expected <= found
    assert len(found) < 3_000
