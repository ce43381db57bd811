"""Rows from outside become batches of exactly one schema."""

import io
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch
from arrowstream.core.ingest import batches_of, conform, fits, schema_of
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.arrow_types import polars_schema
from arrowstream.core.rows.pandas_frames import from_pandas
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


@pytest.mark.parametrize("metadata", [{"of": "somebody"}, {}])
def test_metadata_of_a_schema_is_left_out(metadata: dict[str, str]) -> None:
    table = FRAME.to_arrow().cast(pa.schema(FRAME.to_arrow().schema, metadata=metadata))
    assert table.schema.metadata is not None
    for data in (
        table,
        table.to_batches()[0],
        pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
    ):
        (batch,) = batches_of(data)
        assert batch.polars().equals(FRAME)
        assert not batch.arrow().schema.metadata
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


def test_a_lazy_frame_is_to_be_collected() -> None:
    with pytest.raises(SchemaError, match=r"polars.*LazyFrame\n  hint: call .collect\(\)"):
        next(batches_of(pl.LazyFrame({"x": [1]})))


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
        (pl.Int64(), pl.Float64(), True),
        (pl.Int8(), pl.String(), False),
        (pl.Float32(), pl.Float64(), True),
        (pl.Float64(), pl.Float32(), False),
        (pl.Float32(), pl.Int8(), False),
        (pl.String(), SMALL_ENUM, True),
        (SMALL_ENUM, pl.String(), True),
        (pl.Categorical(), pl.Int8(), False),
        (pl.Datetime("ms"), pl.Datetime("us"), True),
        (pl.Datetime("us"), pl.Datetime("ms"), False),
        (pl.Datetime("us"), pl.Datetime("ns"), True),
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


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64])
def test_whole_numbers_become_floats_where_none_is_rounded(dtype: Any) -> None:
    schema = pl.Schema({"a": pl.Float64, "b": pl.String})
    exact = pl.DataFrame(
        {"a": [0, 1 << 53, 1 << 62, None], "b": ["x"] * 4}, schema={"a": dtype, "b": pl.String}
    )
    fitted = conform(Batch(exact), schema).polars()
    assert fitted["a"].to_list() == [0.0, 2.0**53, 2.0**62, None]
    for value in ((1 << 53) + 1, (1 << 63) - 1):
        frame = exact.with_columns(a=pl.Series([0, value, 0, None], dtype=dtype))
        with pytest.raises(SchemaError, match=f"a: {dtype()} instead of Float64"):
            conform(Batch(frame), schema)


def test_chunks_whose_type_drifts_are_unified_by_the_schema() -> None:
    chunks = pd.read_csv(io.StringIO("a\n1\n2\n3.5\n4\n\n6"), chunksize=2, skip_blank_lines=False)
    source = Source.from_frame(chunks, schema={"a": pl.Float64})
    assert Pipeline.builder().source(source).collect_sync()["a"].to_list() == [1, 2, 3.5, 4, None, 6]
    rounded = Source.from_frame(iter([pd.DataFrame({"a": [1.5]})]), schema={"a": pl.Int64})
    with pytest.raises(SchemaError, match="a: Float64 instead of Int64"):
        Pipeline.builder().source(rounded).collect_sync()


def test_times_become_finer_where_they_fit() -> None:
    schema = pl.Schema({"t": pl.Datetime("ns")})
    frame = pl.DataFrame({"t": [datetime(2024, 1, 1), None]})
    assert conform(Batch(frame), schema).polars()["t"].to_list() == frame["t"].to_list()
    with pytest.raises(SchemaError, match="conversion"):
        conform(Batch(pl.DataFrame({"t": [datetime(9999, 1, 1)]})), schema)


NUMBERS = [1, 2]


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ([1, "x"], "astype"),
        ([1j, 2j], "imaginary"),
        (pd.arrays.SparseArray([0, 1]), "to_dense"),
        ([object(), object()], "astype"),
    ],
)
def test_pandas_columns_that_cannot_be_taken_in_are_named(values: Any, hint: str) -> None:
    frame = pd.DataFrame({"id": NUMBERS, "code": values})
    with pytest.raises(SchemaError, match="column 'code' of a pandas frame") as raised:
        Source.from_frame(frame)
    assert hint in (raised.value.hint or "")
    assert "id" not in (raised.value.found or "").split()


def test_pandas_columns_of_one_name_are_named() -> None:
    with pytest.raises(SchemaError, match="several columns of a pandas frame are called 'a'"):
        Source.from_frame(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_pandas_frame_that_is_refused_as_a_whole_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: Any) -> pl.DataFrame:
        if data.shape[1] > 1:
            raise ValueError("too wide\nfor this")
        return pl.DataFrame()

    monkeypatch.setattr(pl, "from_pandas", refuse)
    with pytest.raises(SchemaError, match=r"a pandas frame cannot be taken in\n.*\n  found: too wide$"):
        from_pandas(pd.DataFrame({"a": NUMBERS, "b": NUMBERS}))
    monkeypatch.setattr(pl, "from_pandas", lambda data: (_ for _ in ()).throw(ValueError("odd")))
    with pytest.raises(SchemaError, match="convert the column first"):
        from_pandas(pd.DataFrame({"a": NUMBERS}))


@pytest.mark.parametrize("dtype", [pl.Int128(), pl.Object(), pl.Decimal(50, 2), pl.Array(pl.Int8, 0)])
def test_only_the_columns_without_an_arrow_form_are_named(dtype: pl.DataType) -> None:
    with pytest.raises(SchemaError) as raised:
        arrow_schema(pl.Schema({"good": pl.Int64(), "bad": dtype}))
    assert raised.value.found == f"bad: {dtype}"
