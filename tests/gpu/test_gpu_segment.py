"""A segment on the device: what is moved, what is computed where, and that nothing is lost when the device fails."""

import logging
from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from arrowstream.config.settings import Settings
from arrowstream.core.batch import Batch
from arrowstream.core.position import Position
from arrowstream.expressions.program import Program, Refusal
from arrowstream.gpu import breaker
from arrowstream.operators.base import Expressions
from arrowstream.operators.filter import Filter
from arrowstream.operators.select import Select
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.lowering.lower import lower

pytest.importorskip("pylibcudf", exc_type=ImportError)
from gpu.device_backend import batch, prepared, segment_of

from arrowstream.gpu.call import LEAST_ROWS
from arrowstream.gpu.segment import DeviceSegment

pytestmark = pytest.mark.once

X = pl.col("x")
FRAME = pl.DataFrame(
    {
        "x": [1.5, None, 3.0, -1.0, 8.0, 2.0],
        "n": [1, 2, None, 4, 5, 6],
        "s": ["a", "b", None, "d", "", "f"],
        "cat": pl.Series(["u", "v", "u", None, "v", "u"], dtype=pl.Categorical),
        "list": [[1], [], None, [2, 3], [4], [5]],
    }
)
MANY = pl.select(x=pl.int_range(4 * LEAST_ROWS).cast(pl.Float64)).with_columns(
    n=pl.int_range(4 * LEAST_ROWS), s=pl.col("x").cast(pl.String)
)
DOUBLED = WithColumns.of(y=X * 2.0)
LARGE = Filter.of(X > 1.0)


def expected(frame: pl.DataFrame, *steps: Expressions) -> pl.DataFrame:
    for step in steps:
        frame = step.apply(frame)
    return frame


def brought(machine: Any) -> list[tuple[str, ...]]:
    """The columns of each upload of rows; constants have no names."""
    return [upload.columns for upload in machine.log.uploads if upload.columns != ("",)]


def brought_there(segment: DeviceSegment) -> Batch:
    """The frame as a batch that the segment has been asked to bring to the device."""
    found = batch(FRAME)
    segment.bring(found)
    return found


def check(backend: Any, frame: pl.DataFrame, *steps: Expressions) -> Batch:
    result = prepared(backend, frame, *steps)(batch(frame))
    assert_frame_equal(result.polars(), expected(frame, *steps))
    return result


# What is moved.


def test_only_what_is_read_is_uploaded_and_the_rest_goes_round(backend: Any, machine: Any) -> None:
    result = prepared(backend, FRAME, DOUBLED)(batch(FRAME))
    assert brought(machine) == [("x",)]
    assert machine.log.downloads == []
    assert result.has("gpu")
    assert_frame_equal(result.polars(), expected(FRAME, DOUBLED))
    assert [download.columns for download in machine.log.downloads] == [("y",)]


def test_a_filter_brings_the_numbers_of_rows_for_what_went_round(backend: Any, machine: Any) -> None:
    check(backend, FRAME, LARGE)
    assert brought(machine) == [("x",)]
    assert [download.columns for download in machine.log.downloads] == [("x", "")]


def test_a_filter_of_columns_that_are_all_on_the_device_brings_no_numbers(backend: Any, machine: Any) -> None:
    check(backend, FRAME.select("x"), LARGE, DOUBLED, Filter.of(pl.col("y") < 10.0))
    assert len(brought(machine)) == 1
    assert [download.columns for download in machine.log.downloads] == [("x", "y")]


def test_columns_that_only_pass_are_never_uploaded(backend: Any, machine: Any) -> None:
    check(backend, FRAME, Select.of("s", again="n", list="list"))
    assert brought(machine) == []
    assert machine.log.downloads == []


def test_two_stages_are_one_residence(backend: Any, machine: Any) -> None:
    more = WithColumns.of(z=pl.col("y") + pl.col("n"))
    first = prepared(backend, FRAME, LARGE, DOUBLED)
    between = expected(FRAME, LARGE, DOUBLED)
    second = prepared(backend, between, more)
    first.look_ahead(["n", "cat"])
    assert first.ahead == {"n"}
    result = second(first(batch(FRAME)))
    assert_frame_equal(result.polars(), expected(FRAME, LARGE, DOUBLED, more))
    assert len(brought(machine)) == 1
    assert len(machine.log.downloads) == 1


def test_a_column_that_comes_late_is_that_of_the_rows_that_are_left(backend: Any, machine: Any) -> None:
    more = Filter.of(pl.col("n") > 1)
    first, second = prepared(backend, FRAME, LARGE), prepared(backend, expected(FRAME, LARGE), more)
    result = second(first(batch(FRAME)))
    assert_frame_equal(result.polars(), expected(FRAME, LARGE, more))
    assert len(brought(machine)) == 2


@pytest.mark.parametrize(("offset", "length"), [(0, 2), (1, 1), (1, 9), (9, 2), (0, 0)])
@pytest.mark.parametrize(
    "steps", [(DOUBLED,), (LARGE, DOUBLED), (Select.of("s"),)], ids=["computed", "filtered", "passed"]
)
def test_slices(backend: Any, steps: tuple[Expressions, ...], offset: int, length: int) -> None:
    part = prepared(backend, FRAME, *steps)(batch(FRAME)).slice(offset, length)
    assert part.has("gpu")
    assert_frame_equal(part.polars(), expected(FRAME, *steps).slice(offset, length))


def test_the_bytes_of_a_batch_are_those_in_both_memories(backend: Any) -> None:
    wide = prepared(backend, FRAME, DOUBLED)(batch(FRAME))
    narrow = prepared(backend, FRAME.select("x"), DOUBLED)(batch(FRAME.select("x")))
    assert wide.nbytes > narrow.nbytes >= FRAME.height * 16


def test_positions_pass(backend: Any) -> None:
    position = Position("file a.csv", 0, FRAME.height)
    given = Batch(batch(FRAME).arrow(), position, 17)
    result = prepared(backend, FRAME, LARGE)(given)
    assert result.position is not None
    assert (result.position.exact, result.ingest_ns) == (False, 17)


def test_what_is_brought_is_counted_once(backend: Any, machine: Any) -> None:
    segment, there = prepared(backend, FRAME, DOUBLED), batch(FRAME)
    assert segment.bring(there) == machine.log.uploads[0].bytes
    assert segment.bring(there) == 0
    assert segment.bring(batch(FRAME.clear())) == 0
    assert_frame_equal(segment(there).polars(), expected(FRAME, DOUBLED))
    assert brought(machine) == [("x",)]
    assert segment.passed == {name: name for name in FRAME.columns}


def test_a_batch_without_rows_stays_in_host_memory(backend: Any, machine: Any) -> None:
    empty = prepared(backend, FRAME, LARGE, DOUBLED)(batch(FRAME.clear()))
    assert_frame_equal(empty.polars(), expected(FRAME.clear(), LARGE, DOUBLED))
    assert machine.log.calls == []


def test_no_row_is_left(backend: Any) -> None:
    check(backend, FRAME, Filter.of(X > 100.0), DOUBLED)


def test_types_that_the_device_does_not_keep_come_back(backend: Any) -> None:
    frame = FRAME.select(
        at=pl.datetime_range(
            pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 6), "1d", time_zone="Europe/Berlin", eager=False
        ),
        s="s",
    )
    check(
        backend,
        frame,
        WithColumns.of(again=pl.col("s"), same=pl.coalesce("at", "at")),
        Filter.of(pl.col("s") != ""),
    )


# What the CPU does.


def test_a_value_in_doubt_is_computed_by_the_cpu(backend: Any) -> None:
    fits = WithColumns.of(b=pl.col("n").cast(pl.Int8))
    check(backend, FRAME, fits)
    segment = prepared(backend, FRAME, fits)
    with pytest.raises(pl.exceptions.InvalidOperationError, match="300"):
        segment(batch(FRAME.with_columns(n=pl.lit(300, pl.Int64))))


@pytest.mark.parametrize("number", range(1, 40))
def test_out_of_memory_at_any_call_loses_no_row(backend: Any, machine: Any, number: int) -> None:
    steps = (DOUBLED, Filter.of(pl.col("y") > 100.0), WithColumns.of(z=pl.col("y") - pl.col("x")))
    segment = prepared(backend, MANY, *steps)
    machine.fail_next(number)
    assert_frame_equal(segment(batch(MANY)).polars(), expected(MANY, *steps))


def test_a_batch_that_is_too_large_is_halved(
    backend: Any, machine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "arrowstream.gpu")
    large = pl.concat([MANY.select("x")] * 100)
    small = backend.with_settings(Settings(gpu_memory_pool_mb=4))
    result = prepared(small, large, DOUBLED, LARGE)(batch(large))
    assert_frame_equal(result.polars(), expected(large, DOUBLED, LARGE))
    assert "too large for the GPU, its halves are tried" in caplog.text
    assert len(machine.log.downloads) > 1
    assert machine.most_held <= 4 * 2**20


def test_few_rows_without_room_go_to_the_cpu(
    backend: Any, machine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    segment = prepared(backend, FRAME, DOUBLED)
    machine.fail_next(1)
    assert_frame_equal(segment(batch(FRAME)).polars(), expected(FRAME, DOUBLED))
    assert "the GPU could not compute a batch of 6 rows, the CPU does" in caplog.text


def test_three_failures_in_a_row_open_the_breaker(
    backend: Any, machine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    segment = prepared(backend, FRAME, DOUBLED)
    for number in range(breaker.FAILURES + 1):
        machine.log.clear()
        machine.fail_next(1)
        assert_frame_equal(segment(batch(FRAME)).polars(), expected(FRAME, DOUBLED))
        assert bool(machine.log.calls) == (number < breaker.FAILURES)
    assert "the GPU has failed 3 times in a row, the CPU goes on without it" in caplog.text


def test_a_batch_that_works_closes_the_count_of_failures(backend: Any, machine: Any) -> None:
    segment = prepared(backend, FRAME, DOUBLED)
    for _ in range(2 * breaker.FAILURES):
        machine.fail_next(1)
        segment(batch(FRAME))
        machine.log.clear()
        segment(batch(FRAME))
        assert machine.log.uploads


def test_an_error_of_cuda_goes_to_the_cpu(
    backend: Any, machine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    segment = prepared(backend, FRAME, DOUBLED)
    monkeypatch.setattr(machine.plc.Table, "from_arrow", fails)
    assert_frame_equal(segment(brought_there(segment)).polars(), expected(FRAME, DOUBLED))
    assert "illegal memory access" in caplog.text


def test_an_error_while_the_device_is_waited_for_goes_to_the_cpu(
    backend: Any, machine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    segment = prepared(backend, MANY, DOUBLED)
    machine.fail_next(1)
    monkeypatch.setattr(backend._device(), "synchronize", fails)
    assert_frame_equal(segment(batch(MANY)).polars(), expected(MANY, DOUBLED))
    assert "illegal memory access" in caplog.text


def test_a_device_that_cannot_be_opened(backend: Any, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Any:
        calls.append(1)
        raise RuntimeError("cudaErrorInsufficientDriver")

    calls: list[int] = []
    segment = prepared(type(backend)(broken), FRAME, DOUBLED)
    for _ in range(2):
        assert_frame_equal(segment(brought_there(segment)).polars(), expected(FRAME, DOUBLED))
    assert len(calls) == 1
    assert "the GPU cannot be opened, the CPU goes on without it: cudaErrorInsufficientDriver" in caplog.text


def test_a_download_without_room_is_halved(
    backend: Any, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = prepared(backend, FRAME, LARGE, DOUBLED)(batch(FRAME))
    download = machine.plc.Table.to_arrow

    def limited(table: Any, *arguments: Any, **options: Any) -> Any:
        if table.num_rows() > 1:
            raise MemoryError("no room for masks")
        return download(table, *arguments, **options)

    monkeypatch.setattr(machine.plc.Table, "to_arrow", limited)
    assert_frame_equal(result.polars(), expected(FRAME, LARGE, DOUBLED))


FAILURES = [RuntimeError("CUDA error: an illegal memory access"), MemoryError("no room")]
"""What is seen first when rows are to be brought back."""


def lose(machine: Any, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    """Let the device give nothing back any more."""

    def fails(*arguments: Any, **options: Any) -> Any:
        raise failure

    monkeypatch.setattr(machine.plc.Table, "to_arrow", fails)


@pytest.mark.parametrize("failure", FAILURES, ids=str)
@pytest.mark.parametrize(
    "steps", [(DOUBLED,), (LARGE, DOUBLED), (DOUBLED, LARGE, Select.of("s", "y"))], ids=len
)
def test_rows_that_the_device_cannot_give_back_are_computed_by_the_cpu(
    backend: Any,
    machine: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    steps: tuple[Expressions, ...],
    failure: Exception,
) -> None:
    """By all stages of the residence, from what came in; parts of the rows, too."""
    whole = expected(FRAME, *steps)
    stages = [prepared(backend, expected(FRAME, *steps[:n]), steps[n]) for n in range(len(steps))]
    result = batch(FRAME)
    for stage in stages:
        result = stage(result)
    halves = result.slice(0, 2), result.slice(2, 10)
    quarter = halves[1].slice(1, 1)
    assert not any(part.has("arrow") for part in (result, *halves, quarter))
    lose(machine, monkeypatch, failure)
    assert_frame_equal(result.polars(), whole)
    assert_frame_equal(pl.concat([part.polars() for part in halves]), whole)
    assert_frame_equal(quarter.polars(), whole[3:4])
    assert f"could not give back {whole.height} rows, the CPU computes them: {failure}" in caplog.text
    assert backend._device().breaker.is_open and all(stage.left_to_host for stage in stages)


def test_rows_of_which_the_cpu_cannot_make_anything_are_lost_with_the_device(
    backend: Any, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = prepared(backend, FRAME, DOUBLED)
    rows = replace(segment(batch(FRAME)).form("gpu"), steps=())
    lose(machine, monkeypatch, FAILURES[0])
    with pytest.raises(RuntimeError, match="illegal memory access"):
        Batch(rows).arrow()


def test_uploads_are_let_go_while_nothing_comes_back(backend: Any, machine: Any) -> None:
    segment = prepared(backend, MANY.select("x"), DOUBLED)
    for _ in range(100):
        segment(batch(MANY.select("x")))
    assert machine.most_held < 60 * MANY.height * 8


def test_what_was_brought_long_ago_is_kept_until_it_has_been_computed_with(backend: Any) -> None:
    gone = Select.of(y=X * 2.0)
    segment = prepared(backend, FRAME, gone)
    there = brought_there(segment)
    assert_frame_equal(segment(there).polars(), expected(FRAME, gone))
    result = segment(there)
    # Nothing else holds it now, and the device may not have computed yet: the fixture asks what the device minds.
    del there
    assert_frame_equal(result.polars(), expected(FRAME, gone))


# What the backend refuses.


def refused(backend: Any, frame: pl.DataFrame, *steps: Expressions) -> str:
    segment = segment_of(frame, *steps)
    found = backend.prepare(segment, lower(segment))
    assert isinstance(found, Refusal), found
    return str(found)


def test_refusals_say_why(backend: Any) -> None:
    assert "cat" in refused(backend, FRAME, WithColumns.of(c=pl.col("cat").cast(pl.String)))
    bare = backend.prepare(segment_of(FRAME, DOUBLED), Program(pa.schema([]), (), pa.schema([])))
    assert str(bare) == "rows without columns stay in host memory"
    off = backend.with_settings(Settings(gpu_memory_pool_mb=0))
    assert "gpu_memory_pool_mb is 0" in refused(off, FRAME, DOUBLED)
    lowered = Refusal(("not lowered",))
    assert backend.prepare(segment_of(FRAME, DOUBLED), lowered) is lowered


def test_settings_of_the_backend(backend: Any) -> None:
    other = backend.with_settings(Settings(gpu_batch_size=7, gpu_memory_pool_mb=3))
    assert (other.least_rows, backend.least_rows) == (7, 2_048)


def test_libraries_that_cannot_be_imported_are_a_refusal(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "arrowstream.gpu.program", None)
    assert "CUDA's libraries cannot be imported" in refused(backend, FRAME, DOUBLED)


def test_a_segment_says_what_it_reads(backend: Any) -> None:
    segment: DeviceSegment = prepared(backend, FRAME, DOUBLED, Filter.of(pl.col("y") > pl.col("n")))
    assert segment.reads == {"x", "n"}
