"""`batch(rows=...)`: same rows, other cuts, no copies it can avoid."""

import hypothesis.strategies as st
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given

from arrowstream import Pipeline, Sink, Source
from arrowstream.batch import Batch, Watermark
from arrowstream.errors import PlanError
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


def test_slices_share_memory() -> None:
    record = pa.RecordBatch.from_pydict({"x": pa.array(range(10))})
    process = Rebatch(4).start(SCHEMA)
    out = [*process.process(Batch(record)), *process.finish()]
    assert [batch.num_rows for batch in out] == [4, 4, 2]
    assert {batch.arrow()["x"].buffers()[1].address for batch in out} == {record["x"].buffers()[1].address}


@given(sizes=st.lists(st.integers(0, 5), max_size=8), rows=st.integers(1, 7), cut=st.integers(0, 8))
def test_a_snapshot_anywhere_continues_exactly(sizes: list[int], rows: int, cut: int) -> None:
    batches = [Batch(frame) for frame in frames(sizes) if frame.height]
    first = Rebatch(rows).start(SCHEMA)
    out = [part for batch in batches[:cut] for part in first.process(batch)]
    second = Rebatch(rows).start(SCHEMA)
    second.restore(first.snapshot())
    out += [part for batch in batches[cut:] for part in second.process(batch)]
    out += second.finish()
    assert [value for batch in out for value in batch.polars()["x"]] == list(range(sum(sizes)))
    assert all(batch.num_rows == rows for batch in out[:-1])


def test_watermarks_owe_nothing() -> None:
    assert list(Rebatch(4).start(SCHEMA).on_watermark(1)) == [Watermark(1)]


def test_rows_must_be_positive() -> None:
    with pytest.raises(PlanError, match="at least 1"):
        Rebatch(0)


def test_text() -> None:
    assert Rebatch(2048).describe() == "batch(rows=2048)"
