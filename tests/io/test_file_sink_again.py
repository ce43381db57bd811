"""A file sink whose disk fails for a while: handlers try again, and no row is lost, doubled or half written."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context
from scripted import publish

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import SinkError
from arrowstream.io.files.destination import resolved
from arrowstream.io.files.output import encoders, frame_queue, output_file
from arrowstream.io.files.output.streaming_sink import StreamingSink
from arrowstream.io.files.sink import FileSink
from arrowstream.testing import ManualClock, TestSink

pytestmark = pytest.mark.once

ROWS = pl.DataFrame({"x": range(24_000)}).with_columns(k=pl.col("x") % 3)
FIRST = [1, 2, 3, 4, 5, 8, 12, 20, 40, 10_000]
"""The calls that fail first; the last number is more than there are."""

TARGETS: dict[str, dict[str, Any]] = {
    "csv": {"path": "out.csv"},
    "json": {"path": "out.json"},
    "gzip": {"path": "out.ndjson.gz"},
    "parquet": {"path": "out.parquet"},
    "ipc": {"path": "out.arrow"},
    "folder": {"path": "out/", "format": "csv", "max_rows_per_file": 8_000},
    "partitions": {"path": "out", "format": "parquet", "partition_by": "k"},
    "old folder": {"path": "there", "format": "csv", "partition_by": "k"},
}


@pytest.fixture(autouse=True)
def small_units(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rows are encoded a few at a time, as those of a large run are."""
    monkeypatch.setattr(resolved, "unit_rows", lambda format: 400)
    monkeypatch.setattr(encoders, "GROUP_ROWS", 400)
    monkeypatch.setattr(encoders, "_PACKED_BYTES", 1)
    monkeypatch.setattr(frame_queue, "CAPACITY", 1)
    monkeypatch.setattr(output_file, "CHUNK", 1)
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()


open_descriptor = os.open
open_file = Path.open


class Disk:
    """Refuses to open files and make folders from one call on, so many times, after it wrote half of what it got."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: int, times: int) -> None:
        self.calls = 0
        self._refused = range(first, first + times)
        for place, name in ((Path, "open"), (os, "open"), (Path, "mkdir")):
            monkeypatch.setattr(place, name, self._refusing(getattr(place, name)))

    @property
    def failed(self) -> bool:
        return self.calls >= self._refused.start

    def _refusing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(path: Path | str, *arguments: Any, **options: Any) -> Any:
            writes = call is not open_descriptor or arguments[0] & os.O_TRUNC
            if "inprogress" in str(path) and writes:
                self.calls += 1
                if self.calls in self._refused:
                    if arguments == ("ab",) or call is open_descriptor:
                        with open_file(Path(path), "ab") as file:
                            file.write(b"half of what")
                    raise OSError(errno.ENOSPC, "No space left on device")
            return call(path, *arguments, **options)

        return maybe


def run(target: str, handler: ErrorHandler) -> list[int]:
    """What is read of what was written."""
    source = Source.from_frame(ROWS, batch_rows=1_200)
    sink = FileSink.of(**TARGETS[target])
    Pipeline.builder().source(source).sink(sink).on_error(handler).build(clock=ManualClock()).run_sync()
    return read(target)


def read(target: str) -> list[int]:
    path = TARGETS[target]["path"]
    return Pipeline.builder().source(Source.from_file(path)).collect_sync()["x"].cast(pl.Int64).to_list()


def clear() -> None:
    for path in Path().iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    Path("there").mkdir()


def nothing_written(target: str) -> bool:
    path = Path(TARGETS[target]["path"])
    return not path.is_file() and not any(found.is_file() for found in path.rglob("*"))


@pytest.mark.untraced
@pytest.mark.parametrize("target", TARGETS)
def test_whichever_call_fails_a_retry_goes_on_where_it_was(target: str) -> None:
    got_through = 0
    for first in FIRST:
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, first, times=1)
            try:
                found = run(target, ErrorHandler.retry(2, 0))
            except SinkError as error:
                # When it is opened, and when it ends, no batch is at hand that could be tried again.
                assert error.found == "No space left on device"
                assert nothing_written(target)
            else:
                assert sorted(found) == ROWS["x"].to_list()
                got_through += disk.failed
                if not disk.failed:
                    break
        clear()
    # Polars writes the first record batch of an Arrow file once it is large, so here only at the end.
    assert got_through > 2 or target == "ipc"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("times", [pytest.param(4, marks=pytest.mark.untraced), 25])
def test_rows_are_in_the_file_or_put_aside(target: str, times: int) -> None:
    got_through = put_aside = 0
    for first in (*FIRST[::2], FIRST[-1]):
        dead = TestSink()
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, first, times)
            try:
                found = run(target, ErrorHandler.dead_letter(dead))
            except SinkError:
                assert nothing_written(target)
            else:
                aside = [row for batch in dead.batches for row in batch.polars()["x"]]
                assert sorted(found + aside) == ROWS["x"].to_list()
                got_through += disk.failed
                put_aside += bool(aside)
        clear()
    assert not disk.failed
    assert got_through or target == "ipc"
    # Halving a batch tries again: only after more failures than there are halvings are rows put aside.
    assert put_aside or times < 25 or target == "ipc"


def test_without_a_handler_a_failure_ends_the_run_though_the_disk_would_take_it_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Disk(monkeypatch, first=1, times=1)
    rows = Pipeline.builder().source(Source.from_frame(ROWS, batch_rows=1_200))
    with pytest.raises(SinkError, match=r"cannot write out.csv \(stage sink\)"):
        rows.sink(Sink.to_file("out.csv")).build().run_sync()
    assert [path.name for path in Path().iterdir()] == ["there"]


def test_what_could_not_be_made_durable_is_never_trusted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = FileSink.of("out/", format="csv", max_rows_per_file=5).open(ROWS.schema, context())
    sync, left = os.fsync, [1]

    def once(handle: int) -> None:
        if left:
            left.pop()
            raise OSError(errno.EIO, "Input/output error")
        sync(handle)

    monkeypatch.setattr(os, "fsync", once)
    writer.write(Batch(ROWS[:10]))  # which ends a file
    for _ in range(3):
        with pytest.raises(SinkError, match="Input/output error"):
            writer.write(Batch(ROWS[10:11]))
    with pytest.raises(SinkError, match="Input/output error"):
        publish(writer)
    writer.abort()
    assert [path.name for path in Path().iterdir()] == ["there"]


def test_rows_that_are_lost_on_the_way_into_a_file_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def panics(sink: StreamingSink, rows: pl.DataFrame, *, is_trimmed: bool) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(StreamingSink, "append", panics)
    writer = FileSink.of("out.csv").open(ROWS.schema, context())
    with pytest.raises(MemoryError):
        writer.write(Batch(ROWS[5:10]))
    monkeypatch.undo()
    for call in (lambda: writer.write(Batch(ROWS[5:10])), lambda: publish(writer)):
        with pytest.raises(SinkError, match="cannot be continued after a failure") as raised:
            call()
        assert raised.value.found == "MemoryError: no room"
    writer.abort()
