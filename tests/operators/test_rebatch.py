"""`batch(rows=...)`: same rows, other cuts, no copies it can avoid."""

from collections.abc import Iterable
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from hypothesis import given

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch, Idle, Watermark
from arrowstream.core.position import Position
from arrowstream.errors import PlanError
from arrowstream.operators.base import Process, TimedProcess
from arrowstream.operators.rebatch import Rebatch

SCHEMA = pl.Schema({"x": pl.Int64})


def frames(sizes: list[int]) -> list[pl.DataFrame]:
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [
        pl.DataFrame({"x": range(start, start + size)}, schema=SCHEMA)
        for start, size in zip(starts, sizes, strict=True)
    ]


@given(sizes=st.lists(st.integers(0, 9), max_size=12), rows=st.integers(1, 12))
def test_all_batches_but_the_last_have_exactly_the_rows(sizes: list[int], rows: int) -> None:
    out: list[pa.RecordBatch] = []
    source = Source.from_frame(frames(sizes), schema=SCHEMA)
    Pipeline.builder().source(source).batch(rows=rows).sink(Sink.to_fn(out.append)).build().run_sync()
    assert [value for record in out for value in record["x"].to_pylist()] == list(range(sum(sizes)))
    assert all(record.num_rows == rows for record in out[:-1])
    assert all(0 < record.num_rows <= rows for record in out[-1:])


def test_rows_of_several_batches_know_where_each_came_from() -> None:
    process = Rebatch(rows=5).start(SCHEMA, context())
    assert isinstance(process, Process)
    parts = [
        Batch(frame, Position(origin, start, start + frame.height), start)
        for frame, origin, start in zip(frames([2, 2, 3]), "aab", (0, 2, 0), strict=True)
    ]
    found = [
        *process.process(parts[0]),
        *process.process(parts[1]),
        *process.process(parts[2]),
        *process.finish(),
    ]
    out = [batch for batch in found if isinstance(batch, Batch)]
    assert [batch.ingest_ns for batch in out] == [0, 0]
    places = [str(batch.slice(row, 1).position) for batch in out for row in range(batch.num_rows)]
    rows = [("a", 0), ("a", 1), ("a", 2), ("a", 3), ("b", 0), ("b", 1), ("b", 2)]
    assert places == [f"{origin} rows {row}-{row + 1}" for origin, row in rows]


def test_silence_of_the_source_is_told_behind_the_rows_unless_more_come() -> None:
    process = Rebatch(rows=4).start(SCHEMA, context())
    assert isinstance(process, Process)
    rows = Batch(frames([1])[0])
    assert list(process.on_idle()) == [Idle()]
    assert not [*process.process(rows), *process.on_watermark(1), *process.on_idle(), *process.on_idle()]
    second = Rebatch(rows=4).start(SCHEMA, context())
    assert isinstance(second, Process)
    second.restore(process.snapshot())
    assert list(second.finish())[1:] == [Watermark(1)]
    assert not [*process.process(rows), *process.on_idle(), *process.on_watermark(2), *process.on_idle()]
    assert list(process.finish())[1:] == [Watermark(2), Idle()]


def test_slices_share_memory() -> None:
    record = pa.RecordBatch.from_pydict({"x": pa.array(range(10))})
    process = Rebatch(4).start(SCHEMA, context())
    out = [*process.process(Batch(record)), *process.finish()]
    assert [batch.num_rows for batch in out] == [4, 4, 2]
    assert {batch.arrow()["x"].buffers()[1].address for batch in out} == {record["x"].buffers()[1].address}


@given(sizes=st.lists(st.integers(0, 5), max_size=8), rows=st.integers(1, 7), cut=st.integers(0, 8))
def test_a_snapshot_anywhere_continues_exactly(sizes: list[int], rows: int, cut: int) -> None:
    batches = [Batch(frame) for frame in frames(sizes) if frame.height]
    first = Rebatch(rows).start(SCHEMA, context())
    out = [part for batch in batches[:cut] for part in first.process(batch)]
    second = Rebatch(rows).start(SCHEMA, context())
    second.restore(first.snapshot())
    out += [part for batch in batches[cut:] for part in second.process(batch)]
    out += second.finish()
    assert [value for batch in out for value in batch.polars()["x"]] == list(range(sum(sizes)))
    assert all(batch.num_rows == rows for batch in out[:-1])


def numbered(rows: int, start: int = 0) -> Batch:
    return Batch(pl.DataFrame({"x": range(start, start + rows)}, schema=SCHEMA))


def shapes(elements: Iterable[Any]) -> list[Any]:
    """Batches as their values, marks as their time."""
    return [
        item.polars()["x"].to_list() if isinstance(item, Batch) else f"mark {item.time_us}"
        for item in elements
    ]


def test_a_mark_waits_for_the_rows_before_it() -> None:
    process = Rebatch(3).start(SCHEMA, context())
    assert shapes(process.on_watermark(1)) == ["mark 1"]
    assert shapes(process.process(numbered(2))) == []
    assert shapes([*process.on_watermark(2), *process.on_watermark(3)]) == []
    assert shapes(process.process(numbered(2, 2))) == [[0, 1, 2], "mark 3"]
    assert shapes(process.on_watermark(4)) == []
    assert shapes(process.process(numbered(1, 4))) == []
    assert shapes(process.on_watermark(5)) == []
    assert shapes(process.process(numbered(1, 5))) == [[3, 4, 5], "mark 5"]
    assert shapes(process.process(numbered(1, 6))) == []
    assert shapes(process.on_watermark(6)) == []
    assert shapes(process.finish()) == [[6], "mark 6"]
    assert shapes(process.finish()) == []


@given(
    steps=st.lists(st.integers(0, 5) | st.just(-1), max_size=12),
    rows=st.integers(1, 7),
    cut=st.integers(0, 12),
)
def test_marks_never_overtake_rows_even_over_a_snapshot(steps: list[int], rows: int, cut: int) -> None:
    process, number, out = Rebatch(rows).start(SCHEMA, context()), 0, list[Any]()
    for place, step in enumerate(steps):
        if place == cut:
            state, process = process.snapshot(), Rebatch(rows).start(SCHEMA, context())
            process.restore(state)
        if step < 0:
            out += shapes(process.on_watermark(number))
        else:
            out += shapes(process.process(numbered(step, number)))
            number += step
    out += shapes(process.finish())
    seen, marks = list[int](), list[int]()
    for item in out:
        if isinstance(item, str):
            marks.append(int(item.removeprefix("mark ")))
            assert len(seen) >= marks[-1]
        else:
            seen += item
    assert seen == list(range(number))
    assert marks == sorted(marks)
    # The last one is never lost.
    last = max((place for place, step in enumerate(steps) if step < 0), default=None)
    assert marks[-1:] == ([] if last is None else [sum(step for step in steps[:last] if step > 0)])


@given(
    sizes=st.lists(st.integers(0, 30), max_size=10),
    rows=st.none() | st.integers(1, 12),
    most=st.integers(1, 12),
)
def test_bytes_and_rows_both_limit(sizes: list[int], rows: int | None, most: int) -> None:
    process = Rebatch(rows, nbytes=8 * most).start(SCHEMA, context())
    out = [part for frame in frames(sizes) for part in process.process(Batch(frame))]
    out += process.finish()
    limit = min(most, rows or most)
    assert [batch.num_rows for batch in out[:-1]] == [limit] * (len(out) - 1)
    assert [value for batch in out for value in batch.polars()["x"]] == list(range(sum(sizes)))


def test_a_row_larger_than_the_limit_passes_alone() -> None:
    process = Rebatch(nbytes=3).start(SCHEMA, context())
    assert shapes(process.process(numbered(2))) == [[0], [1]]


def test_rows_of_other_sizes_end_a_batch_before_it_is_too_large() -> None:
    schema = pl.Schema({"x": pl.Binary})
    process = Rebatch(nbytes=100).start(schema, context())
    small, large = (
        pa.RecordBatch.from_pydict({"x": pa.array([b"." * n], pa.large_binary())}) for n in (9, 90)
    )
    assert list(process.process(Batch(small))) == []
    assert [batch.num_rows for batch in process.process(Batch(large))] == [1, 1]


def test_bytes_of_slices_share_memory() -> None:
    record = pa.RecordBatch.from_pydict({"x": pa.array(range(10))})
    process = Rebatch(nbytes=32).start(SCHEMA, context())
    out = [*process.process(Batch(record)), *process.finish()]
    assert [batch.num_rows for batch in out] == [4, 4, 2]
    assert {batch.arrow()["x"].buffers()[1].address for batch in out} == {record["x"].buffers()[1].address}


def timed(operator: Rebatch) -> TimedProcess:
    process = operator.start(SCHEMA, context())
    assert isinstance(process, TimedProcess)
    return process


def test_no_row_waits_longer_than_the_delay() -> None:
    process = timed(Rebatch(3, max_delay="50ms"))
    assert process.deadline_ns is None
    process.set_time(7)
    assert shapes(process.process(numbered(1))) == []
    process.set_time(20_000_000)
    assert shapes(process.process(numbered(1, 1))) == []
    assert shapes(process.on_watermark(1)) == []
    assert process.deadline_ns == 50_000_007
    process.set_time(50_000_006)
    assert shapes(process.on_timer(50_000_006)) == []
    process.set_time(50_000_007)
    assert shapes(process.on_timer(50_000_007)) == [[0, 1], "mark 1"]
    assert process.deadline_ns is None
    assert shapes(process.on_timer(60_000_000)) == []
    # What is left over of a batch has waited since that came.
    process.set_time(60_000_000)
    assert shapes(process.process(numbered(4, 2))) == [[2, 3, 4]]
    assert process.deadline_ns == 110_000_000
    assert process.accepts_input


def test_restored_rows_have_waited_long_enough() -> None:
    first, second = timed(Rebatch(max_delay="1s")), timed(Rebatch(max_delay="1s"))
    first.set_time(10**12)
    assert shapes(first.process(numbered(2))) == []
    second.restore(first.snapshot())
    assert second.deadline_ns == 10**9
    second.set_time(10**13)
    assert shapes(second.on_timer(10**13)) == [[0, 1]]


def test_rows_that_take_no_bytes_are_no_reason_to_cut() -> None:
    nothing = pl.DataFrame({"x": pl.Series([None] * 5, dtype=pl.Null)})
    process = Rebatch(nbytes=9).start(nothing.schema, context())
    out = [*process.process(Batch(nothing)), *process.process(Batch(nothing)), *process.finish()]
    assert [part.num_rows for part in out if isinstance(part, Batch)] == [10]


def test_limits_must_be_there_and_positive() -> None:
    with pytest.raises(PlanError, match="at least 1"):
        Rebatch(0)
    with pytest.raises(PlanError, match="at least 1"):
        Rebatch(nbytes=0)
    with pytest.raises(PlanError, match="no limit"):
        Rebatch()
    with pytest.raises(PlanError, match="not a duration"):
        Rebatch(max_delay="soon")


def test_text() -> None:
    assert Rebatch(2048).describe() == "batch(rows=2048)"
    assert Rebatch(nbytes=9, max_delay="50ms").describe() == "batch(nbytes=9, max_delay=50ms)"
