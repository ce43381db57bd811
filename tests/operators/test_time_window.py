"""`window(size=...)` against Polars on all rows at once."""

from datetime import date, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from polars.testing import assert_frame_equal
from snapshots import held_rows
from strategies import DATETIMES, cuts
from windowing import AGGREGATES, MERGED, SCHEMA, end, events, feed, joined, little_put_aside

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch, Watermark
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.base import Operator
from arrowstream.operators.window import windows
from arrowstream.operators.windows import panes
from arrowstream.pipeline import Builder
from arrowstream.state.owned_rows import owned
from arrowstream.testing import check_cut_independence

S = 1_000_000
SIZES = [(10 * S, 10 * S), (10 * S, 2 * S), (5 * S, 3 * S), (S, S)]
CLOSE: dict[str, Any] = {"rel_tol": 1e-12, "categorical_as_str": True}
ROWS = pl.Schema(SCHEMA)


def window(*exprs: Any, size: int = 10 * S, every: int | None = None, by: Any = "k", **rest: Any) -> Operator:
    step = None if every is None else every / S
    return windows(lambda operator: operator, size / S, every=step, on="ts", by=by, **rest).agg(*exprs)


def whole(rows: pl.DataFrame, exprs: list[pl.Expr], size: int, every: int, by: list[str]) -> pl.DataFrame:
    """Polars on all rows at once, each given to every window it belongs to."""
    start = pl.col("window_start")
    starts = [(pl.col("ts") // every - back) * every for back in range(-(-size // every))]
    given = rows.with_row_index("row").with_columns(pl.concat_list(starts).alias("window_start"))
    given = given.explode("window_start").filter(pl.col("ts") < start + size).sort("window_start", "row")
    given = given.drop("row").with_columns(window_end=start + size)
    return given.group_by(["window_start", "window_end", *by], maintain_order=True).agg(*exprs)


def aggregates(name: str) -> list[pl.Expr]:
    """One under test, beside one of the plainest."""
    return [AGGREGATES[name], pl.len().alias("rows")]


@pytest.mark.parametrize("name", AGGREGATES)
@settings(max_examples=examples(6))
@given(data=st.data())
def test_equals_polars_on_the_whole(name: str, data: st.DataObject) -> None:
    rows = data.draw(events())
    size, every = data.draw(st.sampled_from(SIZES))
    by = data.draw(st.sampled_from([["k"], ["g", "k"], []]))
    if data.draw(st.booleans(), "keys that are not null"):
        rows = rows.with_columns(pl.col("k").fill_null(3))
    exprs = aggregates(name)
    operator = window(*exprs, size=size, every=every, by=by)
    process = operator.start(ROWS, context())
    with little_put_aside(data):
        out = feed(process, data.draw(cuts(rows))) + end(process)
    expected = whole(rows, exprs, size, every, by) if rows.height else joined(operator, ROWS, [])
    assert_frame_equal(joined(operator, ROWS, out), expected, **CLOSE)


@settings(max_examples=examples(15))
@given(data=st.data())
def test_windows_come_when_the_watermark_has_passed_and_late_rows_are_handed_out(data: st.DataObject) -> None:
    rows = data.draw(events())
    size, every = data.draw(st.sampled_from(SIZES))
    lateness = data.draw(st.sampled_from([0, 3 * S]))
    exprs = [pl.col("x").sum(), pl.col("x").last().alias("last"), pl.col("f").median()]
    operator = window(*exprs, size=size, every=every, allowed_lateness=lateness / S)
    process = operator.start(ROWS, context())
    out: list[Any] = []
    in_time, late, mark = [], [], None
    with little_put_aside(data):
        for part in data.draw(cuts(rows)):
            closed = (
                pl.lit(False) if mark is None else pl.col("ts") // every * every + size + lateness <= mark
            )
            in_time.append(part.filter(~closed))
            late.append(part.filter(closed))
            out += feed(process, [part])
            handed = process.take_late()
            assert_frame_equal(
                late[-1], handed.polars() if handed else ROWS.to_frame(), categorical_as_str=True
            )
            time = data.draw(st.integers(-5, 70)) * S // 2
            mark = time if mark is None else max(mark, time)
            now = feed(process, [time])
            *frames, passed = now
            assert isinstance(passed, Watermark)
            for frame in frames:
                assert frame["window_end"].max() + lateness <= mark
            out += now
        out += end(process)
    expected = whole(pl.concat([ROWS.to_frame(), *in_time]), exprs, size, every, ["k"])
    # A row that comes when some of its windows are closed counts only in the others.
    if every == size:
        assert_frame_equal(joined(operator, ROWS, out), expected, **CLOSE)
    promised = None
    for each in out:
        if isinstance(each, Watermark):
            assert promised is None or each.time_us >= promised
            promised = each.time_us
        elif promised is not None:
            assert each["window_start"].min() >= promised


def test_a_row_counts_in_those_of_its_windows_that_are_open() -> None:
    operator = window(pl.len(), size=10 * S, every=5 * S, by=[])
    process = operator.start(ROWS, context())
    row = pl.DataFrame({"ts": [7 * S]}, schema={"ts": pl.Int64})
    row = pl.concat([ROWS.to_frame(), row], how="diagonal")
    out = feed(process, [row, 10 * S, row, 15 * S, row]) + end(process)
    assert process.take_late() is not None
    assert [frame.rows() for frame in out if isinstance(frame, pl.DataFrame)] == [
        [(0, 10 * S, 1)],
        [(5 * S, 15 * S, 2)],
    ]
    assert [mark.time_us for mark in out if isinstance(mark, Watermark)] == [5 * S, 10 * S]


@pytest.mark.parametrize(
    ("size", "every"),
    [(5, 3), *(pytest.param(*sizes, marks=pytest.mark.untraced) for sizes in [(4, 4), (6, 2), (7, 1)])],
)
def test_only_rows_of_open_windows_are_held(size: int, every: int) -> None:
    operator = window(pl.len(), size=size * S, every=every * S, by=[])
    process = operator.start(ROWS, context())
    for time in range(100, 180):
        row = pl.DataFrame({"ts": [time * S]}, schema={"ts": pl.Int64})
        feed(process, [pl.concat([ROWS.to_frame(), row], how="diagonal"), time * S])
        # One group at most for each second since the first open window began.
        assert held_rows(process).height <= size + every


@settings(max_examples=examples(15))
@given(data=st.data())
def test_a_snapshot_anywhere_continues_exactly(data: st.DataObject) -> None:
    rows = data.draw(events())
    if data.draw(st.booleans(), "keys that are not null"):
        rows = rows.with_columns(pl.col("k").fill_null(3))
    size, every = data.draw(st.sampled_from(SIZES))
    names = data.draw(st.lists(st.sampled_from(sorted(AGGREGATES)), min_size=1, max_size=3, unique=True))
    exprs = [AGGREGATES[name].name.prefix(f"{place}_") for place, name in enumerate(names)]
    operator = window(*exprs, size=size, every=every)
    items: list[Any] = []
    for part in data.draw(cuts(rows)):
        items += [part, *data.draw(st.lists(st.integers(0, 30).map(lambda time: time * S), max_size=1))]
    cut = data.draw(st.integers(0, len(items)))
    straight, first, second = (operator.start(ROWS, context()) for _ in range(3))
    expected = feed(straight, items) + end(straight)
    with little_put_aside(data):
        out = feed(first, items[:cut])
        second.restore(first.snapshot())
        out += feed(second, items[cut:]) + end(second)
    assert_frame_equal(joined(operator, ROWS, out), joined(operator, ROWS, expected), **CLOSE)
    assert [each for each in out if isinstance(each, Watermark)] == [
        each for each in expected if isinstance(each, Watermark)
    ]


@pytest.mark.untraced
@pytest.mark.parametrize("dtype", [*DATETIMES, pl.Date(), pl.Int64(), pl.UInt64(), pl.Int32()], ids=str)
def test_every_type_of_time(dtype: pl.DataType) -> None:
    days = pl.Series("ts", [-3, -1, 0, 0, 1], pl.Int32).cast(pl.Date)
    if dtype.is_integer():
        rows = pl.DataFrame({"ts": pl.Series([0, 1, 2, 3, 5], dtype=dtype)})
        size, bound = timedelta(microseconds=2), pl.Int64()
        bounds = [(0, 2, 2), (2, 4, 2), (4, 6, 1)]
    else:
        rows = pl.DataFrame({"ts": days.cast(pl.Datetime("us")).cast(dtype) if dtype != pl.Date else days})
        size, bound = timedelta(days=2), dtype
        bounds = [(-4, -2, 1), (-2, 0, 1), (0, 2, 3)]
    operator = windows(lambda each: each, size, on="ts").agg(pl.len())
    schema = operator.output_schema(rows.schema)
    assert schema == {"window_start": bound, "window_end": bound, "len": pl.UInt32}
    process = operator.start(rows.schema, context())
    (out,) = feed(process, [rows]) + end(process)
    assert out.schema == schema
    if not dtype.is_integer():
        out = out.with_columns(
            pl.col("window_start", "window_end").to_physical().cast(dtype).dt.epoch("d").cast(pl.Int64)
        )
    assert out.rows() == bounds


@pytest.mark.untraced
@pytest.mark.parametrize("spread", [1, 1_000_003])
def test_many_rows_of_many_keys_and_windows(spread: int) -> None:
    """Many rows are buffered before they are grouped: by slots, or by the streaming engine if keys are far apart."""
    count = 400_000
    rows = pl.DataFrame({"ts": range(count), "k": range(count), "x": range(count)}).with_columns(
        pl.col("k") * 7919 % 150_001 * spread, pl.col("ts") * 100
    )
    operator = window(pl.col("x").sum(), pl.len())
    process = operator.start(rows.schema, context())
    items: list[Any] = []
    for start in range(0, count, 30_000):
        items += [rows[start : start + 30_000], start * 100]
    out = joined(operator, rows.schema, feed(process, items) + end(process))
    assert_frame_equal(out, whole(rows, [pl.col("x").sum(), pl.len()], 10 * S, 10 * S, ["k"]))


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.parametrize("spread", [1, 1_000_003])
def test_windows_that_slide_over_keys_close_together_and_far_apart(spread: int) -> None:
    count = 6_000
    rows = pl.DataFrame({"ts": range(count), "k": range(count), "x": range(count)}).with_columns(
        pl.col("k") * 7919 % 300 * spread, pl.col("ts") * 10_000 // 7 * 7
    )
    exprs = [pl.col("x").sum(), pl.len()]
    for size, every in [(10 * S, S), (7 * S, 3 * S)]:
        process = window(*exprs, size=size, every=every).start(rows.schema, context())
        items: list[Any] = []
        for start in range(0, count, 700):
            # Some batches are not in the order of their times.
            items += [rows[start : start + 700][:: 1 - start // 700 % 3 % 2 * 2], start * 10_000 - S]
        out = pl.concat(
            each for each in feed(process, items) + end(process) if isinstance(each, pl.DataFrame)
        )
        expected = whole(rows, exprs, size, every, ["k"])
        order = ["window_start", "k"]
        assert_frame_equal(out.sort(order), expected.sort(order))


def test_in_a_pipeline() -> None:
    rows = pl.DataFrame({"at": [datetime(2026, 1, 1, 0, 0, second) for second in (1, 4, 11)], "x": [1, 2, 3]})
    builder = (
        Pipeline.builder()
        .source(Source.from_frame(rows))
        .window(size="10s", on="at")
        .agg(x=pl.col("x").sum())
    )
    assert builder.collect_sync()["x"].to_list() == [3, 3]
    assert builder.schema() == {
        "window_start": rows.schema["at"],
        "window_end": rows.schema["at"],
        "x": pl.Int64,
    }


@pytest.mark.untraced
def test_which_rows_are_late_depends_on_the_cut_but_not_behind_batches_of_so_many_rows() -> None:
    rows = pl.DataFrame({"ts": [S, 25 * S, 2 * S, 12 * S, 40 * S, 26 * S], "x": range(6)})

    def steps(builder: Builder) -> Builder:
        windows = builder.with_event_time("ts").window(10, every=5, on="ts")
        return windows.agg(pl.col("x"), pl.len().alias("n"))

    check_cut_independence(lambda builder: steps(builder.batch(rows=2)), rows)
    with pytest.raises(AssertionError):
        check_cut_independence(steps, rows)


def test_text() -> None:
    assert window(pl.col("x").sum()).describe() == "window(size=10s, on=ts, by=[k]).agg(x.sum())"
    assert (
        window(pl.len(), every=S // 2, by=[]).describe() == "window(size=10s, every=0.5s, on=ts).agg(len())"
    )


def test_rows_without_a_time_are_refused() -> None:
    process = window(pl.len()).start(ROWS, context())
    with pytest.raises(StageError, match="without an event time") as raised:
        feed(process, [pl.DataFrame({"ts": [1, None]}, schema={"ts": pl.Int64})])
    assert "1 of 2 rows" in str(raised.value)


ENDS = {pl.Int64: 2**63, pl.Datetime("ns"): 2**63, pl.Date: 2**31}


@pytest.mark.parametrize("dtype", ENDS, ids=str)
@pytest.mark.parametrize("kind", ["size", "session"])
def test_times_at_the_end_of_their_type_are_refused(dtype: pl.DataType, kind: str) -> None:
    days = 10 if dtype == pl.Date else 10 * 86_400_000_000 * (1_000 if dtype == pl.Datetime("ns") else 1)
    options: dict[str, Any] = {kind: "10d"}
    for time, fits in (
        (ENDS[dtype] - 1 - days, True),
        (ENDS[dtype] - days, False),
        (days - ENDS[dtype], True),
        (days - ENDS[dtype] - 1, False),
    ):
        ticks = pl.Series("ts", [0, time]).cast(pl.Int32 if dtype == pl.Date else pl.Int64)
        rows = ticks.cast(dtype).to_frame()
        process = windows(lambda each: each, on="ts", **options).agg(pl.len()).start(rows.schema, context())
        if fits:
            out = pl.concat(feed(process, [rows]) + end(process))
            assert (out["window_start"] < out["window_end"]).all() and out.height == 2
            continue
        with pytest.raises(StageError, match="cannot hold") as raised:
            feed(process, [rows])
        assert f"found: {time}" in str(raised.value)
        assert held_rows(process).height == 0


def through(schema: Any, *exprs: Any, **options: Any) -> None:
    windows(lambda each: each, **options).agg(*(exprs or (pl.len(),))).output_schema(pl.Schema(schema))


TIMES = {"ts": pl.Datetime("us"), "x": pl.Int64()}
WRONG: dict[str, tuple[type[Exception], str, Any]] = {
    "nothing": (PlanError, "what ends a window", lambda: through(TIMES)),
    "two sizes": (PlanError, "what ends a window", lambda: through(TIMES, size=1, rows=1)),
    "no column": (PlanError, "needs a column", lambda: through(TIMES, size=1)),
    "no such column": (SchemaError, "found: t", lambda: through(TIMES, size=1, on="t")),
    "no time": (SchemaError, "x: String", lambda: through({"x": pl.String()}, size=1, on="x")),
    "no length": (PlanError, "one microsecond", lambda: through(TIMES, size=0, on="ts")),
    "gaps": (PlanError, "would be lost", lambda: through(TIMES, size=1, every=2, on="ts")),
    "too fine": (SchemaError, "1000 us", lambda: through({"t": pl.Datetime("ms")}, size="10us", on="t")),
    "hours of dates": (SchemaError, "cast the column", lambda: through({"t": pl.Date()}, size="1h", on="t")),
    "no aggregate": (PlanError, "no expression", lambda: windows(print, 1, on="ts").agg()),
    "no such key": (SchemaError, "found: z", lambda: through(TIMES, size=1, on="ts", by="z")),
    "no such value": (SchemaError, "found: unable", lambda: through(TIMES, pl.col("z").sum(), size=1, on="ts")),
    "a bad type": (
        SchemaError,
        "does not fit",
        lambda: through({**TIMES, "s": pl.String()}, pl.col("s").dt.year(), size=1, on="ts"),
    ),
    "our name": (SchemaError, '"__row__": "row"', lambda: through({**TIMES, "__row__": pl.Int8()}, size=1, on="ts")),
    "a key like a bound": (
        SchemaError,
        "earlier_window_end",
        lambda: through({**TIMES, "window_end": pl.Int8()}, size=1, on="ts", by="window_end"),
    ),
    "a result like a bound": (
        SchemaError,
        "a result of another name",
        lambda: through(TIMES, pl.len().alias("window_start"), size=1, on="ts"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_found_before_data_moves(case: str) -> None:
    kind, said, make = WRONG[case]
    with pytest.raises(kind) as raised:
        make()
    assert said in str(raised.value)


def test_dates() -> None:
    rows = pl.DataFrame({"day": [date(2026, 1, 1), date(2026, 1, 2)]})
    operator = windows(lambda each: each, "1d", on="day").agg(pl.len())
    process = operator.start(rows.schema, context())
    (out,) = feed(process, [rows]) + end(process)
    assert out.rows() == [(date(2026, 1, 1), date(2026, 1, 2), 1), (date(2026, 1, 2), date(2026, 1, 3), 1)]


def test_most_aggregations_keep_no_rows() -> None:
    for name, expr in AGGREGATES.items():
        process: Any = window(expr).start(ROWS, context())
        assert bool(process._aggregation._whole) == (name not in MERGED), name


def test_without_rows_nothing_comes() -> None:
    process = window(pl.len()).start(ROWS, context())
    assert list(process.process(Batch(ROWS.to_frame()))) == []
    assert feed(process, [5 * S]) == [Watermark(0)]
    assert process.take_late() is None
    assert end(process) == []


@pytest.mark.parametrize("streamed", [1, 1_000_000])
def test_a_pane_without_rows_among_those_that_close_together(
    streamed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panes, "_STREAMED", streamed)
    rows = pl.DataFrame({"ts": [0, 25 * S, 26 * S], "k": ["a", "b", "a"], "x": [1, 2, 4]})
    operator = windows(lambda made: made, 10, on="ts", by="k").agg(pl.col("x").sum())
    process = operator.start(rows.schema, context())
    found = joined(operator, rows.schema, feed(process, [rows[:1], rows[1:]]) + end(process))
    assert found["x"].to_list() == [1, 2, 4]


@pytest.mark.parametrize("times", [2, 100])
def test_keys_come_in_the_order_in_which_they_first_come_close_together_or_far_apart(times: int) -> None:
    keys = [2] * times + [0] + [1] * times + [0]
    rows = pl.DataFrame({"ts": [0] * len(keys), "k": keys})
    operator = window(pl.len(), size=S)
    process = operator.start(rows.schema, context())
    out = feed(process, [rows]) + end(process)
    assert joined(operator, rows.schema, out)["k"].to_list() == [2, 0, 1]


@pytest.mark.parametrize("step", [7, 1], ids=["ids tell names", "ids do not"])
@pytest.mark.parametrize("every", [10, 2, 3])
def test_names_beside_the_ids_that_tell_them_or_do_not(every: int, step: int) -> None:
    """Ids count up in time; with a step of 1, two names come with an id, in every window."""
    row = pl.int_range(400, eager=True)
    names = (row // step).cast(pl.String).replace("3", None)
    rows = pl.DataFrame({"ts": row * S // 4, "id": row // 7 * 7 % 350, "name": names, "x": row % 5})
    exprs = [pl.col("x").sum(), pl.len().alias("rows")]
    keys = ["id", "name"]
    process = window(*exprs, every=every * S, by=keys).start(rows.schema, context())
    out = []
    for start in range(0, 400, 57):
        part = rows[start : start + 57]
        out += feed(process, [part, int(part["ts"][-1])])
    out = [frame for frame in (*out, *end(process)) if isinstance(frame, pl.DataFrame)]
    assert_frame_equal(pl.concat(out), whole(rows, exprs, 10 * S, every * S, keys), check_dtypes=False)


def test_rows_of_many_panes_are_not_copied_whenever_one_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = 0

    def count(rows: pl.DataFrame) -> pl.DataFrame:
        nonlocal copied
        copied += rows.height
        return owned(rows)

    monkeypatch.setattr(panes, "owned", count)
    batches, spread = 100, 50
    operator = window(pl.col("x").sum(), pl.len(), size=S)
    rows = [
        pl.DataFrame({"ts": [(i + j) * S for j in range(spread)], "k": "a", "x": i}) for i in range(batches)
    ]
    process = operator.start(rows[0].schema, context())
    out = feed(process, [item for i, frame in enumerate(rows) for item in (frame, i * S)]) + end(process)
    assert copied < 6 * batches * spread
    found = joined(operator, rows[0].schema, out)
    assert_frame_equal(found, whole(pl.concat(rows), [pl.col("x").sum(), pl.len()], S, S, ["k"]))
