"""`map_zero_copy`: in place where the step alone holds the memory, and nowhere else."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import MOMENTS, NUMBERS, PLAIN, TYPES, corners, cuts, frames, make_series

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.core.ingest import batches_of
from arrowstream.core.position import Position
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.errors import NoArray, PlanError, SchemaError, StageError
from arrowstream.operators.base import Process
from arrowstream.operators.map_zero_copy import BUFFERS, MapZeroCopy
from arrowstream.operators.rebatch import Rebatch
from arrowstream.operators.zero_copy.columns import BufferLayout, ZeroCopyColumns, numpy_type
from arrowstream.policies.handlers import ErrorHandler

SCHEMA = pl.Schema({"x": pl.Int64, "y": pl.Float64, "s": pl.String})
FRAME = pl.DataFrame({"x": [1, 2, None, 4], "y": [0.5, None, 1.5, 2.5], "s": ["a", None, "", "d"]})


def started(*fns: Callable[[ZeroCopyColumns], Any], schema: pl.Schema = SCHEMA) -> Process:
    process = MapZeroCopy(fns).start(schema, context())
    assert isinstance(process, Process)
    return process


def doubled(columns: ZeroCopyColumns) -> None:
    columns["x"] *= 2


def through(process: Process, rows: Any) -> Batch:
    (out,) = process.process(Batch(rows))
    return out  # type: ignore[return-value]


def address(record: pa.RecordBatch, name: str) -> int:
    return int(record.column(name).buffers()[1].address)


def test_what_is_written_comes_out_and_the_user_keeps_what_was() -> None:
    kept = FRAME.clone()
    record = next(batches_of(FRAME)).arrow()
    for rows in (FRAME, record):
        out = through(started(doubled), rows)
        assert_frame_equal(out.polars(), kept.with_columns(pl.col("x") * 2))
        assert out.arrow().schema.equals(arrow_schema(SCHEMA), check_metadata=True)
    assert_frame_equal(FRAME, kept)
    assert_frame_equal(pl.DataFrame(record), kept)


def test_an_array_of_numpy_that_arrow_only_borrows_is_never_written_to() -> None:
    mine = np.arange(8, dtype=np.int64)
    record = pa.RecordBatch.from_arrays([pa.array(mine)], names=["x"])
    assert address(record, "x") == mine.ctypes.data  # the danger is real: it is the user's own memory
    out = through(started(doubled, schema=pl.Schema({"x": pl.Int64})), record)
    assert out.arrow()["x"].to_pylist() == list(range(0, 16, 2))
    assert mine.tolist() == list(range(8))


def test_functions_of_one_step_work_on_the_same_memory_and_it_goes_on_without_a_copy() -> None:
    seen: list[int] = []

    def noted(columns: ZeroCopyColumns) -> None:
        seen.append(columns["x"].ctypes.data)
        columns["x"] += 1

    out = through(started(noted, noted, noted), FRAME)
    assert set(seen) == {address(out.arrow(), "x")}
    assert out.arrow()["x"].to_pylist() == [4, 5, None, 7]


def test_memory_is_used_again_once_everybody_let_go_of_it() -> None:
    process = started(doubled)
    first = through(process, FRAME)
    where = address(first.arrow(), "x")
    slice_of_it = first.arrow()["x"].slice(1, 1)
    del first
    assert address(through(process, FRAME).arrow(), "x") != where  # somebody still reads a value
    assert slice_of_it.to_pylist() == [4]
    frame = pl.DataFrame({"x": slice_of_it})
    del slice_of_it
    second = through(process, FRAME)
    assert address(second.arrow(), "x") != where  # through Polars, too
    assert frame["x"].to_list() == [4]
    del frame
    assert address(through(process, FRAME).arrow(), "x") == where


def test_a_view_the_user_keeps_keeps_the_memory_and_can_no_longer_be_written() -> None:
    kept: list[np.ndarray[Any, Any]] = []

    def keeping(columns: ZeroCopyColumns) -> None:
        columns["x"] += 1
        kept.append(columns["x"])

    process = started(keeping)
    for _ in range(2 * BUFFERS):
        through(process, FRAME)  # nobody but the user keeps what comes out
    assert len({array.ctypes.data for array in kept}) == 2 * BUFFERS
    assert all(array[[0, 1, 3]].tolist() == [2, 3, 5] for array in kept)
    with pytest.raises(ValueError, match="read-only"):
        kept[0][0] = 9


def test_columns_that_the_user_keeps_never_reach_into_a_later_batch() -> None:
    kept: list[ZeroCopyColumns] = []

    def keeping(columns: ZeroCopyColumns) -> None:
        columns["x"] += 1
        kept.append(columns)

    process = started(keeping)
    through(process, FRAME)
    second = through(process, FRAME)
    kept[0]["y"] = 9.0  # first asked for when the batch is long gone
    assert second.arrow()["x"].to_pylist() == [2, 3, None, 5]
    assert kept[0]["x"].ctypes.data != address(second.arrow(), "x")


def test_who_keeps_every_batch_keeps_its_rows() -> None:
    process = started(doubled)
    sizes = [1, 5, 2, 9] * BUFFERS
    out = [through(process, FRAME[:1].select(pl.all().repeat_by(size).explode())) for size in sizes]
    assert [batch.arrow()["x"].to_pylist() for batch in out] == [[2] * size for size in sizes]


def test_a_larger_batch_gets_larger_memory() -> None:
    process = started(doubled)
    through(process, FRAME)
    long = pl.concat([FRAME] * 100)
    assert_frame_equal(through(process, long).polars(), long.with_columns(pl.col("x") * 2))


def test_only_columns_that_are_asked_for_are_copied() -> None:
    record = next(batches_of(FRAME)).arrow()
    out = through(started(doubled), record).arrow()
    assert address(out, "y") == address(record, "y")
    assert address(out, "x") != address(record, "x")


@given(frames(), st.data())
@settings(max_examples=examples(25))
def test_every_type_and_cut_comes_out_as_it_went_in(frame: pl.DataFrame, data: st.DataObject) -> None:
    assert_comes_out_as_it_went_in(data.draw(cuts(frame)))


def test_every_type_comes_out_as_it_went_in_and_none_where_there_are_no_rows() -> None:
    columns = {f"c{place}": corners(dtype)[:3] for place, dtype in enumerate(PLAIN)}
    filled = [
        make_series(name, [values[0], None, values[-1]], dtype)
        for (name, values), dtype in zip(columns.items(), PLAIN, strict=True)
    ]
    frame = pl.DataFrame(filled)
    assert_comes_out_as_it_went_in([frame, frame[:0], frame[1:]])


def assert_comes_out_as_it_went_in(parts: list[pl.DataFrame]) -> None:
    """Touching every array and changing none gives the same rows: validity, offsets and types are right."""

    def touched(columns: ZeroCopyColumns) -> None:
        assert {name: len(array) for name, array in columns.items()} == dict.fromkeys(
            columns, columns.num_rows
        )

    process = started(touched, schema=parts[0].schema)
    out = [through(process, part) for part in parts]
    assert_frame_equal(pl.concat([batch.polars() for batch in out]), pl.concat(parts))
    assert all(batch.arrow().validate(full=True) is None for batch in out)


@given(frames({"a": pl.Int32(), "b": pl.Int32()}), st.data())
def test_a_change_equals_the_same_in_polars(frame: pl.DataFrame, data: st.DataObject) -> None:
    def summed(columns: ZeroCopyColumns) -> None:
        with np.errstate(over="ignore"):
            columns["a"] += columns["b"]
        columns["a"][~columns.valid("b")] = -1

    process = started(summed, schema=frame.schema)
    out = pl.concat([through(process, part).polars() for part in data.draw(cuts(frame))])
    both = (
        pl.when(pl.col("b").is_null() & pl.col("a").is_not_null())
        .then(-1)
        .otherwise(pl.col("a") + pl.col("b"))
    )
    assert_frame_equal(out, frame.with_columns(a=both.cast(pl.Int32)))


def test_values_under_nulls_read_as_zero() -> None:
    read: list[Any] = []
    process = started(lambda columns: read.append([columns[name].tolist() for name in columns]))
    dirty = pa.Array.from_buffers(
        pa.int64(),
        3,
        [
            pa.py_buffer(b"\x05"),
            pa.py_buffer(np.array([1, 99, 3])),
        ],
    )
    record = pa.RecordBatch.from_arrays(
        [dirty, pa.array([1.0, 2.0, 3.0]), pa.array(["a", "b", "c"], pa.large_string())],
        names=["x", "y", "s"],
    )
    through(process, record)
    assert read == [[[1, 0, 3], [1.0, 2.0, 3.0]]]


def test_types_of_the_arrays() -> None:
    schema = arrow_schema(pl.Schema({str(dtype): dtype for dtype in TYPES}))
    offered = BufferLayout(schema).dtypes
    assert set(offered) == {str(dtype) for dtype in (*NUMBERS, *MOMENTS)}
    assert numpy_type(pa.timestamp("ms", "UTC")) == np.dtype("datetime64[ms]")
    assert numpy_type(pa.duration("ns")) == np.dtype("timedelta64[ns]")
    assert numpy_type(pa.date32()) == np.int32
    assert numpy_type(pa.time64("ns")) == np.int64
    assert numpy_type(pa.uint16()) == np.uint16
    assert numpy_type(pa.string()) is None


def test_moments_are_changed_as_numpy_does() -> None:
    frame = pl.DataFrame(
        {
            "at": [datetime(2024, 1, 1, tzinfo=UTC), None],
            "took": [timedelta(seconds=1), None],
            "day": [date(2024, 1, 1), None],
            "clock": [time(1), None],
        }
    )

    def later(columns: ZeroCopyColumns) -> None:
        columns["at"] += np.timedelta64(1, "D")
        columns["took"] *= 2
        columns["day"] += 1
        columns["clock"] += 1_000

    out = through(started(later, schema=frame.schema), frame).polars()
    assert out.row(0) == (
        datetime(2024, 1, 2, tzinfo=UTC),
        timedelta(seconds=2),
        date(2024, 1, 2),
        time(1, 0, 0, 1),
    )
    assert out.row(1) == (None, None, None, None)
    assert out.schema == frame.schema


def test_assigning_to_a_name_writes_into_the_array() -> None:
    def assigned(columns: ZeroCopyColumns) -> None:
        where = columns["x"].ctypes.data
        columns["x"] = columns["x"] * 3
        columns["y"] = 7
        assert columns["x"].ctypes.data == where

    out = through(started(assigned), FRAME).polars()
    assert out["x"].to_list() == [3, 6, None, 12]
    assert out["y"].to_list() == [7.0, None, 7.0, 7.0]

    def lossy(columns: ZeroCopyColumns) -> None:
        columns["x"] = columns["x"] * 0.5

    with pytest.raises(TypeError, match="same_kind"):
        through(started(lossy), FRAME)


def test_names_without_an_array_are_not_there() -> None:
    def asked(columns: ZeroCopyColumns) -> None:
        assert list(columns) == ["x", "y"]
        assert len(columns) == 2
        assert "s" not in columns
        assert columns.valid("s").tolist() == [True, False, True, True]

    through(started(asked), FRAME)


def written_anew(columns: ZeroCopyColumns) -> None:
    columns["total"] = columns["x"]


NO_TEXT = "map(fn) gets columns of every type"


@pytest.mark.parametrize(
    ("fn", "what", "expected", "hint"),
    [
        (
            lambda columns: columns["s"],
            "'s' is String: it has no array",
            "a column of numbers, dates or times",
            NO_TEXT,
        ),
        (
            lambda columns: columns["xx"],
            "map_zero_copy has no column 'xx'",
            "one of x, y",
            "did you mean 'x'?",
        ),
        (
            lambda columns: columns.valid("ss"),
            "map_zero_copy has no column 'ss'",
            "one of x, y",
            "did you mean 's'?",
        ),
        (
            written_anew,
            "map_zero_copy has no column 'total'",
            "one of x, y",
            "columns cannot be added here: with_columns(...) before it adds one",
        ),
        (
            lambda columns: columns.__setitem__("s", 1),
            "'s' is String: it has no array",
            "a column of numbers, dates or times",
            NO_TEXT,
        ),
        (
            lambda columns: columns.__setitem__("xx", 1),
            "map_zero_copy has no column 'xx'",
            "one of x, y",
            "did you mean 'x'?",
        ),
    ],
)
def test_a_column_without_an_array_is_told(fn: Any, what: str, expected: str, hint: str) -> None:
    with pytest.raises(NoArray) as raised:
        Pipeline.builder().source(Source.from_frame(FRAME)).map_zero_copy(fn).collect_sync()
    error = raised.value
    assert isinstance(error, KeyError) and isinstance(error, StageError)
    assert (error.what, error.stage, error.expected, error.hint) == (what, "map_zero_copy", expected, hint)


def test_a_result_is_only_taken_if_it_is_one_of_the_arrays() -> None:
    through(started(lambda columns: np.multiply(columns["x"], 2, out=columns["x"])), FRAME)
    with pytest.raises(TypeError, match="<lambda> returned a ndarray of its own"):
        through(started(lambda columns: columns["x"] * 2), FRAME)


def test_position_and_ingest_time_stay() -> None:
    (out,) = started(doubled).process(Batch(FRAME, Position("here", 0, 4), 7))
    assert isinstance(out, Batch)
    assert (out.position, out.ingest_ns) == (Position("here", 0, 4), 7)


def test_no_row_is_held() -> None:
    process = started(doubled)
    through(process, FRAME)
    assert list(process.finish()) == []
    assert list(process.snapshot()) == []
    process.restore(iter(()))


async def waiting(columns: ZeroCopyColumns) -> None: ...


@pytest.mark.parametrize(
    ("fns", "message"), [((), "no function"), ((3,), "needs a function"), ((waiting,), "waiting is async")]
)
def test_what_is_no_plain_function_is_refused(fns: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        MapZeroCopy(fns)


def test_a_schema_without_arrays_is_refused() -> None:
    with pytest.raises(SchemaError, match="s: String"):
        MapZeroCopy((doubled,)).output_schema(pl.Schema({"s": pl.String}))


def test_text() -> None:
    assert MapZeroCopy((doubled, lambda columns: None)).describe() == "map_zero_copy(doubled, <lambda>)"


def test_through_a_pipeline() -> None:
    frame = pl.DataFrame({"x": range(10)})
    out: list[pa.RecordBatch] = []
    builder = Pipeline.builder().source(Source.from_frame(frame)).batch(rows=3).map_zero_copy(doubled)
    builder.filter(pl.col("x") > 3).sink(Sink.to_fn(out.append)).build().run_sync()
    assert [value for record in out for value in record["x"].to_pylist()] == list(range(4, 20, 2))
    assert frame["x"].to_list() == list(range(10))
    with pytest.raises(StageError, match="map_zero_copy"):
        Pipeline.builder().source(Source.from_frame(frame)).map_zero_copy(lambda c: c["z"]).collect_sync()


def test_neighbours_share_the_memory_unless_something_is_said_about_one_of_them() -> None:
    seen: list[int] = []

    def noted(columns: ZeroCopyColumns) -> None:
        seen.append(columns["x"].ctypes.data)
        columns["x"] += 1

    out: list[pa.RecordBatch] = []
    frame = pl.DataFrame({"x": [1, 2]})
    steps = Pipeline.builder().source(Source.from_frame(frame)).map_zero_copy(noted).map_zero_copy(noted)
    pipeline = steps.sink(Sink.to_fn(out.append)).build()
    assert "stage map_zero_copy+map_zero_copy-9462\n" in pipeline.explain()
    pipeline.run_sync()
    assert out[0]["x"].to_pylist() == [3, 4]
    assert seen == [address(out[0], "x")] * 2

    seen.clear()
    apart = steps.map_zero_copy(noted).on_error(ErrorHandler.skip()).map_zero_copy(noted)
    assert apart.collect_sync()["x"].to_list() == [5, 6]
    assert frame["x"].to_list() == [1, 2]
    # Memory that is free again may come again, though not for the next step.
    assert [before == after for before, after in pairwise(seen)] == [True, False, False]


def test_a_retry_begins_with_the_rows_as_they_came() -> None:
    failures = iter([True, False])

    def fallible(columns: ZeroCopyColumns) -> None:
        columns["x"] += 1
        if next(failures):
            raise OSError

    steps = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
    steps = steps.map_zero_copy(fallible).on_error(ErrorHandler.retry(1, delay="0s"))
    assert steps.collect_sync()["x"].to_list() == [2, 3]


def test_streams_of_the_same_rows_do_not_see_each_other() -> None:
    frame = pl.DataFrame({"x": [1, 2]})
    plain = Pipeline.builder().source(Source.from_frame([frame, frame]))
    both = plain.map_zero_copy(doubled).merge(plain)
    assert sorted(both.collect_sync()["x"]) == [1, 1, 2, 2, 2, 2, 4, 4]
    split = (
        plain.split(pl.when(pl.col("x") > 0).then(pl.lit("all")))
        .branch("all", lambda b: b.map_zero_copy(doubled))
        .merge()
    )
    assert split.collect_sync()["x"].to_list() == [2, 4, 2, 4]
    assert frame["x"].to_list() == [1, 2]


def test_only_operators_that_melt_are_asked_to() -> None:
    with pytest.raises(NotImplementedError, match="batch"):
        Rebatch(2).fused_with(Rebatch(2))
