"""Decisions that follow from tables of costs.

The lines of 2 cores are measured: two operations on an Int64 and a Float64 column, and a text function. Those of 16
cores are scaled: the same, with the slope of Polars, which uses all cores, divided by 8. **The figures of the device
(H100, H200) are assumed, not measured**: 50 GB/s each way and 10 us a transfer (PCIe 5 and pinned memory), 30 us a
call, 2 TB/s of device memory, of which an operation reads and writes its rows once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pytest

from arrowstream.backends.base import Backend, Evaluator, Frames, TransferCost
from arrowstream.expressions.program import Program, Refusal
from arrowstream.plan.placement.choice import Choice
from arrowstream.plan.placement.columns import ColumnUse
from arrowstream.plan.placement.costs import WARM_UP
from arrowstream.plan.placement.crossover import about_devices, pays_between
from arrowstream.plan.placement.device_choice import DevicePlacement, connect
from arrowstream.plan.placement.path import HOST, cheapest
from arrowstream.plan.placement.transfer import TransferEdge, row_bytes

pytestmark = pytest.mark.once

Line = tuple[float, float]
US_PER_BYTE_BUS, US_PER_BYTE_DEVICE = 1 / 50_000, 1 / 2_000_000
SCHEMA = pl.Schema({"x": pl.Int64, "y": pl.Float64})
OPERATION: Line = (30.0, 2 * 16 * US_PER_BYTE_DEVICE)
"""Two operations on 16 bytes a row in one call of the device."""

CORES_2: dict[str, dict[str, Line]] = {
    "numbers": {"arrow": (20, 0.0055), "polars": (170, 0.0022), "gpu": OPERATION},
    "text": {"arrow": (60, 0.15), "polars": (250, 0.09), "gpu": (60, 0.0005)},
    "bad on the device": {"arrow": (20, 0.0055), "polars": (170, 0.0022), "gpu": (30, 0.02)},
}
CORES_16 = {
    kind: {name: (fixed, slope / 8 if name == "polars" else slope) for name, (fixed, slope) in costs.items()}
    for kind, costs in CORES_2.items()
}


@dataclass
class Costed(Backend):
    """A backend that is nothing but its costs."""

    name: str
    start_cost: Line
    least_rows: int = 0
    upload_cost: ClassVar[TransferCost] = TransferCost(10.0, 0.0, US_PER_BYTE_BUS)
    download_cost: ClassVar[TransferCost] = TransferCost(10.0, 0.0, US_PER_BYTE_BUS)

    def __post_init__(self) -> None:
        self.form = "gpu" if self.name == "gpu" else None

    def prepare(self, segment: Frames, program: Program | Refusal) -> Evaluator | Refusal:
        raise NotImplementedError


def chain(
    table: dict[str, dict[str, Line]],
    kinds: Sequence[str],
    *,
    kept: Sequence[float] = (),
    schema: pl.Schema = SCHEMA,
    least_rows: int = 2_048,
    without: Sequence[str] = (),
) -> list[DevicePlacement]:
    """The placements of stages of these kinds, which keep these shares of their rows."""
    found = []
    for number, kind in enumerate(kinds):
        backends = [
            Costed(name, line, least_rows) for name, line in table[kind].items() if name not in without
        ]
        edges = TransferEdge(schema, backends), TransferEdge(schema, backends)
        found.append(
            DevicePlacement(backends, {}, "auto", f"s{number}", *edges, ColumnUse(frozenset(schema), {}))
        )
    connect(found)
    for placement, share in zip(found, kept, strict=False):
        placement.link.observe_kept(1_000_000, round(1_000_000 * share))
    for placement, kind in zip(found, kinds, strict=True):
        for name in placement.link.memories:
            fixed, slope = table[kind][name]
            for _ in range(WARM_UP + 1):  # what is in the table was measured: nothing is left to try
                placement.observe(Choice(name, 0.0, ""), 10_000, (fixed + slope * 10_000) / 1e6)
    return found


def went(stages: list[DevicePlacement], rows: int) -> list[str]:
    """The backends of the first batch, as it goes from stage to stage."""
    held, found = HOST, []
    for stage, leg in zip(stages, stages[0].link.chain.legs, strict=True):
        backend = stage.choose(rows, held).backend
        rows, held = round(rows * leg.kept), frozenset([stage.link.memories[backend]])
        found.append(backend)
    best = cheapest(stages[0].link.chain.legs, stages[-1].link.exit.download, rows)
    assert len(best.backends) == len(found)
    return found


def said(stages: list[DevicePlacement], number: int) -> list[str]:
    end = stages[-1].link.exit.download
    return list(about_devices(stages[0].link.chain.legs, end, number, [stage.link.name for stage in stages]))


@pytest.mark.parametrize(
    "table, kind, rows, backend",
    [
        (CORES_2, "numbers", 1_000, "arrow"),
        (CORES_2, "numbers", 2_048, "arrow"),
        (CORES_2, "numbers", 6_000, "arrow"),
        (CORES_2, "numbers", 6_500, "gpu"),
        (CORES_2, "numbers", 10_000_000, "gpu"),
        (CORES_16, "numbers", 6_000, "arrow"),
        (CORES_16, "numbers", 65_536, "gpu"),
        (CORES_16, "numbers", 1_000_000, "polars"),
        (CORES_2, "text", 2_047, "arrow"),
        (CORES_2, "text", 2_048, "gpu"),
        (CORES_16, "text", 1_000_000, "gpu"),
        (CORES_2, "bad on the device", 1_000, "arrow"),
        (CORES_2, "bad on the device", 1_000_000, "polars"),
        (CORES_16, "bad on the device", 1_000_000, "polars"),
    ],
)
def test_one_stage(table: dict[str, dict[str, Line]], kind: str, rows: int, backend: str) -> None:
    assert went(chain(table, [kind]), rows) == [backend]


def test_it_is_said_from_how_many_rows_the_device_pays() -> None:
    assert said(chain(CORES_2, ["numbers"]), 0) == ["gpu: pays from ~6,200 rows a batch (upload included)"]
    assert said(chain(CORES_16, ["numbers"]), 0) == [
        "gpu: pays from ~6,200 to ~320,000 rows a batch (upload included)"
    ]
    assert said(chain(CORES_2, ["bad on the device"]), 0) == [
        "gpu: never pays: 50 us + 20.6 ns/row with its transfers, 170 us + 2.2 ns/row without"
    ]


def test_a_long_chain_pays_as_a_whole_where_no_stage_pays_alone() -> None:
    assert went(chain(CORES_16, ["numbers"]), 1_000_000) == ["polars"]
    assert went(chain(CORES_16, ["numbers"] * 6), 1_000_000) == ["gpu"] * 6
    long = chain(CORES_16, ["numbers"] * 6, without=["arrow"])
    assert said(long, 2)[-1] == "s0 to s5 stay on gpu: one upload, one download"
    assert pays_between(long[0].link.chain.legs, long[-1].link.exit.download, 2, "gpu") == (2_048, None)


def test_more_stages_than_a_path_is_followed_through_change_nothing() -> None:
    assert went(chain(CORES_16, ["numbers"] * 12), 1_000_000) == ["gpu"] * 12


def test_a_stage_in_the_middle_that_does_not_pay_goes_back_if_that_is_cheaper() -> None:
    kinds = ["text", "bad on the device", "text"]
    assert went(chain(CORES_2, kinds), 1_000_000) == ["gpu", "polars", "gpu"]
    # 400 columns are dear to move: the rows stay, although the host is faster in the middle.
    wide = pl.Schema({f"x{number}": pl.Float64 for number in range(400)})
    assert went(chain(CORES_2, kinds, schema=wide), 1_000_000) == ["gpu"] * 3
    wider = pl.Schema({f"x{number}": pl.Float64 for number in range(600)})
    assert went(chain(CORES_2, kinds, schema=wider), 1_000_000) == ["polars"] * 3
    slightly = {**CORES_2, "slightly bad": {**CORES_2["numbers"], "gpu": (30, 0.0026)}}
    assert went(chain(slightly, ["text", "slightly bad", "text"]), 1_000_000) == ["gpu"] * 3
    assert went(chain(slightly, ["slightly bad"]), 1_000_000) == ["polars"]


def test_columns_of_text_make_transfers_dearer() -> None:
    texts = pl.Schema({"x": pl.Int64, **{f"s{number}": pl.String for number in range(8)}})
    assert row_bytes(texts) == 8 + 8 * 24
    assert went(chain(CORES_2, ["numbers"]), 1_000_000) == ["gpu"]
    assert went(chain(CORES_2, ["numbers"], schema=texts), 1_000_000) == ["polars"]


def test_a_filter_that_keeps_few_rows_makes_the_way_back_cheap() -> None:
    wide = pl.Schema({f"x{number}": pl.Float64 for number in range(10)})
    assert went(chain(CORES_2, ["numbers"], schema=wide), 1_000_000) == ["polars"]
    assert went(chain(CORES_2, ["numbers"], schema=wide, kept=[0.01]), 1_000_000) == ["gpu"]
    # Of 1,000,000 rows 1,000 are left, fewer than the device gets.
    assert went(chain(CORES_2, ["text", "text"], kept=[0.001]), 1_000_000) == ["gpu", "arrow"]
    # No stage after such a filter makes it worth while to upload all rows before it.
    assert went(chain(CORES_16, ["numbers", "text"], schema=wide, kept=[0.001]), 1_000_000) == [
        "polars",
        "arrow",
    ]


def test_of_equal_paths_the_host_is_taken() -> None:
    same: Line = (50.0, 0.001)
    free = {"equal": {"arrow": (70.0, 0.001 + 2 * 16 * US_PER_BYTE_BUS), "gpu": same}}
    stages = chain(free, ["equal"], least_rows=0)
    legs, end = stages[0].link.chain.beginning_at(0)
    assert cheapest(legs, end, 0).backends == ("arrow",)
    twice = {"equal": {"arrow": same, "polars": same, "gpu": same}}
    assert went(chain(twice, ["equal"], least_rows=0), 1_000) == ["arrow"]
