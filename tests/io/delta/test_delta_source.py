"""Rows of Delta tables: a version, what later versions add, and positions between all of them."""

import asyncio
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context
from delta_tables import log_of, numbers, write
from deltalake import DeltaTable, TableFeatures, write_deltalake
from deltalake.transaction import AddAction
from epoch_rows import EpochRows
from polars.testing import assert_frame_equal
from pyarrow import parquet

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import SchemaError, SourceError
from arrowstream.io.delta import file_rows
from arrowstream.io.delta.source import DeltaSource
from arrowstream.io.source import Reader
from arrowstream.jobs.job import Job


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


def read(
    source: DeltaSource, *events: Callable[[], Any], resume: Any = None, batches: int = 1000
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


def add(table: Path, *values: int) -> None:
    write_deltalake(table, numbers(*values).polars(), mode="append")


def test_a_version_and_the_newest_one(tmp_path: Path) -> None:
    for values in ((1, 2), (3,), (4,)):
        add(tmp_path, *values)
    assert sorted(read(Source.from_delta(tmp_path))[0]) == [1, 2, 3, 4]
    assert sorted(read(Source.from_delta(tmp_path, version=1))[0]) == [1, 2, 3]
    with pytest.raises(SourceError, match="cannot be read"):
        Source.from_delta(tmp_path, version=9).schema()
    with pytest.raises(SourceError, match="there is no Delta table"):
        Source.from_delta(tmp_path / "t").schema()
    source = Source.from_delta(tmp_path, version=1, follow="1s")
    assert source.label == f"delta {tmp_path}, version 1, new versions every 1 s"
    assert source.identity == f"delta {tmp_path}, version 1" and source.resumable


@pytest.mark.once
def test_every_position_continues_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any batch on, of the first version or of later ones; row groups that are done are not read again."""
    monkeypatch.setattr(file_rows, "BATCH_ROWS", 3)
    pl.DataFrame({"x": range(10), "k": ["a"] * 10}).write_parquet(tmp_path / "one.parquet", row_group_size=4)
    write_deltalake(tmp_path / "t", numbers().polars())
    table = DeltaTable(tmp_path / "t")
    for number in (1, 2):
        name = f"part{number}.parquet"
        (tmp_path / "t" / name).write_bytes((tmp_path / "one.parquet").read_bytes())
        size = (tmp_path / "t" / name).stat().st_size
        action = AddAction(name, size, {}, 0, data_change=True, stats='{"numRecords":10}')
        table.create_write_transaction([action], "append", table.schema())
        table.update_incremental()
    source, bounded = Source.from_delta(tmp_path / "t"), Source.from_delta(tmp_path / "t", version=1)
    whole, end = read(source)
    assert whole == [*range(10), *range(10)]
    position = None
    for count in range(1, 20):
        found, position = read(source, resume=None, batches=count)
        rest, last = read(source, resume=position)
        assert found + rest == whole and last == end
        found, position = read(bounded, batches=count)
        assert found + read(bounded, resume=position)[0] == whole[:10]
    add(tmp_path / "t", 11)
    table.create_write_transaction([replace(action, path="part2.parquet")], "append", table.schema())
    assert read(source, resume=end)[0] == [11, *range(10)]
    for count in range(1, 6):
        found, position = read(source, resume=end, batches=count)
        assert found + read(source, resume=position)[0] == [11, *range(10)]


def test_a_reader_before_its_first_row(tmp_path: Path) -> None:
    add(tmp_path, 1)
    _, position = read(Source.from_delta(tmp_path), batches=0)
    add(tmp_path, 2)
    assert sorted(read(Source.from_delta(tmp_path), resume=position)[0]) == [1, 2]
    with pytest.raises(SourceError, match="cannot continue after this position"):
        read(Source.from_delta(tmp_path), resume={"version": 2})


def test_new_versions_are_followed(tmp_path: Path) -> None:
    add(tmp_path, 1)
    source = Source.from_delta(tmp_path, follow="1s")
    found, position = read(
        source,
        lambda: None,
        lambda: add(tmp_path, 2),
        lambda: (add(tmp_path, 3), add(tmp_path, 4)),
        lambda: DeltaTable(tmp_path).optimize.compact(),
        lambda: DeltaTable(tmp_path).create_checkpoint(),
        lambda: add(tmp_path, 5),
    )
    assert found == [1, 2, 3, 4, 5]
    add(tmp_path, 6)
    assert read(source, lambda: add(tmp_path, 7), resume=position)[0] == [6, 7]
    assert sorted(read(Source.from_delta(tmp_path, version=1, follow="1s"))[0]) == [1, 2, 3, 4, 5, 6, 7]


def test_a_first_version_is_followed_by_those_after_it(tmp_path: Path) -> None:
    for values in ((1,), (2,), (3,)):
        add(tmp_path, *values)
    source = Source.from_delta(tmp_path, version=1, follow="1s")
    found, position = read(source, lambda: add(tmp_path, 4), lambda: None)
    assert sorted(found[:2]) == [1, 2] and found[2:] == [3, 4]
    assert read(source, resume=position)[0] == []


CHANGES: list[tuple[Callable[[Path], Any], str]] = [
    (lambda table: DeltaTable(table).delete("x = 1"), "has removed or changed rows"),
    (
        lambda table: DeltaTable(table).update(updates={"x": "9"}, predicate="x = 1"),
        "has removed or changed rows",
    ),
    (
        lambda table: write_deltalake(table, numbers(5).polars(), mode="overwrite"),
        "has removed or changed rows",
    ),
    (
        lambda table: write_deltalake(
            table, numbers(5).polars().with_columns(y=1), mode="append", schema_mode="merge"
        ),
        "has other columns",
    ),
]


@pytest.mark.once
@pytest.mark.parametrize(("change", "what"), CHANGES, ids=["delete", "update", "overwrite", "columns"])
def test_a_version_that_does_not_only_add_rows(
    change: Callable[[Path], Any], what: str, tmp_path: Path
) -> None:
    add(tmp_path, 1, 2)
    source = Source.from_delta(tmp_path, follow="1s")
    _, position = read(source)
    with pytest.raises((SourceError, SchemaError), match=what):
        read(source, lambda: change(tmp_path))
    if what != "has other columns":
        with pytest.raises(SourceError, match=what):
            read(Source.from_delta(tmp_path), resume=position)


def test_metadata_that_changes_without_the_columns(tmp_path: Path) -> None:
    add(tmp_path, 1)
    found, _ = read(
        Source.from_delta(tmp_path, follow="1s"),
        lambda: DeltaTable(tmp_path).alter.set_table_description("numbers"),
        lambda: add(tmp_path, 2),
    )
    assert found == [1, 2]


def test_a_table_that_was_replaced(tmp_path: Path) -> None:
    add(tmp_path / "a", 1)
    add(tmp_path / "b", 1)
    _, position = read(Source.from_delta(tmp_path / "a"))
    with pytest.raises(SourceError, match="has been replaced since the checkpoint"):
        read(Source.from_delta(tmp_path / "b"), resume=position)
    with pytest.raises(SourceError, match="has been replaced since the checkpoint"):
        read(Source.from_delta(tmp_path / "a"), resume={**position, "at": 7})


def test_a_log_that_was_cleaned_up(tmp_path: Path) -> None:
    add(tmp_path, 1)
    source = Source.from_delta(tmp_path)
    _, position = read(source)
    for value in (2, 3):
        add(tmp_path, value)
    DeltaTable(tmp_path).create_checkpoint()
    for version in (0, 1):
        (tmp_path / "_delta_log" / f"{version:020}.json").unlink()
    with pytest.raises(SourceError, match="has no entry of version 1 any more"):
        read(source, resume=position)
    assert sorted(read(source)[0]) == [1, 2, 3]


def edited(table: Path, version: int, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the actions of one commit, as a writer with other features would have written them."""
    actions = log_of(table)[version]
    for action in actions:
        change(action)
    text = "\n".join(map(json.dumps, actions))
    (table / "_delta_log" / f"{version:020}.json").write_text(text)


VECTOR = {
    "storageType": "i",
    "pathOrInlineDv": "^Bg9^0rr910000000000iXQKl0rr91000005c8Xg0rr91",
    "sizeInBytes": 34,
    "cardinality": 1,
}
"""A deletion vector of the row 1."""


def test_rows_that_are_deleted_in_their_files(tmp_path: Path) -> None:
    add(tmp_path, 1, 2)
    feature = TableFeatures.DeletionVectors
    DeltaTable(tmp_path).alter.add_feature(feature, allow_protocol_versions_increase=True)
    source = Source.from_delta(tmp_path, follow="1s")
    assert read(source)[0] == [1, 2]

    def delete() -> None:
        add(tmp_path, 3, 4)
        edited(tmp_path, 2, lambda action: action.get("add", {}).update(deletionVector=VECTOR))

    with pytest.raises(SourceError, match="deleted by deletion vectors"):
        read(source, delete)
    with pytest.raises(SourceError, match="deleted by deletion vectors"):
        source.schema()


def test_tables_whose_files_are_not_what_they_seem(tmp_path: Path) -> None:
    add(tmp_path / "mapped", 1)
    edited(
        tmp_path / "mapped",
        0,
        lambda action: (
            action.get("metaData", {}).get("configuration", {}).update({"delta.columnMapping.mode": "id"})
        ),
    )
    with pytest.raises(SourceError, match="maps its columns to other names"):
        Source.from_delta(tmp_path / "mapped").schema()
    add(tmp_path / "cloned", 1)
    edited(
        tmp_path / "cloned",
        0,
        lambda action: action.get("add", {}).update(path="file:///elsewhere/part.parquet"),
    )
    with pytest.raises(SourceError, match="has data files in another folder"):
        read(Source.from_delta(tmp_path / "cloned"))


def test_only_the_columns_that_are_needed_are_read(tmp_path: Path) -> None:
    rows = pl.DataFrame({"x": [1, 2], "y": ["a", "b"], "k": ["u", "v"]})
    write(Sink.to_delta(tmp_path, partition_by="k"), rows)
    write_deltalake(tmp_path, rows.with_columns(z=1.5), mode="append", schema_mode="merge")
    source = Source.from_delta(tmp_path)
    for columns in (["z", "x"], ["k"], ["y", "k"], ["z"]):
        steps = Pipeline.builder().source(source).select(*columns)
        expected = pl.read_delta(str(tmp_path)).select(columns)
        assert_frame_equal(steps.collect_sync(), expected, check_row_order=False)
        assert f"columns: {len(columns)} of 4 (" in steps.explain()


def test_partitions_of_types_that_other_writers_have(tmp_path: Path) -> None:
    noon = dt.datetime(2026, 1, 31, 12, 0, 0, 5)
    rows = pl.DataFrame(
        {
            "x": [1, 2],
            "at": [noon, None],
            "utc": pl.Series([noon, None], dtype=pl.Datetime("us", "UTC")),
            "f": [1.5, None],
            "d": [Decimal("1.25"), None],
            "n": [-3, None],
        }
    )
    write_deltalake(tmp_path, rows, partition_by=["at", "utc", "f", "d", "n"])
    found = Pipeline.builder().source(Source.from_delta(tmp_path)).collect_sync().sort("x")
    assert_frame_equal(found, rows.cast({"d": found.schema["d"]}))


def test_times_as_old_writers_have_them(tmp_path: Path) -> None:
    """In 96 bits, which nanoseconds cannot count."""
    times = [dt.datetime(1, 1, 1), dt.datetime(2026, 1, 31, 12, 0, 0, 5), None]
    rows = pl.DataFrame({"x": pl.Series(times, dtype=pl.Datetime("us", "UTC"))})
    write_deltalake(tmp_path, rows)
    [file] = DeltaTable(tmp_path).file_uris()
    parquet.write_table(rows.to_arrow(), file, use_deprecated_int96_timestamps=True)
    assert_frame_equal(Pipeline.builder().source(Source.from_delta(tmp_path)).collect_sync(), rows)


def test_the_daily_job(tmp_path: Path) -> None:
    """Each run reads what is new, from one table into another, also if a run in between has failed."""
    source, target = tmp_path / "in", tmp_path / "out"
    for day in range(4):
        add(source, 2 * day, 2 * day + 1)
        if day == 2:
            DeltaTable(source).optimize.compact()
        job = Pipeline.builder("daily").source(Source.from_delta(source)).sink(Sink.to_delta(target)).build()
        assert "exactly once" in job.explain()
        assert job.run_sync(checkpoint=tmp_path / "state").rows_in == 2
    assert sorted(pl.read_delta(str(target))["x"]) == list(range(8))
    DeltaTable(source).delete("x = 0")
    with pytest.raises(SourceError, match="has removed or changed rows"):
        job.run_sync(checkpoint=tmp_path / "state")


def test_a_run_that_follows_is_stopped_and_goes_on(tmp_path: Path) -> None:
    add(tmp_path / "in", *range(5))
    jobs: list[Pipeline] = []
    sink = EpochRows(lambda rows: jobs[-1].stop())
    for number in (5, 6):
        source = Source.from_delta(tmp_path / "in", follow="10ms")
        jobs.append(Pipeline.builder("follow").source(source).sink(sink).build())
        jobs[-1].run_sync(checkpoint=tmp_path / "state", every="20ms")
        assert len(sink.rows) == number
        add(tmp_path / "in", number)
    assert sorted(x for x, _ in sink.rows) == list(range(6))


def test_jobs(tmp_path: Path) -> None:
    add(tmp_path / "in", *range(5))
    (tmp_path / "job.toml").write_text(
        '[source]\nkind = "delta"\npath = "in"\nversion = 0\n'
        '[sink]\nkind = "delta"\npath = "out"\nmode = "error"\npartition_by = "k"\n'
    )
    Job.load(tmp_path / "job.toml").pipeline().run_sync()
    assert sorted(pl.read_delta(str(tmp_path / "out"))["x"]) == list(range(5))
