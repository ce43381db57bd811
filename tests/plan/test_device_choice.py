"""The choice between host and device over simulated stages: close to the best path, calm, and never out of bounds."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl
import pytest
from devices import DeviceBackend
from hypothesis import given
from hypothesis import strategies as st

from arrowstream.backends.arrow.backend import ArrowBackend
from arrowstream.backends.base import Backend, TransferCost
from arrowstream.backends.polars import PolarsBackend
from arrowstream.plan.placement.choice import TUNING, Choice, Placement
from arrowstream.plan.placement.columns import ColumnUse
from arrowstream.plan.placement.costs import LineCost
from arrowstream.plan.placement.device_choice import DevicePlacement, connect
from arrowstream.plan.placement.path import HOST, Held, Leg, Path, cheapest
from arrowstream.plan.placement.transfer import Direction, TransferEdge, row_bytes

pytestmark = pytest.mark.once

Line = tuple[float, float]
SCHEMA = pl.Schema({"x": pl.Int64, "y": pl.Float64})
ALL = ColumnUse(frozenset(SCHEMA), {})
DEVICE: Held = frozenset(["device"])
HOSTS: dict[str, Backend] = {"arrow": ArrowBackend(), "polars": PolarsBackend()}

ON_DEVICE = Choice("device", 0.0, "")


class OtherDevice(DeviceBackend):
    name = "other"
    form = "other"


def line(fixed: float, slope: float) -> LineCost:
    found = LineCost(1.0, 1.0)
    found.fixed, found.slope = fixed, slope
    return found


@dataclass
class Machine:
    """A chain of stages with true costs, 10 % scatter, and now and then a batch that takes far too long.

    `transfer` is the cost of one way to the device or back, at every edge.
    """

    stages: list[dict[str, Line]]
    transfer: Line
    kept: list[float] = field(default_factory=list)
    least_rows: int = 0
    pin: str = "auto"
    seed: int = 0
    start: Line = (30.0, 1e-5)

    def __post_init__(self) -> None:
        self.kept = self.kept or [1.0] * len(self.stages)
        self.device = DeviceBackend(self.start, self.least_rows)
        all_backends: list[Backend] = [*HOSTS.values(), self.device]
        self.chain: list[DevicePlacement] = []
        for number, costs in enumerate(self.stages):
            backends = [each for each in all_backends if each.name in costs]
            edges = TransferEdge(SCHEMA, all_backends), TransferEdge(SCHEMA, all_backends)
            self.chain.append(DevicePlacement(backends, {}, self.pin, f"stage{number}", *edges, ALL))
        connect(self.chain)
        self.went: list[tuple[str, ...]] = []
        self.probes = 0
        self.spent = self.least = 0.0
        self._rng = random.Random(self.seed)

    def legs(self) -> list[Leg]:
        return [
            Leg(
                {name: line(*cost) for name, cost in costs.items()},
                self.chain[0].link.memories,
                {"device": self.least_rows},
                {"device": line(*self.transfer)},
                {"device": line(*self.transfer)},
                kept,
            )
            for costs, kept in zip(self.stages, self.kept, strict=True)
        ]

    def best(self, rows: int) -> Path:
        return cheapest(self.legs(), {"device": line(*self.transfer)}, rows)

    def run(self, sizes: list[int]) -> None:
        for rows in sizes:
            self.least += self.best(rows).predict(rows)
            self._batch(rows)

    def _batch(self, rows: int) -> None:
        held, went = HOST, []
        probed = False
        for placement, costs, kept in zip(self.chain, self.stages, self.kept, strict=True):
            choice = placement.choose(rows, held)
            went.append(choice.backend)
            probed = probed or choice.reason == "probe"
            memory = placement.link.memories[choice.backend]
            if memory not in held:
                placement.observe_arrival(choice, held, rows, 16 * rows, self._take(self.transfer, rows))
            placement.observe(choice, rows, self._take(costs[choice.backend], rows))
            out = round(rows * kept)
            placement.link.observe_kept(rows, out)
            rows, held = out, frozenset([memory])
            if placement.link.is_last and memory is not None:
                placement.observe_leaving(choice, rows, 16 * rows, self._take(self.transfer, rows))
        self.went.append(tuple(went))
        self.probes += probed

    def _take(self, cost: Line, rows: int) -> float:
        """Spend the time of a part of a batch; return what a clock shows, in seconds."""
        micros = cost[0] + cost[1] * rows
        self.spent += micros
        noise = self._rng.lognormvariate(0, 0.1)
        if self._rng.random() < 0.02:
            noise *= self._rng.uniform(3, 30)
        return micros * noise / 1e6

    @property
    def regret(self) -> float:
        """Share of time spent beyond what the best path of each batch would have taken."""
        return self.spent / self.least - 1


HOST_COSTS: dict[str, Line] = {"arrow": (20, 0.0055), "polars": (170, 0.0022)}
CASES: dict[str, list[dict[str, Line]]] = {
    "the device pays at once": [{**HOST_COSTS, "device": (30, 1e-5)}],
    "the device never pays": [{**HOST_COSTS, "device": (500, 0.01)}],
    "only the whole pays": [{"polars": (60, 0.0015), "device": (30, 1e-5)}] * 3,
    "a device in the middle that does not pay": [
        {**HOST_COSTS, "device": (30, 1e-5)},
        {**HOST_COSTS, "device": (60, 0.02)},
        {**HOST_COSTS, "device": (30, 1e-5)},
    ],
}


def of_sizes(*sizes: int) -> Callable[[int], list[int]]:
    return lambda count: [sizes[number % len(sizes)] for number in range(count)]


STREAMS = {
    "1k": of_sizes(1_000),
    "64k": of_sizes(65_536),
    "1M": of_sizes(1_000_000),
    "alternating": of_sizes(100, 1_000_000),
}


@pytest.mark.untraced
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stream", STREAMS)
def test_comes_close_to_the_best_path_of_every_batch(stream: str, case: str) -> None:
    regrets = []
    for seed in range(2):
        machine = Machine(CASES[case], (10, 0.0008), seed=seed)
        machine.run(STREAMS[stream](1_500))
        regrets.append(machine.regret)
    assert max(regrets) < 0.2, regrets


def test_the_same_timings_are_placed_the_same_way() -> None:
    machines = [
        Machine(CASES["a device in the middle that does not pay"], (10, 0.0008), seed=3) for _ in range(2)
    ]
    for machine in machines:
        machine.run(of_sizes(65_536, 1_000)(300))
    assert machines[0].went == machines[1].went


def test_a_device_that_was_thought_cheap_is_left_once_it_is_measured() -> None:
    machine = Machine(CASES["the device never pays"], (10, 0.0008))
    machine.run([65_536] * 300)
    assert machine.went[0] == ("device",)
    assert machine.went[-1] != ("device",)


def test_a_device_that_was_thought_dear_is_probed_with_its_whole_residence() -> None:
    machine = Machine([{"polars": (60, 0.0015), "device": (30, 1e-5)}] * 3, (10, 0.0002), start=(500.0, 0.01))
    assert machine.chain[0].choose(65_536).backend == "polars"
    machine.run([65_536] * 200)
    first = next(number for number, backends in enumerate(machine.went) if "device" in backends)
    assert machine.went[first] == ("device", "device", "device")
    assert machine.went[-1] == ("device", "device", "device")


def test_costs_that_change_move_all_stages_to_the_host_and_back() -> None:
    machine = Machine([{"polars": (60, 0.0015), "device": (30, 1e-5)}] * 2, (10, 0.0002))
    machine.run([65_536] * 100)
    assert machine.went[-1] == ("device", "device")
    machine.transfer = (10, 0.004)  # the bus is busy
    machine.run([65_536] * 300)
    assert machine.went[-1] == ("polars", "polars")
    machine.transfer = (10, 0.0002)
    machine.run([65_536] * 1_500)
    assert machine.went[-1] == ("device", "device")


@pytest.mark.parametrize("rows", [1, 64, 2_047])
def test_below_its_least_rows_a_stage_is_placed_as_if_there_were_no_device(rows: int) -> None:
    machine = Machine([{**HOST_COSTS, "device": (0.01, 1e-6)}], (0.01, 1e-6), least_rows=2_048)
    plain = Placement({name: each.start_cost for name, each in HOSTS.items()}, {})
    for _ in range(300):
        choice = plain.choose(rows)
        assert machine.chain[0].choose(rows) == choice
        for placement in (plain, machine.chain[0]):
            placement.observe(choice, rows, 1e-4)
    assert machine.chain[0].device_from == 2_048


def test_records_do_not_wait_for_probes_of_a_device_that_takes_any_batch() -> None:
    machine = Machine([{**HOST_COSTS, "device": (0.01, 1e-6)}], (0.01, 1e-6))
    machine.run([64] * 300)
    assert set(machine.went) == {("arrow",)}


def test_a_pinned_stage_stays_on_the_device_at_any_size() -> None:
    machine = Machine([{"device": (60, 2e-5)}], (10, 0.0008), pin="device", least_rows=2_048)
    machine.run([1, 100_000] * 200)
    assert set(machine.went) == {("device",)}
    (stage,) = machine.chain
    assert stage.reason == "pinned: device"
    assert (stage.is_pinned, stage.joins_up_to(), stage.link.is_last) == (True, 2_048, True)
    true = 60 + 2e-5 * 100_000 + 2 * (10 + 0.0008 * 100_000)
    assert stage.choose(100_000).predicted_us == pytest.approx(true, rel=0.3)


def expected(direction: Direction, rows: int) -> float:
    return direction.predict(rows, 16)


def test_the_expected_time_is_that_of_the_stage_with_its_own_transfers() -> None:
    first, last = Machine([{"device": (100, 1e-6)}] * 2, (10, 0.0008), pin="device").chain
    up, down = first.link.entrance.uploads["device"], last.link.exit.downloads["device"]
    work = 30.0 + 1e-5 * 1_000
    assert first.choose(1_000).predicted_us == pytest.approx(work + expected(up, 1_000))
    assert last.choose(1_000, DEVICE).predicted_us == pytest.approx(work + expected(down, 1_000))
    last.link.observe_kept(1_000, 500)
    assert last.choose(1_000, DEVICE).predicted_us == pytest.approx(work + expected(down, 500))


def test_rows_on_the_device_are_brought_back_for_the_host_and_that_is_expected() -> None:
    machine = Machine([{**HOST_COSTS, "device": (30, 1e-5)}], (10, 0.0008), least_rows=2_048)
    (stage,) = machine.chain
    there, here = stage.choose(100, DEVICE), stage.choose(100, HOST)
    assert (there.backend, here.backend) == ("arrow", "arrow")
    assert there.predicted_us == here.predicted_us + expected(stage.link.entrance.downloads["device"], 100)
    both = stage.choose(100, DEVICE | HOST)
    assert both.predicted_us == here.predicted_us


def test_two_devices_pass_rows_on_by_way_of_the_host() -> None:
    other = OtherDevice(start=(0.01, 1e-7))
    device = DeviceBackend(start=(0.01, 1e-7))
    edges = [TransferEdge(SCHEMA, [device, other]) for _ in range(3)]
    first = DevicePlacement([device], {}, "device", "first", edges[0], edges[1], ALL)
    second = DevicePlacement([other], {}, "other", "second", edges[1], edges[2], ALL)
    connect([first, second])
    down, up = edges[1].downloads["device"], edges[1].uploads["other"]
    ways = expected(down, 10) + expected(up, 10) + expected(edges[2].downloads["other"], 10)
    assert second.choose(10, DEVICE).predicted_us == pytest.approx(ways, abs=0.1)
    second.observe_arrival(
        Choice("other", 0.0, ""), DEVICE, 10, 160, 1.0
    )  # two transfers at once teach neither
    assert down.line.samples == up.line.samples == 0


def test_transfers_at_one_edge_teach_those_at_all_others_of_a_chain() -> None:
    machine = Machine([{"device": (30, 1e-5)}] * 2, (10, 0.0008), pin="device")
    first, last = machine.chain
    before = first.link.entrance.download["device"].slope
    for rows in (100, 100_000) * 20:
        last.observe_leaving(ON_DEVICE, rows, 160 * rows, (10 + 0.01 * rows) / 1e6)
    assert last.link.exit.download_width == pytest.approx(160, rel=0.05)
    assert last.link.exit.download["device"].slope == pytest.approx(0.01, rel=0.05)
    assert first.link.entrance.download["device"].slope == pytest.approx(0.001, rel=0.05) != before
    assert first.link.entrance.uploads["device"].line.samples == 0


def test_the_assumed_time_of_a_row_is_part_of_a_transfer_and_stays() -> None:
    direction = Direction(TransferCost(10.0, 0.5, 0.001))
    assert direction.predict(1_000, 16) == 10 + 500 + 16
    assert direction.at(16) == (10.0, 0.516)
    for _ in range(20):
        direction.observe(1_000, 16_000, 10 + 500 + 32)
    assert direction.predict(1_000, 16) == pytest.approx(542, rel=0.01)
    direction.observe(1_000, 16_000, 1.0)
    assert direction.line.fixed >= 0


def test_paths_are_found_again_only_when_a_cost_has_moved() -> None:
    machine = Machine([{**HOST_COSTS, "device": (30, 1e-5)}], (10, 0.0008))
    (stage,) = machine.chain
    chain = stage.link.chain
    for _ in range(20):
        stage.observe(stage.choose(65_536), 65_536, 1e-4)
    moves = chain.moves
    for _ in range(20):
        stage.observe(ON_DEVICE, 65_536, 1e-4)
        stage.link.observe_kept(1_000, 1_000)
    assert chain.moves == moves
    stage.link.observe_kept(1_000_000, 10)
    assert chain.moves == moves + 1
    for _ in range(20):
        stage.observe(ON_DEVICE, 65_536, 5e-3)
    assert chain.moves > moves + 1


def test_cold_batches_teach_nothing() -> None:
    (stage,) = Machine([{**HOST_COSTS, "device": (30, 1e-5)}], (10, 0.0008)).chain
    for backend in ("device", "arrow"):
        cold = Choice(backend, 0.0, "probe", False)
        stage.observe(cold, 1_000, 1.0)
        stage.observe_arrival(cold, HOST, 1_000, 16_000, 1.0)
        stage.observe_arrival(cold, DEVICE, 1_000, 16_000, 1.0)
        stage.observe_leaving(cold, 1_000, 16_000, 1.0)
    assert stage.measured == {}
    assert "costs" not in stage.explain() and "transfers" not in stage.explain()


def test_transfers_that_say_nothing_of_one_edge_teach_nothing() -> None:
    (stage,) = Machine([{**HOST_COSTS, "device": (30, 1e-5)}], (10, 0.0008)).chain
    stage.observe_arrival(Choice("arrow", 0.0, ""), frozenset(["device", "other"]), 1_000, 16_000, 1.0)
    stage.observe_leaving(Choice("arrow", 0.0, ""), 1_000, 16_000, 1.0)
    assert "transfers" not in stage.explain()


def test_a_device_far_too_dear_is_not_measured_only_because_rows_are_there() -> None:
    for start, backend in (((50_000.0, 1e-5), "arrow"), ((200.0, 1e-5), "device")):
        (stage,) = Machine([{**HOST_COSTS, "device": (30, 1e-5)}], (10, 0.0008), start=start).chain
        assert stage.choose(1_000, DEVICE).backend == backend


def test_stages_of_the_host_between_them_end_a_chain() -> None:
    one, two, three = Machine([{**HOST_COSTS, "device": (30, 1e-5)}] * 3, (10, 0.0008)).chain
    connect([one, None, two, three])
    assert one.link.chain.links == (one.link,)
    assert two.link.chain.links == (two.link, three.link)
    assert (one.link.is_last, two.link.is_last, three.link.is_last) == (True, False, True)
    assert two.link.exit is three.link.entrance


def test_explains_itself_before_and_after_a_run() -> None:
    machine = Machine([{**HOST_COSTS, "device": (30, 1e-5)}], (10, 0.0008), least_rows=2_048)
    (stage,) = machine.chain
    assert stage.explain() == (
        "backend: auto: arrow below ~45,000 rows, polars above\n"
        "device: pays from ~6,200 rows a batch (upload included)"
    )
    for rows in (10_000, 1_000_000) * 100:
        stage.observe(ON_DEVICE, rows, (300 + 0.003 * rows) / 1e6)
        stage.observe_arrival(ON_DEVICE, HOST, rows, 16 * rows, (10 + 0.0008 * rows) / 1e6)
        stage.observe_leaving(ON_DEVICE, rows, 16 * rows, (20 + 0.0008 * rows) / 1e6)
    assert stage.explain() == (
        "backend: auto: arrow below ~45,000 rows, polars above\n"
        "device: never pays: 330 us + 4.6 ns/row with its transfers, 170 us + 2.2 ns/row without\n"
        "costs: device 300 us + 3.0 ns/row (200 batches)\n"
        "transfers: to device 10 us + 0.8 ns/row (200 batches), from device 20 us + 0.8 ns/row (200 batches)"
    )
    assert stage.reason == (
        "auto: arrow below ~45,000 rows, polars above; "
        "device: never pays: 330 us + 4.6 ns/row with its transfers, 170 us + 2.2 ns/row without"
    )


@pytest.mark.parametrize(
    "dtype, nbytes",
    [
        (pl.Boolean(), 1 / 8),
        (pl.Int8(), 1),
        (pl.Float32(), 4),
        (pl.Date(), 4),
        (pl.Datetime("us", "UTC"), 8),
        (pl.Decimal(20, 2), 16),
        (pl.String(), 24),
        (pl.List(pl.Int8), 24),
        (pl.Struct({"a": pl.Int8, "b": pl.Struct({"c": pl.Int64})}), 9),
        (pl.Null(), 0),
    ],
)
def test_rows_are_assumed_to_have_the_bytes_of_their_types(dtype: pl.DataType, nbytes: float) -> None:
    assert row_bytes(pl.Schema({"x": dtype, "y": pl.Int16})) == nbytes + 2


positive = st.floats(0.1, 1e5)


@given(
    lines=st.lists(st.tuples(positive, st.floats(1e-6, 1)), min_size=3, max_size=3),
    transfer=st.tuples(positive, st.floats(1e-6, 1)),
    sizes=st.lists(st.integers(0, 10**8), min_size=1, max_size=3),
    kept=st.sampled_from([0.0, 0.01, 1.0, 4.0]),
    least=st.sampled_from([0, 2_048]),
)
def test_bounds_hold_whatever_the_costs(
    lines: list[Line], transfer: Line, sizes: list[int], kept: float, least: int
) -> None:
    costs = dict(zip(["arrow", "polars", "device"], lines, strict=True))
    machine = Machine([costs] * 2, transfer, [kept, 1.0], least)
    for number in range(300):
        rows = sizes[number % len(sizes)]
        machine.run([rows])
        first, second = machine.went[-1]
        assert first != "device" or rows >= max(least, TUNING.few_rows + 1)
        assert second != "device" or round(rows * kept) >= max(least, TUNING.few_rows + 1)
    assert machine.probes <= 0.04 * 300 + 2 * 6 * 4 * len(sizes)


def test_a_probe_of_the_host_measures_each_of_its_backends() -> None:
    # Polars is thought to be the better one, and is far worse than the device, which is worse than Arrow.
    machine = Machine([{"arrow": (20, 0.002), "polars": (250, 0.025), "device": (200, 0.013)}], (10, 0.0007))
    machine.run([65_536] * 300)
    assert machine.went[0] == ("device",)
    assert {("polars",), ("arrow",)} <= set(machine.went[:60])
    assert set(machine.went[100:]) == {("arrow",)}
