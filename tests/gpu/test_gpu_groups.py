"""Rows on a GPU are grouped there for `reduce` and windows: the same groups, and only they are downloaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from contexts import context
from effort import examples
from gpu.device_rows import as_it_came, computed, filtered, registered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import cuts

from arrowstream import Pipeline, Source
from arrowstream.backends.registry import register_backend, unregister_backend
from arrowstream.core.batch import Batch
from arrowstream.errors import StageError
from arrowstream.gpu.backend import GpuBackend
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.windows.spacing import Spacing
from arrowstream.operators.windows.time_window import TimeWindow

if TYPE_CHECKING:
    from arrowstream.gpu.device import Device


NUMBERS = [
    pl.Int8(),
    pl.Int16(),
    pl.Int32(),
    pl.Int64(),
    pl.UInt8(),
    pl.UInt16(),
    pl.UInt32(),
    pl.UInt64(),
]
"""Types of integers; a column of each, called by its name, in `rows`."""

OTHERS = {
    "flag": [True, False, None],
    "text": ["", "a", "é", "zz", "\U0001f600", None],
    "day": [date(1969, 12, 31), date(1970, 1, 1), date(2026, 5, 1), None],
    "took": [timedelta(microseconds=-1), timedelta(days=3), timedelta(0), None],
    "at": [datetime(1969, 12, 31, 23, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC), None],
    "real": [0.5, -0.0, 0.0, float("nan"), float("inf"), None],
}
"""Columns of other types in `rows`, with their values."""

SCHEMA = pl.Schema(
    {
        "ts": pl.Datetime("us"),
        "k": pl.Int8(),
        **{str(dtype): dtype for dtype in NUMBERS},
        "flag": pl.Boolean(),
        "text": pl.String(),
        "day": pl.Date(),
        "took": pl.Duration("us"),
        "at": pl.Datetime("ms", "UTC"),
        "real": pl.Float64(),
    }
)

AGGREGATES: dict[str, list[pl.Expr]] = {
    "sums": [pl.col(str(dtype)).sum() for dtype in NUMBERS],
    "extremes": [
        made
        for name in (*map(str, NUMBERS), "day", "took", "at")
        for made in (pl.col(name).min().alias(f"{name} least"), pl.col(name).max().alias(f"{name} most"))
    ],
    "extremes of text": [pl.col("text").min().alias("first text"), pl.col("text").max().alias("last text")],
    "counts": [
        pl.len(),
        pl.col("text").count().alias("texts"),
        pl.col("real").count().alias("reals"),
        pl.col("Int8").len().alias("all"),
        pl.len().cast(pl.Int64).alias("many"),
    ],
    "other sums": [pl.col("flag").sum(), pl.col("took").sum()],
    "computed of them": [
        (pl.col("Int64").sum() / pl.len()).alias("mean"),
        pl.col("day").max() - pl.col("day").min(),
    ],
}
"""Aggregates that a device makes."""

REFUSED: dict[str, pl.Expr] = {
    "a sum of floats": pl.col("real").sum(),
    "a mean": pl.col("Int32").mean(),
    "the least float, of NaN and -0.0": pl.col("real").min(),
    "the first value": pl.col("Int8").first(),
    "a filter": pl.col("Int8").filter(pl.col("Int16") > 0).sum(),
    "an expression": (pl.col("Int8") + 1).max(),
    "a count of an expression": (pl.col("Int8") + 1).len(),
    "all values": pl.col("Int8").median(),
}
"""Aggregates that the host makes of the rows."""


def rows(count: int, seed: int = 0, nulls: bool = True) -> pl.DataFrame:
    """Rows with keys of a few values, times of a minute, and values to the ends of their types."""
    random = np.random.default_rng(seed)
    columns: list[pl.Series] = [
        pl.Series("ts", random.integers(-30_000_000, 30_000_000, count)).cast(pl.Datetime("us")),
        pl.Series("k", random.integers(-2, 3, count), pl.Int8),
    ]
    for dtype in NUMBERS:
        ends = np.iinfo(str(dtype).lower())
        drawn = random.integers(ends.min, ends.max, count, dtype=ends.dtype, endpoint=True)
        columns.append(pl.Series(str(dtype), drawn, dtype))
    for name, values in OTHERS.items():
        columns.append(
            pl.Series(name, [values[place] for place in random.integers(0, len(values), count)], SCHEMA[name])
        )
    frame = pl.DataFrame(columns, schema=SCHEMA)
    if nulls:
        names = [name for name in SCHEMA if name != "ts"]
        absent = {name: pl.Series(random.random(count) < 0.2) for name in names}
        frame = frame.with_columns(pl.when(~absent[name]).then(name).alias(name) for name in names)
    return frame


@pytest.fixture
def device(backend: GpuBackend) -> Device:
    """The fake device of the backend, whose form of rows is registered."""
    return registered(backend)


def feed(process: Process, items: Iterable[Batch | int]) -> list[Any]:
    """What a process gives for batches, for watermarks (integers), and at the end: frames and marks."""
    out: list[Any] = []
    for item in items:
        out += process.on_watermark(item) if isinstance(item, int) else process.process(item)
    out += process.finish()
    return [each.polars() if isinstance(each, Batch) else each for each in out]


def assert_same(found: list[Any], expected: list[Any]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        if isinstance(theirs, pl.DataFrame):
            assert_frame_equal(ours, theirs)
        else:
            assert ours == theirs


def both(operator: Operator, items: Iterable[pl.DataFrame | int], device: Device) -> list[Any]:
    """What an operator gives of rows on the device, which is what it gives of rows in host memory."""
    items = list(items)
    here = operator.start(SCHEMA, context())
    there = operator.start(SCHEMA, context())
    expected = feed(here, [item if isinstance(item, int) else Batch(item) for item in items])
    found = feed(there, [item if isinstance(item, int) else computed(item, device) for item in items])
    assert_same(found, expected)
    return found


def window(
    size: Any, *exprs: pl.Expr, on: str = "ts", by: tuple[str, ...] = ("k",), **options: Any
) -> TimeWindow:
    spacing = Spacing.of(
        size, options.pop("every", None), options.pop("offset", None), options.pop("zone", None)
    )
    return TimeWindow(spacing, on, by, options.pop("lateness_us", 0), exprs, **options)


def downloaded(machine: Any) -> set[str]:
    """The columns that were downloaded since the log was cleared."""
    return {name for transfer in machine.log.downloads for name in transfer.columns}


@pytest.mark.parametrize("emit", ["end", "updates", "changes"])
@pytest.mark.parametrize("name", AGGREGATES)
def test_reduce_gives_the_same_of_rows_on_the_device(
    machine: Any, device: Device, name: str, emit: Any
) -> None:
    frame = rows(300)
    parts = [frame[:100], frame[100:100], frame[100:101], frame[101:]]
    operator = Reduce.of(*AGGREGATES[name], by="k", emit=emit)
    found = both(operator, parts, device)
    if emit == "end":
        expected = frame.group_by("k", maintain_order=True).agg(*AGGREGATES[name])
        assert_frame_equal(found[0], expected)
    # Groups were downloaded, and no rows, but for the empty batch.
    assert "ts" not in {
        name for transfer in machine.log.downloads if transfer.bytes for name in transfer.columns
    }
    assert machine.log.calls.count("groupby.GroupBy.aggregate") == 3


@pytest.mark.parametrize(
    "by", [(), ("flag",), ("text",), ("day",), ("took", "at"), ("Int8", "UInt64", "text")]
)
def test_keys_of_every_type_null_among_them(machine: Any, device: Device, by: tuple[str, ...]) -> None:
    frame = rows(200, seed=1)
    exprs = [pl.len().alias("n"), pl.col("Int32").sum().alias("total"), pl.col("text").max().alias("last")]
    (found,) = both(Reduce.of(*exprs, by=by), [frame[:90], frame[90:]], device)
    expected = frame.group_by(by, maintain_order=True).agg(*exprs) if by else frame.select(exprs)
    assert_frame_equal(found, expected)
    assert machine.log.calls.count("groupby.GroupBy.aggregate") == 2


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_differ_is_aggregated_of_the_rows(machine: Any, device: Device, name: str) -> None:
    both(Reduce.of(REFUSED[name], by="k"), [rows(50)], device)
    both(window("10s", REFUSED[name]), [rows(50)], device)
    assert "groupby.GroupBy.aggregate" not in machine.log.calls


FLOATS = pl.DataFrame(
    {"ts": [0, 1, 2, 3, 4], "k": [1, 2, 1, 2, None], "d": [0.0, None, -1.5, None, float("inf")]},
    schema={"ts": pl.Int64, "k": pl.Int8, "d": pl.Float64},
)


@pytest.mark.parametrize("dtype", [pl.Float32(), pl.Float64()])
@pytest.mark.parametrize("odd", [None, -0.0, float("nan")])
def test_extremes_of_floats_are_found_where_their_order_does_not_matter(
    machine: Any, device: Device, dtype: pl.DataType, odd: float | None
) -> None:
    frame = FLOATS.cast({"d": dtype})
    last = frame.with_columns(pl.when(pl.col("ts") == 2).then(odd).otherwise("d").cast(dtype).alias("d"))
    exprs = [pl.col("d").min().alias("least"), pl.col("d").max().alias("most"), pl.col("d").nan_max()]
    for operator in (Reduce.of(*exprs, by="k"), window(timedelta(microseconds=4), *exprs)):
        parts = [frame, last, frame.with_columns(pl.lit(None, dtype).alias("d")), frame]
        here = feed(operator.start(frame.schema, context()), map(Batch, parts))
        there = feed(operator.start(frame.schema, context()), [computed(part, device) for part in parts])
        assert_same(there, here)
        for mine, theirs in zip(there, here, strict=True):
            signs = [pl.col(name).is_not_nan() & (1 / pl.col(name) < 0) for name in ("least", "most", "d")]
            assert mine.select(signs).equals(theirs.select(signs))
    # Null is no value, and neither NaN nor -0.0.
    assert machine.log.calls.count("groupby.GroupBy.aggregate") == (8 if odd is None else 6)


@pytest.mark.parametrize("by", ["real"])
def test_floats_as_keys_are_grouped_on_the_host(machine: Any, device: Device, by: str) -> None:
    both(Reduce.of(pl.len(), by=by), [rows(50)], device)
    assert "groupby.GroupBy.aggregate" not in machine.log.calls


def test_keys_that_may_be_evicted_are_taken_row_by_row(machine: Any, device: Device) -> None:
    operator = Reduce.of(pl.col("Int64").sum(), by="k", max_keys=2, on_full="evict")
    both(operator, [rows(50), rows(50, seed=2)], device)
    assert "groupby.GroupBy.aggregate" not in machine.log.calls


def test_too_many_keys_are_the_same_error(machine: Any, device: Device) -> None:
    process = Reduce.of(pl.len(), by="Int64", max_keys=5).start(SCHEMA, context())
    with pytest.raises(StageError, match="keys"):
        feed(process, [computed(rows(50), device)])
    assert "groupby.GroupBy.aggregate" in machine.log.calls


@pytest.mark.parametrize("name", AGGREGATES)
@pytest.mark.parametrize("by", [("k",), ("text",), ()])
def test_windows_give_the_same_of_rows_on_the_device(
    machine: Any, device: Device, name: str, by: tuple[str, ...]
) -> None:
    frame = rows(300, seed=3)
    exprs = AGGREGATES[name]
    found = both(window("10s", *exprs, by=by), [frame[:100], frame[100:200], frame[200:]], device)
    starts = pl.col("ts").dt.truncate("10s").alias("window_start")
    expected = (
        frame.group_by(starts, *by, maintain_order=True).agg(*exprs).sort("window_start", maintain_order=True)
    )
    assert_frame_equal(pl.concat(found).drop("window_end"), expected)
    assert not downloaded(machine) & {"ts", "real", "at"} - {str(each) for each in by}
    assert machine.log.calls.count("groupby.GroupBy.aggregate") == 3


@pytest.mark.parametrize(
    ("on", "dtype", "size"),
    [
        ("ns", pl.Datetime("ns"), "7s"),
        ("ms", pl.Datetime("ms", "Europe/Berlin"), "7s"),
        ("days", pl.Date(), "2d"),
        ("whole", pl.Int64(), timedelta(microseconds=5)),
        ("short", pl.Int32(), timedelta(microseconds=5)),
        ("unsigned", pl.UInt32(), timedelta(microseconds=5)),
    ],
)
def test_times_of_every_type(machine: Any, device: Device, on: str, dtype: pl.DataType, size: Any) -> None:
    values = pl.Series(on, [0, 3, 4, 5, 9, 10, 41, 100]).cast(dtype)
    if dtype in (pl.Datetime("ns"), pl.Datetime("ms", "Europe/Berlin")):
        values = (values.cast(pl.Int64) * 1_000_000_000 - 50_000_000_000).cast(dtype)
    frame = pl.DataFrame([values, pl.Series("k", [1, 1, 2, 2, 1, 1, None, None], pl.Int8)])
    operator = window(size, pl.len(), on=on)
    for parts in ([frame], [frame[:2], frame[2:]]):
        here = feed(operator.start(frame.schema, context()), map(Batch, parts))
        there = feed(operator.start(frame.schema, context()), [computed(part, device) for part in parts])
        assert_same(there, here)
    assert machine.log.calls.count("groupby.GroupBy.aggregate") == 3


def test_times_that_do_not_fit_64_bits_are_read_on_the_host(machine: Any, device: Device) -> None:
    frame = rows(3).with_columns(pl.lit(5, pl.UInt64).alias("UInt64"))
    both(window(timedelta(seconds=5), pl.len(), on="UInt64"), [frame], device)
    assert "groupby.GroupBy.aggregate" not in machine.log.calls


@pytest.mark.parametrize("options", [{"every": "5s"}, {"offset": "3s"}, {"every": "4s", "offset": "1s"}])
def test_hopping_and_shifted_windows(machine: Any, device: Device, options: dict[str, Any]) -> None:
    frame = rows(200, seed=4)
    both(
        window("10s", pl.col("Int64").sum(), pl.col("text").min(), **options),
        [frame[:70], frame[70:]],
        device,
    )
    assert machine.log.calls.count("groupby.GroupBy.aggregate") == 2


def test_calendar_windows_are_cut_on_the_host(machine: Any, device: Device) -> None:
    both(window("1mo", pl.len()), [rows(20)], device)
    both(window("1d", pl.len(), zone="Europe/Berlin"), [rows(20)], device)
    assert "groupby.GroupBy.aggregate" not in machine.log.calls


def test_late_rows_are_given_out_as_rows(machine: Any, device: Device) -> None:
    frame = rows(100, seed=5).sort("ts")
    late, until = frame[:5], 0
    operator = window("10s", pl.len())
    process, other = (operator.start(SCHEMA, context()) for _ in range(2))
    items: list[pl.DataFrame | int] = [frame[:80], until, pl.concat([late, frame[80:]]), frame[80:]]
    out = feed(process, [each if isinstance(each, int) else computed(each, device) for each in items])
    assert_same(out, feed(other, [each if isinstance(each, int) else Batch(each) for each in items]))
    mine, theirs = process.take_late(), other.take_late()
    assert mine is not None and theirs is not None
    assert_frame_equal(mine.polars(), theirs.polars())
    assert mine.num_rows >= 5
    # The batches before and after it were grouped on the device.
    assert machine.log.calls.count("groupby.GroupBy.aggregate") == 2


def test_rows_without_a_time_are_named_by_their_number(machine: Any, device: Device) -> None:
    frame = rows(10)
    timeless = frame.with_columns(pl.when(pl.int_range(pl.len()) != 7).then("ts").alias("ts"))
    for policy in ("drop", "late"):
        both(window("10s", pl.len(), null_times=policy), [frame, timeless, frame], device)
    process = window("10s", pl.len(), null_times="drop").start(SCHEMA, context())
    feed(process, [computed(frame, device), computed(timeless, device)])
    (note,) = process.notes
    assert (note.count, note.first) == (1, "row 18 of the stream")
    with pytest.raises(StageError, match="without an event time"):
        feed(window("10s", pl.len()).start(SCHEMA, context()), [computed(timeless, device)])


def test_a_time_without_room_for_its_window_is_an_error(device: Device) -> None:
    frame = rows(3).with_columns(pl.lit(2**63 - 1).cast(pl.Datetime("us")).alias("ts"))
    with pytest.raises(StageError, match="cannot hold"):
        feed(window("10s", pl.len()).start(SCHEMA, context()), [computed(frame, device)])


@pytest.mark.parametrize("number", range(1, 12))
def test_without_memory_for_groups_the_rows_are_taken(
    machine: Any, device: Device, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    frame = rows(100, seed=6, nulls=False)
    exprs = [pl.col("Int64").sum(), pl.col("text").max()]
    for operator in (window("10s", *exprs), Reduce.of(*exprs, by="k")):
        expected = feed(operator.start(SCHEMA, context()), [Batch(frame)])
        batch = computed(frame, device)
        machine.fail_next(number)
        with caplog.at_level("INFO", "arrowstream.gpu"):
            assert_same(feed(operator.start(SCHEMA, context()), [batch]), expected)
        machine.fail_next(0)
    assert not device.breaker.is_open


def test_a_device_that_fails_three_times_gets_no_work(
    machine: Any, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access")

    monkeypatch.setattr(machine.plc.groupby.GroupBy, "aggregate", failing)
    both(Reduce.of(pl.len(), by="k"), [rows(10, seed) for seed in range(5)], device)
    assert device.breaker.is_open and "illegal" in str(device.breaker.reason)
    # The sequence of row numbers was made for three batches.
    assert machine.log.calls.count("filling.sequence") == 3


def test_what_failed_work_may_still_read_is_kept(
    machine: Any, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is uploaded for the groups, the device is waited for, and the failure comes after the key is read."""
    from arrowstream.gpu import device as module

    aggregate = machine.plc.groupby.GroupBy.aggregate

    def failing(groups: Any, requests: Any, stream: Any) -> None:
        aggregate(groups, requests, stream=stream)
        raise RuntimeError("CUDA error: an illegal memory access")

    monkeypatch.setattr(machine.plc.groupby.GroupBy, "aggregate", failing)
    frame = rows(40).select("k", "Int64")
    # A stage has computed the other column.
    there = replace(as_it_came(frame, device).with_resident(["Int64"]), unchanged={"k": "k"})
    monkeypatch.setattr(module, "MOST_KEPT", 1)
    (found,) = feed(Reduce.of(pl.len(), by="k").start(frame.schema, context()), [Batch(there)])
    assert_frame_equal(found, frame.group_by("k", maintain_order=True).agg(pl.len()))


def test_rows_that_are_in_host_memory_stay_there(machine: Any, device: Device) -> None:
    frame = rows(50)
    operator = Reduce.of(pl.col("Int64").sum(), by="k")
    there = as_it_came(frame, device).with_resident(["Int8"])
    process = operator.start(SCHEMA, context())
    # Nothing would be downloaded; or a step before has downloaded it.
    downloaded_before = computed(frame, device)
    downloaded_before.polars()
    (found,) = feed(process, [Batch(there), downloaded_before])
    assert "groupby.GroupBy.aggregate" not in machine.log.calls
    assert_frame_equal(
        found, pl.concat([frame, frame]).group_by("k", maintain_order=True).agg(pl.col("Int64").sum())
    )


@pytest.mark.parametrize("left", [5, 4_000])
def test_columns_are_uploaded_if_that_is_less_than_the_rows_that_are_left(
    machine: Any, device: Device, left: int
) -> None:
    """A filter on the device leaves rows; the key and the values that are summed are still in host memory."""
    frame = rows(4_000).select("k", "Int64", "UInt64", "Int32")
    there = as_it_came(frame, device).with_resident(["Int64", "UInt64", "Int32"])
    batch = Batch(filtered(there, frame.select(pl.int_range(pl.len()) < left)))
    (found,) = feed(Reduce.of(pl.col("Int64").sum(), by="k").start(frame.schema, context()), [batch])
    assert_frame_equal(found, frame[:left].group_by("k", maintain_order=True).agg(pl.col("Int64").sum()))
    # The key is 1 byte a row of 4,000; of a row that is left, 24 bytes would be downloaded, and then grouped.
    assert ("groupby.GroupBy.aggregate" in machine.log.calls) == (left == 4_000)


def test_only_groups_are_downloaded(machine: Any, device: Device) -> None:
    frame = rows(5_000, seed=7)
    operator = Reduce.of(pl.col("Int64").sum(), by="k")
    batches = [computed(frame, device) for _ in range(2)]
    # Constants are uploaded once.
    feed(operator.start(SCHEMA, context()), batches[:1])
    machine.log.clear()
    (found,) = feed(operator.start(SCHEMA, context()), batches[1:])
    assert machine.log.uploads == []
    (transfer,) = machine.log.downloads
    assert set(transfer.columns) == {"k", "__row__", "__part_0__"}
    assert transfer.bytes < 64 * found.height
    assert transfer.bytes * 100 < 5_000 * 17


@pytest.mark.hypothesis
@settings(max_examples=examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cut_gives_what_polars_gives_of_all_rows(data: st.DataObject, device: Device) -> None:
    frame = rows(data.draw(st.integers(0, 60)), data.draw(st.integers(0, 1_000)))
    names = data.draw(st.lists(st.sampled_from(sorted(AGGREGATES)), min_size=1, max_size=2, unique=True))
    exprs = [expr for name in names for expr in AGGREGATES[name]]
    by = data.draw(st.sampled_from([("k",), ("text", "k"), ()]))
    parts = data.draw(cuts(frame))
    here = data.draw(st.lists(st.booleans(), min_size=len(parts), max_size=len(parts)))
    operator: Operator = data.draw(st.sampled_from([Reduce.of(*exprs, by=by), window("10s", *exprs, by=by)]))
    mixed = [Batch(part) if host else computed(part, device) for part, host in zip(parts, here, strict=True)]
    found = feed(operator.start(SCHEMA, context()), mixed)
    if not frame.height:
        assert found == []
        return
    if isinstance(operator, Reduce):
        expected = frame.group_by(by, maintain_order=True).agg(*exprs) if by else frame.select(exprs)
        assert_frame_equal(pl.concat(found), expected)
        return
    starts = pl.col("ts").dt.truncate("10s").alias("window_start")
    expected = (
        frame.group_by(starts, *by, maintain_order=True).agg(*exprs).sort("window_start", maintain_order=True)
    )
    assert_frame_equal(pl.concat(found).drop("window_end"), expected)


@pytest.fixture
def device_of_examples(device: Device) -> Device:
    return device


@pytest.mark.parametrize("kind", ["reduce", "window"])
def test_a_pipeline_downloads_only_groups(machine: Any, backend: GpuBackend, kind: str) -> None:
    register_backend(backend)
    try:
        assert_pipeline_downloads_only_groups(machine, kind)
    finally:
        unregister_backend("gpu")


def assert_pipeline_downloads_only_groups(machine: Any, kind: str) -> None:
    frame = rows(3_000, seed=8, nulls=False)
    total = (pl.col("Int32").cast(pl.Int64) + 1).alias("total")
    steps = (
        Pipeline.builder()
        .source(Source.from_frame(frame, batch_rows=1_000))
        .select("ts", "k", total)
        .filter(pl.col("total") > 0)
        .backend("gpu")
    )
    expected = frame.select("ts", "k", total).filter(pl.col("total") > 0)
    built = (
        steps.reduce(pl.col("total").sum(), by="k")
        if kind == "reduce"
        else steps.window(size="10s", on="ts", by="k").agg(pl.col("total").sum())
    )
    keys: list[Any] = (
        ["k"] if kind == "reduce" else [pl.col("ts").dt.truncate("10s").alias("window_start"), "k"]
    )
    wanted = expected.group_by(keys, maintain_order=True).agg(pl.col("total").sum())
    found = built.collect_sync()
    if kind == "window":
        found, wanted = found.drop("window_end"), wanted.sort("window_start", maintain_order=True)
    assert_frame_equal(found, wanted)
    assert "groupby.GroupBy.aggregate" in machine.log.calls
    assert "total" not in downloaded(machine)
    assert "grouped there for the next step" in built.explain()
