"""Folders that grow: what is new since the last run, the daily job, and files that come while a run goes on."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from epoch_rows import EpochRows

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.core.notes import ReaderNote
from arrowstream.errors import PlanError, SchemaError, SourceError, StageError
from arrowstream.io.files.source import FileSource
from arrowstream.jobs.job import Job
from arrowstream.testing import ManualClock, TestSink

pytestmark = pytest.mark.once


def put(path: Path, *values: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}")
    staged.write_text("".join(f"{value}\n" for value in ("n", *values)))
    staged.rename(path)


def run(source: Any, sink: Any, checkpoint: Path, every: str = "1h", **options: Any) -> Any:
    pipeline = Pipeline.builder(name="grow").source(source).sink(sink).build()
    return pipeline.run_sync(checkpoint=checkpoint, every=every, **options)


def test_a_run_takes_what_is_new_since_the_last_one(tmp_path: Path) -> None:
    source = Source.from_file(f"{tmp_path}/in/*.csv", schema={"n": int})
    sink = EpochRows()
    new = [["b"], ["d", "c"], [], ["a"], ["e"]]
    for number, names in enumerate(new):
        for name in names:
            put(tmp_path / "in" / f"{name}.csv", ord(name), number)
        before = len(sink.rows)
        report = run(source, sink, tmp_path / "state")
        assert sink.rows[before:] == [(n,) for name in sorted(names) for n in (ord(name), number)]
        assert report.rows_out == 2 * len(names)
    (tmp_path / "in" / "a.csv").unlink()
    put(tmp_path / "in" / "f.csv", 6)
    run(source, sink, tmp_path / "state")
    assert sink.rows[10:] == [(6,)]
    put(tmp_path / "in" / "b.csv", 1, 2, 3)
    with pytest.raises(SourceError, match=r"(?s)b\.csv has changed since.*expected: 7 bytes.*found: 8 bytes"):
        run(source, sink, tmp_path / "state")
    run(source, sink, tmp_path / "state", from_checkpoint="ignore")


@pytest.mark.parametrize(("suffix", "days"), [("csv", 9), ("parquet", 30)])
def test_the_daily_job_reads_each_row_once_though_every_third_run_fails(
    suffix: str, days: int, tmp_path: Path
) -> None:
    def fail(written: int) -> None:
        if day % 3 == 1 and written >= fails_after:
            raise OSError("the disk is full")

    sink = EpochRows(fail)
    (tmp_path / "in").mkdir()
    source = Source.from_file(tmp_path / "in", batch_rows=3, schema={"n": pl.Int64})
    builder = Pipeline.builder(name="daily").source(source).filter(pl.col("n") % 10 < 7)
    failed = 0
    for day in range(days):
        frame = pl.DataFrame({"n": range(day * 20, day * 20 + 20)})
        path = tmp_path / "in" / f"{day:02}.{suffix}"
        frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
        fails_after = day % 4 * 3
        pipeline = builder.sink(sink).build()
        try:
            pipeline.run_sync(checkpoint=tmp_path / "state", every="1ms")
        except StageError as error:
            assert "the disk is full" in str(error)
            failed += 1
    day = 0
    builder.sink(sink).build().run_sync(checkpoint=tmp_path / "state", every="1ms")
    assert failed >= days // 6
    assert [n for (n,) in sink.rows] == [n for n in range(20 * days) if n % 10 < 7]


def test_bad_rows_of_an_earlier_run_are_not_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    bad, good = EpochRows(), EpochRows()
    source = Source.from_file(folder, schema={"n": int}, bad_rows=bad)
    for number in range(3):
        (folder / f"{number}.csv").write_text(f"n\n{number}\nx{number}\n")
        run(source, good, tmp_path / "state")
    assert [n for (n,) in good.rows] == [0, 1, 2]
    assert [(row[1], row[4]) for row in bad.rows] == [(2, f"x{number}") for number in range(3)]


def test_what_cannot_be_read_again_is_refused_with_checkpoints(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    builder = Pipeline.builder().source(Source.from_file(tmp_path / "pipe.csv", schema={"n": int}))
    names = builder.sink(TestSink())
    writer = os.open(tmp_path / "pipe.csv", os.O_RDWR)
    os.write(writer, b"n\n1\n")
    with pytest.raises(PlanError, match="cannot continue after a restart"):
        names.build().run_sync(checkpoint=tmp_path / "state")
    os.close(writer)


class Watched:
    """A reader of a folder that is watched every second of a clock that the test sets."""

    def __init__(self, source: FileSource, resume: Any = None) -> None:
        self.clock = ManualClock()
        self.reader = source.open(replace(context(), clock=self.clock), None, resume)

    def after(self, seconds: float) -> list[Any]:
        """The rows that come within some seconds, until two reads have none."""
        self.clock.set_ns(self.clock.now_ns() + round(seconds * 1e9))
        found: list[Any] = []
        silent = 0
        while silent < 2:
            batch = self.reader.read()
            assert isinstance(batch, Batch)
            silent = 0 if batch.num_rows else silent + 1
            found += batch.polars().rows()
        return found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No read waits."""
    monkeypatch.setattr("arrowstream.io.files.reading.watching._SILENCE_S", 0)


def test_a_watched_folder_gives_each_file_once_when_it_is_at_rest(tmp_path: Path, impatient: None) -> None:
    put(tmp_path / "b.csv", 1)
    watched = Watched(Source.from_file(tmp_path, watch="1s"))
    assert watched.after(0) == []
    assert watched.after(0.5) == []
    put(tmp_path / "c.csv", 2)
    assert watched.after(0.6) == [(1,)]
    put(tmp_path / "a.csv", 3)
    growing = tmp_path / "d.csv"
    growing.write_text("n\n4\n")
    assert watched.after(1) == [(2,)]
    growing.write_text("n\n4\n5\n")
    assert watched.after(1) == [(3,)]
    assert watched.after(1) == [(4,), (5,)]
    assert watched.after(5) == []
    reader = watched.reader
    assert reader.notes == (ReaderNote("files read", 4, f"{tmp_path}/b.csv", lost=False),)
    assert (reader.rows_read, reader.total_rows, reader.take_bad_rows()) == (None, None, None)
    assert reader.waited_ns >= 0
    put(tmp_path / "e.csv", 6)
    (tmp_path / "gone.csv").write_text("n\n")
    watched.after(1)
    (tmp_path / "gone.csv").unlink()
    assert watched.after(1) == [(6,)]
    with growing.open("a") as file:
        file.write("7\n")
    with pytest.raises(SourceError, match=r"d\.csv has changed since an earlier run read it"):
        watched.after(1)
    reader.close()


def test_a_watched_folder_goes_on_in_the_middle_of_a_file(tmp_path: Path, impatient: None) -> None:
    for name in ("a", "b"):
        pl.DataFrame({"n": range(10)}).write_parquet(tmp_path / f"{name}.parquet")
    source = Source.from_file(tmp_path, batch_rows=4, watch="1s")
    first = Watched(source)
    first.after(0)
    first.clock.set_ns(10**9)
    found = []
    while len(found) < 14:
        batch = first.reader.read()
        assert isinstance(batch, Batch)
        found += batch.polars().rows()
    position = json.loads(json.dumps(dict(first.reader.position() or {})))
    first.reader.close()
    (tmp_path / "a.parquet").unlink()  # a file that was read may go
    pl.DataFrame({"n": [99]}).write_parquet(tmp_path / "0.parquet")
    second = Watched(source, position)
    rest = second.after(0)
    assert found + rest == [(n,) for n in [*range(10), *range(10)]]
    assert second.reader.rows_read == len(rest)
    assert second.after(1) == [(99,)]
    assert second.reader.rows_read == len(rest) + 1
    second.reader.close()


def test_names_of_files_that_are_being_written_are_left_out(tmp_path: Path, impatient: None) -> None:
    for number, name in enumerate(["x", "x.csv.tmp", "x.csv.part", "x.csv.inprogress", ".x.csv", "_x.csv"]):
        (tmp_path / name).write_text(f"n\n{number}\n")
    for paths in (tmp_path, f"{tmp_path}/*"):
        watched = Watched(Source.from_file(paths, format="csv", schema={"n": int}, watch="1s"))
        assert watched.after(0) + watched.after(1) == [(0,)]
        watched.reader.close()


def test_an_empty_folder_needs_a_schema_and_a_format(tmp_path: Path, impatient: None) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(
        SourceError, match=r"(?s)no file is there yet in .*\*\.csv.*hint: give the columns: schema="
    ):
        Source.from_file(f"{folder}/*.csv", watch="1s").schema()
    with pytest.raises(PlanError, match=r"(?s)does not tell a file format.*format="):
        Source.from_file(folder, schema={"n": int}, watch="1s").schema()
    with pytest.raises(SourceError, match="no file matches"):
        Source.from_file(f"{folder}/none/*.csv", watch="1s").schema()
    source = Source.from_file(f"{folder}/*.csv", schema={"n": int}, include_file_paths="path", watch="1s")
    assert source.label == f"file {folder}/*.csv (csv, 0 files, watched every 1 s)"
    assert dict(source.schema()) == {"n": pl.Int64, "path": pl.String}
    assert source.explain_read(lambda rows: rows.select("n")) == ("columns: 1 of 2 (n)",)
    assert source.constant_columns == {"path"}
    watched = Watched(source)
    assert watched.after(0) == []
    put(folder / "a.csv", 1)
    assert watched.after(1) + watched.after(1) == [(1, f"{folder}/a.csv")]
    watched.reader.close()


def test_new_files_keep_the_columns_and_partitions(tmp_path: Path, impatient: None) -> None:
    source = Source.from_file(
        f"{tmp_path}/**/*.csv", schema={"n": int, "day": int}, missing_columns="insert", watch="1s"
    )
    watched = Watched(source)
    assert watched.after(0) == []
    put(tmp_path / "day=1" / "a.csv", 5)
    (tmp_path / "day=2").mkdir()
    (tmp_path / "day=2" / "b.csv").write_text("n\n6\n")
    assert watched.after(1) + watched.after(1) == [(5, 1), (6, 2)]
    (tmp_path / "day=2" / "c.csv").write_text("m\n6\n")
    with pytest.raises(SchemaError, match="has a column 'm' more"):
        _ = watched.after(1) + watched.after(1)
    watched.reader.close()
    plain = Watched(Source.from_file(f"{tmp_path}/*/*.csv", format="csv", schema={"n": int}, watch="1s"))
    (tmp_path / "day=2" / "c.csv").unlink()
    plain.reader.close()
    flat = tmp_path / "flat"
    flat.mkdir()
    watched = Watched(Source.from_file(f"{flat}/**/*.csv", schema={"n": int}, watch="1s"))
    put(flat / "day=1" / "a.csv", 5)
    with pytest.raises(SchemaError, match=r"(?s)do not name the partitions.*the columns n,.*found: day="):
        _ = watched.after(0) + watched.after(1)
    watched.reader.close()


def test_files_without_content_wait_until_they_have_some(tmp_path: Path, impatient: None) -> None:
    (tmp_path / "a.csv").write_text("")
    watched = Watched(Source.from_file(tmp_path, schema={"n": int}, skip_empty=True, watch="1s"))
    assert watched.after(0) + watched.after(1) + watched.after(1) == []
    put(tmp_path / "a.csv", 1)
    put(tmp_path / "b.csv", 2)
    assert watched.after(1) + watched.after(1) == [(1,), (2,)]
    watched.reader.close()


def test_a_folder_that_a_run_publishes_into_is_looked_at_later(
    tmp_path: Path, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / "a.csv", 1)
    watched = Watched(Source.from_file(tmp_path, watch="1s"))
    journal = tmp_path / ".12-0a.publishing"
    journal.write_text("")
    assert watched.after(0) + watched.after(1) + watched.after(1) == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "is not complete: a run publishes files into it" in caplog.text
    journal.unlink()
    assert watched.after(1) + watched.after(1) == [(1,)]
    watched.reader.close()


def test_what_cannot_be_watched_is_refused(tmp_path: Path) -> None:
    for path, period, message in (
        ("s3://bucket/*.csv", "1s", "s3://bucket/.* cannot be watched for new files"),
        ("-", "1s", "/dev/stdin cannot be watched"),
        (tmp_path, 0, "watch= is too short"),
    ):
        with pytest.raises(PlanError, match=message):
            Source.from_file(path, format="csv", watch=period)


def test_a_watched_pipeline_stops_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    sink = EpochRows()
    source = Source.from_file(f"{folder}/*.csv", schema={"n": int}, batch_rows=2, watch="5ms")

    async def run_until(rows: int, names: str) -> Any:
        last, loop = asyncio.Event(), asyncio.get_running_loop()
        sink.on_write = lambda written: written == rows - 1 and loop.call_soon_threadsafe(last.set)
        pipeline = Pipeline.builder(name="watch").source(source).filter(pl.col("n") >= 0).sink(sink).build()
        running = asyncio.create_task(pipeline.run(checkpoint=tmp_path / "state", every="5ms"))
        for name in names:
            put(folder / f"{name}.csv", ord(name), -1, ord(name))
            await asyncio.sleep(0.01)
        await last.wait()
        pipeline.stop()
        return await running

    report = asyncio.run(run_until(4, "cb"))
    assert report.stopped == "stop"
    assert any(note.what == "files read" for note in report.notes)
    asyncio.run(run_until(2, "a"))
    first, last = sink.rows[:4], sink.rows[4:]
    assert [chr(n) for (n,) in last] == ["a", "a"]
    assert [chr(n) for (n,) in first] in (list("bbcc"), list("ccbb"))


def test_windows_close_while_a_watched_folder_is_silent(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,n\n0,1\n1000000,2\n")
    source = Source.from_file(tmp_path, watch="5ms").with_event_time("t", idle="5ms", advance_when_idle=True)
    found: list[Any] = []

    async def note(rows: pa.RecordBatch) -> None:
        found.extend(rows["n"].to_pylist())
        pipeline.stop()

    pipeline = (
        Pipeline.builder()
        .source(source)
        .window("1s", on="t")
        .agg(pl.col("n").sum())
        .sink(Sink.to_fn(note))
        .build()
    )
    assert pipeline.run_sync(duration="20s").stopped == "stop"
    assert found[0] == 1


def test_a_job_watches_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.csv", 1, 2)
    job = tmp_path / "job.toml"
    job.write_text(
        f'[source]\nkind = "file"\npath = "{tmp_path}/in"\nwatch = "5ms"\n'
        f'[sink]\nkind = "file"\npath = "{tmp_path}/out.csv"\n'
    )
    pipeline = Job.load(job).pipeline()

    async def main() -> Any:
        running = asyncio.create_task(pipeline.run())
        for _ in range(10_000):
            if pipeline.metrics().rows_out == 2:
                break
            await asyncio.sleep(0.005)
        pipeline.stop()
        return await running

    report = asyncio.run(main())
    assert (report.rows_out, report.stopped) == (2, "stop")
    assert (tmp_path / "out.csv").read_text() == "n\n1\n2\n"
