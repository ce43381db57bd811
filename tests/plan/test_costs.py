"""The fitted line: it finds the true one through noise and outliers, follows it, and never goes wrong for good."""

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowstream.plan.placement.costs import OUTLIER, WARM_UP, LineCost

pytestmark = pytest.mark.once

START = (20.0, 0.005)


def fitted(samples: list[tuple[int, float]], start: tuple[float, float] = START) -> LineCost:
    cost = LineCost(*start)
    for rows, micros in samples:
        cost.observe(rows, micros)
    return cost


def noisy(seed: int, count: int, fixed: float, slope: float, sizes: list[int]) -> list[tuple[int, float]]:
    """Timings of a busy machine: 15 % scatter, and one in thirty takes 3 to 30 times as long."""
    rng = random.Random(seed)
    samples = []
    for _ in range(count):
        rows = rng.choice(sizes)
        micros = (fixed + slope * rows) * rng.lognormvariate(0, 0.15)
        samples.append((rows, micros * rng.uniform(3, 30) if rng.random() < 1 / 30 else micros))
    return samples


@pytest.mark.untraced
@pytest.mark.parametrize("fixed, slope", [(5.0, 0.001), (150.0, 0.002), (20.0, 0.2), (2_000.0, 0.0005)])
@pytest.mark.parametrize("sizes", [[10, 1_000, 30_000, 1_000_000], [30_000, 65_536], [1]])
def test_finds_the_line_through_noise_and_outliers(sizes: list[int], fixed: float, slope: float) -> None:
    errors = []
    for seed in range(9):
        cost = fitted(noisy(seed, 300, fixed, slope, sizes))
        errors.append(max(abs(cost.predict(rows) / (fixed + slope * rows) - 1) for rows in sizes))
    assert statistics.median(errors) < 0.25
    assert max(errors) < 1.0, "an outlier at the very end counts for a while"


def test_exact_samples_give_the_exact_line() -> None:
    cost = fitted([(rows, 50 + 0.003 * rows) for rows in [10, 100_000] * 100])
    assert cost.fixed == pytest.approx(50, rel=1e-3)
    assert cost.slope == pytest.approx(0.003, rel=1e-3)


def test_start_values_hold_until_warm() -> None:
    cost = LineCost(*START)
    for number in range(1, WARM_UP + 1):
        cost.observe(1_000, 1e6)
        assert (cost.fixed, cost.slope, cost.samples, cost.measured) == (*START, number, False)
    cost.observe(1_000, 30.0)
    assert cost.measured
    assert cost.predict(1_000) == pytest.approx(30, rel=0.05)


def test_one_outlier_counts_as_a_few_times_what_was_expected() -> None:
    settled = [(1_000, 25.0)] * 100
    calm, struck = fitted(settled), fitted([*settled, (1_000, 1e9)])
    assert struck.predict(1_000) < calm.predict(1_000) * 1.2
    same = fitted([*settled, (1_000, 25.0 * OUTLIER)])
    assert struck.predict(1_000) == pytest.approx(same.predict(1_000), rel=1e-6)


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_follows_a_machine_that_changes(factor: float) -> None:
    """Also for batches of one size: what is forgotten is what the new samples replace."""
    before, after = [(1_000, 100.0)] * 5_000, [(1_000, 100.0 * factor)] * 80
    assert fitted(before + after).predict(1_000) == pytest.approx(100.0 * factor, rel=0.2)


def test_batches_of_one_size_do_not_lose_what_is_known_of_others() -> None:
    both = [(rows, 50 + 0.003 * rows) for rows in [10, 1_000_000] * 50]
    rng = random.Random(1)
    small = [(10, 50 * rng.lognormvariate(0, 0.2)) for _ in range(20_000)]
    assert fitted(both + small).predict(1_000_000) == pytest.approx(3_050, rel=0.1)


def test_a_part_that_would_be_negative_is_none_and_the_other_makes_up_for_it() -> None:
    falling = fitted([(rows, micros) for rows, micros in [(1_000, 300.0), (100_000, 100.0)] * 100])
    assert falling.slope == 0.0
    assert falling.fixed == pytest.approx(200, rel=0.05)
    steep = fitted([(rows, micros) for rows, micros in [(10, 0.0), (100_000, 100.0), (200_000, 400.0)] * 100])
    assert steep.fixed == 0.0
    assert 100_000 * steep.slope == pytest.approx(150, rel=0.4)


def test_survives_sizes_and_timings_of_any_magnitude() -> None:
    """What is known of one direction can outweigh the other by more digits than a float has."""
    rng = random.Random(25)
    cost = LineCost(10 ** rng.uniform(-2, 5), 10 ** rng.uniform(-6, 1))
    for number in range(600):
        if number % 300 == 0:
            sizes = [int(10 ** rng.uniform(0, 9)) for _ in range(rng.randint(1, 4))]
            scale, idle = 10 ** rng.uniform(-3, 9), rng.random() < 0.3
        rows = rng.choice(sizes)
        cost.observe(
            rows, 0.0 if idle else scale * rng.lognormvariate(0, 0.3) if rng.random() < 0.98 else 0.0
        )
        assert math.isfinite(cost.predict(rows))


def test_both_parts_can_be_none() -> None:
    cost = fitted([(0, 0.0), (1, 0.0), (1_000_000, 0.0)] * 3_000)
    assert 0.0 <= cost.predict(1_000_000) < 1e-6


def test_reads_as_text() -> None:
    assert str(LineCost(14.2, 0.0041)) == "14 us + 4.1 ns/row"


@given(
    start=st.tuples(st.floats(0.01, 1e5), st.floats(1e-6, 10)),
    sizes=st.lists(st.integers(0, 10**9), min_size=1, max_size=4),
    timings=st.lists(st.floats(0, 1e12), min_size=1, max_size=20),
    repeat=st.integers(1, 50),
)
def test_predictions_are_finite_and_never_negative(
    start: tuple[float, float], sizes: list[int], timings: list[float], repeat: int
) -> None:
    cost = LineCost(*start)
    for number in range(len(timings) * repeat):
        cost.observe(sizes[number % len(sizes)], timings[number % len(timings)])
        assert cost.fixed >= 0.0
        assert cost.slope >= 0.0
        assert math.isfinite(cost.predict(10**9))
