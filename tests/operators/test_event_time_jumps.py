"""A cap on how far one row may move event time: equal to a loop over the rows, however they are cut."""

import logging
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch, Watermark
from arrowstream.core.position import Position
from arrowstream.errors import PlanError
from arrowstream.operators.base import Process
from arrowstream.operators.event_time import latest_time
from arrowstream.operators.windows import jumps
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.testing import TestSink, check_cut_independence

LAST = 2**63 - 1


def one_by_one(times: list[int | None], latest: int | None, jump: int) -> tuple[int | None, list[bool]]:
    """The rule, row by row."""
    ahead = []
    for time in times:
        ahead.append(time is not None and latest is not None and time > latest + jump)
        if time is not None and not ahead[-1]:
            latest = time if latest is None else max(latest, time)
    return latest, ahead


@pytest.mark.parametrize("piece", [1, 3, 4096])
@given(
    times=st.lists(st.integers(-30, 60) | st.sampled_from([-(2**63), LAST, LAST - 1]), max_size=40),
    latest=st.integers(-40, 40) | st.sampled_from([-(2**63), LAST]),
    jump=st.integers(1, 30) | st.just(LAST),
)
@settings(max_examples=examples(300))
def test_event_time_after_rows_is_that_of_a_loop_over_them(
    piece: int, times: list[int], latest: int, jump: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jumps, "_PIECE", piece)
        found, ahead = jumps.advanced(np.array(times, np.int64), latest, jump)
    assert (found, ahead.tolist()) == one_by_one(list(times), latest, jump)


def test_many_rows_that_wait_for_others_take_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition that is two hours ahead of the other, in turns: no pass for each row."""
    passes: list[int] = []
    reach = jumps._reach
    monkeypatch.setattr(jumps, "_reach", lambda latest, jump: passes.append(0) or reach(latest, jump))
    slow = np.arange(50_000)
    times = np.stack([slow + 7_200, slow], axis=1).ravel()
    latest, ahead = jumps.advanced(times, 0, 3_600)
    assert (latest, int(ahead.sum())) == (49_999, 50_000)
    assert len(passes) < 200


def process(jump_us: int, **others: Any) -> Process:
    started = Watermarks("ts", max_jump_us=jump_us, **others).start(pl.Schema({"ts": pl.Int64}), context())
    assert isinstance(started, Process)
    return started


@given(
    times=st.lists(st.none() | st.integers(-20, 60), max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=4),
    lateness=st.integers(0, 50),
)
@settings(max_examples=examples(300))
def test_the_watermark_and_the_count_do_not_depend_on_the_cut(
    times: list[int | None], cuts: list[int], lateness: int
) -> None:
    step, marks = process(10, lateness_us=lateness), []
    bounds = [0, *sorted(min(cut, len(times)) for cut in cuts), len(times)]
    for start, stop in pairwise(bounds):
        rows = Batch(pl.DataFrame({"ts": times[start:stop]}, schema={"ts": pl.Int64}))
        marks += [mark.time_us for mark in step.process(rows) if isinstance(mark, Watermark)]
    latest, ahead = one_by_one(times, None, 10)
    assert marks == sorted(set(marks))
    assert (marks[-1:] or [None])[0] == (None if latest is None else latest - lateness)
    assert sum(note.count for note in step.notes) == sum(ahead)
    if any(ahead):
        row = ahead.index(True)
        assert step.notes[0].first == f"row {row + 1} of the stream, ts = {times[row]}"


@pytest.mark.parametrize(
    ("times", "still", "first"),
    [
        ([1, 50, 51, None, 52, 53], 4, 1),
        ([1, 50, 51, 2, 52, 53, 54], 3, 4),
        ([1, 50, 51, 52, 2], 0, None),
        ([1, 50, 51, 52, 2, 60], 0, None),
        ([1, 50, 51, None], 0, None),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_event_time_that_stands_still_after_a_gap_is_noted(
    times: list[int | None],
    still: int,
    first: int | None,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(latest_time, "STILL_ROWS", 3)
    step = process(10)
    with caplog.at_level(logging.WARNING):
        for rows in pl.DataFrame({"ts": times}, schema={"ts": pl.Int64}).iter_slices(size):
            list(step.process(Batch(rows)))
    notes = [note for note in step.notes if note.what == latest_time.STANDS_STILL]
    if first is None:
        assert notes == []
    else:
        place = f"row {first + 1} of the stream, ts = {times[first]}"
        assert [(note.count, note.first, note.lost) for note in notes] == [(still, place, False)]
        logged = [record.message for record in caplog.records if "stands still" in record.message]
        assert len(logged) == 1 and logged[0].endswith(f"first in {place}")


@pytest.mark.untraced
def test_a_row_of_the_far_future_stays_a_row_and_closes_no_window() -> None:
    hours = [1, 2, 500_000, 3, 4, 499_999, 5]
    frame = pl.DataFrame({"ts": [datetime.fromtimestamp(hour * 3_600) for hour in hours]})

    def counted(rows: Any, **options: Any) -> Any:
        return rows.batch(rows=1).with_event_time("ts", **options).window(size="1h", on="ts").agg(n=pl.len())

    check_cut_independence(lambda rows: counted(rows, max_jump="2h"), frame, exact=True)
    sink = TestSink()
    builder = counted(Pipeline.builder().source(Source.from_frame(frame)), max_jump="2h")
    report = builder.sink(sink).build().run_sync()
    assert sink.frame()["n"].to_list() == [1] * 7
    assert report.lost_rows == 0
    assert report.losses is not None
    assert report.losses.startswith("noted: 2 rows too far ahead to move event time (max_jump), first in ")
    assert report.losses.endswith(f"ts = {frame['ts'][2]}")
    without = counted(Pipeline.builder().source(Source.from_frame(frame))).sink(TestSink()).build().run_sync()
    assert without.lost_rows == 4


def test_the_report_and_the_log_name_the_file_and_the_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "times.csv"
    file.write_text("ts\n1\n2\n99999999\n3\n88888888\n")
    source = Source.from_file(file).with_event_time("ts", max_jump="1s")
    sink = TestSink()
    with caplog.at_level(logging.WARNING, "arrowstream"):
        report = Pipeline.builder().source(source).sink(sink).build().run_sync()
    (note,) = report.notes
    assert sink.received() == [1, 2, 99_999_999, 3, 88_888_888]
    assert (note.count, note.lost) == (2, False)
    assert note.first == f"row 3 of {file}, ts = 99999999"
    assert [record.message for record in caplog.records if "too far ahead" in record.message] == [
        "event_time: a row is too far ahead to move event time; the report counts further ones: " + note.first
    ]
    assert str(report).splitlines()[-1] == f"noted: {note}"


def test_after_a_step_that_drops_rows_the_place_is_a_bound() -> None:
    step = process(10)
    list(step.process(Batch(pl.DataFrame({"ts": [0, 99]}), Position("x.csv", 4, 9, exact=False))))
    assert step.notes[0].first == "x.csv rows 4-9, ts = 99"


def test_times_that_no_signed_integer_holds_are_too_far_ahead() -> None:
    step = Watermarks("ts", max_jump_us=10).start(pl.Schema({"ts": pl.UInt64}), context())
    assert isinstance(step, Process)
    rows = Batch(pl.DataFrame({"ts": [5, 2**64 - 1, 7]}, schema={"ts": pl.UInt64}))
    assert [mark for mark in step.process(rows) if isinstance(mark, Watermark)] == [Watermark(7)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_jump": "0s"}, "max_jump allows no row to move event time"),
        ({"max_jump": "far"}, "'far' is not a duration"),
        ({"advance_when_idle": True}, "advance_when_idle=True needs the time"),
        ({"advance_when_idle": True, "idle": "0s"}, "advance_when_idle=True needs the time"),
    ],
)
def test_options_of_event_time_that_cannot_work_are_refused(options: Any, message: str) -> None:
    source = Source.from_frame(pl.DataFrame({"ts": [1]}))
    with pytest.raises(PlanError, match=message):
        source.with_event_time("ts", **options)
    with pytest.raises(PlanError, match=message):
        Pipeline.builder().source(source).with_event_time("ts", **options)


def test_explain_shows_the_options() -> None:
    time = Watermarks.of("ts", "5s", "30s", advance_when_idle=True, max_jump="1h")
    assert time.describe() == "event_time(ts, lateness=5 s, idle=30 s, advance_when_idle, max_jump=3600 s)"
