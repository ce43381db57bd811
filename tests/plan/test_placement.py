"""The placement over simulated backends: close to the best possible, calm, and never out of bounds."""

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowstream.backends.base import Backend
from arrowstream.backends.registry import backends
from arrowstream.plan.placement.choice import TUNING, Choice, Placement, Standing, choose
from arrowstream.plan.placement.costs import WARM_UP, LineCost

pytestmark = pytest.mark.once

Line = tuple[float, float]
REFERENCE: dict[str, Line] = {"arrow": (20, 0.0055), "polars": (170, 0.0022)}
CASES: dict[str, dict[str, Line]] = {
    "reference": REFERENCE,
    "heavy text": {"arrow": (60, 0.15), "polars": (250, 0.09)},
    "many steps": {"arrow": (300, 0.06), "polars": (900, 0.012)},
    "light": {"arrow": (8, 0.0004), "polars": (60, 0.0002)},
    "arrow is slow": {"arrow": (400, 0.03), "polars": (150, 0.002)},
    "polars is slow": {"arrow": (20, 0.003), "polars": (400, 0.006)},
}


def starting(*names: str) -> dict[str, Line]:
    """Backends with what each is taken to cost at first."""
    known = {backend.name: backend.start_cost for backend in backends()}
    return {name: known.get(name, Backend.start_cost) for name in names}


class Machine:
    """Backends with known costs, 15 % scatter, and one sample in fifty far too long.

    The first batch after another backend's takes `cold` times as long.
    """

    def __init__(self, lines: dict[str, Line], seed: int = 0, cold: float = 1.0) -> None:
        self.lines = lines
        self.cold = cold
        self.placement = Placement(starting(*lines), {})
        self.choices: list[Choice] = []
        self.spent = 0.0
        self.least = 0.0
        self._rng = random.Random(seed)

    def micros(self, backend: str, rows: int) -> float:
        fixed, slope = self.lines[backend]
        return fixed + slope * rows

    def run(self, sizes: list[int]) -> None:
        for rows in sizes:
            choice = self.placement.choose(rows)
            mean = self.micros(choice.backend, rows)
            if self.choices and self.choices[-1].backend != choice.backend:
                mean *= self.cold
            noise = self._rng.lognormvariate(0, 0.15)
            if self._rng.random() < 0.02:
                noise *= self._rng.uniform(3, 30)
            self.placement.observe(choice, rows, mean * noise / 1e6)
            self.choices.append(choice)
            self.spent += mean
            self.least += min(self.micros(name, rows) for name in self.lines)

    @property
    def regret(self) -> float:
        """Share of time spent beyond what the best backend for each batch would have taken."""
        return self.spent / self.least - 1


def of_sizes(*sizes: int) -> Callable[[int], list[int]]:
    return lambda count: [sizes[number % len(sizes)] for number in range(count)]


def mixed(count: int) -> list[int]:
    rng = random.Random(7)
    return [int(10 ** rng.uniform(0, 6)) for _ in range(count)]


STREAMS = {
    "one row": of_sizes(1),
    "1k": of_sizes(1_000),
    "64k": of_sizes(65_536),
    "1M": of_sizes(1_000_000),
    "alternating": of_sizes(100, 1_000_000),
    "mixed": mixed,
}


@pytest.mark.untraced
@pytest.mark.parametrize("lines", CASES)
@pytest.mark.parametrize("stream", STREAMS)
def test_comes_close_to_the_best_choice_for_every_batch(stream: str, lines: str) -> None:
    regrets = []
    for seed in range(2):
        machine = Machine(CASES[lines], seed)
        machine.run(STREAMS[stream](1_500))
        regrets.append(machine.regret)
    assert max(regrets) < 0.2, regrets


@pytest.mark.parametrize("lines", CASES)
def test_is_not_far_off_from_the_start(lines: str) -> None:
    machine = Machine(CASES[lines])
    machine.run([1_000_000] * 200)
    assert machine.regret < 0.4


@pytest.mark.parametrize("cold", [1.0, 1.3])
def test_a_run_of_100_batches_finds_out_which_of_two_close_backends_is_cheaper(cold: float) -> None:
    regrets = []
    for seed in range(10):
        machine = Machine({"arrow": (40, 0.0089), "polars": (100, 0.0115)}, seed, cold)
        machine.run([65_536] * 100)
        assert machine.choices[0].backend == "polars"
        assert machine.choices[-1].backend == "arrow"
        regrets.append(machine.regret)
    assert sum(regrets) / len(regrets) < 0.04, regrets


def test_a_close_backend_is_measured_in_one_go() -> None:
    machine = Machine(REFERENCE)
    machine.run([65_536] * 20)
    probes = [number for number, choice in enumerate(machine.choices) if choice.reason == "probe"]
    assert probes == [TUNING.close_probe_after - 1 + number for number in range(WARM_UP + 1)]


def test_alternating_sizes_each_keep_their_backend() -> None:
    machine = Machine(REFERENCE)
    machine.run(of_sizes(100, 1_000_000)(1_000))
    settled = [choice for choice in machine.choices if choice.reason != "probe"]
    assert {choice.backend for choice in settled if choice.predicted_us < 500} == {"arrow"}
    assert {choice.backend for choice in settled if choice.predicted_us >= 500} == {"polars"}


def test_follows_a_machine_whose_costs_change() -> None:
    machine = Machine({"arrow": (20, 0.0055), "polars": (170, 0.0022)})
    machine.run([100_000] * 1_000)
    assert machine.choices[-1].backend == "polars"
    machine.lines["polars"] = (170, 0.02)  # somebody took the other cores away
    machine.run([100_000] * 200)
    assert machine.choices[-1].backend == "arrow"
    machine.lines["polars"] = (170, 0.0022)
    machine.run([100_000] * 1_500)
    assert machine.choices[-1].backend == "polars"


def test_close_backends_do_not_flap() -> None:
    machine = Machine({"arrow": (20, 0.004), "polars": (170, 0.0025)}, seed=5)
    machine.run([100_000] * 3_000)
    used = [choice.backend for choice in machine.choices if choice.reason != "probe"]
    assert sum(one != other for one, other in pairwise(used)) <= 6


@pytest.mark.parametrize("seed", range(5))
def test_a_backend_that_is_slow_only_after_another_is_found_out(seed: int) -> None:
    machine = Machine({"arrow": (20, 0.0080), "polars": (170, 0.0070)}, seed, cold=2.0)
    machine.run([65_536] * 1_500)
    assert machine.choices[0].backend == "polars"
    assert {choice.backend for choice in machine.choices[1_000:] if choice.reason != "probe"} == {"arrow"}


def test_the_second_best_is_looked_at_now_and_then() -> None:
    machine = Machine(REFERENCE)
    machine.run([65_536] * 2_000)
    probes = [number for number, choice in enumerate(machine.choices) if choice.reason == "probe"]
    gaps = [after - before for before, after in pairwise(probes[3:])]
    row = [1] * (TUNING.probe_batches - 1)
    assert gaps == [*row, TUNING.probe_every + 1] * (len(gaps) // TUNING.probe_batches) + row
    assert 0.015 < len(probes) / 2_000 <= 0.025


def gaps_between_probes(polars: float, batches: int) -> list[int]:
    """Batches between the ends of probes and the next ones, of Polars at a cost that stays; Arrow takes 100 us."""
    costs = {"arrow": LineCost(100, 0.001), "polars": LineCost(polars, 0.001)}
    now: Standing | None = Standing("arrow", unprobed=1, tried=True)
    probes = []
    for number in range(batches):
        choice, now = choose(10, costs, now)
        probes += [number] if choice.reason == "probe" else []
    return [after - before - 1 for before, after in pairwise(probes) if after > before + 1]


def test_what_is_not_close_is_looked_at_less_and_less() -> None:
    often, most = TUNING.probe_every, TUNING.probe_at_most_every
    assert gaps_between_probes(101 * TUNING.close, 6_000) == [2 * often, 4 * often, most, most]
    assert gaps_between_probes(99 * TUNING.close, 1_000) == [often] * 4


def test_a_backend_that_comes_close_is_looked_at_as_often_as_others() -> None:
    most = TUNING.probe_at_most_every
    costs = {"arrow": LineCost(100, 0.001), "polars": LineCost(150, 0.001)}
    standing = Standing("arrow", unprobed=TUNING.probe_every, tried=True, gap=most)
    choice, after = choose(10, costs, standing)
    assert choice.reason == "probe" and after.gap == TUNING.probe_every


def test_settled_batches_of_one_size_share_choices_and_are_counted() -> None:
    machine, alone = Machine(REFERENCE), Machine(REFERENCE)
    machine.run([1_000] * 400)
    settled = machine.choices[100:]
    assert {choice.backend for choice in settled} == {"arrow"}
    assert [choice.counts for choice in settled].count(True) == len(settled) // TUNING.alike
    # A size between others is never repeated, but its probes come after as many of its batches.
    alone.run([65_536, 1_000] * 800)
    probes = [number for number, choice in enumerate(alone.choices[::2]) if choice.reason == "probe"]
    assert [after - before for before, after in pairwise(probes[3:]) if after > before + 1] == [
        TUNING.probe_every + 1
    ] * 2


def test_batches_that_share_a_choice_follow_a_backend_that_becomes_slow() -> None:
    machine = Machine({"arrow": (20, 0.0055), "polars": (170, 0.0022)})
    machine.run([1_000] * 500)
    machine.lines["arrow"] = (20, 5.0)
    machine.run([1_000] * 60)
    assert machine.choices[-1].backend == "polars"


def test_what_is_cold_does_not_count() -> None:
    costs = {"arrow": LineCost(100, 0.001), "polars": LineCost(110, 0.001)}
    standing: Standing | None = Standing("arrow", unprobed=TUNING.probe_every - 1, tried=True)
    seen = []
    for _ in range(TUNING.probe_batches + 3):
        choice, standing = choose(10, costs, standing)
        seen.append((choice.backend, choice.counts))
    stays, probed = ("arrow", True), ("polars", True)
    assert seen == [stays, ("polars", False), *[probed] * (TUNING.probe_batches - 1), ("arrow", False), stays]


def test_the_first_batch_after_a_change_does_not_count() -> None:
    costs = {"arrow": LineCost(100, 0.001), "polars": LineCost(50, 0.001)}
    standing: Standing | None = Standing("arrow", lost=1.0, unprobed=1, tried=True)
    seen = []
    for _ in range(3):
        choice, standing = choose(10, costs, standing)
        seen.append((choice.backend, choice.counts))
    assert seen == [("polars", False), ("polars", True), ("polars", True)]


def test_what_is_far_off_is_left_alone() -> None:
    machine = Machine(REFERENCE)
    machine.run([100] * 1_000)
    first, later = machine.choices[:100], machine.choices[100:]
    assert [choice.reason for choice in first].count("probe") == 3
    assert {choice.backend for choice in later} == {"arrow"}


@pytest.mark.parametrize("rows", [1, 64])
def test_records_do_not_wait_for_probes(rows: int) -> None:
    machine = Machine(REFERENCE)
    machine.run([rows] * 1_000)
    assert {(choice.backend, choice.reason) for choice in machine.choices} == {("arrow", "cheapest")}


def test_the_same_timings_are_placed_the_same_way() -> None:
    first, second = Machine(REFERENCE, 3), Machine(REFERENCE, 3)
    first.run(mixed(300))
    second.run(mixed(300))
    assert first.choices == second.choices


def batches_until_switch(arrow: float, polars: float, standing: Standing) -> int:
    costs = {"arrow": LineCost(arrow, 0.001), "polars": LineCost(polars, 0.001)}
    now: Standing | None = standing
    for number in range(1, 1_000):
        choice, now = choose(10, costs, now)
        if choice.backend != standing.winner and choice.reason == "cheapest":
            return number
    return 0


def test_a_large_gain_is_taken_after_five_batches_a_smaller_one_later() -> None:
    tried = Standing("arrow", tried=True)
    assert batches_until_switch(1_000, 1, tried) == 5
    assert batches_until_switch(125, 100, tried) == 5
    assert batches_until_switch(111, 100, tried) == 11
    assert batches_until_switch(104, 100, tried) == 0


def test_nothing_changes_again_before_some_rest() -> None:
    standing = Standing("arrow", rest=30, tried=True)
    assert batches_until_switch(1_000, 1, standing) == 30
    after = choose(
        10, {"arrow": LineCost(9, 1), "polars": LineCost(1, 1)}, Standing("arrow", lost=1.0, tried=True)
    )[1]
    assert after == Standing("polars", rest=TUNING.rest, unprobed=1, tried=True)


def test_what_was_never_measured_is_tried_before_it_takes_over() -> None:
    costs = {"arrow": LineCost(400, 0.001), "polars": LineCost(100, 0.001)}
    standing: Standing | None = Standing("arrow")
    reasons = []
    for _ in range(9):
        choice, standing = choose(10, costs, standing)
        reasons.append((choice.backend, choice.reason))
        costs[choice.backend].observe(10, 400.0 if choice.backend == "arrow" else 100.0)
    stays, tries, takes = ("arrow", "cheapest"), ("polars", "probe"), ("polars", "cheapest")
    assert reasons == [stays] * 4 + [tries] * 3 + [takes] * 2


def test_a_gain_that_does_not_last_changes_nothing() -> None:
    standing: Standing | None = Standing("arrow", tried=True)
    for polars in [50, 50, 50, 50, 99] * 3:
        costs = {"arrow": LineCost(100, 0.001), "polars": LineCost(polars, 0.001)}
        choice, standing = choose(10, costs, standing)
        assert choice.backend == "arrow"


def test_the_second_best_of_three_is_what_is_probed() -> None:
    costs = {"a": LineCost(10, 0.001), "b": LineCost(30, 0.001), "c": LineCost(20, 0.001)}
    choice, standing = choose(1, costs, Standing("a", unprobed=TUNING.probe_every - 1))
    assert choice == Choice("c", 20.001, "probe")
    assert standing == Standing("a", tried=False)


def test_without_a_choice_there_is_nothing_to_weigh() -> None:
    placement = Placement(starting("polars"), {"arrow": "function str.json_decode"})
    assert placement.choose(1_000_000) == Choice(
        "polars", pytest.approx(2370), "polars only: arrow refused (function str.json_decode)"
    )
    pinned = Placement(starting("arrow", "polars"), {}, "arrow")
    for _ in range(200):
        choice = pinned.choose(1_000_000)
        assert (choice.backend, choice.reason) == ("arrow", "pinned: arrow")
        pinned.observe(choice, 1_000_000, 0.002)
    assert choice.predicted_us == pytest.approx(2_000, rel=0.01)


def test_explains_itself_before_a_run() -> None:
    refused = {"arrow": "function str.json_decode"}
    assert Placement(starting("arrow", "polars"), {}).explain() == (
        "backend: auto: arrow below ~45,000 rows, polars above"
    )
    assert Placement(starting("arrow", "polars"), {}, "arrow").explain() == "backend: pinned: arrow"
    assert Placement(starting("polars"), refused).explain() == (
        "backend: polars only: arrow refused (function str.json_decode)"
    )
    assert Placement(starting("polars"), {}).explain() == "backend: polars only"


def test_explains_fitted_costs_after_a_run() -> None:
    placement = Placement(starting("arrow", "polars"), {})
    for _ in range(100):
        for rows in (10, 100_000):
            placement.observe(Choice("arrow", 0.0, ""), rows, (14 + 0.004 * rows) / 1e6)
            placement.observe(Choice("polars", 0.0, ""), rows, (120 + 0.001 * rows) / 1e6)
    assert placement.explain() == (
        "backend: auto: arrow below ~35,000 rows, polars above\n"
        "costs: arrow 14 us + 4.0 ns/row (200 batches), polars 120 us + 1.0 ns/row (200 batches)"
    )


@pytest.mark.parametrize(
    "lines, words",
    [
        ({"arrow": (10, 0.001), "polars": (50, 0.002)}, "auto: arrow at every size"),
        ({"arrow": (50, 0.002), "polars": (10, 0.001)}, "auto: polars at every size"),
        ({"arrow": (10, 0.001), "polars": (50, 0.001)}, "auto: arrow at every size"),
        ({"arrow": (10, 0.0010000001), "polars": (5_000, 0.001)}, "auto: arrow at every size"),
        ({"arrow": (10, 0.1), "polars": (10.5, 0.0)}, "auto: arrow below ~5 rows, polars above"),
        (
            {"a": (10, 0.01), "b": (100, 0.002), "c": (5_000, 0.0001), "d": (6_000, 0.0005)},
            "auto: a below ~11,000 rows, b below ~2,600,000 rows, c above",
        ),
    ],
)
def test_says_where_the_lines_cross(lines: dict[str, Line], words: str) -> None:
    placement = Placement(starting(*lines), {})
    for name, (fixed, slope) in lines.items():
        for rows in (1, 1_000_000) * 100:
            placement.observe(Choice(name, 0.0, ""), rows, (fixed + slope * rows) / 1e6)
    assert placement.explain().splitlines()[0] == f"backend: {words}"


positive = st.floats(0.1, 1e5)


@given(
    lines=st.lists(st.tuples(positive, st.floats(1e-6, 1)), min_size=2, max_size=3),
    sizes=st.lists(st.integers(0, 10**8), min_size=1, max_size=4),
    noise=st.lists(st.floats(0, 1e4), min_size=1, max_size=7),
)
def test_bounds_hold_whatever_the_timings(lines: list[Line], sizes: list[int], noise: list[float]) -> None:
    names = ["arrow", "polars", "other"][: len(lines)]
    placement = Placement(starting(*names), {})
    count = 400 * len(sizes)
    in_use: dict[int, str] = {}
    changed: dict[int, int] = {}
    seen: dict[int, int] = {}
    probes: dict[int, int] = {}
    for number in range(count):
        rows = sizes[number % len(sizes)]
        size = rows.bit_length()
        seen[size] = seen.get(size, 0) + 1
        choice = placement.choose(rows)
        assert choice.backend in names
        assert math.isfinite(choice.predicted_us)
        assert choice.predicted_us >= 0
        if choice.reason == "probe":
            probes[size] = probes.get(size, 0) + 1
            assert choice.backend != in_use.get(size)
        elif in_use.get(size) != choice.backend:
            assert size not in changed or seen[size] - changed[size] >= TUNING.rest
            if size in in_use:
                changed[size] = seen[size]
            in_use[size] = choice.backend
        fixed, slope = lines[names.index(choice.backend)]
        placement.observe(choice, rows, (fixed + slope * rows) * noise[number % len(noise)] / 1e6)
    # Three more for each backend that had never been measured.
    for size, probed in probes.items():
        assert probed <= 0.02 * seen[size] + 3 * (len(names) - 1)
    assert sum(probes.values()) <= 0.03 * count
