"""Runs with checkpoints: what is shown and saved when a run ends in each way, and where the next one begins."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from checkpoints.recovery_pipeline import SINKS, frames, pipeline, shown
from epoch_files import EpochFiles, EpochFilesWriter, PacedReader, PacedSource
from kills import stopped_at
from polars.testing import assert_frame_equal

from arrowstream import ErrorHandler, Pipeline, RunReport, Sink, Source, channel
from arrowstream.checkpoints.inspection import epochs
from arrowstream.checkpoints.layout import manifest_of
from arrowstream.checkpoints.manifest import Manifest
from arrowstream.core.batch import Batch
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import CheckpointError, PlanError, SinkError, SourceError, StageError
from arrowstream.io.files.epochs.writer import EpochWriter
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import Query, Reader
from arrowstream.io.writer import BlockingWriter, Handle, Writer

pytestmark = pytest.mark.once

N = 40
FRAMES = [pl.DataFrame({"x": range(start, start + 5)}) for start in range(0, N, 5)]


class EndlessSource(PacedSource):
    """The batches over and over, without waits."""

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        return EndlessReader(self, 0)


class EndlessReader(PacedReader):
    async def read(self) -> Batch | None:
        await asyncio.sleep(0)
        return Batch(FRAMES[0])


def numbers(sink: SinkSpec, an_epoch: int | None = None) -> Pipeline:
    return Pipeline.builder("numbers").source(PacedSource(FRAMES, an_epoch)).sink(sink).build()


def stopped_after(pipeline: Pipeline, commits: int, state: Path) -> RunReport:
    """A run that is stopped gently once its sinks have committed so many times."""
    return stopped_at(pipeline, Failpoint.SINK_COMMITTED, commits, state)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """The rows of every sink after a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    report = pipeline(folder).run_sync(checkpoint=folder / "state")
    assert report.checkpoints is not None and report.checkpoints.restored is None
    rows = shown(folder)
    assert all(rows[name].height > 3 for name in SINKS)
    return rows


@pytest.mark.untraced
def test_a_run_that_is_stopped_and_continued_shows_each_row_once(
    expected: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    state, stops = tmp_path / "state", 0
    while True:
        job = pipeline(tmp_path, an_epoch=5)
        report = stopped_after(job, 2, state)
        if report.stopped is None:
            break
        stops += 1
    assert stops > 1
    for name, rows in shown(tmp_path).items():
        assert_frame_equal(rows, expected[name])
    # What is new since a run that ended: nothing.
    report = pipeline(tmp_path).run_sync(checkpoint=state)
    assert report.rows_in == 0 and report.checkpoints is not None
    assert report.checkpoints.restored == epochs(state)[0].number
    for name, rows in shown(tmp_path).items():
        assert_frame_equal(rows, expected[name])


def test_a_run_that_fails_and_is_continued_shows_each_row_once(
    expected: dict[str, pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process goes on after the failure, so that clean-up runs, too."""
    failures, written = 0, 0
    write = EpochFilesWriter.write

    def failing(writer: EpochFilesWriter, batch: Batch) -> None:
        nonlocal written
        written += 1
        if written in (3, 20, 21, 40):
            raise OSError("no more space, for now")
        write(writer, batch)

    monkeypatch.setattr(EpochFilesWriter, "write", failing)
    while True:
        try:
            pipeline(tmp_path, an_epoch=5).run_sync(checkpoint=tmp_path / "state", every="1ms")
            break
        except SinkError:
            failures += 1
    assert failures >= 3
    for name, rows in shown(tmp_path).items():
        assert_frame_equal(rows, expected[name])


def test_from_the_beginning(tmp_path: Path) -> None:
    sink = EpochFiles(tmp_path / "out")
    job = numbers(sink)
    job.run_sync(checkpoint=tmp_path / "state")
    report = job.run_sync(checkpoint=tmp_path / "state", from_checkpoint="ignore")
    assert report.rows_in == N and sink.shown().height == 2 * N
    assert str(report.checkpoints).endswith("; from the beginning")


def test_duration_ends_a_run_as_stop_does(tmp_path: Path) -> None:
    sink = EpochFiles(tmp_path / "out")
    job = (
        Pipeline.builder("sums")
        .source(PacedSource(FRAMES, 1))
        .reduce(total=pl.col("x").sum())
        .sink(sink)
        .build()
    )
    report = job.run_sync(checkpoint=tmp_path / "state", duration="50ms")
    assert report.stopped == "duration" and sink.shown().is_empty()
    assert job.run_sync(checkpoint=tmp_path / "state", every="1ms").stopped is None
    assert sink.shown().rows() == [(sum(range(N)),)]


def test_a_stop_before_the_first_row(tmp_path: Path) -> None:
    sink = EpochFiles(tmp_path / "out")
    job = numbers(sink)

    async def main() -> RunReport:
        running = asyncio.ensure_future(job.run(checkpoint=tmp_path / "state"))
        await asyncio.sleep(0)
        job.stop()
        return await running

    report = asyncio.run(main())
    assert report.stopped == "stop" and report.rows_out < N
    assert job.run_sync(checkpoint=tmp_path / "state").rows_in == N - report.rows_out
    assert sink.shown()["x"].to_list() == list(range(N))


def test_an_input_that_has_ended_is_not_finished_again(tmp_path: Path) -> None:
    """The short input's total comes out before the stop; the next run neither repeats it nor adds one of no rows."""
    sink = EpochFiles(tmp_path / "out")

    def job() -> Pipeline:
        short = Pipeline.builder("short").source(PacedSource(FRAMES[:2]))
        total = short.reduce(x=pl.col("x").sum())
        return Pipeline.builder("both").source(PacedSource(FRAMES, 1)).merge(total).sink(sink).build()

    report = stopped_after(job(), 3, tmp_path / "state")
    assert report.stopped == "stop"
    assert job().run_sync(checkpoint=tmp_path / "state", every="1ms").stopped is None
    assert sorted(sink.shown()["x"].to_list()) == sorted([*range(N), sum(range(10))])


class Called(SinkSpec):
    """A sink whose writer notes its calls, and fails in some."""

    guarantee = label = "called"
    exactly_once = True

    def __init__(self, fail: str = "", *, holds: bool = False, on_loop: bool = False) -> None:
        self.calls: list[str] = []
        self.fail, self.holds, self.on_loop = fail, holds, on_loop
        self.in_call = threading.Lock()
        self.writer = CalledWriter

    def check(self, schema: pl.Schema) -> None:
        return

    def open(self, schema: pl.Schema, context: StepContext) -> Writer | BlockingWriter:
        assert context.checkpoint is not None and context.checkpoint.folder.is_dir()
        self.calls.append(f"open {context.checkpoint.attempt}")
        return (CalledOnLoop if self.on_loop else self.writer)(self)

    def note(self, call: str, argument: object) -> None:
        # One call at a time.
        assert self.in_call.acquire(blocking=False)
        self.calls.append(f"{call} {argument}")
        self.in_call.release()
        if self.fail and self.calls[-1].startswith(self.fail):
            raise OSError(f"no {call}")


class CalledWriter(BlockingWriter):
    def __init__(self, sink: Called) -> None:
        self.sink = sink
        self.holds_until_commit = sink.holds  # type: ignore[misc]

    def write(self, batch: Batch) -> None:
        self.sink.note("write", batch.num_rows)

    def recover(self, epoch: int, handle: Handle | None) -> None:
        self.sink.note("recover", (epoch, handle))

    def prepare(self, epoch: int) -> Handle:
        self.sink.note("prepare", epoch)
        return {"epoch": epoch}

    def commit(self, handle: Handle) -> None:
        self.sink.note("commit", handle["epoch"])

    def close(self) -> None:
        self.sink.note("close", "")

    def abort(self) -> None:
        self.sink.note("abort", "")


class CalledOnLoop(Writer):
    def __init__(self, sink: Called) -> None:
        self._other = CalledWriter(sink)
        self.holds_until_commit = sink.holds  # type: ignore[misc]

    async def write(self, batch: Batch) -> None:
        await asyncio.sleep(0)
        self._other.write(batch)

    async def recover(self, epoch: int, handle: Handle | None) -> None:
        self._other.recover(epoch, handle)

    async def prepare(self, epoch: int) -> Handle:
        await asyncio.sleep(0)
        return self._other.prepare(epoch)

    async def commit(self, handle: Handle) -> None:
        await asyncio.sleep(0)
        self._other.commit(handle)

    async def close(self) -> None:
        self._other.close()

    async def abort(self) -> None:
        self._other.abort()


@pytest.mark.parametrize("on_loop", [False, True])
@pytest.mark.parametrize("holds", [False, True])
def test_the_calls_of_a_writer(tmp_path: Path, holds: bool, on_loop: bool) -> None:
    sink = Called(holds=holds, on_loop=on_loop)
    report = numbers(sink, 3).run_sync(checkpoint=tmp_path, every="1ms")
    assert report.checkpoints is not None and report.checkpoints.epochs > 1
    assert sink.calls[:2] == ["open 1", "recover (0, None)"] and sink.calls[-1] == "close "
    assert sink.calls.count("write 5") == N // 5
    two_phase = [call for call in sink.calls if call.startswith(("prepare", "commit"))]
    numbered = [
        f"{call} {epoch}"
        for epoch in range(1, report.checkpoints.epochs + 1)
        for call in ("prepare", "commit")
    ]
    assert two_phase == numbered
    if holds:
        for before, after in zip(sink.calls, sink.calls[1:], strict=False):
            assert not before.startswith("prepare") or after.startswith("commit")
    last = report.checkpoints.last
    numbers(sink).run_sync(checkpoint=tmp_path)
    again = sink.calls[sink.calls.index("open 2") :]
    assert again == [
        "open 2",
        f"recover ({last}, {{'epoch': {last}}})",
        *(f"{call} {last + 1}" for call in ("prepare", "commit")),
        "close ",
    ]


@pytest.mark.parametrize("fail", ["write", "recover", "prepare 1", "commit 1"])
def test_a_failure_aborts_what_is_not_prepared(tmp_path: Path, fail: str) -> None:
    sink, other = Called(fail), Called()
    job = Pipeline.builder("two").source(PacedSource(FRAMES, 3)).sink(Sink.fanout([other, sink])).build()
    with pytest.raises(SinkError, match=f"no {fail.split()[0]}") as error:
        job.run_sync(checkpoint=tmp_path, every="1ms")
    assert sink.calls[-1] == "abort " and other.calls[-1] == "abort "
    complete = [epoch.number for epoch in epochs(tmp_path)]
    assert complete == ([1] if fail == "commit 1" else [])
    if complete:
        assert "commit 1" in other.calls
        assert "a run with the same checkpoint folder commits it" in "".join(error.value.__notes__)
        sink.fail = ""
        job.run_sync(checkpoint=tmp_path)
        assert "recover (1, {'epoch': 1})" in sink.calls


def test_a_best_effort_sink_that_fails_is_lost_and_the_epochs_go_on(tmp_path: Path) -> None:
    lost, kept = Called("prepare 1"), EpochFiles(tmp_path / "out")
    job = Pipeline.builder("two").source(PacedSource(FRAMES, 3)).sink(Sink.fanout([kept, lost.best_effort()]))
    report = job.build().run_sync(checkpoint=tmp_path / "state", every="1ms")
    assert kept.shown().height == N and report.checkpoints is not None
    assert [call for call in lost.calls if call.startswith("commit")] == []
    [*_, newest] = epochs(tmp_path / "state")
    assert newest.manifest is not None and set(newest.manifest.handles) == {"sink 1"}


def test_a_lost_sink_is_recovered_from_the_last_epoch_that_it_has_prepared(tmp_path: Path) -> None:
    lost = Called("prepare 2")
    sinks = Sink.fanout([EpochFiles(tmp_path / "out"), lost.best_effort()])
    for fail in ("prepare 2", "prepare", ""):
        lost.fail = fail
        job = Pipeline.builder("two").source(PacedSource(FRAMES, 3)).sink(sinks).build()
        job.run_sync(checkpoint=tmp_path / "state", every="1ms")
    first, second, third = (call for call in lost.calls if call.startswith("recover"))
    last = int(second.partition("(")[2].partition(",")[0])
    assert last > 2 and first == "recover (0, None)"
    assert (second, third) == (f"recover ({last}, {{'epoch': 1}})", f"recover ({last + 1}, {{'epoch': 1}})")


@pytest.mark.parametrize("name", ["lost.csv", "lost/"])
def test_a_file_sink_that_was_lost_begins_again_with_the_next_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are those of a prefix of the epochs, and no rows of others in the eyes of mode="error"."""
    state, write, written = tmp_path / "state", EpochWriter.write, 0

    def failing(writer: EpochWriter, batch: Batch) -> None:
        nonlocal written
        written += 1
        if written == 4:
            raise OSError("no more space, for now")
        write(writer, batch)

    def job() -> Pipeline:
        lost = Sink.to_file(f"{tmp_path}/{name}", mode="error").best_effort()
        sinks = Sink.fanout([EpochFiles(tmp_path / "out"), lost])
        return Pipeline.builder("two").source(PacedSource(FRAMES, 1)).sink(sinks).build()

    first = job()
    with monkeypatch.context() as patched:
        patched.setattr(EpochWriter, "write", failing)
        # The last epoch of this run has nothing of the lost sink.
        with on_reach(
            lambda point: first.stop() if written > 3 and point is Failpoint.EPOCH_MARKED else None
        ):
            assert first.run_sync(checkpoint=state, every="1ms").stopped == "stop"
    for _ in range(2):
        job().run_sync(checkpoint=state, every="1ms")
    read = pl.read_csv if name.endswith(".csv") else pl.read_parquet
    shown = read(tmp_path / name)["x"].to_list()
    kept = [x for frame in FRAMES for x in frame["x"] if x in set(shown)]
    assert shown[:15] == list(range(15)) and shown == kept and shown[-1] == N - 1


def test_rows_of_a_sink_that_is_gone_are_not_dropped_silently(tmp_path: Path) -> None:
    job = numbers(EpochFiles(tmp_path / "out"))
    job.run_sync(checkpoint=tmp_path / "state")
    path = manifest_of(tmp_path / "state", 1)
    manifest = Manifest.decode(path.read_bytes())
    path.write_bytes(replace(manifest, handles={**manifest.handles, "late rows of window": {}}).encode())
    with pytest.raises(CheckpointError, match="rows of sinks that the pipeline does not have") as error:
        job.run_sync(checkpoint=tmp_path / "state")
    assert "sinks late rows of window, sink" in str(error.value)
    assert "no late rows of window" in str(error.value)
    assert job.run_sync(checkpoint=tmp_path / "state", from_checkpoint="ignore").rows_in == N


def test_bad_rows_of_a_read_that_is_under_way_belong_to_the_next_epoch(tmp_path: Path) -> None:
    # The pipeline of kills has them; here a sink that got them early would show them twice.
    sink = EpochFiles(tmp_path / "bad")

    def fallible(frame: pl.DataFrame) -> pl.DataFrame:
        if (frame["x"] % 7 == 3).any():
            raise ValueError("a seventh")
        return frame

    def job() -> Pipeline:
        rows = Pipeline.builder("dead").source(PacedSource(FRAMES, 2)).map(fallible, frame="polars")
        guarded = rows.on_error(ErrorHandler.dead_letter(sink)).map(fallible, frame="polars")
        return guarded.on_error(ErrorHandler.dead_letter(sink)).sink(EpochFiles(tmp_path / "out")).build()

    for stops in range(3):
        stopped_after(job(), 1 + stops, tmp_path / "state")
    job().run_sync(checkpoint=tmp_path / "state", every="1ms")
    assert sorted(sink.shown()["x"].to_list()) == list(range(3, N, 7))


async def nothing() -> None:
    return None


def refused(builder: Any, sink: SinkSpec | None = None) -> Callable[[Path], object]:
    return lambda path: builder.sink(sink or Sink.to_fn(print)).build().run_sync(checkpoint=path)


def test_what_cannot_take_part_is_refused_before_the_folder_is_made(tmp_path: Path) -> None:
    _, receiver = channel()
    rows = Pipeline.builder().source(Source.from_channel(receiver, schema={"x": pl.Int64}))
    unknown = Pipeline.builder().source(Source.from_fn(nothing))
    for case, message in (
        (rows, "the source cannot continue after a restart"),
        (unknown, "checkpoints need the columns"),
    ):
        with pytest.raises(PlanError, match=message):
            refused(case)(tmp_path / "state")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": "0s"}, "every= is too short"),
        ({"limit": 5}, "takes no limit"),
        ({"from_checkpoint": "newst"}, "did you mean 'newest'"),
        ({"checkpoint": ""}, r"(?s)checkpoint= takes a folder.*found: ''"),
        ({"checkpoint": 7}, r"(?s)checkpoint= takes a folder.*found: int 7"),
        (
            {"checkpoint": "s3://me:secret@bucket/state"},
            r"(?s)folder of this machine.*a URL with the scheme s3\n",
        ),
        ({"checkpoint": None, "every": "1s"}, "every= comes without a checkpoint folder"),
        ({"checkpoint": None, "from_checkpoint": "ignore"}, "from_checkpoint= comes without"),
    ],
)
def test_options_that_are_wrong(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        numbers(Called()).run_sync(**{"checkpoint": tmp_path, **options})


def test_a_changed_pipeline_is_refused(tmp_path: Path) -> None:
    numbers(EpochFiles(tmp_path / "out")).run_sync(checkpoint=tmp_path / "state")
    changed = Pipeline.builder().source(PacedSource(FRAMES)).filter(pl.col("x") > 1)
    with pytest.raises(CheckpointError, match="another pipeline") as error:
        changed.sink(EpochFiles(tmp_path / "out")).build().run_sync(checkpoint=tmp_path / "state")
    assert "+ filter(x > 1)" in str(error.value)


def test_explain_says_what_checkpoints_guarantee(tmp_path: Path) -> None:
    source = Pipeline.builder().source(PacedSource(FRAMES))
    files = EpochFiles(tmp_path)
    assert source.sink(files).build().explain().endswith("\n  with checkpoints: exactly once")
    both = source.sink(Sink.fanout([files, Sink.to_fn(print)])).build().explain()
    assert both.endswith(
        "at least once: after a restart, rows since the last checkpoint come again to fn print"
    )
    parts, text = Sink.to_file(f"{tmp_path}/out/", format="csv"), Sink.to_file(tmp_path / "x.csv")
    kafka = Sink.to_kafka("b:1", "t")
    *_, plain, first, second, third = (
        source.sink(Sink.fanout([parts, text, kafka])).build().explain().split("\n")
    )
    assert plain == "  with checkpoints: exactly once"
    assert (
        first == f"    {parts.label}: part files of an epoch appear after its checkpoint, each by one rename"
    )
    assert second.startswith(f"    {text.label}: the rows of an epoch are appended after its checkpoint")
    assert third == f"    {kafka.label}: an epoch is one transaction, for readers of committed ones"
    some = source.sink(Sink.fanout([parts, Sink.to_fn(print)])).build().explain()
    assert some.split("\n")[-1].startswith(f"    {parts.label}: exactly once: part files")
    channels = (
        Pipeline.builder().source(Source.from_channel(channel()[1], schema={"x": pl.Int64})).sink(files)
    )
    assert "not possible: channel: the source cannot continue after a restart" in channels.build().explain()


def test_a_failing_step_names_itself_as_without_checkpoints(tmp_path: Path) -> None:
    job = (
        Pipeline.builder()
        .source(PacedSource(frames(1)))
        .map(lambda batch: 1 / 0, frame="polars", schema={"x": pl.Int64})
    )
    with pytest.raises(StageError, match="division by zero"):
        job.sink(EpochFiles(tmp_path / "out")).build().run_sync(checkpoint=tmp_path / "state", every="1ms")


class Unacknowledged(PacedSource):
    """One whose reader takes no acknowledgements, or knows no position yet."""

    def __init__(self, *, knows: bool) -> None:
        super().__init__(FRAMES)
        self.knows = knows

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        return UnacknowledgedReader(self, 0)


class UnacknowledgedReader(PacedReader):
    async def acknowledge(self, position: SourcePosition) -> bool:
        raise OSError("no such group")

    def position(self) -> SourcePosition | None:
        source = self._source
        assert isinstance(source, Unacknowledged)
        return super().position() if source.knows else None


def test_what_a_source_itself_notes_is_advisory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = Pipeline.builder("other").source(Unacknowledged(knows=False))
    sink = EpochFiles(tmp_path / "out")
    job = Pipeline.builder().source(Unacknowledged(knows=True)).merge(other).sink(sink).build()
    job.run_sync(checkpoint=tmp_path / "state")
    assert sink.shown().height == 2 * N
    assert [record.getMessage() for record in caplog.records] == [
        "source: epoch 1 was not acknowledged: no such group"
    ]


def test_damage_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        numbers(EpochFiles(tmp_path / "out")).run_sync(checkpoint=tmp_path / "state")
    (tmp_path / "state" / "manifest-00000002.json").write_bytes(b"")
    numbers(EpochFiles(tmp_path / "out")).run_sync(checkpoint=tmp_path / "state")
    assert "epoch 2 of" in caplog.text and "was set aside" in caplog.text


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"the checkpoint folder .*file/state cannot be used") as error:
        numbers(Called()).run_sync(checkpoint=tmp_path / "file" / "state")
    assert error.value.found == f"Not a directory: {tmp_path}/file/state"


def test_only_a_folder_of_checkpoints_or_an_empty_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every folder, such as one of data, would become one of checkpoints."""
    (tmp_path / "data").mkdir()
    for number in range(5):
        (tmp_path / f"data/{number}.csv").write_text("x\n1\n")
    (tmp_path / "file").write_text("")
    for name, message in {
        "data": r"(?s)holds other things than checkpoints.*found: 5 files and folders, such as 0.csv, 1.csv, 2.csv"
        r".*hint: give the checkpoints a folder of their own, such as .*/data-state$",
        "file": r"(?s)file is not a folder.*hint: choose another name",
    }.items():
        with pytest.raises(CheckpointError, match=message):
            numbers(Called()).run_sync(checkpoint=tmp_path / name)
    assert len(list((tmp_path / "data").iterdir())) == 5
    # What counts as empty: the top of a file system, a folder under version control, a run that was killed at once.
    state = tmp_path / "state"
    (state / "lost+found").mkdir(parents=True)
    for name in (".gitignore", "lock", "attempt.tmp"):
        (state / name).touch()
    numbers(Called()).run_sync(checkpoint=state)
    monkeypatch.setenv("HOME", str(tmp_path))
    numbers(Called()).run_sync(checkpoint="~/state")
    assert epochs(state)[-1].number == 2


def test_rows_that_cannot_be_read_or_written_are_shown_with_their_epoch(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("x\n" + "\n".join("bad" if x == 7 else str(x) for x in range(40)))
    bad, dead, out = (EpochFiles(tmp_path / name) for name in ("bad", "dead", "out"))
    refusing = Called("write")

    def job() -> Pipeline:
        source = Source.from_file(tmp_path / "in.csv", schema={"x": int}, bad_rows=bad, batch_rows=5)
        guarded = refusing.on_error(ErrorHandler.dead_letter(dead))
        return Pipeline.builder().source(source).sink(Sink.fanout([out, guarded])).build()

    assert stopped_after(job(), 2, tmp_path / "state").checkpoints is not None
    report = job().run_sync(checkpoint=tmp_path / "state", every="1ms")
    assert report.stopped is None
    assert bad.shown()["text"].to_list() == ["bad"]
    rows = [x for x in range(40) if x != 7]
    assert sorted(out.shown()["x"].to_list()) == sorted(dead.shown()["x"].to_list()) == rows


def test_a_sink_that_shows_rows_at_once_continues_too(tmp_path: Path) -> None:
    seen: list[int] = []

    async def note(batch: Any) -> None:
        seen.extend(batch["x"].to_pylist())

    for _ in range(2):
        numbers(Sink.to_fn(note)).run_sync(checkpoint=tmp_path)
    assert seen == list(range(N))


class Failing(PacedSource):
    """No rows, and a failure once an event is set."""

    def __init__(self, when: threading.Event, then: threading.Event) -> None:
        super().__init__(FRAMES)
        self.when, self.then = when, then

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        return FailingReader(self, 0)


class FailingReader(PacedReader):
    async def read(self) -> Batch | None:
        source = self._source
        assert isinstance(source, Failing)
        await asyncio.to_thread(source.when.wait)
        source.then.set()
        raise ValueError("in the middle of a commit")


def test_a_failure_during_a_commit_ends_the_run(tmp_path: Path) -> None:
    """A commit is not interrupted, and yet the coordinator ends after it."""
    begun, fail = threading.Event(), threading.Event()

    class Slow(CalledWriter):
        def commit(self, handle: Handle) -> None:
            begun.set()
            assert fail.wait(60)
            super().commit(handle)

    slow, sink = Called(), Called()
    slow.writer = Slow
    other = Pipeline.builder("failing").source(Failing(begun, fail))
    job = (
        Pipeline.builder().source(EndlessSource(FRAMES)).merge(other).sink(Sink.fanout([slow, sink])).build()
    )
    with pytest.raises(SourceError, match="in the middle of a commit"):
        job.run_sync(checkpoint=tmp_path, every="1ms")
    assert "commit 1" in slow.calls and slow.calls[-1] == sink.calls[-1] == "abort "


def test_a_job_that_a_bad_row_has_ended_goes_on_with_a_sink_for_it(tmp_path: Path) -> None:
    rows = pl.DataFrame({"x": [str(n) if n != 70 else "seventy" for n in range(100)]})

    def job(letters: bool) -> Pipeline:
        source = PacedSource([rows[at : at + 10] for at in range(0, 100, 10)], an_epoch=2)
        cast = Pipeline.builder().source(source).cast({"x": pl.Int64})
        if letters:
            cast = cast.on_error(
                ErrorHandler.dead_letter(Sink.to_file(f"{tmp_path}/letters/", format="parquet"))
            )
        return cast.sink(Sink.to_file(f"{tmp_path}/out/", format="parquet")).build()

    with pytest.raises(StageError):
        job(letters=False).run_sync(checkpoint=tmp_path / "state", every="1ms")
    shown = pl.read_parquet(tmp_path / "out").height
    assert 0 < shown < 70
    job(letters=True).run_sync(checkpoint=tmp_path / "state", every="1ms")
    assert pl.read_parquet(tmp_path / "out")["x"].sort().to_list() == [n for n in range(100) if n != 70]
    assert pl.read_parquet(tmp_path / "letters").height == 1
    with pytest.raises(CheckpointError, match="- dead letters of cast"):
        job(letters=False).run_sync(checkpoint=tmp_path / "state", every="1ms")
