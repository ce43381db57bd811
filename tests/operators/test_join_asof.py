"""`join_asof`: the versions that Polars finds in the whole, for any cuts and any interleaving."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_input import Scripted

from arrowstream import Builder, Pipeline, Source
from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.join_asof import AsofOptions, StreamAsofJoin
from arrowstream.operators.joins import asof_joining, asof_table, pending_rows, versions
from arrowstream.operators.joins.keys import JoinKeys
from arrowstream.state import time_queue
from arrowstream.state.arrays import Array, merged
from arrowstream.testing import TestSink

KEYS: dict[str, tuple[pl.DataType, list[Any]]] = {
    "k": (pl.String(), ["x", "y", "a longer key than that", None]),
    "n": (pl.Int8(), [0, 1, None]),
}
BY = st.sampled_from([[], ["k"], ["n", "k"]])
STRATEGY = st.sampled_from(["backward", "forward", "nearest"])


@st.composite
def streams(draw: Any) -> list[pl.DataFrame]:
    """Draw two streams: times in order but for some disorder, keys of few values."""
    frames = []
    for value in ("a", "b"):
        height = draw(st.integers(0, 25))
        times = np.cumsum(draw(st.lists(st.integers(0, 6), min_size=height, max_size=height)))
        late = draw(st.lists(st.integers(0, 3), min_size=height, max_size=height))
        columns = {
            name: draw(st.lists(st.sampled_from(values), min_size=height, max_size=height))
            for name, (_, values) in KEYS.items()
        }
        frames.append(
            pl.DataFrame(
                {
                    "ts": [int(max(time - less, 0)) for time, less in zip(times, late, strict=True)],
                    **columns,
                    value: range(height),
                },
                schema={
                    "ts": pl.Int64,
                    **{name: dtype for name, (dtype, _) in KEYS.items()},
                    value: pl.Int64,
                },
            )
        )
    return frames


def expected(
    left: pl.DataFrame, right: pl.DataFrame, by: list[str], how: str, **options: Any
) -> pl.DataFrame:
    """The rows by Polars on the whole, sorted by time and in the order in which they came."""
    rows = left.sort("ts", maintain_order=True).join_asof(
        right.sort("ts", maintain_order=True), on="ts", by=by or None, check_sortedness=False, **options
    )
    return rows.filter(pl.col("b").is_not_null()) if how == "inner" else rows


def joined(by: list[str], strategy: Any, tolerance: int | None, how: Any = "left") -> StreamAsofJoin:
    keys = JoinKeys(tuple(by), tuple(by), step="join_asof")
    return StreamAsofJoin(AsofOptions(("ts", "ts"), keys, strategy, tolerance, how))


def feed(
    step: StreamAsofJoin, frames: list[pl.DataFrame], draw: Any, lateness: int
) -> tuple[list[Element], list[pl.DataFrame]]:
    """Give the streams to a process in drawn cuts and order, and move its state to another one now and then."""
    out: list[Element] = []
    late: list[pl.DataFrame] = []
    schemas = [frame.schema for frame in frames]
    process = step.start(schemas, context())
    waiting = []
    for frame in frames:
        at = [0, *sorted(draw(st.lists(st.integers(0, frame.height), max_size=5))), frame.height]
        waiting.append([frame[a:b] for a, b in pairwise(at)])
    latest = [-1, -1]
    while any(waiting):
        port = draw(st.sampled_from([port for port in (0, 1) if waiting[port]]))
        rows = waiting[port].pop(0)
        out += process.process(Batch(rows), port)
        if rows.height:
            latest[port] = max(latest[port], int(rows["ts"].max()))  # type: ignore[arg-type]
            out += process.on_watermark(latest[port] - lateness, port)
        if (some := process.take_late()) is not None:  # before a snapshot, as the runtime does
            late.append(some.polars())
        if not waiting[port]:
            out += process.on_end(port)
        elif draw(st.integers(0, 3)) == 0:
            saved = list(process.snapshot())
            process = step.start(schemas, context())
            process.restore(iter(saved))
            for other in (0, 1):
                if not waiting[other]:
                    out += process.on_end(other)
    out += process.finish()
    return out, late


def rows_of(out: list[Element], schema: pl.Schema) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=schema), *(e.polars() for e in out if isinstance(e, Batch))])


def check_watermarks(out: list[Element]) -> None:
    reached = -(2**62)
    for element in out:
        if isinstance(element, Watermark):
            assert element.time_us > reached
            reached = element.time_us
        elif isinstance(element, Batch):
            assert (element.polars()["ts"] >= reached).all(), "a row is late for the next step"


@settings(max_examples=examples(300))
@given(streams(), BY, STRATEGY, st.sampled_from([None, 0, 4]), st.sampled_from(["left", "inner"]), st.data())
def test_the_versions_are_those_of_polars(
    frames: list[pl.DataFrame],
    by: list[str],
    strategy: Any,
    tolerance: int | None,
    how: Any,
    data: st.DataObject,
) -> None:
    step = joined(by, strategy, tolerance, how)
    out, late = feed(step, frames, data.draw, 3)
    whole = expected(*frames, by, how, strategy=strategy, tolerance=tolerance)
    schema = step.output_schema(*(frame.schema for frame in frames))
    assert schema == whole.schema and not late
    assert rows_of(out, schema).sort("a").equals(whole.sort("a"))
    check_watermarks(out)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers so small that a few rows reach them."""
    for module, name, value in [
        (asof_joining, "_LEAST_OLD", 2),
        (asof_joining, "PIECE", 2),
        (versions, "PIECE", 2),
        (versions, "RATIO", 1),
        (pending_rows, "_LEAST_GONE", 1),
        (pending_rows, "PIECE", 2),
        (time_queue, "RATIO", 1),
    ]:
        monkeypatch.setattr(module, name, value)


@pytest.mark.usefixtures("small")
@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(streams(), BY, STRATEGY, st.sampled_from([None, 0, 4]), st.data())
def test_versions_that_leave_are_missed_by_no_row(
    frames: list[pl.DataFrame], by: list[str], strategy: Any, tolerance: int | None, data: st.DataObject
) -> None:
    step = joined(by, strategy, tolerance)
    out, _ = feed(step, frames, data.draw, 3)
    whole = expected(*frames, by, "left", strategy=strategy, tolerance=tolerance)
    assert rows_of(out, whole.schema).sort("a").equals(whole.sort("a"))
    check_watermarks(out)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("strategy", "rows"),
    [
        ("backward", 3),
        ("backward", 24),
        *(pytest.param(other, 24, marks=pytest.mark.untraced) for other in ("forward", "nearest")),
        pytest.param("forward", 3, marks=[pytest.mark.untraced, pytest.mark.once]),
        *(
            pytest.param(*case, marks=[pytest.mark.untraced, pytest.mark.thorough])
            for case in (("backward", 1), ("forward", 1), ("nearest", 1), ("nearest", 3))
        ),
    ],
)
def test_parts_of_some_rows_with_a_restart_after_each(strategy: Any, rows: int) -> None:
    number = np.arange(24 if rows == 1 else 36)
    frames = [
        pl.DataFrame(
            {
                "ts": number * 5 - number % 3 * 6 + port,
                "k": [KEYS["k"][1][n * step % 4] for n in number],
                "n": [KEYS["n"][1][n % 3] for n in number],
                "ab"[port]: number,
            },
            schema_overrides={"n": pl.Int8},
        )
        for port, step in ((0, 3), (1, 7))
    ]
    some = [([], 4), (["k"], None), (["k", "n"], 4)]
    others = [([], None), (["k"], 4), (["k", "n"], None)]
    for by, tolerance in {1: some, 3: others}.get(rows, some + others):
        whole = expected(*frames, by, "left", strategy=strategy, tolerance=tolerance)
        out, late = feed(joined(by, strategy, tolerance), frames, Scripted(rows), 20)
        assert rows_of(out, whole.schema).sort("a").equals(whole.sort("a")) and not late
        check_watermarks(out)


@settings(max_examples=examples(100))
@given(streams(), BY, STRATEGY, st.data())
def test_each_row_comes_out_or_is_late(
    frames: list[pl.DataFrame], by: list[str], strategy: Any, data: st.DataObject
) -> None:
    step = joined(by, strategy, None)
    out, late = feed(step, frames, data.draw, 0)
    schemas = [frame.schema for frame in frames]
    came = rows_of(out, step.output_schema(*schemas))
    missed = pl.concat([pl.DataFrame(schema=step.late_schema(*schemas)), *late])
    assert sorted([*came["a"], *missed["a"].drop_nulls()]) == list(range(frames[0].height))
    whole = expected(
        frames[0].join(missed.select("a").drop_nulls(), on="a", how="anti", maintain_order="left"),
        frames[1].join(missed.select("b").drop_nulls(), on="b", how="anti", maintain_order="left"),
        by,
        "left",
        strategy=strategy,
    )
    assert came.sort("a").equals(whole.sort("a"))
    check_watermarks(out)


@settings(max_examples=examples(100))
@given(
    streams(), BY, STRATEGY, st.sampled_from([None, 4]), st.sampled_from(["left", "inner"]), st.integers(1, 9)
)
def test_the_versions_of_a_table_are_those_of_polars(
    frames: list[pl.DataFrame], by: list[str], strategy: Any, tolerance: int | None, how: Any, rows: int
) -> None:
    left, right = frames
    source = Source.from_frame(
        [left[at : at + rows] for at in range(0, left.height, rows)], schema=left.schema
    )
    near = None if tolerance is None else f"{tolerance}us"
    builder = Pipeline.builder().source(source)
    # A version without a time is none.
    table = pl.concat([right, right[:1].with_columns(ts=pl.lit(None, pl.Int64))])
    out = builder.join_asof(table, on="ts", by=by, strategy=strategy, tolerance=near, how=how).collect_sync()
    whole = expected(left, right, by, how, strategy=strategy, tolerance=tolerance)
    assert out.schema == whole.schema
    assert out.sort("a").equals(whole.sort("a")) and out["a"].is_sorted()


def test_a_table_may_be_indexed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asof_table, "_BUILT_AT_A_TIME", 2)
    rates = pl.DataFrame({"ts": [5, 1, 3, 3, 9], "r": [50, 10, 30, 31, 90]})
    rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"ts": [0, 3, 8]})))
    nothing = pl.DataFrame({"ts": [None, None, None], "r": [0, 0, 0]}, schema=rates.schema)
    rates = pl.concat([rates[:4], nothing[:2], rates[4:], nothing])
    assert rows.join_asof(rates, on="ts").collect_sync()["r"].to_list() == [None, 31, 50]
    rates = pl.concat([rates, pl.DataFrame({"ts": [None, None, 9], "r": [0, 0, 40]})])
    assert rows.join_asof(rates, on="ts").collect_sync()["r"].to_list() == [None, 31, 50]


def stream(frame: pl.DataFrame, rows: int = 2, lateness: Any = 0) -> Builder:
    parts = [frame[at : at + rows] for at in range(0, frame.height, rows)]
    return Pipeline.builder().source(
        Source.from_frame(parts, schema=frame.schema).with_event_time("ts", lateness)
    )


DAY = datetime(2026, 1, 1)
TRADES = pl.DataFrame(
    {"ts": [DAY + timedelta(hours=h) for h in (1, 4, 9)], "k": ["a", "b", "a"], "n": [1, 2, 3]}
)
QUOTES = pl.DataFrame(
    {"ts": [DAY + timedelta(hours=h) for h in (0, 3, 8)], "k": ["a", "b", "a"], "n": [10, 20, 30]}
)


def test_names_are_those_of_polars() -> None:
    for on in ({"on": "ts"}, {"left_on": "ts", "right_on": "since"}):
        quotes = QUOTES.rename({"ts": on.get("right_on", "ts"), "k": "item"})
        by = {"by_left": "k", "by_right": "item"}
        whole = TRADES.join_asof(quotes, **on, **by)  # type: ignore[arg-type]
        table = stream(TRADES).join_asof(quotes, **on, **by, suffix="_right")  # type: ignore[arg-type]
        assert table.collect_sync().equals(whole)
        other = Source.from_frame(quotes).with_event_time(on.get("right_on", "ts"))
        streamed = stream(TRADES).join_asof(other, **on, **by)  # type: ignore[arg-type]
        assert streamed.collect_sync().sort("ts").equals(whole)
        assert streamed.schema() == whole.schema


def test_a_step_is_shown_with_what_it_was_given() -> None:
    step = stream(TRADES).join_asof(
        stream(QUOTES), on="ts", by="k", tolerance="1h", how="inner", suffix="_2", max_bytes=1 << 20
    )
    text = "join_asof(on='ts', by='k', strategy='backward', tolerance=3600 s, how='inner', suffix='_2', max_bytes="
    assert text in step.explain()
    table = stream(TRADES).join_asof(
        QUOTES.rename({"ts": "at", "k": "j"}),
        left_on="ts",
        right_on="at",
        by_left="k",
        by_right="j",
        refresh="1h",
    )
    assert (
        "join_asof(a frame of at, j, n, left_on='ts', right_on='at', by_left='k', by_right='j', "
        "strategy='backward', how='left', refresh='1h')" in table.explain()
    )
    assert (
        "join_asof(a frame of ts, k, n, on='ts', strategy"
        in stream(TRADES).join_asof(QUOTES, on="ts").explain()
    )


def test_late_rows_are_counted_and_offered() -> None:
    quotes = pl.DataFrame({"ts": [1, 50, 2, 60], "b": range(4)})
    trades = pl.DataFrame({"ts": [10, 55, 70], "a": range(3)})
    late = TestSink()
    builder = stream(trades, 1).join_asof(stream(quotes, 1), on="ts", late=late)
    report = builder.sink(out := TestSink()).build().run_sync()
    [stage] = [stage for stage in report.stages if stage.name == "join_asof"]
    assert stage.late_rows == stage.late_rows_kept == late.frame().height >= 1
    assert late.frame().columns == out.frame().columns == ["ts", "a", "b"]
    assert {"ts": 2, "a": None, "b": 2} in late.frame().to_dicts()


def test_idle_and_ended_streams_hold_nothing_back() -> None:
    step = joined([], "backward", None)
    left, right = pl.DataFrame({"ts": [5], "a": [1]}), pl.DataFrame({"ts": [3], "b": [1]})
    process = step.start([left.schema, right.schema], context())
    assert list(process.process(Batch(left), 0)) == list(process.on_watermark(9, 0)) == []
    rows, mark = process.on_idle(1)
    assert isinstance(rows, Batch) and rows.polars().rows() == [(5, 1, None)] and mark == Watermark(9)
    assert list(process.process(Batch(right), 1)) == [] and process.take_late() is not None
    assert list(process.on_watermark(12, 1)) == []
    assert list(process.on_watermark(11, 0)) == [Watermark(11)]
    assert list(process.on_idle(0)) == [Watermark(12)]
    assert list(process.on_end(1)) == [Idle()]
    (rows,) = process.process(Batch(left.with_columns(ts=pl.lit(20, pl.Int64))), 0)
    assert isinstance(rows, Batch) and rows.num_rows == 1
    assert list(process.finish()) == []
    process = joined(["a"], "backward", None, "inner").start(
        [left.schema, right.rename({"b": "a"}).schema], context()
    )
    assert list(process.process(Batch(left[:0]), 0)) == [] and process.take_late() is None
    nameless = pl.DataFrame({"ts": [1], "a": [None]}, schema=left.schema)
    assert list(process.process(Batch(nameless), 1)) == []
    assert list(process.on_watermark(9, 1)) == [] and list(process.process(Batch(left), 0)) == []
    process = step.start([left.schema, right.schema], context())
    assert list(process.on_idle(0)) == [] and list(process.on_idle(1)) == [Idle()]


@pytest.mark.usefixtures("small")
def test_some_rows_of_a_batch_wait_on_and_all_versions_may_be_old() -> None:
    schemas = [
        pl.Schema({"ts": pl.Int64, "k": pl.String}),
        pl.Schema({"ts": pl.Int64, "k": pl.String, "b": pl.Int64}),
    ]
    process = joined(["k"], "forward", None).start(schemas, context())
    rows = pl.DataFrame({"ts": [5, 6], "k": ["a", "b"]})
    quotes = pl.DataFrame({"ts": [7, 8, 9], "k": ["a"] * 3, "b": [1, 2, 3]})
    assert list(process.process(Batch(quotes), 1)) == list(process.on_watermark(20, 1)) == []
    (out,) = process.process(Batch(rows), 0)
    assert isinstance(out, Batch) and out.polars().rows() == [(5, "a", 1)]
    assert list(process.on_watermark(30, 0)) == [Watermark(6)]
    assert list(process.process(Batch(quotes.with_columns(ts=pl.lit(25, pl.Int64), k=pl.lit("c"))), 1)) == []
    assert list(process.on_watermark(40, 1)) == []
    many = pl.DataFrame({"ts": [41] * 20, "k": ["c"] * 20, "b": range(20)})
    assert list(process.on_watermark(50, 0)) == list(process.process(Batch(many), 1)) == []
    assert list(process.on_watermark(60, 1)) == [], "all versions are old"
    (out,) = process.finish()
    assert isinstance(out, Batch) and out.polars().rows() == [(6, "b", None)]


def test_a_row_waits_until_no_earlier_version_can_come_also_over_a_restart() -> None:
    schemas = [
        pl.Schema({"ts": pl.Int64, "k": pl.String}),
        pl.Schema({"ts": pl.Int64, "k": pl.String, "b": pl.Int64}),
    ]
    step = joined(["k"], "forward", None)
    first, process = step.start(schemas, context()), step.start(schemas, context())
    row = pl.DataFrame({"ts": [6], "k": ["b"]})
    assert list(first.on_watermark(20, 1)) == list(first.process(Batch(row), 0)) == []
    process.restore(first.snapshot())
    version = pl.DataFrame({"ts": [25], "k": ["b"], "b": [1]})
    assert list(process.process(Batch(version), 1)) == list(process.on_watermark(22, 1)) == []
    (out,) = process.on_watermark(30, 1)
    assert isinstance(out, Batch) and out.polars().rows() == [(6, "b", 1)]


@pytest.mark.parametrize("apart", [1, 1_000_003], ids=["close keys", "hashed keys"])
@pytest.mark.parametrize("strategy", ["backward", "forward", "nearest"])
def test_old_versions_and_their_keys_are_released(
    strategy: Any, apart: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asof_joining, "_LEAST_OLD", 26_214)
    memory = MemoryBudget()
    left = pl.DataFrame(schema={"ts": pl.Int64, "k": pl.Int64})
    right = pl.DataFrame(schema={"ts": pl.Int64, "k": pl.Int64, "b": pl.Int64})
    keys = JoinKeys(("k",), ("k",))
    step = StreamAsofJoin(AsofOptions(("ts", "ts"), keys, strategy, 1_000))
    process = step.start([left.schema, right.schema], context(memory=memory))
    held = []
    for start in range(0, 200_000, 10_000):
        number = pl.int_range(start, start + 10_000, eager=True)
        versions = pl.DataFrame({"ts": number, "k": number * apart, "b": number})
        for port, rows in ((1, versions), (0, versions.drop("b"))):
            list(process.process(Batch(rows), port))
            list(process.on_watermark(start + 10_000, port))
        held.append(memory.held)
    assert max(held[10:]) <= 1.2 * max(held[:10])


@pytest.mark.parametrize("strategy", ["backward", "forward"])
def test_rows_beyond_the_limit_are_spilled_or_refused(strategy: Any) -> None:
    number = pl.int_range(0, 60_000, eager=True)
    left = pl.DataFrame({"ts": number, "a": "text " + number.cast(pl.String), "k": number % 7})
    right = pl.DataFrame(
        {"ts": number * 3 % 60_000, "b": "other text " + number.cast(pl.String), "k": number % 7}
    )
    sides = [stream(left, 5_000, "1h"), stream(right, 5_000, "1h")]

    def step(**limit: Any) -> Builder:
        return sides[0].join_asof(sides[1], on="ts", by="k", strategy=strategy, **limit)

    spilled = step(max_bytes=2 << 20, on_full="spill").collect_sync()
    whole = left.join_asof(
        right.sort("ts", maintain_order=True), on="ts", by="k", strategy=strategy, check_sortedness=False
    )
    assert spilled.sort("ts").equals(whole.select(spilled.columns))
    with pytest.raises(StageError, match="larger than max_bytes"):
        step(max_bytes=1 << 20).collect_sync()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, "takes one column of time of each side"),
        ({"on": "ts", "left_on": "ts"}, "takes one column of time of each side"),
        ({"on": "ts", "by": "k", "by_left": "k"}, "takes its keys once"),
        ({"on": "ts", "by_left": "k"}, "as many keys on one side"),
        ({"on": "ts", "by": "z"}, r"join_asof\(\) names a column that the stream does not have"),
        ({"on": "ts", "strategy": "back"}, r"join_asof\(strategy=...\) is unknown"),
        ({"on": "ts", "how": "full"}, r"join_asof\(how=...\) is unknown"),
        ({"on": "ts", "tolerance": "near"}, "duration"),
        ({"on": "n"}, "not the event time of this stream"),
        ({"left_on": "ts", "right_on": "n"}, "not the event time of the other stream"),
        ({"on": "ts", "refresh": "1h"}, r"join_asof\(refresh=...\) is for a join with a table"),
        ({"on": "ts", "suffix": ""}, r"join_asof\(\) would give two columns the same name"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(named: dict[str, Any], message: str) -> None:
    quotes = QUOTES.with_columns(n=pl.lit(1).cast(pl.Datetime("us")))
    with pytest.raises((PlanError, SchemaError), match=message):
        stream(TRADES).join_asof(stream(quotes), **named).explain()


def test_times_are_of_one_type_and_there() -> None:
    quotes = QUOTES.with_columns(n=pl.lit(1).cast(pl.Datetime("us")))
    trades, others = (Pipeline.builder().source(Source.from_frame(rows)) for rows in (TRADES, quotes))
    for on, message in {"n": "cannot compare these times", "x": "from a column that is not there"}.items():
        with pytest.raises(SchemaError, match=message):
            trades.join_asof(others, on=on).explain()


def test_arguments_of_a_stream_do_not_go_with_a_table() -> None:
    for named, message in [
        ({"late": TestSink()}, r"join_asof\(late=...\) is for a join with a stream, a builder"),
        ({"max_bytes": 1}, r"join_asof\(max_bytes=...\) is for a join with a stream"),
        ({"refresh": "0s"}, r"join_asof\(refresh=...\) is too short"),
    ]:
        with pytest.raises(PlanError, match=message):
            stream(TRADES).join_asof(QUOTES, on="ts", **named)  # type: ignore[arg-type]


def test_a_row_without_a_time_is_an_error() -> None:
    rows = Pipeline.builder().source(
        Source.from_frame(TRADES.with_columns(ts=pl.lit(None, pl.Datetime("us"))))
    )
    for other in (QUOTES, stream(QUOTES)):
        with pytest.raises(StageError, match="rows without an event time"):
            rows.join_asof(other, on="ts").collect_sync()


@settings(max_examples=examples(100))
@given(*[st.sets(st.integers(-9, 9)).map(lambda found: np.array(sorted(found), np.int64)) for _ in range(2)])
def test_sorted_times_are_merged_where_they_belong(older: Array, newer: Array) -> None:
    older = np.append(older, 10)
    values, of_older, of_newer = merged(older, newer)
    assert values.tolist() == sorted({*older.tolist(), *newer.tolist()})
    assert (values[of_older] == older).all() and (values[of_newer] == newer).all()
