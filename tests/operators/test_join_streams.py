"""`join` of two streams within a time: the rows of a join over the whole, for any cuts and any interleaving."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from contexts import context
from effort import examples
from epoch_files import PacedSource
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joined_streams import HOW, SECOND, by_text, expected, rows_of, streams
from kills import stopped_at

from arrowstream import Builder, Pipeline, Sink, Source
from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.checkpoints.failpoints import Failpoint
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.core.rows.changes import CHANGE
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.base import MultiInputProcess
from arrowstream.operators.join import StreamJoin
from arrowstream.operators.joins import pairs
from arrowstream.operators.joins.interval import hash_pairs, joining, timed_rows
from arrowstream.operators.joins.interval.within import Within
from arrowstream.operators.joins.keys import JoinKeys
from arrowstream.state.snapshot import shard_of
from arrowstream.state.snapshots.key_shards import SHARDS, shards_of
from arrowstream.testing import TestSink


def feed(
    process: MultiInputProcess,
    frames: list[pl.DataFrame],
    draw: Any,
    lateness_us: int,
    restart: StreamJoin | None = None,
) -> list[Element]:
    """Give the streams to a process in drawn cuts and order, with a watermark after each batch.

    With `restart`, its state is moved to another process now and then.
    """
    out: list[Element] = []
    cuts = [
        [0, *sorted(draw(st.lists(st.integers(0, frame.height), max_size=5))), frame.height]
        for frame in frames
    ]
    waiting = [[frame[a:b] for a, b in pairwise(at)] for frame, at in zip(frames, cuts, strict=True)]
    latest = [-1, -1]
    while any(waiting):
        port = draw(st.sampled_from([port for port in (0, 1) if waiting[port]]))
        rows = waiting[port].pop(0)
        out += process.process(Batch(rows), port)
        if rows.height:
            latest[port] = max(latest[port], int(rows["ts"].max()))  # type: ignore[arg-type]
            out += process.on_watermark(latest[port] - lateness_us, port)
        if not waiting[port]:
            out += process.on_end(port)
        elif restart is not None and draw(st.integers(0, 3)) == 0:
            saved = list(process.snapshot())
            process = restart.start([frame.schema for frame in frames], context())
            process.restore(iter(saved))
            for other in (0, 1):
                if not waiting[other]:
                    out += process.on_end(other)
    out += process.finish()
    return out


@settings(max_examples=examples(200))
@given(
    streams(),
    st.sampled_from(HOW),
    st.integers(0, 8),
    st.integers(0, 8),
    st.sampled_from([["k"], ["k", "n"]]),
    st.booleans(),
    st.data(),
)
def test_the_rows_are_those_of_a_join_over_the_whole(
    frames: list[pl.DataFrame],
    how: Any,
    before: int,
    after: int,
    keys: list[str],
    nulls_equal: bool,
    data: st.DataObject,
) -> None:
    within = Within(before * SECOND, after * SECOND)
    schemas = [frame.schema for frame in frames]
    join = StreamJoin(JoinKeys(tuple(keys), tuple(keys), nulls_equal), ("ts", "ts"), within, how)
    process = join.start(schemas, context())
    out = feed(process, frames, data.draw, 3 * SECOND)
    assert process.take_late() is None
    whole = expected(*frames, keys, within, how, nulls_equal)
    assert by_text(rows_of(out)) == by_text(whole.rows())
    assert join.output_schema(*schemas) == whole.schema
    reached = -(2**62)
    for element in out:
        if isinstance(element, Watermark):
            assert element.time_us > reached
            reached = element.time_us
        elif isinstance(element, Batch):
            times = element.polars().select(pl.col("^ts.*$")).min_horizontal().drop_nulls()
            assert (times >= reached).all(), "a row is late for the next step"


@pytest.fixture(params=["indexed", "joined", "either"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers so small that a few rows reach them; rows are found by the index, without it, or as it comes."""
    if request.param != "either":
        monkeypatch.setattr(timed_rows, "_JOINED", -1 if request.param == "indexed" else 1_000)
    for name, value in {
        "_CHUNK": 4,
        "_LEAST_DEAD": 3,
        "PAIRS_AT_A_TIME": 3,
        "PIECE": 8,
        "RATIO": 1,
    }.items():
        monkeypatch.setattr(timed_rows, name, value)
    monkeypatch.setattr(joining, "_PIECE", 5)
    monkeypatch.setattr(hash_pairs, "_LAYERS", 2)
    monkeypatch.setattr(hash_pairs, "_LEAST_BITS", 1)
    monkeypatch.setattr(pairs, "_STEPS", 1)
    monkeypatch.setattr(timed_rows, "_BUCKETS", 15)
    monkeypatch.setattr(timed_rows, "_HASH", np.uint64(3 << 62))


@pytest.mark.usefixtures("small")
@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(streams(), st.sampled_from(HOW), st.integers(0, 8), st.data())
def test_keys_that_share_a_hash_and_rows_that_are_numbered_anew(
    frames: list[pl.DataFrame], how: Any, within_s: int, data: st.DataObject
) -> None:
    within = Within(within_s * SECOND, within_s * SECOND)
    join = StreamJoin(JoinKeys(("k", "n"), ("k", "n")), ("ts", "ts"), within, how)
    process = join.start([frame.schema for frame in frames], context())
    out = feed(process, frames, data.draw, 3 * SECOND, restart=join)
    assert by_text(rows_of(out)) == by_text(expected(*frames, ["k", "n"], within, how, False).rows())


def stream(frame: pl.DataFrame, rows: int = 2, lateness: str = "0s") -> Builder:
    source = Source.from_frame(
        [frame[at : at + rows] for at in range(0, frame.height, rows)], schema=frame.schema
    )
    return Pipeline.builder().source(source.with_event_time("ts", lateness))


ORDERS = pl.DataFrame({"ts": [0, 4, 10, 12], "k": ["a", "b", "a", None], "order": [1, 2, 3, 4]}).with_columns(
    pl.col("ts") * SECOND
)
PAID = pl.DataFrame({"ts": [3, 11, 12], "k": ["a", "a", "c"], "eur": [1.0, 2.0, 3.0]}).with_columns(
    pl.col("ts") * SECOND
)


def test_streams_are_joined_by_their_event_times() -> None:
    joined = stream(ORDERS).join(stream(PAID), on="k", within="3s", how="full")
    rows = joined.collect_sync().select("k", "order", "eur").rows()
    assert by_text(rows) == by_text(
        [("a", 1, 1.0), ("b", 2, None), ("a", 3, 2.0), (None, 4, None), ("c", None, 3.0)]
    )
    only_after = stream(ORDERS).join(stream(PAID), on="k", within=("0s", "1s")).select("order", "eur")
    assert only_after.collect_sync().rows() == [(3, 2.0)]
    assert "join(on='k', time='ts', from 0 s before to 1 s after, how='inner')" in only_after.explain()


def test_a_source_may_be_the_other_stream_and_times_may_be_named() -> None:
    paid = Source.from_frame(PAID.rename({"ts": "at"}))
    orders = Pipeline.builder().source(Source.from_frame(ORDERS))
    out = orders.join(paid, on="k", within="1s", time=("ts", "at"), how="left").collect_sync()
    assert by_text(out.select("order", "at").rows()) == by_text(
        [(1, None), (2, None), (3, 11 * SECOND), (4, None)]
    )


def test_windows_of_two_streams_are_joined_by_their_start_and_keys() -> None:
    def counted(frame: pl.DataFrame, name: str) -> Builder:
        return stream(frame).window("5s", on="ts", by="k").agg(pl.len().alias(name))

    out = counted(ORDERS, "orders").join(
        counted(PAID, "paid"), on="k", within="0s", time="window_start", nulls_equal=True
    )
    assert by_text(out.collect_sync().select("k", "orders", "paid").rows()) == by_text(
        [("a", 1, 1), ("a", 1, 1)]
    )


def test_late_rows_are_counted_and_offered_in_the_columns_that_come_out() -> None:
    """Which rows are late depends on how the streams interleave: each comes out, or is late."""
    times = [0, 50, 2, 60, 70, 3, 80]
    left = pl.DataFrame({"ts": times, "k": range(7), "a": range(7)}).with_columns(pl.col("ts") * SECOND)
    right = left.rename({"a": "b"})
    late = TestSink()
    joined = stream(left, 1).join(stream(right, 1), on="k", within="1s", how="full", late=late)
    report = joined.sink(out := TestSink()).build().run_sync()
    [stage] = [stage for stage in report.stages if stage.name == "join"]
    assert stage.late_rows_kept == stage.late_rows == late.frame().height > 0
    assert late.frame().columns == out.frame().columns == ["ts", "k", "a", "ts_right", "b"]
    for name in ("a", "b"):
        rows = pl.concat([out.frame(), late.frame()])[name].drop_nulls()
        assert sorted(rows) == list(range(7)), "each row comes out or is late, once"
    for alone in late.frame().iter_rows(named=True):
        ours, theirs = ("a", "ts"), ("b", "ts_right")
        here, other = (ours, theirs) if alone["a"] is not None else (theirs, ours)
        assert alone["k"] == alone[here[0]] or alone["k"] is None
        assert (
            alone[other[0]] is None and alone[other[1]] is None and alone[here[1]] in (2 * SECOND, 3 * SECOND)
        )


def test_an_idle_or_ended_stream_does_not_hold_the_other_back() -> None:
    join = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), Within(SECOND, SECOND), "left")
    process = join.start([ORDERS.schema, PAID.schema], context())
    assert not rows_of(list(process.process(Batch(ORDERS[:2]), 0)))
    assert list(process.on_watermark(20 * SECOND, 0)) == []
    out = list(process.on_idle(1))
    assert len(rows_of(out)) == 2 and out[-1] == Watermark(19 * SECOND)
    assert list(process.on_idle(0)) == [Idle()]
    assert rows_of(list(process.process(Batch(PAID[:1]), 1))) == [] and process.take_late() is not None
    assert list(process.on_end(1)) == [Idle()], "the stream that goes on is idle"
    assert list(process.on_watermark(15 * SECOND, 0)) == []
    lonely = pl.DataFrame({"ts": [30 * SECOND], "k": ["a"], "order": [9]})
    assert len(rows_of(list(process.process(Batch(lonely), 0)))) == 1, "no partner can come any more"


def test_memory_of_rows_that_have_left_is_released() -> None:
    memory = MemoryBudget()
    join = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), Within(SECOND, SECOND))
    frame = pl.DataFrame({"ts": range(200_000), "k": range(200_000), "a": range(200_000)}).with_columns(
        pl.col("ts") * 1000
    )
    process = join.start([frame.schema, frame.schema], context(memory=memory))
    held = []
    for round_ in range(8):
        rows = frame.with_columns(pl.col("ts") + round_ * 200 * SECOND)
        for port in (0, 1):
            list(process.process(Batch(rows), port))
            list(process.on_watermark(round_ * 200 * SECOND + 190 * SECOND, port))
        held.append(memory.held)
    assert max(held[4:]) <= 2 * max(held[:4])
    for port in (0, 1):
        list(process.on_watermark(10_000 * SECOND, port))
    assert memory.held < held[0] / 10


def test_rows_beyond_the_limit_are_spilled_or_refused() -> None:
    frame = pl.DataFrame({"ts": range(100_000), "k": range(100_000), "a": ["x" * 20] * 100_000})
    sides = [stream(frame, 10_000), stream(frame.rename({"a": "b"}), 10_000)]
    spilled = sides[0].join(sides[1], on="k", within="1h", max_bytes=2 << 20, on_full="spill").collect_sync()
    assert spilled.height == 100_000 and spilled["k"].is_sorted() is not None
    with pytest.raises(StageError, match="larger than max_bytes"):
        sides[0].join(sides[1], on="k", within="1h", max_bytes=1 << 20).collect_sync()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"within": "1s", "how": "outer"}, r"join\(how=...\) is unknown"),
        ({"within": ("1s", "2s", "3s")}, "takes one duration or two"),
        ({"within": "soon"}, "duration"),
        ({"within": "1s", "time": ("a", "b", "c")}, "takes one name or two"),
        ({"within": "1s", "refresh": "1s"}, r"join\(refresh=...\) is for a join with a table"),
        ({"within": "1s", "validate": "m:1"}, r"join\(validate=...\) is for a join with a table"),
        ({"max_bytes": 1}, r"join\(max_bytes=...\) is for a join with a stream"),
        ({"within": "1s", "time": "at"}, "not the event time of this stream"),
        ({"within": "1s", "time": ("ts", "eur")}, "not the event time of the other stream"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(named: dict[str, Any], message: str) -> None:
    with pytest.raises((PlanError, SchemaError), match=message):
        stream(ORDERS).join(stream(PAID), on="k", **named).explain()


def test_event_times_are_columns_of_time() -> None:
    orders, paid = (Pipeline.builder().source(Source.from_frame(rows)) for rows in (ORDERS, PAID))
    for times, message in {("at", "ts"): "not there", ("ts", "eur"): "cannot read event times"}.items():
        with pytest.raises(SchemaError, match=message):
            orders.join(paid, on="k", within="1s", time=times).explain()


def test_intervals_that_differ_by_a_second_in_a_month_are_told_apart() -> None:
    found = {
        str(
            stream(ORDERS)
            .join(stream(PAID), on="k", within=f"{2_592_000 + n}s")
            .graph.steps[-1]
            .operator.describe()
        )
        for n in range(3)
    }  # type: ignore[union-attr]
    assert len(found) == 3


def test_streams_need_event_times_of_one_type() -> None:
    plain = Pipeline.builder().source(Source.from_frame(PAID))
    with pytest.raises(
        PlanError, match=r"needs a column of event times of both streams(.*\n)*.*found: ts and None"
    ):
        stream(ORDERS).join(plain, on="k", within="1s")
    dated = stream(PAID.with_columns(pl.col("ts").cast(pl.Datetime("us"))))
    with pytest.raises(SchemaError, match="cannot compare these event times"):
        stream(ORDERS).join(dated, on="k", within="1s").explain()


def test_a_time_that_is_null_or_at_the_end_of_its_range_is_an_error() -> None:
    for time, message in ((None, "without an event time"), (2**63 - 5, "cannot hold")):
        rows = pl.DataFrame({"ts": [time], "k": ["a"]}, schema={"ts": pl.Int64, "k": pl.String})
        joined = (
            Pipeline.builder()
            .source(Source.from_frame(rows))
            .join(Source.from_frame(rows), on="k", within="1s", time="ts")
        )
        with pytest.raises(StageError, match=message):
            joined.collect_sync()


@pytest.mark.parametrize("emit", ["final", "changes"])
def test_a_run_that_is_stopped_goes_on_with_the_rows_that_are_held(emit: Any, tmp_path: Path) -> None:
    sides = [
        pl.DataFrame(
            {"ts": range(0, 2_400, 2), "k": [n % 7 for n in range(1_200)], name: range(1_200)}
        ).with_columns(pl.col("ts") * SECOND)
        for name in ("a", "b")
    ]

    def paced(side: pl.DataFrame) -> Builder:
        source = PacedSource([side[at : at + 20] for at in range(0, side.height, 20)], an_epoch=9)
        return Pipeline.builder().source(source.with_event_time("ts"))

    def job() -> Pipeline:
        left, right = map(paced, sides)
        out = Sink.to_file(f"{tmp_path}/out/", format="parquet")
        late = Sink.to_file(f"{tmp_path}/late/", format="parquet")
        return left.join(right, on="k", within="30s", how="full", late=late, emit=emit).sink(out).build()

    stops = 0
    while stopped_at(job(), Failpoint.SINK_COMMITTED, 2, tmp_path / "state").stopped:
        stops += 1
    assert stops > 1
    whole = expected(*sides, ["k"], Within(30 * SECOND, 30 * SECOND), "full", nulls_equal=False)
    found = pl.read_parquet(tmp_path / "out")
    if emit == "changes":
        deleted = Counter(map(str, found.filter(pl.col(CHANGE) == "delete").drop(CHANGE).rows()))
        assert deleted, "some rows came before their partners"
        inserted = Counter(map(str, found.filter(pl.col(CHANGE) == "insert").drop(CHANGE).rows()))
        assert sorted((inserted - deleted).elements()) == by_text(whole.rows())
    else:
        assert by_text(found.rows()) == by_text(whole.rows())


CLOSE = pl.DataFrame(
    {"ts": [0, 1, 2, 2, 9], "k": ["x", "y", None, "x", "z"], "n": [1, None, 1, 1, 1], "a": range(5)},
    schema={"ts": pl.Int64, "k": pl.String, "n": pl.Int8, "a": pl.Int64},
)
OTHER = pl.DataFrame(
    {"ts": [1, 1, 3, 8], "k": ["x", "y", "x", None], "n": [1, None, 1, 1], "b": range(4)},
    schema={"ts": pl.Int64, "k": pl.String, "n": pl.Int8, "b": pl.Int64},
)


@pytest.mark.parametrize("first", [0, 1], ids=["left first", "right first"])
@pytest.mark.parametrize("how", HOW)
def test_rows_of_each_kind_of_join(how: Any, first: int) -> None:
    frames = [frame.with_columns(pl.col("ts") * SECOND) for frame in (CLOSE, OTHER)]
    within = Within(SECOND, 2 * SECOND)
    join = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), within, how)
    process = join.start([frame.schema for frame in frames], context())
    out: list[Element] = []
    for port in (first, 1 - first):
        for row in range(frames[port].height):
            out += process.process(Batch(frames[port][row]), port)
    out += [*process.on_end(0), *process.on_end(1), *process.finish()]
    assert by_text(rows_of(out)) == by_text(expected(*frames, ["k"], within, how, nulls_equal=False).rows())


@pytest.mark.usefixtures("small")
def test_many_rows_whose_hashes_and_times_are_close() -> None:
    random = np.random.default_rng(5)
    frames = [
        pl.DataFrame(
            {
                "ts": np.sort(random.integers(0, 60, 200)) * SECOND,
                "k": random.integers(0, 9, 200),
                name: range(200),
            }
        )
        for name in ("a", "b")
    ]
    within = Within(SECOND, SECOND)
    join = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), within, "full")
    process = join.start([frame.schema for frame in frames], context())
    out: list[Element] = []
    for at in range(0, 200, 10):
        for port in (0, 1):
            part = frames[port][at : at + 10]
            out += process.process(Batch(part), port)
            out += process.process(Batch(part[:0]), port)
            # A row may come once the watermark is at its time.
            out += process.on_watermark(int(part["ts"][-1]), port)
        saved = list(process.snapshot())
        process = join.start([frame.schema for frame in frames], context())
        process.restore(iter(saved))
    out += process.finish()
    assert by_text(rows_of(out)) == by_text(
        expected(*frames, ["k"], within, "full", nulls_equal=False).rows()
    )


@pytest.mark.parametrize("many", [3, 300])
def test_a_key_that_half_of_the_rows_have(many: int) -> None:
    """Rows of one key at other times are not paired: with many of them, the index tells them apart."""
    keys = [0] * many + list(range(1, many + 1))
    frames = [
        pl.DataFrame({"ts": pl.Series(range(2 * many)) * 2 * SECOND, "k": keys, name: range(2 * many)})
        for name in ("a", "b")
    ]
    within = Within(SECOND, SECOND)
    join = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), within)
    process = join.start([frame.schema for frame in frames], context())
    parts = [(0, frames[0]), (1, frames[1][:-2]), *((1, frames[1][row:][:1]) for row in (-2, -1))]
    out = [element for port, part in parts for element in process.process(Batch(part), port)]
    assert by_text(rows_of(out)) == by_text(
        expected(*frames, ["k"], within, "inner", nulls_equal=False).rows()
    )


@pytest.mark.parametrize("order", [1, -1], ids=["from the first shard", "from the last shard"])
def test_rows_of_both_sides_are_saved_in_the_shards_of_their_keys(order: int) -> None:
    numbers = pl.int_range(400, eager=True)
    frames = [
        pl.DataFrame({"ts": numbers * SECOND // 10, "k": numbers * step % 90, name: numbers})
        for step, name in ((7, "a"), (11, "b"))
    ]
    join = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), Within(5 * SECOND, 5 * SECOND), "full")
    processes = [join.start([frame.schema for frame in frames], context()) for _ in range(2)]
    for at in (0, 100, 200):
        for port in (0, 1):
            list(processes[0].process(Batch(frames[port][at : at + 100]), port))
    saved = list(processes[0].snapshot())
    sides: dict[int, set[int]] = {}
    for batch in saved:
        rows = pl.DataFrame(batch).select("side", pl.coalesce("0 k", "1 k").alias("k"))
        assert set(shards_of(rows.select("k"))) == {shard_of(batch.schema)}
        for shard in shards_of(rows.select("k")).tolist():
            sides.setdefault(shard, set()).update(rows["side"])
    assert len(sides) == SHARDS and set.union(*sides.values()) == {0, 1}
    processes[1].restore(iter(sorted(saved, key=lambda batch: order * (shard_of(batch.schema) or 0))))
    found = []
    for process in processes:
        out = [*process.process(Batch(frames[0][300:]), 0), *process.process(Batch(frames[1][300:]), 1)]
        found.append(rows_of([*out, *process.finish()]))
    assert found[0] == found[1]


@pytest.mark.parametrize("how", HOW)
def test_late_rows_keep_keys_that_the_other_stream_cannot_hold(how: Any) -> None:
    left = pl.DataFrame({"ts": [10 * SECOND], "k": [1], "a": [1]}, schema_overrides={"k": pl.Int32})
    right = pl.DataFrame({"ts": [10 * SECOND, SECOND], "k": [1, 2**40], "b": [1, 2]})
    join = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), Within(SECOND, SECOND), how)
    process = join.start([left.schema, right.schema], context())
    for port, rows in ((0, left), (1, right[:1])):
        list(process.process(Batch(rows), port))
        list(process.on_watermark(9 * SECOND, port))
    assert rows_of(list(process.process(Batch(right[1:]), 1))) == []
    late = process.take_late()
    assert late is not None and late.polars().schema == join.late_schema(left.schema, right.schema)
    assert late.polars().rows() == [(None, 2**40, None, SECOND, 2)]


def test_an_input_that_was_idle_at_a_stop_is_waited_for_again() -> None:
    join = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), Within(SECOND, SECOND))
    process = join.start([ORDERS.schema, PAID.schema], context())
    list(process.on_watermark(0, 0)), list(process.on_watermark(0, 1)), list(process.on_idle(1))
    again = join.start([ORDERS.schema, PAID.schema], context())
    again.restore(iter(list(process.snapshot())))
    list(again.process(Batch(ORDERS), 0)), list(again.on_watermark(12 * SECOND, 0))
    assert len(rows_of(list(again.process(Batch(PAID), 1)))) == 1 and again.take_late() is None


def test_rows_long_after_those_of_the_index_and_just_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times beyond the buckets of the index, and times in one bucket of which only some are in the interval."""
    monkeypatch.setattr(timed_rows, "_JOINED", -1)
    monkeypatch.setattr(timed_rows, "_BUCKETS", 255)
    monkeypatch.setattr(timed_rows, "_HASH", np.uint64(2**64 - 256))
    first, second = (pl.Schema({"ts": pl.Int64, "k": pl.Int64, name: pl.Int64}) for name in ("a", "b"))
    join = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), Within(SECOND, SECOND))
    process = join.start([first, second], context())
    found = []
    for time_s in (0, 1_000, 2_000_000):
        left = pl.DataFrame([(time_s * SECOND, 7, time_s)], first, orient="row")
        list(process.process(Batch(left), 0))
        for after_us in (SECOND + 1, SECOND):
            right = pl.DataFrame([(time_s * SECOND + after_us, 7, after_us)], second, orient="row")
            found += [(time_s, row[-1]) for row in rows_of(list(process.process(Batch(right), 1)))]
    assert found == [(time_s, SECOND) for time_s in (0, 1_000, 2_000_000)]


@pytest.mark.untraced
@pytest.mark.parametrize("within", [0, 1, 40])
@pytest.mark.parametrize("step", [1, 1_000, 1_000_000])
@pytest.mark.parametrize("ahead", [1_000, 200])
def test_times_far_beyond_the_first_buckets(
    within: int, step: int, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few buckets, many of them passed; rows that left are dropped while others wait in an order of their own."""
    monkeypatch.setattr(timed_rows, "_JOINED", -1)
    monkeypatch.setattr(timed_rows, "_BUCKETS", 255)
    monkeypatch.setattr(timed_rows, "_HASH", np.uint64(2**64 - 256))
    monkeypatch.setattr(timed_rows, "_LEAST_DEAD", 50)
    random = np.random.default_rng(step + within)
    times = np.sort(random.integers(0, 1_500, 2_000)) * step
    frames = [
        pl.DataFrame({"ts": times, "k": random.integers(0, 3, 2_000), name: range(2_000)})
        for name in ("a", "b")
    ]
    reach = Within(within * step, within * step)
    join = StreamJoin(JoinKeys(("k",), ("k",)), ("ts", "ts"), reach)
    process = join.start([frame.schema for frame in frames], context())
    pairs = 0
    # The left comes in large batches that are shuffled, so that it is far ahead of the right, and not in order.
    for at in range(0, 2_000, 100):
        if at % ahead == 0:
            part = frames[0][at : at + ahead].sample(fraction=1, shuffle=True, seed=at)
            pairs += len(rows_of(list(process.process(Batch(part), 0))))
            list(process.on_watermark(int(frames[0]["ts"][min(at + ahead, 1_999)]), 0))
        part = frames[1][at : at + 100]
        pairs += len(rows_of(list(process.process(Batch(part), 1))))
        list(process.on_watermark(int(part["ts"][-1]), 1))
    assert process.take_late() is None
    assert pairs == expected(*frames, ["k"], reach, "inner", nulls_equal=False).height
