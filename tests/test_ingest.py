"""Rows from outside become batches of exactly one schema."""

from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from arrowstream.core.batch import Batch, arrow_schema
from arrowstream.core.ingest import batches_of, conform, fits, polars_schema, schema_of
from arrowstream.errors import SchemaError

FRAME = pl.DataFrame({"i": [1, None, 3], "s": ["a", None, "ü"], "l": [[1], [], None]})


class OnlyArray:
    """An object with nothing but the array half of the PyCapsule interface."""

    def __init__(self, record: pa.RecordBatch) -> None:
        self._record = record

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return self._record.__arrow_c_array__(requested_schema)


class OnlyStream:
    """An object with nothing but the stream half."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "data",
    [
        Batch(FRAME),
        FRAME,
        FRAME.to_arrow(),
        FRAME.to_arrow().combine_chunks().to_batches()[0],
        OnlyArray(FRAME.to_arrow().combine_chunks().to_batches()[0]),
        OnlyStream(FRAME.to_arrow()),
    ],
    ids=lambda data: type(data).__name__,
)
def test_every_arrow_like_object_gives_the_same_rows(data: Any) -> None:
    (batch,) = batches_of(data)
    assert schema_of(batch) == FRAME.schema
    assert batch.polars().equals(FRAME)
    assert batch.arrow().schema.equals(arrow_schema(FRAME.schema), check_metadata=True)


def test_other_arrow_types_of_the_same_values_are_taken_in() -> None:
    record = pa.RecordBatch.from_arrays(
        [pa.array(["a", None]), pa.array([1, 2], pa.timestamp("s"))], names=["s", "t"]
    )
    (batch,) = batches_of(record)
    assert schema_of(batch) == {"s": pl.String, "t": pl.Datetime("ms")}
    assert batch.arrow().schema.types == [pa.large_string(), pa.timestamp("ms")]


def test_metadata_of_a_schema_is_left_out() -> None:
    table = FRAME.to_arrow().replace_schema_metadata({"of": "somebody"})
    for data in (
        table,
        table.to_batches()[0],
        pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
    ):
        (batch,) = batches_of(data)
        assert batch.polars().equals(FRAME)
        assert batch.arrow().schema.metadata is None
    assert polars_schema(table.schema) == FRAME.schema


def test_pandas_comes_without_its_index() -> None:
    data = pd.DataFrame({"x": [1.5, 2.5]}, index=["a", "b"])
    (batch,) = batches_of(data)
    assert batch.polars().equals(pl.DataFrame({"x": [1.5, 2.5]}))


def test_a_stream_without_batches_still_tells_its_schema() -> None:
    words = pa.dictionary(pa.uint32(), pa.large_string())
    empty = pa.Table.from_batches([], schema=pa.schema({"x": pa.int16(), "w": words}))
    (batch,) = batches_of(empty)
    assert batch.num_rows == 0
    assert schema_of(batch) == pl.Schema({"x": pl.Int16, "w": pl.Categorical()})


def test_a_record_in_the_engines_types_is_taken_as_it_is() -> None:
    record = pa.RecordBatch.from_pydict({"x": pa.array([1, 2])})
    (batch,) = batches_of(record)
    assert batch.arrow() is record


def test_a_record_that_only_lacks_metadata_is_not_copied() -> None:
    record = pa.RecordBatch.from_arrays(
        [pa.array(["a", "b"]).cast(pa.large_string())],
        schema=pa.schema([pa.field("s", pa.large_string(), nullable=False, metadata={"k": "v"})]),
    )
    (batch,) = batches_of(record)
    assert batch.arrow().schema.equals(arrow_schema(pl.Schema({"s": pl.String})), check_metadata=True)
    assert batch.arrow()["s"].buffers()[2].address == record["s"].buffers()[2].address


@pytest.mark.parametrize("data", [{"x": [1]}, "text", 7, [1, 2]])
def test_what_is_no_frame_is_named(data: Any) -> None:
    with pytest.raises(SchemaError, match=type(data).__name__):
        next(batches_of(data))


@pytest.mark.parametrize("data", [pl.Series("x", [1]), pa.array([1]), pd.Series([1])])
def test_a_column_is_no_frame(data: Any) -> None:
    with pytest.raises(SchemaError, match=r"this is not a frame\n(.*\n)*.*it is one column"):
        next(batches_of(data))


def test_arrow_types_without_a_polars_form_are_named() -> None:
    schema = pa.schema({"x": pa.month_day_nano_interval()})
    with pytest.raises(SchemaError, match="x: month_day_nano_interval"):
        polars_schema(schema)


def test_polars_types_without_an_arrow_form_are_named() -> None:
    with pytest.raises(SchemaError, match="big: Int128"):
        arrow_schema(pl.Schema({"big": pl.Int128}))


def test_conform_leaves_a_fitting_batch_alone() -> None:
    batch = Batch(FRAME)
    assert conform(batch, FRAME.schema) is batch
    record = Batch(batch.arrow())
    assert conform(record, FRAME.schema) is record


def test_conform_reorders_and_widens() -> None:
    batch = Batch(pl.DataFrame({"b": [1], "a": [None]}, schema={"b": pl.Int8, "a": pl.Null}))
    schema = pl.Schema({"a": pl.String, "b": pl.Int64})
    assert (
        conform(batch, schema)
        .polars()
        .equals(pl.DataFrame({"a": [None], "b": [1]}, schema=schema), null_equal=True)
    )


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"a": [1]}), "b: String missing"),
        (pl.DataFrame({"a": [1], "b": ["x"], "c": [1]}), "c: Int64 unexpected"),
        (pl.DataFrame({"a": [1.5], "b": ["x"]}), "a: Float64 instead of Int16"),
        (pl.DataFrame({"a": [1 << 20], "b": ["x"]}), "conversion"),
    ],
)
def test_conform_names_what_does_not_fit(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        conform(Batch(frame), pl.Schema({"a": pl.Int16, "b": pl.String}))


SMALL_ENUM = pl.Enum(["x"])


@pytest.mark.parametrize(
    ("found", "expected", "allowed"),
    [
        (pl.Int8(), pl.UInt64(), True),
        (pl.Int32(), pl.Float64(), True),
        (pl.Int64(), pl.Float64(), False),
        (pl.Int8(), pl.String(), False),
        (pl.Float32(), pl.Float64(), True),
        (pl.Float64(), pl.Float32(), False),
        (pl.Float32(), pl.Int8(), False),
        (pl.String(), SMALL_ENUM, True),
        (SMALL_ENUM, pl.String(), True),
        (pl.Categorical(), pl.Int8(), False),
        (pl.Datetime("ms"), pl.Datetime("us"), True),
        (pl.Datetime("us"), pl.Datetime("ms"), False),
        (pl.Datetime("us"), pl.Datetime("ns"), False),
        (pl.Datetime("us"), pl.Datetime("us", "UTC"), False),
        (pl.Duration("ms"), pl.Duration("us"), True),
        (pl.Duration("ns"), pl.Duration("ms"), False),
        (pl.Boolean(), pl.Int8(), False),
    ],
)
def test_only_casts_that_lose_nothing_are_allowed(
    found: pl.DataType, expected: pl.DataType, allowed: bool
) -> None:
    assert fits(found, expected) is allowed


def test_allowed_casts_keep_extreme_values() -> None:
    frame = pl.DataFrame(
        {"t": [datetime(1, 1, 1), datetime(9999, 12, 31)], "d": [timedelta(days=-9), timedelta(days=9)]},
        schema={"t": pl.Datetime("ms"), "d": pl.Duration("ms")},
    )
    schema = pl.Schema({"t": pl.Datetime("us"), "d": pl.Duration("us")})
    assert conform(Batch(frame), schema).polars().rows() == frame.rows()
