"""Part files that end by rows, bytes or time, and those that are seen before the run ends."""

import asyncio
import errno
import os
from pathlib import Path

import polars as pl
import pytest
from contexts import context
from scripted import publish

from arrowstream import ErrorHandler, Pipeline, Sink, Source, channel
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError, SinkError
from arrowstream.io.files import folder_writer, hive_folders
from arrowstream.io.files.output.streaming_sink import StreamingSink
from arrowstream.io.files.sink import FileSink
from arrowstream.io.writer import BlockingWriter
from arrowstream.testing import ManualClock

pytestmark = pytest.mark.once

ROWS = pl.DataFrame({"k": ["a", "b"] * 5, "x": range(10)})
ROLLING = {"mode": "append", "roll_every": "10m"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(path="out/", **options):
    return FileSink.of(path, **options).open(ROWS.schema, context())


def seen():
    return [path for path in sorted(Path().rglob("part-*")) if not any(p.startswith(".") for p in path.parts)]


def rows():
    return sorted(x for path in seen() if path.is_file() for x in pl.read_parquet(path)["x"])


def hidden():
    return list(Path().rglob(".*"))


@pytest.mark.parametrize("partition_by", [(), "k"])
def test_files_are_seen_after_each_period_and_stay_if_the_run_fails(partition_by):
    writer = opened(partition_by=partition_by, **ROLLING)
    assert writer.period_s == 600
    writer.on_period()
    writer.write(Batch(ROWS[:4]))
    assert seen() == []
    writer.on_period()
    assert rows() == [0, 1, 2, 3]
    writer.write(Batch(ROWS[4:8]))
    writer.on_period()
    writer.on_period()
    assert rows() == list(range(8))
    assert len(seen()) == (4 if partition_by else 2)
    writer.write(Batch(ROWS[8:]))
    writer.prepare(0)
    assert rows() == list(range(8))
    writer.abort()
    assert rows() == list(range(8)) and hidden() == []
    other = opened(partition_by=partition_by, **ROLLING)
    other.write(Batch(ROWS[8:]))
    other.prepare(0)
    other.commit({})
    assert rows() == list(range(10)) and hidden() == []


def test_a_run_that_fails_before_its_first_file_leaves_no_folder():
    writer = opened("deep/out/", **ROLLING)
    writer.write(Batch(ROWS))
    writer.abort()
    assert list(Path().iterdir()) == []


def test_a_run_without_rows_leaves_a_file_with_the_columns_which_goes_once_there_are_rows():
    for batch in (ROWS[:0], ROWS[:0], ROWS, ROWS[:0]):
        writer = opened(partition_by="k", **ROLLING)
        writer.write(Batch(batch))
        writer.on_period()
        writer.prepare(0)
        writer.commit({})
        assert seen()
    assert {str(path.parent) for path in seen()} == {"out/k=a", "out/k=b"}
    assert rows() == list(range(10)) and hidden() == []


@pytest.mark.parametrize("limit", [{"roll_every": "10m"}, {"max_bytes_per_file": 1}])
def test_an_endless_run_forgets_folders_that_get_no_more_rows(limit, monkeypatch):
    monkeypatch.setattr(folder_writer, "FOLDERS", 2)
    monkeypatch.setattr(hive_folders, "NAMES", 3)
    writer = opened(partition_by="k", mode="append", **limit)
    most, hours = 0, [*range(9), 0, 1, 0]
    for number, hour in enumerate(hours):
        writer.write(Batch(pl.DataFrame({"k": [f"h{hour}"], "x": [number]})))
        writer.on_period()
        most = max(most, writer.known_folders)
    assert most <= 3 and rows() == list(range(12))
    writer.prepare(0)
    writer.commit({})
    assert rows() == list(range(12)) and len(seen()) == 12 and hidden() == []


def test_folders_with_rows_are_not_forgotten(monkeypatch):
    monkeypatch.setattr(folder_writer, "FOLDERS", 1)
    monkeypatch.setattr("arrowstream.io.files.destination.resolved.unit_rows", lambda format: 2)
    writer = opened(partition_by="k", mode="append", max_rows_per_file=2, max_bytes_per_file=1 << 20)
    for folders in ("ab", "cc"):
        writer.write(Batch(pl.DataFrame({"k": list(folders), "x": [ord(name) for name in folders]})))
    assert writer.known_folders == 2 and rows() == [ord("c")] * 2
    writer.prepare(0)
    writer.commit({})
    assert rows() == list(map(ord, "abcc")) and hidden() == []


def test_a_run_that_has_forgotten_all_folders_writes_no_file_without_rows(monkeypatch):
    monkeypatch.setattr(folder_writer, "FOLDERS", 1)
    writer = opened(partition_by="k", **ROLLING)
    writer.write(Batch(ROWS))
    writer.on_period()
    assert writer.known_folders == 0
    writer.prepare(0)
    writer.commit({})
    assert len(seen()) == 2 and rows() == list(range(10))


WIDE = pl.DataFrame({"k": ["a"] * 40_000, "x": range(40_000)}).with_columns(
    k=pl.lit("h") + pl.col("x").hash(1).cast(pl.String)
)


@pytest.mark.untraced
@pytest.mark.parametrize("mode", ["append", "overwrite"])
@pytest.mark.parametrize("format", ["parquet", "csv", "ndjson", "ipc"])
def test_files_end_once_they_have_their_bytes(mode, format):
    limit = 100_000
    writer = opened(mode=mode, format=format, max_bytes_per_file=limit)
    for batch in WIDE.iter_slices(5_000):
        writer.write(Batch(batch))
    assert bool(seen()) == (mode == "append")
    writer.prepare(0)
    writer.commit({})
    sizes = [path.stat().st_size for path in seen()]
    assert len(sizes) > 3 and all(limit / 4 < size < 2 * limit for size in sizes[:-1])
    found = Pipeline.builder().source(Source.from_file("out/")).collect_sync()
    assert found["x"].to_list() == WIDE["x"].to_list()


def test_sorted_files_end_once_their_rows_have_the_bytes():
    limit = 100_000
    writer = opened(sort_by="x", max_bytes_per_file=limit)
    for batch in WIDE.reverse().iter_slices(5_000):
        writer.write(Batch(batch))
    publish(writer)
    files = [pl.read_parquet(path) for path in seen()]
    sizes = [rows.estimated_size() for rows in files]
    assert len(sizes) > 3 and all(limit / 4 < size < 2 * limit for size in sizes[:-1])
    assert all(rows["x"].is_sorted() for rows in files)
    assert pl.concat(files).sort("x").equals(WIDE)


def test_small_partitions_have_their_bytes_too():
    writer = opened(partition_by="k", max_bytes_per_file=1_000)
    writer.write(Batch(WIDE.with_columns(k=pl.lit("a"))[:4_000]))
    writer.prepare(0)
    writer.commit({})
    assert len(seen()) > 3 and rows() == list(range(4_000))


def test_a_file_that_cannot_be_shown_at_once_is_shown_later(monkeypatch, caplog):
    writer = opened(max_rows_per_file=1, **ROLLING)
    sync = os.fsync

    def full(handle):
        if Path(f"/proc/self/fd/{handle}").readlink().name == "out":
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        writer.write(Batch(ROWS[:1]))
    assert "cannot finish out" in caplog.text
    writer.write(Batch(ROWS[1:2]))
    assert rows() == [0, 1]
    writer.abort()


def test_a_period_in_which_the_disk_refuses_is_made_up_for(monkeypatch, caplog):
    writer = opened(**ROLLING)
    writer.write(Batch(ROWS[:5]))

    def refuse(*arguments):
        raise SinkError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(folder_writer.FolderWriter, "_check", refuse)
        writer.on_period()
    assert "no space" in caplog.text and seen() == []
    writer.on_period()
    assert rows() == [0, 1, 2, 3, 4]
    writer.write(Batch(ROWS[5:]))

    def panics(*arguments):
        raise MemoryError("no room")

    other = opened("other/", partition_by="k", **ROLLING)
    other.write(Batch(ROWS))
    monkeypatch.setattr(folder_writer, "encoded_files", panics)
    with pytest.raises(MemoryError):
        other.on_period()
    with pytest.raises(SinkError, match="cannot be continued"):
        other.write(Batch(ROWS))
    other.abort()
    writer.abort()


def test_small_partitions_end_without_a_thread_for_each_also_after_a_failure(monkeypatch, caplog):
    many = pl.DataFrame({"k": [str(number % 90) for number in range(900)], "x": range(900)})
    monkeypatch.setattr(StreamingSink, "_start", lambda sink: pytest.fail("a thread"))
    writer = opened(partition_by="k", **ROLLING)
    call, left = os.open, [50]

    def refuses_one(path, flags, *arguments, **options):
        left[0] -= bool(flags & os.O_CREAT)
        if left[0] == 0:
            left[0] = -1
            raise OSError(errno.ENOSPC, "No space left on device")
        return call(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuses_one)
    writer.write(Batch(many[:450]))
    writer.on_period()
    assert "No space left" in caplog.text or "cannot write" in caplog.text
    assert seen() == []
    writer.on_period()
    assert rows() == list(range(450))
    writer.write(Batch(many[450:]))
    writer.prepare(0)
    writer.commit({})
    assert rows() == list(range(900)) and len(seen()) == 180


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "o.csv", "max_bytes_per_file": 5}, "max_bytes_per_file is for the part files of a folder"),
        ({"path": "o.csv", "roll_every": "1m", "mode": "append"}, "roll_every is for the part files"),
        ({"path": "o/", "roll_every": "0s", "mode": "append"}, "roll_every is for the part files"),
        ({"path": "o/", "roll_every": "1m"}, "roll_every shows part files while the run goes on"),
    ],
)
def test_limits_that_do_not_fit_are_refused(options, message):
    with pytest.raises(PlanError, match=message) as caught:
        FileSink.of(**options).check(ROWS.schema)
    assert caught.value.hint


def test_it_is_said_that_rows_are_seen_at_least_once():
    sink = Sink.to_file("out/", mode="append", max_bytes_per_file=1)
    assert sink.guarantee.startswith("at least once: each file appears once it is complete")
    builder = Pipeline.builder().source(Source.from_frame(ROWS))
    assert "at least once" in builder.sink(sink).build().explain()
    assert Sink.to_file("out/", max_bytes_per_file=1).guarantee.startswith("atomic")


async def until(found):
    """Wait until worker threads have done something."""
    for _ in range(20_000):
        if found():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it was never found")


def test_an_endless_run_shows_whole_files_by_its_clock_also_while_no_rows_come():
    clock = ManualClock()

    async def main():
        tx, rx = channel(10)
        source = Source.from_channel(rx, schema=ROWS.schema)
        pipeline = Pipeline.builder().source(source).sink(Sink.to_file("out/", **ROLLING)).build(clock=clock)
        run = asyncio.create_task(pipeline.run())
        await tx.send(ROWS[:3])
        await until(lambda: pipeline.metrics().rows_out == 3)
        await clock.advance(599)
        assert seen() == []
        await clock.advance(1)
        await until(lambda: rows() == [0, 1, 2])
        await tx.send(ROWS[3:])
        tx.close()
        return await run

    assert asyncio.run(main()).rows_out == 10
    assert rows() == list(range(10)) and len(seen()) == 2 and hidden() == []


@pytest.mark.parametrize("best_effort", [False, True])
def test_a_period_that_fails_ends_the_run_or_its_best_effort_sink(monkeypatch, best_effort, caplog):
    clock = ManualClock()

    def fails(writer):
        raise RuntimeError("no period")

    monkeypatch.setattr(folder_writer.FolderWriter, "on_period", fails)

    async def main():
        tx, rx = channel(10)
        sink = Sink.to_file("out/", **ROLLING)
        sinks = Sink.fanout([Sink.to_fn(lambda batch: None), sink.best_effort() if best_effort else sink])
        rows = Pipeline.builder().source(Source.from_channel(rx, schema=ROWS.schema))
        run = asyncio.create_task(rows.sink(sinks).on_error(ErrorHandler.fail()).build(clock=clock).run())
        await tx.send(ROWS)
        await clock.advance(600)
        await until(lambda: run.done() or "no period" in caplog.text)
        if best_effort:
            tx.close()
        return await run

    if best_effort:
        assert asyncio.run(main()).rows_in == 10
        assert list(Path().iterdir()) == []
    else:
        with pytest.raises(SinkError, match="no period"):
            asyncio.run(main())


def test_a_file_without_rows_that_another_run_has_replaced_by_rows_stays():
    empty = opened(mode="overwrite")
    empty.prepare(0)
    empty.commit({})
    rolling, other = opened(**ROLLING), opened(mode="overwrite")
    other.write(Batch(ROWS[:4]))
    other.prepare(0)
    other.commit({})
    rolling.write(Batch(ROWS[4:]))
    rolling.prepare(0)
    rolling.commit({})
    assert rows() == list(range(10)) and hidden() == []


def test_a_writer_without_a_period_does_nothing_after_one() -> None:
    class Plain(BlockingWriter):
        def write(self, batch: Batch) -> None:
            raise NotImplementedError

        def abort(self) -> None:
            raise NotImplementedError

    writer = Plain()
    assert writer.period_s is None
    writer.on_period()
