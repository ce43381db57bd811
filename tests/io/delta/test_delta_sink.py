"""Rows into Delta tables, as deltalake and Polars read them."""

import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from delta_tables import log_of, orphans, rows_of, write
from deltalake import CommitProperties, DeltaTable, Field, Schema, write_deltalake
from deltalake.exceptions import CommitFailedError
from deltalake.schema import PrimitiveType
from polars.testing import assert_frame_equal

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError, SchemaError, SinkError, StageError
from arrowstream.io.delta import commits
from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.lake import extra, gathered_files

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ROWS = pl.DataFrame({"k": ["a", "b", None], "x": [1, 2, 3]})
NOON = dt.datetime(2026, 1, 31, 12, 0, 0, 5)
LARGE = 2**63 - 1

TYPES: list[tuple[pl.DataType, list[Any], pl.DataType, str]] = [
    (pl.Int8(), [-128, 127], pl.Int8(), "byte"),
    (pl.Int16(), [-(2**15), 2**15 - 1], pl.Int16(), "short"),
    (pl.Int32(), [-(2**31), 2**31 - 1], pl.Int32(), "integer"),
    (pl.Int64(), [-(2**63), LARGE], pl.Int64(), "long"),
    (pl.UInt8(), [0, 255], pl.Int16(), "short"),
    (pl.UInt16(), [0, 2**16 - 1], pl.Int32(), "integer"),
    (pl.UInt32(), [0, 2**32 - 1], pl.Int64(), "long"),
    (pl.UInt64(), [0, 2**64 - 1], pl.Decimal(20, 0), "decimal(20,0)"),
    (pl.Float32(), [0.1, float("inf")], pl.Float32(), "float"),
    (pl.Float64(), [0.1, -0.0], pl.Float64(), "double"),
    (pl.Boolean(), [True, False], pl.Boolean(), "boolean"),
    (pl.String(), ["", "a\0'\n"], pl.String(), "string"),
    (pl.Categorical(), ["u", "v"], pl.String(), "string"),
    (pl.Enum(["u", "v"]), ["v", "u"], pl.String(), "string"),
    (pl.Binary(), [b"", b"\0\xff"], pl.Binary(), "binary"),
    (pl.Date(), [dt.date(1, 1, 1), dt.date(9999, 12, 31)], pl.Date(), "date"),
    (pl.Datetime("us"), [NOON, dt.datetime(1, 1, 1)], pl.Datetime("us"), "timestamp_ntz"),
    (pl.Datetime("ms"), [NOON.replace(microsecond=0), None], pl.Datetime("us"), "timestamp_ntz"),
    (pl.Datetime("ns"), [NOON, None], pl.Datetime("us"), "timestamp_ntz"),
    (pl.Datetime("us", "UTC"), [NOON, None], pl.Datetime("us", "UTC"), "timestamp"),
    (
        pl.Datetime("ms", "Asia/Tokyo"),
        [NOON.replace(microsecond=0), None],
        pl.Datetime("us", "UTC"),
        "timestamp",
    ),
    (pl.Decimal(38, 10), [Decimal("1.5"), Decimal("-0.0000000001")], pl.Decimal(38, 10), "decimal(38,10)"),
    (pl.List(pl.UInt8()), [[1, None], []], pl.List(pl.Int16()), "array"),
    (pl.Array(pl.String(), 2), [["a", "b"], None], pl.List(pl.String()), "array"),
    (
        pl.Struct({"a": pl.Int64(), "b": pl.List(pl.Struct({"c": pl.Date()}))}),
        [{"a": 1, "b": [{"c": dt.date(2026, 1, 1)}]}, {"a": None, "b": []}],
        pl.Struct({"a": pl.Int64(), "b": pl.List(pl.Struct({"c": pl.Date()}))}),
        "struct",
    ),
]


def test_every_type_comes_back_with_its_values(tmp_path: Path) -> None:
    columns = {
        f"c{number}": pl.Series(values, dtype=dtype) for number, (dtype, values, _, _) in enumerate(TYPES)
    }
    rows = pl.DataFrame(columns)
    rows = pl.concat([rows, rows.clear(1)])
    write(Sink.to_delta(tmp_path / "t"), rows)
    stored = {f"c{number}": dtype for number, (_, _, dtype, _) in enumerate(TYPES)}
    expected = rows.select(pl.col(name).cast(dtype) for name, dtype in stored.items())
    assert_frame_equal(rows_of(tmp_path / "t"), expected)
    assert_frame_equal(Pipeline.builder().source(Source.from_delta(tmp_path / "t")).collect_sync(), expected)
    table = DeltaTable(tmp_path / "t")
    types = [field.type for field in table.schema().fields]
    found = [each.type for each in types]
    assert found == [name for *_, name in TYPES]
    # The table takes rows of its own types, and those that it stores in the same way.
    write(Sink.to_delta(tmp_path / "t"), rows)
    write_deltalake(tmp_path / "t", expected, mode="append")
    assert_frame_equal(rows_of(tmp_path / "t"), pl.concat([expected] * 3), check_row_order=False)


@pytest.mark.parametrize(
    ("dtype", "hint"),
    [
        (pl.Duration(), "total_microseconds"),
        (pl.Time(), "cast"),
        (pl.Null(), "cast"),
        (pl.List(pl.Datetime("ns")), "Datetime"),
        (pl.Struct({"a": pl.Time()}), "cast"),
        (pl.Struct({}), "cast"),
    ],
)
def test_a_type_that_delta_lacks_is_refused(dtype: pl.DataType, hint: str, tmp_path: Path) -> None:
    steps = Pipeline.builder().source(Source.from_frame(pl.DataFrame(schema={"y": pl.Int64, "x": dtype})))
    with pytest.raises(SchemaError, match="a Delta table cannot store the column 'x'") as raised:
        steps.sink(Sink.to_delta(tmp_path / "t")).build()
    assert hint in (raised.value.hint or "") and raised.value.found == str(dtype)


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        (pl.Series([1001], dtype=pl.Datetime("ns")), "whole microseconds"),
        (pl.Series([-1], dtype=pl.Datetime("ns", "UTC")), "whole microseconds"),
        (pl.Series([LARGE // 1000 + 1], dtype=pl.Datetime("ms")), "microseconds can count"),
        (pl.Series([-(2**63)], dtype=pl.Datetime("ms")), "microseconds can count"),
    ],
)
def test_a_value_that_would_change_is_refused(series: pl.Series, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot hold a value of the column 'x'") as raised:
        write(Sink.to_delta(tmp_path / "t"), pl.DataFrame({"x": series}))
    assert reason in (raised.value.expected or "")
    assert not (tmp_path / "t").exists()


def test_only_refused_rows_go_to_dead_letters(tmp_path: Path) -> None:
    times = pl.DataFrame({"x": pl.Series([1000, 1001, 3000], dtype=pl.Datetime("ns"))})
    sink = Sink.to_delta(tmp_path / "t").on_error(ErrorHandler.skip())
    write(sink, times)
    assert rows_of(tmp_path / "t")["x"].to_physical().to_list() == [1, 3]


SPECIAL = ["a b", "ü/é=%x%20", None, "q:?*#&+'\"", "..", "=", "{}", "nul\0", "\n"]


def test_partitions_of_any_text(tmp_path: Path) -> None:
    rows = pl.DataFrame({"x": range(18), "k": SPECIAL * 2, "n": [1, None, 3] * 6})
    write(Sink.to_delta(tmp_path / "t", partition_by=["k", "n"]), rows[:10], rows[10:])
    table = tmp_path / "t"
    assert_frame_equal(rows_of(table).select("x", "k", "n"), rows, check_row_order=False)
    found: Any = DeltaTable(table).to_pyarrow_table()
    assert_frame_equal(pl.DataFrame(found).select("x", "k", "n"), rows, check_row_order=False)
    assert_frame_equal(
        Pipeline.builder().source(Source.from_delta(table)).collect_sync().select("x", "k", "n"),
        rows,
        check_row_order=False,
    )
    # A table that exists has its own partitions.
    write(Sink.to_delta(table), rows)
    assert rows_of(table).height == 36
    with pytest.raises(SchemaError, match="has other partitions"):
        write(Sink.to_delta(table, partition_by="k"), rows)
    for text in ("", "__HIVE_DEFAULT_PARTITION__"):
        with pytest.raises(SinkError, match="cannot hold a value of the column 'k'"):
            write(Sink.to_delta(table), rows.with_columns(k=pl.lit(text)))


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
    by = ["day", "flag", "tiny", "word"]
    write(Sink.to_delta(tmp_path / "t", partition_by=by), rows)
    expected = rows.cast({"tiny": pl.Int16, "word": pl.String})
    found: Any = DeltaTable(tmp_path / "t").to_pyarrow_table()
    read = Pipeline.builder().source(Source.from_delta(tmp_path / "t")).collect_sync()
    for frame in (pl.DataFrame(found), read):
        assert_frame_equal(frame.select(expected.columns).sort("x"), expected)


@pytest.mark.untraced
def test_folders_of_any_name(tmp_path: Path) -> None:
    for name in ("a b", "100%", "#?&", "ü=é", "[x]*"):
        for _ in range(2):
            write(Sink.to_delta(tmp_path / name, partition_by="k"), ROWS)
        assert sorted(Pipeline.builder().source(Source.from_delta(tmp_path / name)).collect_sync()["x"]) == [
            *(1, 1, 2, 2, 3, 3)
        ]
        assert DeltaTable(tmp_path / name).to_pyarrow_table().num_rows == 6
    assert len(list(tmp_path.iterdir())) == 5


def test_files_hold_the_rows_that_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered_files, "GATHERED_BYTES", 1000)
    rows = pl.DataFrame({"x": range(1000), "k": ["a"] * 900 + ["b"] * 100})
    table = tmp_path / "t"
    write(Sink.to_delta(table, partition_by="k"), *(rows[start : start + 50] for start in range(0, 1000, 50)))
    assert len(log_of(table)) == 1
    files = [entry["add"] for entry in log_of(table)[0] if "add" in entry]
    assert len(files) > 5
    assert_frame_equal(rows_of(table), rows, check_row_order=False)


def test_the_log_has_statistics(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {
            "x": [3, None, 1],
            "day": [None, dt.date(2026, 1, 1), None],
            "s": ["a", None, None],
            "l": [[1], [], None],
        }
    )
    write(Sink.to_delta(tmp_path / "t"), rows)
    found: Any = pl.from_arrow(pa.table(DeltaTable(tmp_path / "t").get_add_actions(flatten=True)))
    row = found.row(0, named=True)
    assert (row["num_records"], row["min.x"], row["max.x"]) == (3, 1, 3)
    assert (row["null_count.x"], row["null_count.day"], row["null_count.s"]) == (1, 2, 2)
    assert row["min.day"] == row["max.day"] == dt.date(2026, 1, 1)
    write(Sink.to_delta(tmp_path / "texts"), pl.DataFrame({"s": ["a"]}))
    assert rows_of(tmp_path / "texts").rows() == [("a",)]


def test_modes(tmp_path: Path) -> None:
    table = tmp_path / "t"
    write(Sink.to_delta(table, mode="error"), ROWS)
    with pytest.raises(SinkError, match=f"the Delta table {table} exists"):
        write(Sink.to_delta(table, mode="error"), ROWS)
    write(Sink.to_delta(table), ROWS)
    assert rows_of(table).height == 6
    write(Sink.to_delta(table, mode="overwrite"), ROWS[:1])
    assert rows_of(table).rows() == ROWS[:1].rows()
    assert rows_of(table, 1).height == 6
    write(Sink.to_delta(table), ROWS.clear())
    assert DeltaTable(table).version() == 2
    write(Sink.to_delta(table, mode="overwrite"), ROWS.clear())
    assert rows_of(table).height == 0
    write(Sink.to_delta(tmp_path / "empty"), ROWS.clear())
    assert rows_of(tmp_path / "empty").schema == ROWS.schema

    async def nothing() -> AsyncIterator[pl.DataFrame]:
        for frame in ():
            yield frame

    source = Source.from_fn(nothing, schema=ROWS.schema)
    assert Sink.to_delta(tmp_path).needs_schema
    Pipeline.builder().source(source).sink(Sink.to_delta(tmp_path / "none")).build().run_sync()
    assert rows_of(tmp_path / "none").schema == ROWS.schema


def test_columns_are_matched_by_name(tmp_path: Path) -> None:
    table = tmp_path / "t"
    write_deltalake(table, ROWS.with_columns(y=1.5))
    write(Sink.to_delta(table), ROWS.select("x", "k"))
    assert rows_of(table).sort("x", "y").rows() == [
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
    write(Sink.to_delta(tmp_path / "t", partition_by="k"), ROWS)
    with pytest.raises(SchemaError, match=what) as raised:
        write(Sink.to_delta(tmp_path / "t"), rows)
    assert raised.value.expected == expected
    assert rows_of(tmp_path / "t").height == 3


@pytest.mark.parametrize(
    ("schema", "by", "what"),
    [
        ({"x": pl.Int64, "X": pl.Int64}, (), "two columns have one name"),
        ({"x": pl.Int64}, "x", "needs a column that is not a partition"),
        ({}, (), "needs a column"),
        ({"x": pl.Int64, "f": pl.Float64}, "f", "cannot be partitioned by 'f'"),
        ({"x": pl.Int64}, "y", "cannot be partitioned by 'y'"),
    ],
)
def test_columns_that_no_table_has(schema: Any, by: Any, what: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=what):
        Sink.to_delta(tmp_path / "t", partition_by=by).check(pl.Schema(schema))


def test_null_where_the_table_takes_none(tmp_path: Path) -> None:
    table = tmp_path / "t"
    long = PrimitiveType("long")
    DeltaTable.create(table, Schema([Field("x", long, nullable=False), Field("y", long)]))
    write(Sink.to_delta(table), pl.DataFrame({"x": [1]}))
    with pytest.raises(SinkError, match="cannot hold a value of the column 'x'"):
        write(Sink.to_delta(table), pl.DataFrame({"x": [None]}, schema={"x": pl.Int64}))
    with pytest.raises(SchemaError, match="the rows lack columns"):
        write(Sink.to_delta(table), pl.DataFrame({"y": [1]}))
    assert rows_of(table).rows() == [(1, None)]


def test_rules_of_a_table_that_cannot_be_kept(tmp_path: Path) -> None:
    checked, generated = tmp_path / "checked", tmp_path / "generated"
    write_deltalake(checked, ROWS)
    DeltaTable(checked).alter.add_constraint({"positive": "x > 0"})
    rule = Field("x", PrimitiveType("long"), metadata={"delta.identity.start": 1})
    DeltaTable.create(generated, Schema([rule]))
    for table, found in ((checked, "delta.constraints.positive"), (generated, "delta.identity.start of x")):
        with pytest.raises(SinkError, match="has rules that are not checked") as raised:
            write(Sink.to_delta(table), ROWS)
        assert raised.value.found == found
    tracked = tmp_path / "tracked"
    write(Sink.to_delta(tracked), ROWS)
    entry = tracked / "_delta_log" / f"{0:020}.json"
    entry.write_text(
        entry.read_text().replace(
            '"minReaderVersion":1,"minWriterVersion":2',
            '"minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["icebergCompatV1"]',
        )
    )
    with pytest.raises(SinkError, match="has features that are not supported") as raised:
        write(Sink.to_delta(tracked), ROWS)
    assert raised.value.found == "icebergCompatV1"


def test_a_failed_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered_files, "GATHERED_BYTES", 1)
    table = tmp_path / "t"

    def fail(frame: pl.DataFrame) -> pl.DataFrame:
        if 3 in frame["x"]:
            raise ValueError
        return frame

    rows = Pipeline.builder().source(Source.from_frame([ROWS[:1], ROWS[1:2], ROWS[2:]]))
    job = rows.map(fail, frame="polars").sink(Sink.to_delta(table, partition_by="k")).build()
    with pytest.raises(StageError):
        job.run_sync()
    assert not (table / "_delta_log").exists() and orphans(table) == []
    writer = Sink.to_delta(table, partition_by="k").open(ROWS.schema, context("sink"))
    for _ in range(2):
        writer.write(Batch(ROWS))
    assert orphans(table)
    writer.abort()
    assert list(table.iterdir()) == []
    # One that fails after it has prepared: another sink cannot.
    write(Sink.to_delta(table, partition_by="k"), ROWS)
    writer = Sink.to_delta(table).open(ROWS.schema, context("sink"))
    writer.write(Batch(ROWS))
    writer.prepare(0)
    assert len(orphans(table)) == 3
    writer.abort()
    assert orphans(table) == [] and rows_of(table).height == 3


def test_a_batch_is_tried_again_if_the_disk_was_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered_files, "GATHERED_BYTES", 1)
    write_file, calls = DeltaLocation.write, list[str]()

    def full(self: DeltaLocation, name: str, content: Any) -> None:
        calls.append(name)
        if len(calls) == 2:
            write_file(self, name, content[:7])
            self.delete(name)
            raise OSError(28, "No space left on device")
        write_file(self, name, content)

    monkeypatch.setattr(DeltaLocation, "write", full)
    sink = Sink.to_delta(tmp_path / "t", partition_by="k")
    write(sink.on_error(ErrorHandler.retry(3, delay=0)), ROWS, ROWS, ROWS)
    assert rows_of(tmp_path / "t").height == 9 and orphans(tmp_path / "t") == []
    calls.clear()
    with pytest.raises(SinkError, match="cannot be written") as raised:
        write(Sink.to_delta(tmp_path / "t"), ROWS)
    assert "No space left" in (raised.value.found or "")
    assert rows_of(tmp_path / "t").height == 9 and orphans(tmp_path / "t") == []


def test_a_file_that_cannot_be_written_is_removed(tmp_path: Path) -> None:
    location = DeltaLocation(tmp_path)
    content: Any = "no bytes"
    with pytest.raises(TypeError):
        location.write("k=1/part.parquet", content)
    assert list(tmp_path.iterdir()) == []


def test_two_writers_that_make_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, made = tmp_path / "t", DeltaLocation.table
    calls: list[None] = []

    def late(self: DeltaLocation, version: int | None = None) -> Any:
        found = made(self, version)
        calls.append(None)
        if len(calls) == 2:
            write_deltalake(table, ROWS)
        return found

    for mode, height in (("append", 6), ("error", 3)):
        calls.clear()
        monkeypatch.setattr(DeltaLocation, "table", late)
        if mode == "append":
            write(Sink.to_delta(table), ROWS)
        else:
            with pytest.raises(SinkError, match="cannot be written"):
                write(Sink.to_delta(table, mode="error"), ROWS)
        monkeypatch.undo()
        assert rows_of(table).height == height
        table = tmp_path / "other"


def test_a_table_that_changes_before_the_commit(tmp_path: Path) -> None:
    for name, other in (("partitions", {"partition_by": "k"}), ("types", {})):
        table = tmp_path / name
        writer = Sink.to_delta(table).open(ROWS.schema, context("sink"))
        writer.write(Batch(ROWS))
        handle = writer.prepare(0)
        write(Sink.to_delta(table, **other), ROWS if other else ROWS.cast({"x": pl.Int32}))
        with pytest.raises(
            SchemaError, match=f"has other partitions|another type in the Delta table {table}"
        ):
            writer.commit(handle)
        writer.abort()
        assert rows_of(table).height == 3 and orphans(table) == []


def test_a_commit_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(Sink.to_delta(tmp_path / "t"), ROWS)

    commit = commits._commit_to

    def fail(*arguments: Any) -> None:
        if shown:
            commit(*arguments)
        raise CommitFailedError("the store says no")

    monkeypatch.setattr(commits, "_commit_to", fail)
    for shown in (False, True):
        with pytest.raises(SinkError, match="cannot be written") as raised:
            write(Sink.to_delta(tmp_path / "t"), ROWS)
        assert raised.value.found == "the store says no"
        # Nobody knows whether the files are part of the table: they stay, for a vacuum.
        assert rows_of(tmp_path / "t").height == (6 if shown else 3)
        assert len(orphans(tmp_path / "t")) == 1


def test_a_disk_that_fails_after_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(commits, "sync", fail)
    with pytest.raises(SinkError, match="cannot be written"):
        write(Sink.to_delta(tmp_path / "t"), ROWS)
    assert rows_of(tmp_path / "t").height == 3


@pytest.mark.parametrize("suffix", ["", ".parquet"], ids=["folder", "file"])
def test_files_that_cannot_be_flushed_are_removed(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        if path.suffix == suffix:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("arrowstream.io.delta.location.sync", fail)
    with pytest.raises(SinkError, match="cannot be written"):
        write(Sink.to_delta(tmp_path / "t"), ROWS)
    assert list((tmp_path / "t").iterdir()) == []


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: Sink.to_delta(3), "takes the folder of a table"),  # type: ignore[arg-type]
        (lambda: Sink.to_delta(""), "takes the folder of a table"),
        (lambda: Sink.to_delta("t", mode="apend"), "unknown mode 'apend'"),  # type: ignore[arg-type]
        (lambda: Sink.to_delta("t", partition_by=3), "partition_by takes names"),  # type: ignore[arg-type]
        (lambda: Sink.to_delta("t", storage_options={}), "only URLs have storage options"),
        (lambda: Sink.to_delta("a%20b/t"), "whose name has a % and two digits"),
        (lambda: Sink.to_delta("hdfs://h/t"), "cannot reach a table by hdfs://"),
        (lambda: Sink.to_delta("s3://b/t", storage_options={"aws_regin": "x"}), "storage option"),
        (lambda: Source.from_delta("t", version=-1), "from_delta"),
        (lambda: Source.from_delta("t", follow=0), "from_delta"),
    ],
)
def test_wrong_arguments(call: Any, what: str) -> None:
    with pytest.raises(PlanError, match=what):
        call()


def test_a_url_of_a_file_is_a_path(tmp_path: Path) -> None:
    sink = Sink.to_delta(f"file://{tmp_path}/t")
    write(sink, ROWS)
    assert rows_of(tmp_path / "t").height == 3
    assert sink.label == f"delta {tmp_path}/t (append)"
    assert Sink.to_delta("t", partition_by="k", mode="overwrite").label == "delta t (overwrite, by k)"
    assert "one commit" in sink.guarantee
    assert sink.place is None and Sink.to_delta(tmp_path, mode="error").place == tmp_path.as_uri()


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extra.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="needs the extra 'delta'") as raised:
        Sink.to_delta(tmp_path / "t").check(ROWS.schema)
    assert "arrowstream[delta]" in str(raised.value)
    with pytest.raises(ImportError, match="needs the extra 'delta'"):
        Source.from_delta(tmp_path / "t").schema()


def test_other_writers_of_the_table_go_on(tmp_path: Path) -> None:
    """Commits, compaction and a vacuum between the opening of a run and its commit."""
    table = tmp_path / "t"
    write(Sink.to_delta(table), ROWS)
    writer = Sink.to_delta(table).open(ROWS.schema, context("sink"))
    writer.write(Batch(ROWS))
    handle = writer.prepare(0)
    write_deltalake(table, ROWS, mode="append", commit_properties=CommitProperties({"by": "another"}))
    DeltaTable(table).optimize.compact()
    DeltaTable(table).vacuum(dry_run=False)
    writer.commit(handle)
    writer.close()
    assert rows_of(table).height == 9
