"""Rows of Iceberg tables: a snapshot, what later snapshots add, and positions between all of them."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from delta_tables import numbers, write
from epoch_rows import EpochRows
from iceberg_tables import (
    TABLE,
    catalog_of,
    changing,
    edit,
    forget,
    read,
    rows_of,
    snapshots,
    source_of,
    table_of,
    to,
)
from polars.testing import assert_frame_equal
from pyarrow import parquet
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestWriterV2
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.typedef import Record
from pyiceberg.types import BinaryType, FixedType, LongType, MapType, NestedField, StringType, UUIDType

from arrowstream import Pipeline, Source
from arrowstream.errors import SchemaError, SourceError
from arrowstream.io.iceberg import rows as file_rows
from arrowstream.io.iceberg.source import IcebergSource
from arrowstream.io.iceberg.types import iceberg_schema
from arrowstream.io.source import Reader
from arrowstream.jobs.job import Job

pytestmark = pytest.mark.once


class Ended(Exception):
    """The script of a test has ended."""


class Script:
    """A clock whose sleeps run a script: what happens to the table between two looks at it."""

    def __init__(self, *events: Callable[[], Any]) -> None:
        self.events = list(events)

    def now_ns(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        assert seconds == 1
        if not self.events:
            raise Ended
        self.events.pop(0)()


def follow(
    source: IcebergSource, *events: Callable[[], Any], resume: Any = None, batches: int = 1000
) -> tuple[list[int], Any]:
    """The numbers that a source gives in some batches while the script runs, and the position at its end."""

    async def run() -> tuple[list[int], Any]:
        reader = source.open(replace(context("source"), clock=Script(*events)), resume=resume)
        assert isinstance(reader, Reader)
        found: list[int] = []
        try:
            for _ in range(batches):
                if (batch := await reader.read()) is None:
                    break
                found += batch.polars()["x"].to_list()
        except Ended:
            pass
        finally:
            await reader.close()
        return found, json.loads(json.dumps(reader.position()))

    return asyncio.run(run())


def add(lake: Path, *values: int) -> None:
    write(to(lake), numbers(*values).polars())


def compact(lake: Path) -> None:
    """Rewrite the files of a table as one, as other engines do: pyiceberg has no call for it."""
    with changing(lake) as table:
        rows = table.scan().to_arrow().cast(schema_to_pyarrow(table.schema()))
        transaction = table.transaction()
        with transaction.update_snapshot().overwrite() as snapshot:
            tasks: Any = table.scan().plan_files()
            for task in tasks:
                snapshot.delete_data_file(task.file)
            snapshot.append_data_file(new_file(table, rows))
        transaction.commit_transaction()
    edit(lake, lambda metadata: metadata["snapshots"][-1]["summary"].update(operation="replace"))


def new_file(table: Table, rows: Any, kind: DataFileContent = DataFileContent.DATA) -> DataFile:
    path = f"{table.location()}/data/other-{len(table.snapshots())}.parquet"
    place = path.removeprefix("file://")
    parquet.write_table(rows, place)
    return DataFile.from_args(
        content=kind,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=rows.num_rows,
        file_size_in_bytes=Path(place).stat().st_size,
        spec_id=0,
        sort_order_id=None,
        equality_ids=[1] if kind is DataFileContent.EQUALITY_DELETES else None,
        key_metadata=None,
    )


def test_a_snapshot_and_the_newest_one(tmp_path: Path) -> None:
    for values in ((1, 2), (3,), (4,)):
        add(tmp_path, *values)
    second = snapshots(tmp_path)[1]
    assert sorted(read(tmp_path)["x"]) == [1, 2, 3, 4]
    assert sorted(read(tmp_path, snapshot=second)["x"]) == [1, 2, 3]
    with pytest.raises(SourceError, match="has no snapshot 9"):
        source_of(tmp_path, snapshot=9).schema()
    with pytest.raises(SourceError, match="there is no Iceberg table"):
        source_of(tmp_path, "shop.none").schema()
    with pytest.raises(SourceError, match="there is no Iceberg table"):
        source_of(tmp_path, "none.none").schema()
    with pytest.raises(SourceError, match="there is no Iceberg catalog"):
        source_of(tmp_path / "t").schema()
    assert not (tmp_path / "t").exists()
    (tmp_path / "broken.db").write_text("broken " * 100)
    with pytest.raises(SourceError, match="cannot be read"):
        Source.from_iceberg(TABLE, catalog=tmp_path / "broken.db").schema()
    source = source_of(tmp_path, snapshot=second, follow="1s")
    assert source.label == f"iceberg {TABLE} in {tmp_path}, snapshot {second}, new snapshots every 1 s"
    assert source.identity == f"iceberg {TABLE} in {tmp_path}, snapshot {second}" and source.resumable


def test_every_position_continues_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any batch on, of the first snapshot or of later ones; row groups that are done are not read again."""
    monkeypatch.setattr(file_rows, "BATCH_ROWS", 3)
    write(to(tmp_path), numbers().polars())
    frame = pl.DataFrame({"x": range(10), "k": ["a"] * 10})
    for number in range(2):
        file = tmp_path / f"{number}.parquet"
        frame.write_parquet(file, row_group_size=4)
        with changing(tmp_path) as table:
            table.add_files([str(file)])
    source, bounded = source_of(tmp_path), source_of(tmp_path, snapshot=snapshots(tmp_path)[0])
    whole, end = follow(source)
    assert whole == [*range(10), *range(10)]
    for count in range(1, 20):
        found, position = follow(source, resume=None, batches=count)
        rest, last = follow(source, resume=position)
        assert found + rest == whole and last == end
        found, position = follow(bounded, batches=count)
        assert found + follow(bounded, resume=position)[0] == whole[:10]
    add(tmp_path, 11)
    with changing(tmp_path) as table:
        frame.write_parquet(tmp_path / "2.parquet", row_group_size=4)
        table.add_files([str(tmp_path / "2.parquet")])
    for count in range(1, 6):
        found, position = follow(source, resume=end, batches=count)
        assert found + follow(source, resume=position)[0] == [11, *range(10)]


def test_a_reader_before_its_first_row(tmp_path: Path) -> None:
    add(tmp_path, 1)
    _, position = follow(source_of(tmp_path), batches=0)
    add(tmp_path, 2)
    assert sorted(follow(source_of(tmp_path), resume=position)[0]) == [1, 2]
    with pytest.raises(SourceError, match="cannot continue after this position"):
        follow(source_of(tmp_path), resume={"version": 2})


def test_a_table_without_a_snapshot(tmp_path: Path) -> None:
    write(to(tmp_path), numbers().polars())
    assert snapshots(tmp_path) == []
    source = source_of(tmp_path, follow="1s")
    found, _ = follow(source, lambda: add(tmp_path, 1))
    assert found == [1]
    _, position = follow(source_of(tmp_path, snapshot=None), batches=0)
    with catalog_of(tmp_path / "b"):
        write(to(tmp_path / "b"), numbers().polars())
    _, position = follow(source_of(tmp_path / "b"))
    add(tmp_path / "b", 2)
    add(tmp_path / "b", 3)
    assert follow(source_of(tmp_path / "b"), resume=position)[0] == [2, 3]
    with changing(tmp_path / "b") as table:
        table.maintenance.expire_snapshots().by_id(snapshots(tmp_path / "b")[0]).commit()
    with pytest.raises(SourceError, match="does not go on from the snapshot 0"):
        follow(source_of(tmp_path / "b"), resume=position)


def test_the_first_snapshot_of_a_table_of_format_1(tmp_path: Path) -> None:
    """It has no sequence number, and no parent once that has expired."""
    with catalog_of(tmp_path) as catalog:
        catalog.create_namespace(TABLE.split(".")[0])
        catalog.create_table(
            TABLE, iceberg_schema(numbers().polars().schema), properties={"format-version": "1"}
        )
    source = source_of(tmp_path)
    _, position = follow(source)
    for value in (2, 3):
        add(tmp_path, value)
    assert table_of(tmp_path).format_version == 1
    assert follow(source, resume=position)[0] == [2, 3]
    with changing(tmp_path) as table:
        table.maintenance.expire_snapshots().by_id(snapshots(tmp_path)[0]).commit()
    for change in (lambda snapshot: None, lambda snapshot: snapshot.pop("summary")):
        edit(tmp_path, lambda metadata, change=change: change(metadata["snapshots"][0]))  # type: ignore[misc]
        with pytest.raises(SourceError, match="does not go on from the snapshot 0"):
            follow(source, resume=position)


def test_new_snapshots_are_followed(tmp_path: Path) -> None:
    add(tmp_path, 1)
    source = source_of(tmp_path, follow="1s")
    found, position = follow(
        source,
        lambda: None,
        lambda: add(tmp_path, 2),
        lambda: (add(tmp_path, 3), add(tmp_path, 4)),
        lambda: compact(tmp_path),
        lambda: add(tmp_path, 5),
    )
    assert found == [1, 2, 3, 4, 5]
    assert sorted(rows_of(tmp_path)["x"]) == [1, 2, 3, 4, 5]
    add(tmp_path, 6)
    assert follow(source, lambda: add(tmp_path, 7), resume=position)[0] == [6, 7]
    first = source_of(tmp_path, snapshot=snapshots(tmp_path)[1], follow="1s")
    assert sorted(follow(first)[0]) == [1, 2, 3, 4, 5, 6, 7]


def test_many_commits(tmp_path: Path) -> None:
    """Manifests are merged and old metadata is removed; who has read the first snapshot finds all later ones."""
    add(tmp_path, 0)
    _, position = follow(source_of(tmp_path))
    with changing(tmp_path) as table:
        limits = {"commit.manifest.min-count-to-merge": "3", "write.metadata.previous-versions-max": "2"}
        table.transaction().set_properties(limits).commit_transaction()
    for value in range(1, 8):
        add(tmp_path, value)
    table = table_of(tmp_path)
    snapshot = table.current_snapshot()
    assert snapshot is not None and len(snapshot.manifests(table.io)) <= 3
    assert len(list((tmp_path / "shop" / "numbers" / "metadata").glob("*.json"))) == 3
    assert follow(source_of(tmp_path), resume=position)[0] == list(range(1, 8))
    assert sorted(rows_of(tmp_path)["x"]) == sorted(read(tmp_path)["x"]) == list(range(8))


def delete(lake: Path) -> None:
    with changing(lake) as table:
        table.delete("x = 1")


def evolve(lake: Path) -> None:
    with changing(lake) as table, table.update_schema() as update:
        update.add_column("y", LongType())


CHANGES: list[tuple[Callable[[Path], Any], str]] = [
    (delete, "has removed or changed rows"),
    (lambda lake: write(to(lake, mode="overwrite"), numbers(5).polars()), "has removed or changed rows"),
    (evolve, "has other columns"),
]


@pytest.mark.parametrize(("change", "what"), CHANGES, ids=["delete", "overwrite", "columns"])
def test_a_version_that_does_not_only_add_rows(
    change: Callable[[Path], Any], what: str, tmp_path: Path
) -> None:
    add(tmp_path, 1, 2)
    source = source_of(tmp_path, follow="1s")
    _, position = follow(source)
    with pytest.raises((SourceError, SchemaError), match=what):
        follow(source, lambda: change(tmp_path))
    if what != "has other columns":
        with pytest.raises(SourceError, match=what):
            follow(source_of(tmp_path), resume=position)


def test_a_snapshot_that_does_not_say_what_it_did(tmp_path: Path) -> None:
    add(tmp_path, 1)
    _, position = follow(source_of(tmp_path))
    add(tmp_path, 2)
    edit(tmp_path, lambda metadata: metadata["snapshots"][1].pop("summary"))
    with pytest.raises(SourceError, match="has removed or changed rows") as raised:
        follow(source_of(tmp_path), resume=position)
    assert raised.value.found == "no operation"


def test_snapshots_that_are_gone(tmp_path: Path) -> None:
    """Expired ones, those before which the table was rolled back, and those of another table."""
    add(tmp_path, 1)
    source = source_of(tmp_path)
    _, position = follow(source)
    for value in (2, 3):
        add(tmp_path, value)
    first, second, third = snapshots(tmp_path)
    _, newest = follow(source)
    forget(tmp_path, first)
    assert follow(source, resume=position)[0] == [2, 3]
    whole = {**position, "whole": True, "file": "", "rows": 0}
    with pytest.raises(SourceError, match=f"has no snapshot {first}"):
        follow(source, resume=whole)
    forget(tmp_path, second)
    with pytest.raises(SourceError, match=f"does not go on from the snapshot {first}"):
        follow(source, resume=position)
    add(tmp_path, 4)
    _, last = follow(source)
    with changing(tmp_path) as table:
        table.manage_snapshots().rollback_to_snapshot(third).commit()
    assert follow(source, resume=newest)[0] == []
    with pytest.raises(SourceError, match="does not go on from the snapshot"):
        follow(source, resume=last)
    assert sorted(follow(source)[0]) == [1, 2, 3]
    add(tmp_path / "b", 1)
    with pytest.raises(SourceError, match="has been replaced since the checkpoint"):
        follow(source_of(tmp_path / "b"), resume=last)


def test_rows_that_are_deleted_in_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path, 1, 2, 3)
    add(tmp_path, 4)
    tasks: Any = table_of(tmp_path).scan().plan_files()
    [path] = [task.file.file_path for task in tasks if task.file.record_count == 3]
    position = pa.table({"file_path": [path, path], "pos": pa.array([0, 2], pa.int64())})
    drop(tmp_path, position, DataFileContent.POSITION_DELETES)
    assert sorted(rows_of(tmp_path, reader="pyiceberg")["x"]) == [2, 4]
    assert sorted(read(tmp_path)["x"]) == [2, 4]
    for count in (1, 2):
        found, place = follow(source_of(tmp_path), batches=count)
        assert sorted(found + follow(source_of(tmp_path), resume=place)[0]) == [2, 4]
    drop(tmp_path, pa.table({"x": [4]}), DataFileContent.EQUALITY_DELETES)
    with pytest.raises(SourceError, match="cannot be read") as raised:
        read(tmp_path)
    assert "equality deletes" in (raised.value.found or "")


def drop(lake: Path, rows: Any, kind: DataFileContent) -> None:
    """Delete rows by a file of their places or values, as other engines do."""

    class Deletes(ManifestWriterV2):
        def content(self) -> ManifestContent:
            return ManifestContent.DELETES

        @property
        def _meta(self) -> dict[str, str]:
            return {**super()._meta, "content": "deletes"}

    with changing(lake) as table:
        transaction = table.transaction()
        with transaction.update_snapshot().fast_append() as snapshot:
            output = snapshot.new_manifest_output
            snapshot.new_manifest_writer = lambda spec: Deletes(  # type: ignore[method-assign]
                spec, table.schema(), output(), snapshot.snapshot_id, "gzip"
            )
            snapshot._operation = Operation.DELETE
            snapshot.append_data_file(new_file(table, rows, kind))
        transaction.commit_transaction()


def test_columns_that_have_changed_since_their_files(tmp_path: Path) -> None:
    """Columns are found by id, under other names and types, and what is missing is null."""
    rows = pl.DataFrame({"x": [1, 2], "s": [{"a": 1, "b": 2.5}, None], "i": [3, 4]})
    write(to(tmp_path), rows.cast({"i": pl.Int32}))
    with changing(tmp_path) as table, table.update_schema() as update:
        update.rename_column("x", "id")
        update.update_column("i", LongType())
        update.add_column("y", StringType())
        update.rename_column("s.a", "first")
        update.move_first("y")
    expected: Any = pl.DataFrame(table_of(tmp_path).scan().to_arrow())
    assert_frame_equal(read(tmp_path), expected)
    assert expected.columns == ["y", "id", "s", "i"]
    for columns in (["id"], ["i", "id"], ["s"], ["y"], ["id", "y"]):
        steps = Pipeline.builder().source(source_of(tmp_path)).select(*columns)
        assert_frame_equal(steps.collect_sync(), expected.select(columns))
        assert f"columns: {len(columns)} of 4 (" in steps.explain()
    old = read(tmp_path, snapshot=snapshots(tmp_path)[0])
    assert_frame_equal(old, rows.cast({"i": pl.Int32}))
    assert (
        Pipeline.builder().source(source_of(tmp_path)).with_columns(one=1).select("one").collect_sync().height
        == 2
    )


def test_types_that_only_other_writers_have(tmp_path: Path) -> None:
    value = UUID(int=5)
    schema = Schema(
        NestedField(1, "u", UUIDType(), required=False),
        NestedField(2, "f", FixedType(2), required=False),
        NestedField(3, "b", BinaryType(), required=False),
        NestedField(4, "m", MapType(5, StringType(), 6, LongType(), value_required=False), required=False),
    )
    with catalog_of(tmp_path) as catalog:
        catalog.create_namespace("shop")
        table = catalog.create_table(TABLE, schema)
        content = {"u": [value.bytes, None], "f": [b"ab", None], "b": [b"", None], "m": [[("k", 1)], None]}
        fields = [("u", pa.uuid()), ("f", pa.binary(2)), ("b", pa.large_binary())]
        fields.append(("m", pa.map_(pa.string(), pa.int64())))
        table.append(pa.table(content, pa.schema(fields)))
    found = read(tmp_path)
    assert found.rows() == [
        (value.bytes, b"ab", b"", {"k": 1}),
        (None, None, None, None),
    ]
    assert set(found.dtypes[:3]) == {pl.Binary()}


def test_files_without_ids_and_in_other_formats(tmp_path: Path) -> None:
    """Of tables that were made from files: a name mapping finds the columns."""
    write(to(tmp_path), numbers().polars())
    numbers(1, 2).polars().write_parquet(tmp_path / "bare.parquet")
    with changing(tmp_path) as table:
        table.add_files([f"{tmp_path}/bare.parquet"])
    assert read(tmp_path)["x"].to_list() == [1, 2]
    with changing(tmp_path) as table:
        table.transaction().remove_properties("schema.name-mapping.default").commit_transaction()
    with pytest.raises(SourceError, match="cannot be read"):
        read(tmp_path)


def test_the_daily_job(tmp_path: Path) -> None:
    """Each run reads what is new, from one table into another, also after a compaction."""
    source, target = tmp_path / "in", tmp_path / "out"
    for day in range(4):
        add(source, 2 * day, 2 * day + 1)
        if day == 2:
            compact(source)
        job = Pipeline.builder("daily").source(source_of(source)).sink(to(target)).build()
        assert "exactly once" in job.explain()
        assert job.run_sync(checkpoint=tmp_path / "state").rows_in == 2
    assert sorted(rows_of(target)["x"]) == list(range(8))
    with changing(source) as table:
        table.delete("x = 0")
    with pytest.raises(SourceError, match="has removed or changed rows"):
        job.run_sync(checkpoint=tmp_path / "state")


def test_a_run_that_follows_is_stopped_and_goes_on(tmp_path: Path) -> None:
    add(tmp_path / "in", *range(5))
    jobs: list[Pipeline] = []
    sink = EpochRows(lambda rows: jobs[-1].stop())
    for number in (5, 6):
        source = source_of(tmp_path / "in", follow="10ms")
        jobs.append(Pipeline.builder("follow").source(source).sink(sink).build())
        jobs[-1].run_sync(checkpoint=tmp_path / "state", every="20ms")
        assert len(sink.rows) == number
        add(tmp_path / "in", number)
    assert sorted(x for x, _ in sink.rows) == list(range(6))


def test_jobs(tmp_path: Path) -> None:
    add(tmp_path / "in", *range(5))
    [snapshot] = snapshots(tmp_path / "in")
    (tmp_path / "job.toml").write_text(
        f'[source]\nkind = "iceberg"\ntable = "{TABLE}"\ncatalog = "in"\nsnapshot = {snapshot}\n'
        f'[sink]\nkind = "iceberg"\ntable = "a.b"\nmode = "error"\npartition_by = "k"\n'
        f'[sink.catalog]\nuri = "sqlite:///{tmp_path}/catalog.db"\nwarehouse = "file://{tmp_path}"\n'
    )
    Job.load(tmp_path / "job.toml").pipeline().run_sync()
    assert sorted(rows_of(tmp_path, "a.b")["x"]) == list(range(5))
