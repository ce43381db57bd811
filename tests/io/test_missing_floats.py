"""Formats without NaN and infinity: what a sink writes as null is counted, and the report says so."""

import asyncio
import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka_writers import consumed, plain_sink
from polars.testing import assert_frame_equal
from servers.embedded_kafka import EmbeddedKafka
from servers.topics import new_topic
from stores import Store
from tcp_ends import Server

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SinkError, UndeliveredRows
from arrowstream.io.sink import JsonPart, SinkSpec
from arrowstream.io.writer import Writer
from arrowstream.runtime.endpoints.missing_floats import non_finite
from arrowstream.testing import TestSink

NAN, INF = math.nan, math.inf
ROWS = pl.DataFrame(
    {
        "n": range(4),
        "x": [1.0, NAN, None, INF],
        "small": pl.Series([0.5, -INF, 1.5, 2.5], dtype=pl.Float32),
        "list": [[NAN, 1.0], [], None, [2.0]],
        "pair": pl.Series([[1.0, INF], None, [0.0, 0.0], [NAN, NAN]], dtype=pl.Array(pl.Float64, 2)),
        "deep": [{"a": [{"b": NAN}]}, None, {"a": None}, {"a": [{"b": 1.0}, {"b": None}]}],
    }
)
COUNT = 8
"""Values of `ROWS` that are NaN or infinite."""


def run(rows: pl.DataFrame, sink: Any, *, batch_rows: int = 2, **options: Any) -> Any:
    source = Source.from_frame(rows, batch_rows=batch_rows)
    return Pipeline.builder().source(source).sink(sink).build().run_sync(**options)


def noted(count: int, column: str, label: str) -> str:
    return f"lost: {count} values of NaN or infinity written as null, first in column {column!r} of {label}"


@pytest.mark.parametrize("checkpoints", [False, True])
@pytest.mark.parametrize("name", ["x.ndjson", "x.ndjson.gz", "parts/"])
def test_ndjson_files(tmp_path: Path, name: str, checkpoints: bool) -> None:
    sink = Sink.to_file(f"{tmp_path}/{name}", format="ndjson")
    if checkpoints and name.endswith(".gz"):
        sink = Sink.to_file(f"{tmp_path}/{name}/", format="ndjson", compression="gzip")
    options = {"checkpoint": tmp_path / "state"} if checkpoints else {}
    assert run(ROWS, sink, **options).losses == noted(COUNT, "x", sink.label)
    found = Pipeline.builder().source(Source.from_file(sink.path, format="ndjson", schema=ROWS.schema))
    assert [sum(map(non_finite, rows)) for rows in [found.collect_sync()]] == [0]
    assert found.collect_sync()["x"].null_count() == 3


def test_json_arrays(tmp_path: Path) -> None:
    report = run(ROWS.select("n", "pair", "x"), sink := Sink.to_file(tmp_path / "x.json"))
    assert report.losses == noted(5, "pair", sink.label)
    assert json.loads((tmp_path / "x.json").read_text())[0]["pair"] == [1.0, None]


def test_sorted_rows_and_columns_in_the_names_of_folders(tmp_path: Path) -> None:
    sink = Sink.to_file(tmp_path, format="ndjson", partition_by=["n"], sort_by="x")
    assert run(ROWS.select("n", "x"), sink).losses == noted(2, "x", sink.label)


@pytest.mark.once
@pytest.mark.parametrize("is_folder", [False, True])
def test_objects_of_a_store(is_folder: bool) -> None:
    store = Store()
    try:
        store.files.create_dir("bucket")
        url = f"s3://bucket/{'parts/' if is_folder else 'x.ndjson'}"
        sink = Sink.to_file(url, format="ndjson", storage_options=store.options)
        assert run(ROWS, sink).losses == noted(COUNT, "x", sink.label)
    finally:
        store.stop()


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.csv", "x.avro"])
def test_other_files_hold_them(tmp_path: Path, name: str) -> None:
    rows = ROWS.select("n", "x", "small")
    assert run(rows, Sink.to_file(tmp_path / name)).losses is None
    read = Pipeline.builder().source(Source.from_file(tmp_path / name, schema=rows.schema)).collect_sync()
    assert_frame_equal(read, rows)


@pytest.mark.once
@pytest.mark.parametrize("address", ["duckdb:///{}/x.db", "sqlite:///{}/x.db"])
def test_databases_hold_them_or_fail(tmp_path: Path, address: str) -> None:
    sink = Sink.to_database(address.format(tmp_path), "t")
    rows = ROWS.select("n", pl.col("x").fill_nan(None), "small")
    assert run(rows, sink).losses is None
    with pytest.raises(SinkError, match="cannot hold a value") if "sqlite" in address else nullcontext():
        assert run(ROWS.select("n", "x", "small"), sink).losses is None


@pytest.mark.once
@pytest.mark.parametrize("batch_rows", [2, 100_000])
def test_messages_over_tcp(batch_rows: int) -> None:
    async def sent() -> str | None:
        async with Server() as server:
            sink = Sink.to_tcp(server.address)
            source = Source.from_frame(rows, batch_rows=batch_rows)
            report = await Pipeline.builder().source(source).sink(sink).build().run()
            return report.losses and report.losses.replace(sink.label, "it")

    rows = ROWS if batch_rows == 2 else pl.concat([ROWS] * 1_000)
    assert asyncio.run(sent()) == noted(COUNT if batch_rows == 2 else 8_000, "x", "it").replace(
        "8000", "8,000"
    )


@pytest.mark.once
def test_values_of_kafka_records(embedded_kafka: EmbeddedKafka) -> None:
    rows = ROWS.select("n", "x", "small", gone=pl.col("n") == 1)
    topic = new_topic(embedded_kafka.address, 1)
    sink = plain_sink(embedded_kafka.address, topic, tombstone="gone", value=["n", "x"])
    assert run(rows, sink).losses == noted(1, "x", sink.label).replace("values", "value")
    [first, gone, _, last] = (record.value for record in consumed(embedded_kafka.address, topic, 4))
    assert first == b'{"n":0,"x":1.0}' and gone is None and last == b'{"n":3,"x":null}'
    whole = plain_sink(embedded_kafka.address, new_topic(embedded_kafka.address, 1))
    assert run(ROWS.select("n", "x"), whole).losses == noted(2, "x", whole.label)
    raw = plain_sink(embedded_kafka.address, new_topic(embedded_kafka.address, 1), format="csv")
    assert run(ROWS.select("n", "x"), raw).losses is None


@pytest.mark.once
def test_dead_letters_and_late_rows_are_counted_where_they_are_written(tmp_path: Path) -> None:
    def fail(rows: pl.DataFrame) -> pl.DataFrame:
        raise ValueError("no")

    letters = Sink.to_file(tmp_path / "failed.ndjson")
    source = Pipeline.builder().source(Source.from_frame(ROWS.select("n", "x"), batch_rows=2))
    builder = source.flat_map(fail, schema={"n": pl.Int64}).on_error(ErrorHandler.dead_letter(letters))
    report = builder.sink(TestSink()).build().run_sync()
    assert report.losses is not None and report.losses.endswith(noted(2, "x", letters.label)[6:])


class Picky(SinkSpec, Writer):
    """A JSON sink that refuses the rows 1 and 2 of each batch once, and fails at the first write."""

    label, guarantee = "picky", "none"

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.refused = False

    def check(self, schema: pl.Schema) -> None:
        pass

    def json_part(self, schema: pl.Schema) -> JsonPart | None:
        return lambda rows: rows

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        return self

    async def write(self, batch: Batch) -> None:
        if self.fails:
            self.fails = False
            raise OSError("broken")
        if not self.refused:
            self.refused = True
            raise UndeliveredRows("refused", parts=[(1, 2, "why")], found="why")

    async def abort(self) -> None:
        pass


@pytest.mark.once
def test_rows_that_come_again_are_counted_once() -> None:
    rows = pl.DataFrame({"x": [NAN] * 5})
    sink = Picky(fails=True)
    report = run(rows, sink.on_error(ErrorHandler.retry(3, "1ms")), batch_rows=5)
    assert report.losses == noted(5, "x", "picky")
    report = run(rows, Picky().on_error(ErrorHandler.skip()), batch_rows=5)
    assert [note.count for note in report.notes] == [3]


def test_finite_floats_are_no_loss(tmp_path: Path) -> None:
    rows = pl.DataFrame({"x": [1.0, None], "l": [[], [2.5]]})
    assert run(rows, Sink.to_file(tmp_path / "x.ndjson")).losses is None


FLOATS = st.floats(width=64) | st.none()


@given(
    st.lists(st.none() | st.lists(st.none() | st.fixed_dictionaries({"a": FLOATS, "b": st.integers(0, 3)})))
)
def test_the_count_is_that_of_the_values(values: list[Any]) -> None:
    dtype = pl.List(pl.Struct({"a": pl.Float64, "b": pl.Int64}))
    expected = sum(
        each["a"] is not None and not math.isfinite(each["a"])
        for value in values
        for each in value or ()
        if each is not None
    )
    column = pl.Series(values, dtype=dtype)
    assert non_finite(column) == expected
    cut = len(values) // 2
    assert non_finite(column[:cut]) + non_finite(column[cut:]) == expected
