"""`unique`: one row of each key, as Polars over the whole, and as a loop over rows within a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_input import Scripted, fed
from polars.testing import assert_frame_equal

from arrowstream import Builder, Pipeline, Source
from arrowstream.core.batch import Batch, Idle
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.base import Process
from arrowstream.operators.duplicates import slot_times, within_time
from arrowstream.operators.duplicates.groups import groups_of
from arrowstream.operators.duplicates.whole_stream import LastRows
from arrowstream.operators.unique import Unique
from arrowstream.state.limit import StateLimit
from arrowstream.testing import TestSink

KEYS: dict[str, tuple[pl.DataType, list[Any]]] = {
    "s": (pl.String(), ["x", "a longer text than that", None]),
    "f": (pl.Float64(), [0.0, -0.0, float("nan"), None, 1.5]),
    "n": (pl.Int8(), [0, 1, None]),
    "c": (pl.Categorical(), ["red", "green", None]),
    "d": (pl.Datetime("ms"), [datetime(2026, 1, 1), None]),
}


@st.composite
def keyed(draw: Any, most: int = 30) -> pl.DataFrame:
    """Draw rows with keys of several types, times in order but for some disorder, and their number."""
    height = draw(st.integers(0, most))

    def drawn(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=height, max_size=height))

    steps, early = drawn(st.integers(0, 6)), drawn(st.integers(0, 4))
    times = [max(int(time) - late, 0) for time, late in zip(np.cumsum(steps), early, strict=True)]
    columns = {name: drawn(st.sampled_from(values)) for name, (_, values) in KEYS.items()}
    return pl.DataFrame(
        {"ts": times, **columns, "row": range(height)},
        schema={"ts": pl.Int64, **{name: dtype for name, (dtype, _) in KEYS.items()}, "row": pl.Int64},
    )


BY = st.sampled_from([["s"], ["f"], ["n"], ["c"], ["d"], ["s", "n"], ["n", "f", "d"]])


@settings(max_examples=examples(150))
@given(keyed(), BY, st.sampled_from(["first", "last"]), st.data())
def test_the_rows_of_a_whole_stream_are_those_of_polars(
    frame: pl.DataFrame, by: list[str], keep: Any, data: st.DataObject
) -> None:
    found = fed(Unique(tuple(by), keep), frame, data.draw, "ts", 4)
    assert_frame_equal(found.rows(), frame.unique(by, keep=keep, maintain_order=True))
    assert not found.late


def test_without_columns_all_of_them_are_the_key() -> None:
    frame = pl.DataFrame({"a": [1, 1, 1], "b": ["x", None, "x"]})
    rows = Pipeline.builder().source(Source.from_frame([frame[:2], frame[2:]])).unique()
    assert rows.collect_sync().rows() == [(1, "x"), (1, None)]
    assert "unique(all columns, keep=first)" in rows.explain()


def grouped(frame: pl.DataFrame, by: list[str], within: int) -> tuple[list[int], list[int]]:
    """The numbers of the first rows, and of the latest rows, of all groups, by a loop over rows."""
    key = frame.select(pl.struct(by).rank("dense") if by else pl.lit(0)).to_series().to_list()
    begins: dict[Any, int] = {}
    groups: dict[Any, list[tuple[int, int]]] = {}
    first, last = [], []
    for row, (one, time) in enumerate(zip(key, frame["ts"], strict=True)):
        if one not in begins or time > begins[one] + within:
            last += [max(groups.pop(one))[1]] if one in groups else []
            begins[one], groups[one] = time, []
            first.append(row)
        elif time < begins[one] - within:
            first.append(row)
            last.append(row)
            continue
        groups[one].append((time, row))
    return first, last + [max(rows)[1] for rows in groups.values()]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers so small that a few rows reach them."""
    monkeypatch.setattr(slot_times, "_CHUNK", 2)
    monkeypatch.setattr(within_time, "_FORGOTTEN", 1)
    monkeypatch.setattr(within_time, "PIECE", 2)


@pytest.mark.usefixtures("small")
@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keyed(), st.sampled_from([["s"], ["n"], ["s", "n"]]), st.integers(0, 12), st.booleans(), st.data())
def test_the_rows_within_a_time_are_those_of_a_loop(
    frame: pl.DataFrame, by: list[str], within: int, keep_last: bool, data: st.DataObject
) -> None:
    keep: Any = "last" if keep_last else "first"
    found = fed(Unique(tuple(by), keep, within, "ts"), frame, data.draw, "ts", 4)
    assert not found.late
    expected = grouped(frame, by, within)[keep_last]
    rows = found.rows()
    assert sorted(rows["row"]) == sorted(expected)
    assert_frame_equal(rows.sort("row"), frame[sorted(expected)])
    found.check_watermarks("ts")


def many(rows: int = 120) -> pl.DataFrame:
    """Rows with every key, a little out of order."""
    number = np.arange(rows)
    columns = {name: [values[n * 7 % len(values)] for n in number] for name, (_, values) in KEYS.items()}
    return pl.DataFrame(
        {"ts": number * 2 - number % 3 * 3, **columns, "row": number},
        schema={"ts": pl.Int64, **{name: dtype for name, (dtype, _) in KEYS.items()}, "row": pl.Int64},
    )


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("keep", ["first", "last"])
@pytest.mark.parametrize("rows", [pytest.param(1, marks=pytest.mark.thorough), 7, 30])
def test_parts_of_some_rows_with_a_restart_after_each(keep: Any, rows: int) -> None:
    frame = many(30)
    whole = fed(Unique(("s", "n"), keep), frame, Scripted(rows), "ts", 4)
    assert_frame_equal(whole.rows(), frame.unique(["s", "n"], keep=keep, maintain_order=True))
    for within in (0, 9, 40):
        found = fed(Unique(("s", "n"), keep, within, "ts"), frame, Scripted(rows), "ts", 4)
        assert sorted(found.rows()["row"]) == sorted(grouped(frame, ["s", "n"], within)[keep == "last"])
        late = fed(Unique(("n",), keep, within, "ts"), frame, Scripted(rows), "ts", 0)
        assert bool(late.late) == (rows < 30)


def test_batches_without_rows_and_idle_inputs() -> None:
    frame = many(3)
    for step in (Unique(("s",)), Unique(("s",), "last"), Unique(("s",), "last", 5, "ts")):
        process = step.start(frame.schema, context())
        assert isinstance(process, Process)
        assert list(process.process(Batch(frame.clear()))) == []
        assert list(process.on_idle()) == ([] if isinstance(process, LastRows) else [Idle()])


@settings(max_examples=examples(150))
@given(keyed(), st.integers(0, 12), st.sampled_from(["first", "last"]), st.data())
def test_rows_that_are_late_are_offered_and_change_nothing(
    frame: pl.DataFrame, within: int, keep: Any, data: st.DataObject
) -> None:
    found = fed(Unique(("n",), keep, within, "ts"), frame, data.draw, "ts", 0)
    late = pl.concat([frame.clear(), *found.late])
    timely = frame.join(late, on="row", how="anti", maintain_order="left")
    expected = grouped(timely, ["n"], within)[keep == "last"]
    assert sorted(found.rows()["row"]) == sorted(timely["row"][i] for i in expected)
    found.check_watermarks("ts")


def test_groups_of_one_key_are_found_however_many_a_batch_has() -> None:
    times = np.arange(100_000) * 3
    found = groups_of(np.zeros(100_000, np.int64), times, np.array([-1]), 4)
    begins = np.flatnonzero(found.begins)
    assert begins[0] == 2 and (np.diff(begins) == 2).all() and len(begins) == 49_999


def stream(frame: pl.DataFrame, rows: int = 1, lateness: Any = 0) -> Builder:
    source = Source.from_frame([frame[at : at + rows] for at in range(0, frame.height, rows)])
    return Pipeline.builder().source(source.with_event_time("ts", lateness))


CLICKS = pl.DataFrame(
    {
        "ts": [datetime(2026, 1, 1) + timedelta(minutes=minute) for minute in (0, 30, 10, 61, 62, 5)],
        "k": ["a", "a", "b", "a", "b", "b"],
        "n": range(6),
    }
)


def test_late_rows_go_to_their_sink_and_the_report() -> None:
    late, out = TestSink(), TestSink()
    builder = stream(CLICKS, lateness="25m").unique("k", within="1h", late=late)
    report = builder.sink(out).build().run_sync()
    assert (out.frame()["n"].to_list(), late.frame()["n"].to_list()) == ([0, 2, 3], [5])
    [stage] = [stage for stage in report.stages if stage.name == "unique"]
    assert stage.late_rows == stage.late_rows_kept == 1


def test_event_time_may_be_named_and_that_of_a_window_is_its_start() -> None:
    builder = Pipeline.builder().source(Source.from_frame(CLICKS))
    assert builder.unique("k", within="1h", time="ts").collect_sync()["n"].to_list() == [0, 2, 3]
    counted = stream(CLICKS, 10).window("10m", on="ts", by="k").agg(n=pl.len())
    assert "within=3600 s of window_start" in counted.unique("k", within="1h").explain()


def test_rows_that_wait_come_once_their_time_has_passed() -> None:
    process = Unique(("k",), "last", 10, "ts").start(CLICKS.schema, context())
    assert isinstance(process, Process)
    frame = pl.DataFrame({"ts": [0, 5, 4], "k": ["a", "a", "b"], "n": [0, 1, 2]})
    process = Unique(("k",), "last", 10, "ts").start(frame.schema, context())
    assert isinstance(process, Process)
    assert list(process.process(Batch(frame))) == []
    (mark,) = process.on_watermark(10)
    assert mark.time_us == 0  # type: ignore[union-attr]
    assert list(process.on_watermark(3)) == [mark], "time does not go back"
    rows, mark = process.on_watermark(14)
    assert isinstance(rows, Batch) and rows.polars().rows() == [(5, "a", 1)]
    assert mark.time_us == 4  # type: ignore[union-attr]
    (rows,) = process.finish()
    assert isinstance(rows, Batch) and rows.polars().rows() == [(4, "b", 2)]


@pytest.mark.parametrize("keep", ["first", "last"])
def test_keys_of_the_past_are_forgotten(keep: Any) -> None:
    memory = MemoryBudget()
    schema = pl.Schema({"ts": pl.Int64, "k": pl.Int64})
    process = Unique(("k",), keep, 1_000, "ts").start(schema, context(memory=memory))
    assert isinstance(process, Process)
    held = []
    for start in range(0, 400_000, 8_000):
        keys = pl.int_range(start, start + 8_000, eager=True)
        # Far apart, so that keys are hashed.
        list(process.process(Batch(pl.DataFrame({"ts": keys, "k": keys * 1_000_003}))))
        list(process.on_watermark(start + 8_000))
        held.append(memory.held)
    assert max(held[25:]) <= 1.2 * max(held[:25])


LIMITS: list[Callable[[Builder, dict[str, Any]], Builder]] = [
    lambda rows, limit: rows.unique("k", **limit),
    lambda rows, limit: rows.unique("k", keep="last", **limit),
    lambda rows, limit: rows.unique("k", within="1d", **limit),
    lambda rows, limit: rows.unique("k", within="1d", keep="last", **limit),
]


@pytest.mark.parametrize("step", LIMITS)
def test_state_beyond_the_limit_is_spilled_or_refused(step: Any) -> None:
    frame = pl.DataFrame({"ts": range(60_000), "k": [f"key {n % 30_000}" for n in range(60_000)]})
    rows = stream(frame, 5_000)
    spilled = step(rows, {"max_bytes": 1 << 19, "on_full": "spill"}).collect_sync()
    assert spilled["k"].n_unique() == spilled.height == 30_000
    with pytest.raises(StageError, match="larger than max_bytes"):
        step(rows, {"max_bytes": 1 << 19}).collect_sync()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rows: rows.unique(keep="any"), r"unique\(keep=...\) is unknown"),
        (lambda rows: rows.unique([]), r"unique\(by=...\) names no column"),
        (lambda rows: rows.unique("z"), "names a column that is not there"),
        (lambda rows: rows.unique("l"), "of a type that cannot be a key"),
        (lambda rows: rows.unique("k", time="ts"), r"unique\(time=...\) goes with within="),
        (lambda rows: rows.unique("k", late=TestSink()), r"unique\(late=...\) goes with within="),
        (lambda rows: rows.unique("k", within="1h"), "needs a column of event times"),
        (lambda rows: rows.unique("k", within="1h", time=3), "needs a column of event times"),
        (lambda rows: rows.unique("k", within="soon", time="ts"), "duration"),
        (lambda rows: rows.unique("k", within="1h", time="k"), "cannot read event times"),
        (lambda rows: rows.unique("k", max_bytes=1, on_full="evict"), "would let duplicates through"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(call: Any, message: str) -> None:
    frame = pl.DataFrame({"ts": [1], "k": ["a"], "l": [[1]]})
    with pytest.raises((PlanError, SchemaError), match=message):
        call(Pipeline.builder().source(Source.from_frame(frame))).explain()


def test_a_row_without_a_time_is_an_error() -> None:
    rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"ts": [1, None], "k": [1, 1]})))
    with pytest.raises(StageError, match="rows without an event time"):
        rows.unique("k", within="1s", time="ts").collect_sync()


def test_keys_and_limit_are_shown_and_the_limit_is_no_part_of_the_identity() -> None:
    limited = Unique(("k",), "last", 1_500_000, "ts", StateLimit(max_bytes=1 << 20))
    assert (
        limited.describe()
        == "unique(by=[k], keep=last, within=1.5 s of ts, max_bytes=1,048,576, on_full=error)"
    )
    assert limited.identity == "unique(by=[k], keep=last, within=1.5 s of ts)"
