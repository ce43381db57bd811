"""Delta tables in an object store."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from contexts import context
from delta_tables import numbers
from deltalake import DeltaTable
from stores import Store

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import SinkError, SourceError
from arrowstream.io.writer import BlockingWriter

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    store = Store()
    store.files.create_dir("lakes")
    yield store
    store.stop()


def test_a_table_in_a_store(store: Store, tmp_path: Path) -> None:
    url, options = "s3://lakes/deep/numbers/", store.options
    sink = Sink.to_delta(url, partition_by="k", storage_options=options)
    assert sink.label == "delta s3://lakes/deep/numbers (append, by k)" and "hunter2" not in repr(sink)
    rows = Source.from_frame(numbers(0, 1, 2).polars())
    Pipeline.builder("days").source(rows).sink(sink).build().run_sync(checkpoint=tmp_path)
    writer = sink.open(numbers().polars().schema, context("sink"))
    assert isinstance(writer, BlockingWriter)
    writer.write(numbers(3))
    writer.prepare(0)
    assert len([key for key in store.keys("lakes") if key.endswith(".parquet")]) == 4
    writer.abort()
    assert len([key for key in store.keys("lakes") if key.endswith(".parquet")]) == 3
    source = Source.from_delta(url, storage_options=options)
    assert sorted(Pipeline.builder().source(source).collect_sync().rows()) == [(0, "0"), (1, "1"), (2, "2")]
    table = DeltaTable(url, storage_options={**options, "aws_allow_http": "true"})
    owner = (tmp_path / "owner").read_text()
    assert table.transaction_version(f"{owner}/sink") == 1 and table.count() == 3


def test_a_store_that_refuses(store: Store) -> None:
    steps = Pipeline.builder().source(Source.from_frame(numbers(1).polars()))
    with pytest.raises(SinkError, match="the Delta table s3://lakes/denied cannot be written") as raised:
        store.fails = ("PUT POST", "denied", "AccessDenied")
        try:
            steps.sink(Sink.to_delta("s3://lakes/denied", storage_options=store.options)).build().run_sync()
        finally:
            store.fails = None
    assert "hunter2" not in str(raised.value)
    assert [key for key in store.keys("lakes") if "denied" in key] == []
    with pytest.raises(SourceError, match="there is no Delta table in s3://lakes/none"):
        Source.from_delta("s3://lakes/none", storage_options=store.options).schema()


def test_files_of_a_failed_run_are_removed_from_a_store(store: Store) -> None:
    def fail(frame: pl.DataFrame) -> pl.DataFrame:
        raise ValueError

    sink = Sink.to_delta("s3://lakes/failed", storage_options=store.options)
    other = Sink.to_fn(fail)
    steps = Pipeline.builder().source(Source.from_frame(numbers(1).polars()))
    with pytest.raises(SinkError):
        steps.sink(Sink.fanout([sink, other])).build().run_sync()
    assert [key for key in store.keys("lakes") if "failed" in key] == []
