"""Rows into Iceberg tables, as pyiceberg and Polars read them."""

import datetime as dt
import os
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context
from delta_tables import write
from iceberg_tables import (
    TABLE,
    catalog_of,
    changing,
    exists,
    orphans,
    read,
    rows_of,
    snapshots,
    source_of,
    table_of,
    to,
)
from polars.testing import assert_frame_equal
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import PyArrowFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import CreateTableTransaction, Table, Transaction
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    VoidTransform,
    YearTransform,
)
from pyiceberg.types import DateType, LongType, NestedField, StringType, TimestampType, TimestamptzType
from sqlalchemy.exc import IntegrityError, OperationalError

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError, SchemaError, SinkError, StageError
from arrowstream.io.iceberg import commits
from arrowstream.io.iceberg.data_files import DataFileWriter
from arrowstream.io.iceberg.durable_files import DurableFile, DurableFiles
from arrowstream.io.iceberg.location import IcebergLocation
from arrowstream.io.lake import extra, gathered_files

pytestmark = pytest.mark.once

ROWS = pl.DataFrame({"k": ["a", "b", None], "x": [1, 2, 3]})
NOON = dt.datetime(2026, 1, 31, 12, 0, 0, 5)
LARGE = 2**63 - 1

TYPES: list[tuple[pl.DataType, list[Any], pl.DataType, str]] = [
    (pl.Int8(), [-128, 127], pl.Int32(), "int"),
    (pl.Int16(), [-(2**15), 2**15 - 1], pl.Int32(), "int"),
    (pl.Int32(), [-(2**31), 2**31 - 1], pl.Int32(), "int"),
    (pl.Int64(), [-(2**63), LARGE], pl.Int64(), "long"),
    (pl.UInt8(), [0, 255], pl.Int32(), "int"),
    (pl.UInt16(), [0, 2**16 - 1], pl.Int32(), "int"),
    (pl.UInt32(), [0, 2**32 - 1], pl.Int64(), "long"),
    (pl.UInt64(), [0, 2**64 - 1], pl.Decimal(20, 0), "decimal(20, 0)"),
    (pl.Float32(), [0.1, float("inf")], pl.Float32(), "float"),
    (pl.Float64(), [0.1, -0.0], pl.Float64(), "double"),
    (pl.Boolean(), [True, False], pl.Boolean(), "boolean"),
    (pl.String(), ["", "a\0'\n"], pl.String(), "string"),
    (pl.Categorical(), ["u", "v"], pl.String(), "string"),
    (pl.Enum(["u", "v"]), ["v", "u"], pl.String(), "string"),
    (pl.Binary(), [b"", b"\0\xff"], pl.Binary(), "binary"),
    (pl.Date(), [dt.date(1, 1, 1), dt.date(9999, 12, 31)], pl.Date(), "date"),
    (pl.Time(), [dt.time(0), dt.time(23, 59, 59, 999_999)], pl.Time(), "time"),
    (pl.Datetime("us"), [NOON, dt.datetime(1, 1, 1)], pl.Datetime("us"), "timestamp"),
    (pl.Datetime("ms"), [NOON.replace(microsecond=0), None], pl.Datetime("us"), "timestamp"),
    (pl.Datetime("ns"), [NOON, None], pl.Datetime("us"), "timestamp"),
    (pl.Datetime("us", "UTC"), [NOON, None], pl.Datetime("us", "UTC"), "timestamptz"),
    (
        pl.Datetime("ms", "Asia/Tokyo"),
        [NOON.replace(microsecond=0), None],
        pl.Datetime("us", "UTC"),
        "timestamptz",
    ),
    (pl.Decimal(38, 10), [Decimal("1.5"), Decimal("-0.0000000001")], pl.Decimal(38, 10), "decimal(38, 10)"),
    (pl.List(pl.UInt8()), [[1, None], []], pl.List(pl.Int32()), "list<int>"),
    (pl.Array(pl.String(), 2), [["a", "b"], None], pl.List(pl.String()), "list<string>"),
    (
        pl.Struct({"a": pl.Int64(), "b": pl.List(pl.Struct({"c": pl.Date()}))}),
        [{"a": 1, "b": [{"c": dt.date(2026, 1, 1)}]}, {"a": None, "b": []}],
        pl.Struct({"a": pl.Int64(), "b": pl.List(pl.Struct({"c": pl.Date()}))}),
        "struct<",
    ),
]


def test_every_type_comes_back_with_its_values(tmp_path: Path) -> None:
    columns = {
        f"c{number}": pl.Series(values, dtype=dtype) for number, (dtype, values, _, _) in enumerate(TYPES)
    }
    rows = pl.DataFrame(columns)
    rows = pl.concat([rows, rows.clear(1)])
    write(to(tmp_path), rows)
    stored = {f"c{number}": dtype for number, (_, _, dtype, _) in enumerate(TYPES)}
    expected = rows.select(pl.col(name).cast(dtype) for name, dtype in stored.items())
    assert_frame_equal(rows_of(tmp_path), expected)
    assert_frame_equal(read(tmp_path), expected)
    found = [str(field.field_type) for field in table_of(tmp_path).schema().fields]
    assert all(text.startswith(name) for text, (*_, name) in zip(found, TYPES, strict=True))
    # The table takes rows of its own types, and those that it stores in the same way.
    write(to(tmp_path), rows)
    write(to(tmp_path), expected)
    assert_frame_equal(rows_of(tmp_path), pl.concat([expected] * 3), check_row_order=False)


@pytest.mark.parametrize(
    ("dtype", "hint"),
    [
        (pl.Duration(), "total_microseconds"),
        (pl.Null(), "cast"),
        (pl.List(pl.Datetime("ns")), "Datetime"),
        (pl.Struct({"a": pl.Time()}), "cast"),
        (pl.Struct({}), "cast"),
    ],
)
def test_a_type_that_iceberg_lacks_is_refused(dtype: pl.DataType, hint: str, tmp_path: Path) -> None:
    steps = Pipeline.builder().source(Source.from_frame(pl.DataFrame(schema={"y": pl.Int64, "x": dtype})))
    with pytest.raises(SchemaError, match="an Iceberg table cannot store the column 'x'") as raised:
        steps.sink(to(tmp_path)).build()
    assert hint in (raised.value.hint or "") and raised.value.found == str(dtype)


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        (pl.Series([1001], dtype=pl.Datetime("ns")), "whole microseconds"),
        (pl.Series([1001], dtype=pl.Time()), "whole microseconds"),
        (pl.Series([LARGE // 1000 + 1], dtype=pl.Datetime("ms")), "microseconds can count"),
    ],
)
def test_a_value_that_would_change_is_refused(series: pl.Series, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot hold a value of the column 'x'") as raised:
        write(to(tmp_path), pl.DataFrame({"x": series}))
    assert reason in (raised.value.expected or "")
    assert not exists(tmp_path)


SPECIAL = ["a b", "ü/é=%x%20", None, "q:?*#&+'\"", "..", "", "{}", "nul\0", "\n"]


def test_partitions_of_any_text(tmp_path: Path) -> None:
    rows = pl.DataFrame({"x": range(18), "k": SPECIAL * 2, "n": [1, None, 3] * 6})
    write(to(tmp_path, partition_by=["k", "n"]), rows[:10], rows[10:])
    for found in (rows_of(tmp_path), read(tmp_path)):
        assert_frame_equal(found, rows, check_row_order=False)
    partitions: Any = table_of(tmp_path).inspect.partitions()
    assert partitions.num_rows == 9
    # A table that exists has its own partitions.
    write(to(tmp_path), rows)
    write(to(tmp_path, partition_by=["k", "n"]), rows)
    assert rows_of(tmp_path).height == 54
    with pytest.raises(SchemaError, match="has other partitions"):
        write(to(tmp_path, partition_by="k"), rows)


def test_partitions_of_every_type(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {
            "x": [1, 2, 3],
            "day": [dt.date(2026, 1, 1), dt.date(1, 1, 1), None],
            "flag": [True, False, None],
            "tiny": pl.Series([1, 2, 3], dtype=pl.UInt8),
            "word": pl.Series(["a", "b", "a"], dtype=pl.Categorical),
        }
    )
    write(to(tmp_path, partition_by=["day", "flag", "tiny", "word"]), rows)
    expected = rows.cast({"tiny": pl.Int32, "word": pl.String})
    for found in (rows_of(tmp_path), read(tmp_path)):
        assert_frame_equal(found.sort("x"), expected)
    for field, value in (("day", "'0001-01-01'"), ("flag", "false"), ("tiny", "2"), ("word", "'b'")):
        [task] = table_of(tmp_path).scan(row_filter=f"{field} = {value}").plan_files()
        assert task.file.record_count == 1


TIMED = PartitionSpec(
    PartitionField(2, 1000, YearTransform(), "y"),
    PartitionField(3, 1001, MonthTransform(), "m"),
    PartitionField(4, 1002, DayTransform(), "d"),
    PartitionField(5, 1003, HourTransform(), "h"),
    PartitionField(1, 1004, VoidTransform(), "v"),
    PartitionField(1, 1005, IdentityTransform(), "i"),
)


def test_partitions_by_parts_of_times(tmp_path: Path) -> None:
    """The values are those that pyiceberg computes of each row."""
    schema = Schema(
        NestedField(1, "x", LongType(), required=False),
        NestedField(2, "year", TimestampType(), required=False),
        NestedField(3, "month", DateType(), required=False),
        NestedField(4, "day", TimestamptzType(), required=False),
        NestedField(5, "hour", TimestampType(), required=False),
    )
    with catalog_of(tmp_path) as catalog:
        catalog.create_namespace("shop")
        catalog.create_table(TABLE, schema, partition_spec=TIMED)
    times = [dt.datetime(1969, 12, 31, 23, 30), dt.datetime(1, 1, 1), NOON, dt.datetime(2024, 2, 29), None]
    rows = pl.DataFrame({"x": range(5), "at": pl.Series(times, dtype=pl.Datetime("us"))}).select(
        "x",
        year="at",
        month=pl.col("at").cast(pl.Date),
        day=pl.col("at").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"),
        hour="at",
    )
    write(to(tmp_path), rows)
    stored = rows.with_columns(pl.col("day").dt.convert_time_zone("UTC"))
    assert_frame_equal(rows_of(tmp_path).sort("x"), stored)
    tasks: Any = table_of(tmp_path).scan().plan_files()
    found = {tuple(task.file.partition) for task in tasks}
    sources = [schema.find_field(field.source_id) for field in TIMED.fields]
    physical = stored.select(pl.all().to_physical()).rows(named=True)
    expected = {
        tuple(
            field.transform.transform(source.field_type)(row[source.name])
            for field, source in zip(TIMED.fields, sources, strict=True)
        )
        for row in physical
    }
    assert found == expected
    with pytest.raises(SchemaError, match="has other partitions") as raised:
        write(to(tmp_path, partition_by="x"), rows)
    assert (
        raised.value.expected == "partition_by=['year(year)', 'month(month)', 'day(day)', 'hour(hour)', 'x']"
    )


def test_partitions_that_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = Schema(NestedField(1, "x", LongType(), required=False))
    with catalog_of(tmp_path) as catalog:
        catalog.create_namespace("shop")
        spec = PartitionSpec(PartitionField(1, 1000, BucketTransform(4), "b"))
        catalog.create_table(TABLE, schema, partition_spec=spec)
        catalog.create_table("shop.three", schema)
    rows = pl.DataFrame({"x": [1]})
    with pytest.raises(SinkError, match="has partitions that are not written") as raised:
        write(to(tmp_path), rows)
    assert raised.value.found == "bucket[4](x)"
    monkeypatch.setattr(Table, "format_version", 3)  # which pyiceberg reads, but does not write
    with pytest.raises(SinkError, match="has a format that is not written"):
        write(to(tmp_path, "shop.three"), rows)


@pytest.mark.untraced
def test_folders_and_columns_of_any_name(tmp_path: Path) -> None:
    rows = pl.DataFrame({"a b": [1], "ü.é": [2], "s": [{"é": 3}], "1": [[{"x y": 4}]]})
    for name in ("a b", "ü=é", "[x]*", "{}"):
        for _ in range(2):
            write(to(tmp_path / name, partition_by="ü.é"), rows)
        for found in (rows_of(tmp_path / name), read(tmp_path / name)):
            assert_frame_equal(found, pl.concat([rows, rows]))
    write(Sink.to_iceberg("a.b", catalog=tmp_path / "one.sqlite"), rows)
    source = Source.from_iceberg("a.b", catalog=str(tmp_path / "one.sqlite"))
    assert_frame_equal(Pipeline.builder().source(source).collect_sync(), rows)


def test_files_hold_the_rows_that_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered_files, "GATHERED_BYTES", 1000)
    rows = pl.DataFrame({"x": range(1000), "k": ["a"] * 900 + ["b"] * 100})
    write(to(tmp_path, partition_by="k"), *(rows[start : start + 50] for start in range(0, 1000, 50)))
    assert len(snapshots(tmp_path)) == 1
    tasks: Any = table_of(tmp_path).scan().plan_files()
    assert len(list(tasks)) > 5
    assert_frame_equal(rows_of(tmp_path), rows, check_row_order=False)


def test_manifests_have_statistics(tmp_path: Path) -> None:
    rows = pl.DataFrame({"x": [3, None, 1], "s": ["a", None, None], "l": [[1], [], None]})
    write(to(tmp_path), rows)
    found: Any = table_of(tmp_path).inspect.files()
    [row] = found.to_pylist()
    metrics = row["readable_metrics"]
    assert row["record_count"] == 3
    assert (metrics["x"]["lower_bound"], metrics["x"]["upper_bound"]) == (1, 3)
    assert (metrics["x"]["null_value_count"], metrics["s"]["null_value_count"]) == (1, 2)
    none: Any = table_of(tmp_path).scan(row_filter="x > 3").plan_files()
    assert list(none) == []


def test_modes(tmp_path: Path) -> None:
    write(to(tmp_path, mode="error"), ROWS)
    with pytest.raises(SinkError, match=f"the Iceberg table {TABLE} in {tmp_path} exists"):
        write(to(tmp_path, mode="error"), ROWS)
    write(to(tmp_path), ROWS)
    assert rows_of(tmp_path).height == 6
    write(to(tmp_path, mode="overwrite"), ROWS[:1])
    assert rows_of(tmp_path).rows() == ROWS[:1].rows()
    assert rows_of(tmp_path, snapshot=snapshots(tmp_path)[1]).height == 6
    write(to(tmp_path), ROWS.clear())
    assert len(snapshots(tmp_path)) == 3
    for _ in range(2):
        write(to(tmp_path, mode="overwrite"), ROWS.clear())
        assert rows_of(tmp_path).height == 0
    write(to(tmp_path, mode="overwrite"), ROWS)
    assert rows_of(tmp_path).height == 3
    write(to(tmp_path, "a.empty"), ROWS.clear())
    assert table_of(tmp_path, "a.empty").scan().to_arrow().column_names == ROWS.columns

    async def nothing() -> AsyncIterator[pl.DataFrame]:
        for frame in ():
            yield frame

    source = Source.from_fn(nothing, schema=ROWS.schema)
    assert to(tmp_path).needs_schema
    Pipeline.builder().source(source).sink(to(tmp_path, "a.none")).build().run_sync()
    assert read(tmp_path, "a.none").schema == ROWS.schema
    write(to(tmp_path, "a.over", mode="overwrite"), ROWS)
    assert rows_of(tmp_path, "a.over").height == 3


def test_overwriting_partitions_of_older_kinds(tmp_path: Path) -> None:
    write(to(tmp_path, partition_by="k"), ROWS)
    with changing(tmp_path) as table, table.update_spec() as update:
        update.add_field("x", IdentityTransform())
    write(to(tmp_path), ROWS)
    write(to(tmp_path, mode="overwrite"), ROWS[:2])
    assert_frame_equal(rows_of(tmp_path), ROWS[:2], check_row_order=False)


def test_columns_are_matched_by_name(tmp_path: Path) -> None:
    write(to(tmp_path), ROWS.with_columns(y=1.5))
    write(to(tmp_path), ROWS.select("x", "k"))
    for found in (rows_of(tmp_path), read(tmp_path)):
        assert found.sort("x", "y").rows() == [
            *(("a", 1, None), ("a", 1, 1.5), ("b", 2, None)),
            *(("b", 2, 1.5), (None, 3, None), (None, 3, 1.5)),
        ]


@pytest.mark.parametrize(
    ("rows", "what", "expected"),
    [
        (ROWS.cast({"x": pl.Int32}), "the column 'x' has another type", "long"),
        (ROWS.with_columns(x=[[1], [], None]), "the column 'x' has another type", "long"),
        (ROWS.rename({"x": "X"}), "has no column 'X'", "columns of k, x"),
        (ROWS.with_columns(y=1), "has no column 'y'", "columns of k, x"),
        (ROWS.select("x"), "the rows lack columns", "k"),
    ],
)
def test_rows_that_do_not_fit_the_table(rows: pl.DataFrame, what: str, expected: str, tmp_path: Path) -> None:
    write(to(tmp_path, partition_by="k"), ROWS)
    with pytest.raises(SchemaError, match=what) as raised:
        write(to(tmp_path), rows)
    assert raised.value.expected == expected
    assert rows_of(tmp_path).height == 3


@pytest.mark.parametrize(
    ("schema", "by", "what"),
    [
        ({"x": pl.Int64, "X": pl.Int64}, (), "two columns have one name in an Iceberg table"),
        ({}, (), "needs a column"),
        ({"x": pl.Int64, "f": pl.Float64}, "f", "cannot be partitioned by 'f'"),
        ({"x": pl.Int64}, "y", "cannot be partitioned by 'y'"),
    ],
)
def test_columns_that_no_table_has(schema: Any, by: Any, what: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=what):
        to(tmp_path, partition_by=by).check(pl.Schema(schema))


def test_null_where_the_table_takes_none(tmp_path: Path) -> None:
    schema = Schema(
        NestedField(1, "x", LongType(), required=True), NestedField(2, "y", StringType(), required=False)
    )
    with catalog_of(tmp_path) as catalog:
        catalog.create_namespace("shop")
        catalog.create_table(TABLE, schema)
    write(to(tmp_path), pl.DataFrame({"x": [1]}))
    with pytest.raises(SinkError, match="cannot hold a value of the column 'x'"):
        write(to(tmp_path), pl.DataFrame({"x": [None]}, schema={"x": pl.Int64}))
    with pytest.raises(SchemaError, match="the rows lack columns"):
        write(to(tmp_path), pl.DataFrame({"y": ["a"]}))
    assert rows_of(tmp_path).rows() == [(1, None)]


def test_a_failed_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered_files, "GATHERED_BYTES", 1)

    def fail(frame: pl.DataFrame) -> pl.DataFrame:
        if 3 in frame["x"]:
            raise ValueError
        return frame

    rows = Pipeline.builder().source(Source.from_frame([ROWS[:1], ROWS[1:2], ROWS[2:]]))
    job = rows.map(fail, frame="polars").sink(to(tmp_path, partition_by="k")).build()
    with pytest.raises(StageError):
        job.run_sync()
    assert not exists(tmp_path) and orphans(tmp_path) == []
    # One that fails after it has prepared: another sink cannot.
    write(to(tmp_path, partition_by="k"), ROWS)
    writer = to(tmp_path).open(ROWS.schema, context("sink"))
    writer.write(Batch(ROWS))
    writer.prepare(0)
    assert len(orphans(tmp_path)) == 3
    writer.abort()
    assert orphans(tmp_path) == [] and rows_of(tmp_path).height == 3


def test_a_batch_is_tried_again_if_the_disk_was_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered_files, "GATHERED_BYTES", 1)
    create, calls = DurableFile.create, list[None]()

    def full(self: DurableFile, overwrite: bool = False) -> Any:
        stream = create(self, overwrite)
        calls.append(None)
        if len(calls) == 2:
            stream.write(b"PAR1")
            stream.close()
            raise OSError(28, "No space left on device")
        return stream

    sink = to(tmp_path, partition_by="k")
    monkeypatch.setattr(DurableFile, "create", full)
    write(sink.on_error(ErrorHandler.retry(3, delay=0)), ROWS, ROWS, ROWS)
    assert rows_of(tmp_path).height == 9 and orphans(tmp_path) == []
    calls.clear()
    with pytest.raises(SinkError, match="cannot be written") as raised:
        write(to(tmp_path), ROWS)
    assert "No space left" in (raised.value.found or "")
    assert rows_of(tmp_path).height == 9 and orphans(tmp_path) == []


@pytest.mark.parametrize("what", ["fsync", "folder"])
def test_files_that_cannot_be_flushed_are_removed(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    write(to(tmp_path), ROWS)
    place = "arrowstream.io.iceberg.durable_files."
    monkeypatch.setattr(place + {"fsync": "os.fsync", "folder": "sync"}[what], fail)
    with pytest.raises(SinkError, match="cannot be written") as raised:
        write(to(tmp_path), ROWS)
    monkeypatch.undo()
    assert raised.value.found == "[Errno 5] Input/output error"
    assert orphans(tmp_path) == [] and rows_of(tmp_path).height == 3


def late(monkeypatch: pytest.MonkeyPatch, call: int, then: Any) -> None:
    """Let something happen just before the table is looked up for the n-th time."""
    load, calls = IcebergLocation.load, list[None]()

    def looked(self: IcebergLocation, catalog: Any) -> Any:
        found = load(self, catalog)
        calls.append(None)
        if len(calls) == call:
            then()
        return found

    monkeypatch.setattr(IcebergLocation, "load", looked)


def test_two_writers_that_make_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "_WAIT_S", 0)
    for mode, height in (("append", 6), ("error", 3)):
        name = f"shop.{mode}"
        late(monkeypatch, 2, lambda name=name: write(to(tmp_path, name), ROWS))
        if mode == "append":
            write(to(tmp_path, name), ROWS)
        else:
            with pytest.raises(SinkError, match="exists"):
                write(to(tmp_path, name, mode="error"), ROWS)
            assert orphans(tmp_path, name) == []
        assert rows_of(tmp_path, name).height == height
        monkeypatch.undo()
        monkeypatch.setattr(commits, "_WAIT_S", 0)


def test_other_writers_of_the_table_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits between the opening of a run and its commit, and between its look at the table and its commit."""
    monkeypatch.setattr(commits, "_WAIT_S", 0)
    write(to(tmp_path), ROWS)
    late(monkeypatch, 2, lambda: append(tmp_path))
    writer = to(tmp_path).open(ROWS.schema, context("sink"))
    writer.write(Batch(ROWS))
    append(tmp_path)
    writer.commit(writer.prepare(0))
    writer.close()
    assert rows_of(tmp_path).height == 12
    monkeypatch.undo()
    monkeypatch.setattr(commits, "_WAIT_S", 0)
    late(monkeypatch, 2, lambda: append(tmp_path))
    write(to(tmp_path, mode="overwrite"), ROWS[:1])
    assert rows_of(tmp_path).height == 1


def test_two_processes_that_make_a_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks for tables and namespaces before the other one makes them."""
    tables, namespace, calls = SqlCatalog.create_tables, SqlCatalog.create_namespace, list[str]()

    def make_tables(self: SqlCatalog) -> None:
        calls.append("tables")
        tables(self)
        raise OperationalError("CREATE TABLE", {}, Exception("table iceberg_tables already exists"))

    def make_namespace(self: SqlCatalog, name: Any, properties: Any) -> None:
        calls.append("namespace")
        if made:
            namespace(self, name)
        raise IntegrityError("INSERT", {}, Exception("UNIQUE constraint failed"))

    monkeypatch.setattr(SqlCatalog, "create_tables", make_tables)
    monkeypatch.setattr(SqlCatalog, "create_namespace", make_namespace)
    for made in (False, True):
        if made:
            write(to(tmp_path), ROWS)
        else:
            with pytest.raises(SinkError, match="cannot be written") as raised:
                write(to(tmp_path), ROWS)
            assert "UNIQUE constraint failed" in (raised.value.found or "")
    assert calls == ["tables", *["namespace"] * 3] and rows_of(tmp_path).height == 3
    monkeypatch.setattr(SqlCatalog, "create_tables", locked)
    with pytest.raises(SinkError, match="cannot be written") as raised:
        write(to(tmp_path / "b"), ROWS)
    assert "locked" in (raised.value.found or "")


def locked(self: SqlCatalog) -> None:
    raise OperationalError("CREATE TABLE", {}, Exception("database is locked"))


def append(lake: Path) -> None:
    with changing(lake) as table:
        table.append(ROWS.to_arrow())


def test_a_table_that_changes_before_the_commit(tmp_path: Path) -> None:
    def partition(name: str) -> None:
        with changing(tmp_path, name) as table, table.update_spec() as update:
            update.add_identity("k")

    def widen(name: str) -> None:
        write(to(tmp_path, name), ROWS.cast({"x": pl.Int32}))

    def drop(name: str) -> None:
        with changing(tmp_path, name) as table, table.update_schema() as update:
            update.delete_column("x")

    for name, made, change in (("a.p", True, partition), ("a.t", False, widen), ("a.d", True, drop)):
        if made:
            write(to(tmp_path, name), ROWS)
        writer = to(tmp_path, name).open(ROWS.schema, context("sink"))
        writer.write(Batch(ROWS))
        handle = writer.prepare(0)
        change(name)
        with pytest.raises(
            SchemaError, match=r"has other (partitions|columns) than when the rows were written"
        ):
            writer.commit(handle)
        writer.abort()
        assert rows_of(tmp_path, name).height == 3
        assert orphans(tmp_path, name) == []


@pytest.mark.parametrize("shown", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("made", [False, True], ids=["new", "existing"])
def test_a_commit_whose_answer_is_lost(
    shown: bool, made: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if made:
        write(to(tmp_path), ROWS)
    kind: Any = Transaction if made else CreateTableTransaction
    commit = kind.commit_transaction

    def lose(self: Any) -> Any:
        if shown:
            commit(self)
        raise ConnectionError("connection reset")

    monkeypatch.setattr(kind, "commit_transaction", lose)
    if shown:
        write(to(tmp_path), ROWS)
    else:
        with pytest.raises(SinkError, match="cannot be written") as raised:
            write(to(tmp_path), ROWS)
        assert raised.value.found == "connection reset"
    monkeypatch.undo()
    assert exists(tmp_path) == (made or shown)
    assert not exists(tmp_path) or rows_of(tmp_path).height == 3 * (made + shown)


def test_conflicts_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(to(tmp_path), ROWS)
    monkeypatch.setattr(commits, "_WAIT_S", 0)
    calls = list[None]()

    def fail(self: Any) -> None:
        calls.append(None)
        raise CommitFailedException("branch main has changed")

    monkeypatch.setattr(Transaction, "commit_transaction", fail)
    with pytest.raises(SinkError, match="cannot be written"):
        write(to(tmp_path), ROWS)
    assert len(calls) == 10 and rows_of(tmp_path).height == 3


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: Sink.to_iceberg("t", catalog="lake"), "takes the name of a table"),
        (lambda: Sink.to_iceberg("a..t", catalog="lake"), "takes the name of a table"),
        (lambda: Sink.to_iceberg(3, catalog="lake"), "takes the name of a table"),  # type: ignore[arg-type]
        (lambda: Sink.to_iceberg("a.t", catalog=""), "takes a catalog"),
        (lambda: Sink.to_iceberg("a.t", catalog=3), "takes a catalog"),  # type: ignore[arg-type]
        (lambda: Sink.to_iceberg("a.t", catalog={}), "takes properties of a catalog"),
        (lambda: Sink.to_iceberg("a.t", catalog={"uri": None}), "takes properties of a catalog"),
        (lambda: Sink.to_iceberg("a.t", catalog="https://me:hunter2@host"), "takes a catalog by its URI"),
        (lambda: Sink.to_iceberg("a.t", catalog="a%20b"), "whose name has %"),
        (lambda: Sink.to_iceberg("a.t", catalog="x", mode="apend"), "unknown mode 'apend'"),  # type: ignore[arg-type]
        (lambda: Sink.to_iceberg("a.t", catalog="x", partition_by=3), "partition_by takes names"),  # type: ignore[arg-type]
        (lambda: Source.from_iceberg("a.t", catalog="x", snapshot=0), "from_iceberg"),
        (lambda: Source.from_iceberg("a.t", catalog="x", follow=0), "from_iceberg"),
    ],
)
def test_wrong_arguments(call: Any, what: str) -> None:
    with pytest.raises(PlanError, match=what) as raised:
        call()
    assert "hunter2" not in str(raised.value)


def test_catalogs_of_properties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_URI", f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setenv("PYICEBERG_CATALOG__SHOP__WAREHOUSE", f"file://{tmp_path}")
    (tmp_path / "secret").write_text("hunter2\n")
    catalog = {
        "name": "default",
        "uri": "env:LAKE_URI",
        "warehouse": f"file://{tmp_path}",
        "token": f"file:{tmp_path}/secret",
        "echo": False,
    }
    sink = Sink.to_iceberg(TABLE, catalog=catalog)
    assert sink.label == "iceberg shop.numbers in env:LAKE_URI (append)"
    write(sink, ROWS)
    assert rows_of(tmp_path).height == 3
    source = Source.from_iceberg(TABLE, catalog=catalog)
    assert Pipeline.builder().source(source).collect_sync().height == 3
    assert sink.location.catalog.secrets() == ["hunter2"]
    assert "hunter2" not in repr(sink)
    broken = Sink.to_iceberg(TABLE, catalog={"type": "hunter2", "token": "hunter2"})
    with pytest.raises(SinkError, match="cannot be written") as raised:
        write(broken, ROWS)
    assert "hunter2" not in str(raised.value)
    assert broken.label == "iceberg shop.numbers in default (append)"


def test_labels(tmp_path: Path) -> None:
    sink = to(tmp_path, partition_by="k", mode="overwrite")
    assert sink.label == f"iceberg shop.numbers in {tmp_path} (overwrite, by k)"
    assert "one snapshot" in sink.guarantee
    assert sink.place == f"iceberg shop.numbers in {tmp_path}/catalog.db"
    assert to(tmp_path).place is None
    properties = {"uri": "https://me:hunter2@host", "type": "rest"}
    other = Sink.to_iceberg("a.b.c", catalog=properties, mode="error")
    assert other.place == "iceberg a.b.c in https://me:***@host"


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extra.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="needs the extra 'iceberg'") as raised:
        to(tmp_path).check(ROWS.schema)
    assert "arrowstream[iceberg]" in str(raised.value)
    with pytest.raises(ImportError, match="needs the extra 'iceberg'"):
        source_of(tmp_path).schema()


def test_a_file_that_cannot_be_removed_stays(tmp_path: Path) -> None:
    write(to(tmp_path), ROWS)
    writer = DataFileWriter(table_of(tmp_path), None, print)
    writer.delete(f"file://{tmp_path}/none.parquet")


def test_files_of_an_embedded_catalog_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that the catalog names, before it does: data, manifests, their list and the metadata."""
    flushed = list[str]()
    sync = os.fsync

    def noted(handle: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    write(to(tmp_path), ROWS)
    monkeypatch.undo()
    written = {path.name for path in (tmp_path / "shop").rglob("*.*")}
    assert len(written) == 4 and written <= set(flushed)
    place = f"file://{tmp_path}/new/file"
    for overwrite in (False, True):
        stream: Any = DurableFiles().new_output(place).create(overwrite)
        stream.write(b"abc")
        stream.close()
        stream.close()
    with pytest.raises(FileExistsError):
        DurableFiles().new_output(place).create()
    assert (tmp_path / "new" / "file").read_bytes() == b"abc"
    elsewhere = DurableFiles({"s3.endpoint": "http://localhost:1"}).new_output("s3://lake/file")
    assert type(elsewhere) is PyArrowFile
