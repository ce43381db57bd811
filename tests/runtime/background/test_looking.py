"""What is seen of a run in the background: last rows, history, and the snapshot for a viewer."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from background_runs import LONG, SCHEMA, Fed, failing, until

from arrowstream import ErrorHandler, Pipeline, Running, Sink, Source, channel
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError, StageError
from arrowstream.metrics.counters import StageCounters
from arrowstream.metrics.histogram import Histogram
from arrowstream.plan.outline import Outline
from arrowstream.runtime.background import history as history_module
from arrowstream.runtime.background import tap as tap_module
from arrowstream.runtime.background.foreground import Foreground
from arrowstream.runtime.background.history import SCHEMA as COLUMNS
from arrowstream.runtime.background.history import History
from arrowstream.runtime.background.tap import Tap, Taps
from arrowstream.testing import TestSink, TestSource

pytestmark = pytest.mark.once


def batch(*values: int) -> Batch:
    return Batch(pl.DataFrame({"x": list(values)}, schema=SCHEMA))


def test_the_last_rows_of_a_stage_and_of_a_sink() -> None:
    fed = Fed()
    with fed.start() as running:
        assert running.tail("filter", wait=0).schema == SCHEMA
        assert running.tail("sink", 4, wait=0).is_empty() and running.tail("source", 7, wait=0).is_empty()
        fed.send(1, 2, 3, 4)
        fed.send(6, 7)
        fed.send(8)
        assert running.tail("sink", 4, wait=LONG)["x"].to_list() == [2, 4, 6, 8]
        assert running.tail("sink", 3)["x"].to_list() == [4, 6, 8]
        assert running.tail("filter", 4, wait=LONG)["x"].to_list() == [2, 4, 6, 8]
        assert running.tail("source", 7, wait=LONG)["x"].to_list() == [1, 2, 3, 4, 6, 7, 8]
        fed.tx.close()
        running.join(LONG)
    assert running.tail("sink", 3)["x"].to_list() == [4, 6, 8]


def test_a_first_call_waits_for_rows_that_come() -> None:
    fed = Fed()
    with fed.start() as running:

        def feed() -> None:
            until(lambda: running._taps.has("sink"))
            fed.send(2, 4)

        thread = threading.Thread(target=feed)
        thread.start()
        assert running.tail("sink", 2, wait=LONG)["x"].to_list() == [2, 4]
        thread.join()


def test_nothing_is_known_of_a_run_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    running = Pipeline.builder().source(TestSource.from_list([1, 2])).sink(TestSink()).build().start()
    running.wait(LONG)
    assert running.tail("sink").schema == {"value": pl.Int64()}
    assert running._run.counters["sink"].tap is None


def test_a_stage_that_is_not_open_yet_is_waited_for() -> None:
    tx, rx = channel()
    pipeline = Pipeline.builder().source(Source.from_channel(rx)).sink(TestSink()).build()
    with pipeline.start() as running:
        assert running.tail("sink", wait=0.01).width == 0  # its first batch shows the columns

        def feed() -> None:
            tx.send_sync(pl.DataFrame({"x": [1]}))
            until(lambda: running._taps.has("sink"))
            tx.send_sync(pl.DataFrame({"x": [2]}))

        thread = threading.Thread(target=feed)
        thread.start()
        assert running.tail("sink", 1, wait=LONG).columns == ["x"]
        thread.join()
        tx.close()
        running.join(LONG)
        assert not running.tail("source", wait=LONG).height, "it has ended"


def test_a_stage_of_a_run_that_ends_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    tx, rx = channel()
    running = Pipeline.builder().source(Source.from_channel(rx)).sink(TestSink()).build().start()
    join, looks = Running.join, []

    def look(self: Running, timeout: float) -> bool:
        """The run goes on at the first look, and ends before the second one."""
        looks.append(join(self, LONG if looks else 0.0))
        tx.close()
        return looks[-1]

    monkeypatch.setattr(Running, "join", look)
    assert running.tail("sink", wait=LONG).width == 0
    assert looks == [False, True]


def test_names_that_no_stage_has() -> None:
    fed = Fed()
    with fed.start() as running:
        with pytest.raises(PlanError, match=r"no stage 'filtre'") as raised:
            running.tail("filtre", wait=0)
        assert raised.value.hint == "did you mean 'filter'?"
        with pytest.raises(PlanError, match="few rows"):
            running.tail("sink", 10_001)
        with pytest.raises(PlanError, match="rows"):
            running.tail("sink", 0)
    other = Pipeline.builder("o").source(TestSource.from_list([1]))
    merged = Pipeline.builder().source(TestSource.from_list([1])).merge(other).sink(TestSink()).build()
    running = merged.start()
    running.wait(LONG)
    with pytest.raises(PlanError, match="merge has no rows of its own"):
        running.tail("merge")
    fused = Pipeline.builder().source(TestSource.from_list([1])).filter(pl.col("value") > 0).select("value")
    running = fused.sink(TestSink()).build().start()
    running.wait(LONG)
    with pytest.raises(PlanError, match="no stage 'filter'") as raised:
        running.tail("filter")
    assert raised.value.hint == "it is a part of the stage 'filter+select'"


def test_a_tap_holds_no_more_batches_than_it_needs() -> None:
    counters = StageCounters("s")
    tap = Tap(counters)
    assert tap.last(3) == []
    for number in range(10):
        counters.record_output(batch(number))
    counters.record_output(batch())
    assert [part["x"].to_list() for part in tap.last(3)] == [[7], [8], [9]]
    assert len(tap._batches) == 3
    counters.record_output(batch(*range(100)))
    assert [part["x"].to_list() for part in tap.last(2)] == [[98, 99]]
    assert len(tap._batches) == 1
    tap.detach()
    counters.record_output(batch(1))
    assert [part["x"].to_list() for part in tap.last(1)] == [[99]]


def test_batches_that_come_before_the_first_question_do_no_harm() -> None:
    """Between the making of a tap and its first question, the run goes on."""
    counters = StageCounters("s")
    tap = Tap(counters)
    counters.record_output(batch(1))
    counters.record_output(batch(2))
    assert [part["x"].to_list() for part in tap.last(1)] == [[2]]


def test_a_tap_takes_off_itself_and_not_its_successor() -> None:
    counters = StageCounters("s")
    old, new = Tap(counters), Tap(counters)
    old.detach()
    counters.record_output(batch(1))
    assert [part["x"].to_list() for part in new.last(1)] == [[1]]


def test_samples_that_are_asked_for_at_once_are_taken_one_after_the_other() -> None:
    """Each sample is a difference to the one before: two threads of a page's server ask for one at the same time."""
    threads: set[int] = set()
    most = [0]

    class Counters(StageCounters):
        __slots__ = ()

        @property
        def latency(self) -> Histogram:
            threads.add(threading.get_ident())
            most[0] = max(most[0], len(threads))
            threading.Event().wait(0.05)  # lets the other thread come in, if it can
            threads.discard(threading.get_ident())
            return super().latency

    loop: Any = None
    run: Any = SimpleNamespace(seconds=10.0, counters={"s": Counters("s")})
    watched = Foreground("p", run, lambda: Outline("p", (), (), True), dict, loop)
    asking = [threading.Thread(target=watched._sample) for _ in range(2)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(LONG)
    assert most == [1] and watched._history.frame().height == 2


def test_a_tap_that_nobody_asks_about_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(tap_module, "monotonic", lambda: now[0])
    counters, taps = StageCounters("s"), Taps()
    tap = taps.of("s", counters)
    now[0] = 30.0
    taps.drop_forgotten()
    assert taps.of("s", counters) is tap and taps.has("s")
    now[0] = 30.1
    assert tap.last(1, wait_s=0.001) == []
    taps.drop_forgotten()
    assert taps.has("s"), "somebody has waited for it"
    now[0] = 60.2
    taps.drop_forgotten()
    assert counters.tap is None and not taps.has("s")


def test_the_run_drops_taps_and_samples_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.runtime.background.thread.SAMPLE_SECONDS", 0.001)
    monkeypatch.setattr(tap_module, "KEPT_SECONDS", -1.0)
    fed = Fed()
    with fed.start() as running:
        running.tail("sink", wait=0)
        until(lambda: not running._taps.has("sink"))
        until(lambda: running.history().height > 10)


def test_history_has_a_row_for_each_stage_and_sample() -> None:
    fed = Fed()
    running = fed.start()
    fed.send(1, 2)
    fed.tx.close()
    running.wait(LONG)
    frame = running.history()
    assert frame.schema == pl.Schema(COLUMNS)
    last = frame.group_by("stage", maintain_order=True).last()
    assert last.select("stage", "rows_in", "rows_out", "errors").rows() == [
        ("source", 2, 2, 0),
        ("filter", 2, 1, 0),
        ("sink", 1, 1, 0),
    ]


def test_history_has_the_speed_between_two_samples() -> None:
    counters, history = StageCounters("s"), History()
    history.sample({"s": counters}, 0.0)
    counters.rows_in = 100
    counters.record_output(batch(1, 2, 3, 4))
    counters.record_batch("arrow", 4, 500_000_000, 2_000_000)
    history.sample({"s": counters}, 2.0)
    history.sample({"s": counters}, 2.9, apart=1.0)  # too early for another one
    first, second = history.frame().to_dicts()
    assert (first["rows_per_second"], first["p99_ms"], first["busy_share"]) == (None, None, None)
    assert (second["rows_in_per_second"], second["rows_per_second"], second["busy_share"]) == (
        50.0,
        2.0,
        0.25,
    )
    assert second["p99_ms"] == pytest.approx(2.0, rel=0.02) and second["watermark_lag_seconds"] is None
    counters.record_batch("arrow", 4, 0, 8_000_000)
    counters.watermark_us = 0
    history.sample({"s": counters, "late": StageCounters("late")}, 4.0)
    *_, third, late = history.frame().to_dicts()
    assert third["p99_ms"] == pytest.approx(8.0, rel=0.02), "of the rows since the last sample alone"
    assert third["watermark_lag_seconds"] > 1e9 and late["stage"] == "late"


def test_rates_are_those_of_the_last_moments() -> None:
    counters, history = StageCounters("s"), History()
    assert history.rates("s", counters, 0.0).rows_in == 0.0
    counters.rows_in = 10
    assert history.rates("s", counters, 2.0).rows_in == 5.0
    history.sample({"s": counters}, 2.0)
    counters.rows_in = 40
    counters.record_batch("arrow", 30, 250_000_000, 1_000_000)
    assert history.rates("s", counters, 2.1).rows_in == pytest.approx(40 / 2.1), "too short for a rate"
    rates = history.rates("s", counters, 3.0)
    assert (rates.rows_in, rates.rows_out, rates.busy_share, rates.p99_ms) == (30.0, 0.0, 0.25, None)
    history.sample({"s": counters}, 3.0)
    assert history.rates("s", counters, 3.6).p99_ms == pytest.approx(1.0, rel=0.02)
    assert history.rates("new", StageCounters("new"), 4.0).rows_in == 0.0


def test_history_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "RECENT", 10)
    monkeypatch.setattr(history_module, "OLDER", 8)
    counters, history = StageCounters("s"), History()
    for second in range(1_000):
        history.sample({"s": counters}, float(second))
    seconds = history.frame()["seconds"].to_list()
    assert seconds[-10:] == [float(second) for second in range(990, 1_000)]
    older = seconds[:-10]
    assert len(older) <= 8 and older[0] == 0.0
    assert {after - before for before, after in pairwise(older)} == {128.0}


def test_a_snapshot_is_plain() -> None:
    frame = pl.DataFrame({"ts": [1, 2], "x": [1, 2]}, schema={"ts": pl.Datetime("us"), "x": pl.Int64})
    source = Source.from_frame(frame).with_event_time("ts")
    builder = Pipeline.builder(name="p").source(source).filter(pl.col("x") > 0)
    name = pl.when(pl.col("x") > 0).then(pl.lit("a"))
    split = builder.split(name).branch("a", lambda rows: rows).merge()
    pipeline = split.sink(TestSink()).build()
    running = pipeline.start()
    running.wait(LONG)
    snapshot = running.snapshot()
    assert json.loads(json.dumps(asdict(snapshot), allow_nan=False))["name"] == "p"
    assert (snapshot.state, snapshot.rows_in, snapshot.rows_out, snapshot.error) == ("done", 2, 2, None)
    assert snapshot.rows_per_second == pytest.approx(2 / snapshot.seconds)
    kept = snapshot.stage("filter")
    assert kept is not None and kept.backend_shares == {"arrow": 1.0} and kept.p99_ms is not None
    split, sink = snapshot.stage("split"), snapshot.stage("sink")
    assert split is not None and split.rows_by_branch == {"a": 2}
    assert sink is not None and sink.watermark_us == 2
    assert snapshot.stage("other") is None
    assert {stage.id for stage in snapshot.stages} == {node.id for node in snapshot.outline.nodes}


def test_a_snapshot_while_it_runs_and_after_it_failed() -> None:
    fed = Fed(Sink.to_fn(failing))
    with pytest.raises(Exception, match="no room"), fed.start() as running:
        before = running.snapshot()
        assert (before.state, before.stopped, before.p99_ms) == ("running", None, None)
        fed.send(2)
        running.join(LONG)
        after = running.snapshot()
        assert after.state == "failed" and (after.error or "").startswith("SinkError: ValueError: no room")
        sink = after.stage("sink")
        assert sink is not None and sink.errors == 1 and sink.latest_errors == ("ValueError: no room",)


def test_a_snapshot_says_that_a_run_is_stopping() -> None:
    entered, goes_on = threading.Event(), threading.Event()

    def slow(rows: Any) -> Any:
        if rows.num_rows:  # it is asked about an empty batch first
            entered.set()
            goes_on.wait(LONG)
        return rows

    tx, rx = channel()
    source = Source.from_channel(rx, schema=SCHEMA)
    pipeline = Pipeline.builder().source(source).parallel_map(slow).sink(TestSink()).build()
    running = pipeline.start()
    tx.send_sync(pl.DataFrame({"x": [1]}))
    assert entered.wait(LONG)
    running.stop()
    until(lambda: running.state == "stopping")
    assert running.snapshot().stopped == "stop"
    goes_on.set()
    running.wait(LONG)


def test_the_latest_errors_are_few_and_short() -> None:
    counters = StageCounters("s")
    for number in range(7):
        counters.record_error(ValueError(f"{number}{'x' * 5_000}"))
    assert counters.errors == 7
    assert [text[:13] for text in counters.latest_errors] == [f"ValueError: {n}" for n in range(2, 7)]
    assert {len(text) for text in counters.latest_errors} == {1_000}


def test_losses_and_skipped_rows_are_seen() -> None:
    def odd(rows: Any) -> Any:
        if 3 in rows["value"].to_pylist():
            raise ValueError("three")
        return rows

    builder = Pipeline.builder().source(TestSource.from_list([1, 3])).map(odd).on_error(ErrorHandler.skip())
    running = builder.sink(TestSink()).build().start()
    running.wait(LONG)
    snapshot = running.snapshot()
    assert snapshot.losses == "lost: 1 row failed in map and was skipped"
    assert snapshot.stage("map").failed_rows == 1  # type: ignore[union-attr]


async def lines(gate: threading.Event, failing: bool) -> AsyncIterator[pl.DataFrame]:
    """Yield a table in two parts, the second once `gate` is open."""
    yield pl.DataFrame({"x": [1, 2, 3], "y": [10, 20, 30]})
    assert await asyncio.to_thread(gate.wait, LONG)
    if failing:
        raise OSError("no route to the table")
    yield pl.DataFrame({"x": [4], "y": [40]})


def joined(gate: threading.Event, failing: bool = False) -> Pipeline:
    """Return a pipeline that joins a table, which a pipeline makes of `lines`."""
    types = {"x": pl.Int64, "y": pl.Int64}
    table = Pipeline.builder(name="table").source(Source.from_fn(partial(lines, gate, failing), schema=types))
    builder = Pipeline.builder(name="outer").source(TestSource.from_list([1, 2, 3, 4, 5]))
    outer = builder.join(table.filter(pl.col("x") > 1), left_on="value", right_on="x")
    return outer.sink(TestSink()).build()


def test_the_pipeline_of_a_table_is_counted_while_it_is_read_and_after_it() -> None:
    gate = threading.Event()
    with joined(gate).start() as running:

        def figures(id: str) -> Any:
            return running.snapshot().stage(id)

        until(lambda: figures("join/table/filter") is not None and figures("join/table/filter").rows_out == 2)
        assert figures("join/table/source").rows_in == 3 and figures("join/table/source").rows_per_second > 0
        before = running.snapshot()
        assert before.rows_in == before.rows_out == 0
        assert running.tail("join/table/filter", wait=LONG).schema == {"x": pl.Int64(), "y": pl.Int64()}
        gate.set()
        running.join(LONG)
    after = running.snapshot()
    assert [figures.id for figures in after.stages] == [
        *("join/table/source", "join/table/filter", "source", "join", "sink"),
    ]
    assert {figures.id for figures in after.stages} == {node.id for node in after.outline.nodes}
    assert (figures("join/table/source").rows_in, figures("join/table/filter").rows_out) == (4, 3)
    assert figures("join/table/source").rows_per_second > 0
    assert (after.rows_in, after.rows_out) == (5, 3)
    assert running.metrics().inner["join"].stages["source"].rows_in == 4
    assert running.metrics().inner["join"].rows_in == 4 and "source" in running.metrics().stages


def test_a_table_that_has_been_read_stands_still_while_the_run_goes_on() -> None:
    tx, rx = channel()
    source = Source.from_channel(rx, schema=SCHEMA)
    table = Pipeline.builder(name="table").source(TestSource.from_list([1, 2, 3]))
    builder = Pipeline.builder().source(source).join(table, left_on="x", right_on="value")
    with builder.sink(TestSink()).build().start() as running:
        tx.send_sync(pl.DataFrame({"x": [1]}, schema=SCHEMA))
        until(lambda: running.metrics().rows_out == 1)
        figures = running.snapshot().stage("join/table/source")
        assert figures is not None and (figures.rows_in, figures.rows_per_second) == (3, 0.0)
        tx.close()
        running.join(LONG)


def test_a_table_that_fails_keeps_its_figures() -> None:
    gate = threading.Event()
    gate.set()
    running = joined(gate, failing=True).start()
    running.join(LONG)
    figures = running.snapshot().stage("join/table/source")
    assert figures is not None and figures.rows_in == 3 and running.state == "failed"
    with pytest.raises(StageError, match="no route"):
        running.wait(LONG)
