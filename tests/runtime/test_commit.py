"""The end of a run: every sink shows its rows, or none does."""

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scripted import COMMITTED, LedgerSink

from arrowstream import Builder, Pipeline, Sink, Source, channel
from arrowstream.core.batch import Batch
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PeerGone, SinkError
from arrowstream.io.sink import SinkSpec
from arrowstream.io.writer import BlockingWriter
from arrowstream.policies.handlers import ErrorHandler
from arrowstream.runtime.failure.cleanup import uninterrupted
from arrowstream.testing import TestSink, TestSource, Watermark

pytestmark = pytest.mark.once

ROWS = pl.DataFrame({"x": range(100), "k": [number % 3 for number in range(100)]})


def source() -> Builder:
    return Pipeline.builder().source(Source.from_frame(ROWS, batch_rows=30))


def no_big_ones(batch: Any) -> Any:
    if max(batch["x"].to_pylist(), default=0) > 60:
        raise ValueError("too big")
    return batch


def branches(one: SinkSpec, other: SinkSpec) -> Builder:
    return (
        source()
        .split(pl.col("k"))
        .branch("0", lambda rows: rows.sink(one))
        .otherwise(lambda rows: rows.sink(other))
        .merge()
    )


def late_rows(one: SinkSpec, other: SinkSpec) -> Builder:
    script = [ROWS, Watermark(50), ROWS]
    rows = Pipeline.builder().source(TestSource.from_frames(script))
    return rows.window(size="10us", on="x", late=one).agg(n=pl.len()).sink(other)


ENDS: dict[str, Callable[[SinkSpec, SinkSpec], Builder]] = {
    "fan-out": lambda one, other: source().sink(Sink.fanout([one, other])),
    "branches": branches,
    "branch and end": lambda one, other: (
        source().split(pl.col("k")).branch("0", lambda rows: rows.sink(one)).otherwise().merge().sink(other)
    ),
    "union of branches": lambda one, other: source().merge(source()).sink(Sink.fanout([one, other])),
    "late rows": late_rows,
    "dead letters": lambda one, other: (
        source().map(no_big_ones).on_error(ErrorHandler.dead_letter(one)).sink(other)
    ),
    "dead letters of a sink": lambda one, other: source().sink(
        other.on_error(ErrorHandler.dead_letter(one))
    ),
    "beside best effort": lambda one, other: source().sink(
        Sink.fanout([one, LedgerSink(blocking=False).best_effort(), other])
    ),
}  # fmt: skip


@pytest.mark.untraced
@pytest.mark.parametrize("swapped", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("ends", ENDS)
def test_where_one_sink_cannot_prepare_no_sink_shows_anything(
    ends: str, blocking: bool, swapped: bool, tmp_path: Path
) -> None:
    bad = LedgerSink(blocking, fail_in="prepare")
    sinks = Sink.to_file(tmp_path / "a.parquet"), bad
    pipeline = ENDS[ends](*(reversed(sinks) if swapped else sinks)).build()
    with pytest.raises(SinkError, match="no prepare today"):
        pipeline.run_sync()
    assert list(tmp_path.iterdir()) == []
    assert bad.ledger.calls[-2:] == ["prepare", "abort"]


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize(
    "handler", [ErrorHandler.retry(3, 0), ErrorHandler.skip(), ErrorHandler.dead_letter(TestSink())]
)
def test_what_a_sink_does_at_its_end_is_not_retried(handler: ErrorHandler, blocking: bool) -> None:
    """It belongs to no batch that a handler could repeat, skip or put aside."""
    sink = LedgerSink(blocking, fail_in="prepare")
    with pytest.raises(SinkError, match="no prepare today"):
        source().sink(sink).on_error(handler).build().run_sync()
    assert sink.ledger.calls.count("prepare") == 1
    assert sink.ledger.calls[-2:] == ["prepare", "abort"]


@pytest.mark.untraced
@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("ends", ENDS)
def test_every_sink_prepares_before_the_first_commits(ends: str, blocking: bool) -> None:
    order: list[str] = []

    class Noting(LedgerSink):
        def note(self, call: str) -> None:
            super().note(call)
            order.append(call)

    ENDS[ends](Noting(blocking), Noting(blocking)).build().run_sync()
    assert order[-6:] == ["prepare"] * 2 + ["commit"] * 2 + ["close"] * 2


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_sink_that_cannot_commit_leaves_the_others_complete_and_the_error_names_both(
    blocking: bool, swapped: bool, tmp_path: Path
) -> None:
    bad, good = LedgerSink(blocking, fail_in="commit"), LedgerSink(blocking)
    sinks = [bad, Sink.to_file(tmp_path / "a.parquet"), good]
    if swapped:
        sinks.reverse()
    with pytest.raises(SinkError, match="1 of 3 sinks could not commit") as caught:
        source().select("x").sink(Sink.fanout(sinks)).build().run_sync()
    assert pl.read_parquet(tmp_path / "a.parquet").equals(ROWS.select("x"))
    assert good.ledger.calls[-3:] == [*COMMITTED]
    assert bad.ledger.calls[-3:] == ["prepare", "commit", "abort"]
    number = 3 if swapped else 1
    visible, lost = str(caught.value.found).split("; not visible: ")
    assert visible.startswith("visible: sink ")
    assert "a.parquet (parquet, zstd)" in visible
    assert lost.startswith(f"sink {number} (ledger): OSError: no commit today")
    assert isinstance(caught.value.__cause__, SinkError)


def test_the_failure_of_the_only_sink_to_commit_is_the_error() -> None:
    sinks = [LedgerSink(blocking=False, fail_in=fails) for fails in ("commit", "commit abort")]
    with pytest.raises(SinkError, match="no commit today") as caught:
        source().select("x").sink(Sink.fanout(sinks)).build().run_sync()
    assert caught.value.stage == "sink 1"
    assert [note.split(" (")[0] for note in caught.value.__notes__] == [
        "and: OSError: no commit today",
        "and: OSError: no abort today",
    ]


@pytest.mark.parametrize("place", ["dead letters", "late rows"])
def test_side_outputs_are_not_shown_by_a_run_that_shows_nothing_else(place: str, tmp_path: Path) -> None:
    bad, side = LedgerSink(blocking=False, fail_in="commit"), Sink.to_file(f"{tmp_path}/side/", format="csv")
    for _ in range(2):
        with pytest.raises(SinkError, match="no commit today") as caught:
            ENDS[place](side, bad).build().run_sync()
        assert caught.value.stage is not None and caught.value.stage.startswith("sink")
        assert list(tmp_path.iterdir()) == []
    ENDS[place](side, LedgerSink(blocking=False)).build().run_sync()
    assert len(list((tmp_path / "side").iterdir())) == 1


def test_side_outputs_are_shown_if_another_sink_is(tmp_path: Path) -> None:
    side = Sink.to_file(f"{tmp_path}/side/", format="csv")
    for lost, files in ((False, 1), (True, 0)):
        other: Any = LedgerSink(blocking=False, fail_in="commit" if lost else "")
        bad = LedgerSink(blocking=False, fail_in="commit")
        ends = Sink.fanout([bad, other.best_effort()])
        rows = source().map(no_big_ones).on_error(ErrorHandler.dead_letter(side))
        with pytest.raises(SinkError, match="no commit today" if lost else "1 of 3 sinks could not commit"):
            rows.sink(ends).build().run_sync()
        assert len(list(tmp_path.rglob("*.csv"))) == files
        shutil.rmtree(tmp_path / "side", ignore_errors=True)


def test_sinks_that_cannot_commit_and_do_not_close_are_all_named() -> None:
    sinks = [LedgerSink(blocking=False, fail_in=fails) for fails in ("commit", "close")]
    with pytest.raises(SinkError, match="1 of 2 sinks could not commit") as caught:
        source().select("x").sink(Sink.fanout(sinks)).build().run_sync()
    assert [note.split(" (")[0] for note in caught.value.__notes__] == ["and: OSError: no close today"]


def test_a_sink_that_does_not_close_ends_the_run_when_all_are_visible(tmp_path: Path) -> None:
    bad = LedgerSink(blocking=True, fail_in="close")
    fan = Sink.fanout([bad, Sink.to_file(tmp_path / "a.parquet")])
    with pytest.raises(SinkError, match=r"no close today \(stage sink 1\)"):
        source().select("x").sink(fan).build().run_sync()
    assert bad.ledger.calls[-3:] == [*COMMITTED]
    assert pl.read_parquet(tmp_path / "a.parquet").height == 100


@pytest.mark.parametrize("fails_in", ["prepare", "commit", "close"])
def test_a_best_effort_sink_hinders_no_other(
    fails_in: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = LedgerSink(blocking=True, fail_in=fails_in)
    fan = Sink.fanout([bad.best_effort(), Sink.to_file(tmp_path / "a.parquet")])
    with caplog.at_level(logging.WARNING):
        report = source().select("x").sink(fan).build().run_sync()
    assert pl.read_parquet(tmp_path / "a.parquet").height == 100
    assert bad.ledger.calls[-1] == ("close" if fails_in == "close" else "abort")
    assert f"no {fails_in} today" in caplog.text
    # What has committed has its rows, whether it closes or not.
    assert (report.losses is None, "has all its rows" in caplog.text) == ((fails_in == "close",) * 2)


def test_a_channel_does_not_end_well_where_another_sink_fails_to_prepare() -> None:
    async def main() -> None:
        tx, rx = channel(capacity=10)
        fan = Sink.fanout([Sink.to_channel(tx), LedgerSink(blocking=False, fail_in="prepare")])
        with pytest.raises(SinkError, match="no prepare today"):
            await source().select("x").sink(fan).build().run()
        with pytest.raises(PeerGone):
            [batch async for batch in rx]

    asyncio.run(main())


def test_a_writer_that_shows_rows_as_it_writes_them_needs_no_commit() -> None:
    written: list[int] = []

    class Showing(BlockingWriter):
        def write(self, batch: Batch) -> None:
            written.append(batch.num_rows)

        def abort(self) -> None:
            raise AssertionError("the run went well")

    class ShowingSink(LedgerSink):
        def open(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
            return Showing()

    source().sink(ShowingSink(blocking=True)).build().run_sync()
    assert written == [30, 30, 30, 10]


def test_what_may_not_be_interrupted_goes_on_however_often_it_is_cancelled() -> None:
    async def work() -> str:
        for _ in range(5):
            await asyncio.sleep(0)
        return "done"

    async def main() -> str:
        task = asyncio.ensure_future(uninterrupted(work()))
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        return await task

    assert asyncio.run(main()) == "done"
