"""Messages become rows: with their other columns and positions, errors by message, and event time by partition."""

import threading
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from contexts import context
from message_sources import Messages, Numbers, messages

from arrowstream import Builder, ErrorHandler, Pipeline
from arrowstream.core.batch import Batch, Element, Idle, Partitions, Watermark
from arrowstream.core.messages import Decoder
from arrowstream.core.position import joined
from arrowstream.errors import BadMessage, PlanError, SchemaError
from arrowstream.operators.base import Process
from arrowstream.operators.event_time.partitioned_time import PartitionedTime
from arrowstream.operators.messages.decode import Decode
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.testing import TestSink

OTHERS = pl.Schema({"key": pl.String()})


def rows(source: Messages) -> list[tuple[Any, ...]]:
    return Pipeline.builder().source(source).collect_sync().rows()


def both(*batches: Batch) -> Batch:
    """One batch of several, each with its own position."""
    frame = pl.concat([batch.polars() for batch in batches])
    return Batch(frame, joined([(each.num_rows, each.position) for each in batches if each.position]))


@pytest.mark.parametrize("waits", [False, True])
def test_every_message_gives_its_rows_with_the_other_columns(waits: bool) -> None:
    batch = both(messages("t[0]", 5, b"1,2", b"3", key=["a", "b"]), messages("t[1]", 0, b"4", key=["c"]))
    source = Messages((batch,), Numbers(waits=waits), OTHERS)
    assert rows(source) == [(1, "a"), (2, "a"), (3, "b"), (4, "c")]
    assert rows(Messages((messages("t[0]", 5, b"1,2", b"3"),), Numbers(waits=waits))) == [(1,), (2,), (3,)]
    single = Batch(messages("t[0]", 5, b"1,2", b"3").polars())
    assert rows(Messages((single,), Numbers(waits=waits))) == [(1,), (2,), (3,)]


def test_rows_of_different_partitions_keep_their_positions() -> None:
    batch = both(messages("t[0]", 5, b"1,2"), messages("t[1]", 3, b"4", b"5"))
    process = Decode(Numbers()).start(batch.polars().schema, context())
    assert isinstance(process, Process)
    seen = list(process.process(batch))
    assert [str(each.position) for each in seen if isinstance(each, Batch)] == [
        "t[0] offsets 5-6",
        "t[1] offsets 3-5",
    ]


def test_a_bad_message_is_named_by_its_offset() -> None:
    batch = both(messages("t[0]", 5, b"1", b"2"), messages("t[1]", 7, b"3", b"oops", b"4"))
    with pytest.raises(BadMessage, match="not numbers") as caught:
        rows(Messages((batch,)))
    assert caught.value.position == "t[1] offsets 8-9"
    assert caught.value.stage == "decode"
    with pytest.raises(BadMessage) as caught:
        rows(Messages((Batch(batch.polars()),)))
    assert caught.value.position is None


def test_handlers_after_the_source_keep_the_neighbours_of_a_bad_message() -> None:
    batch = both(messages("t[0]", 5, b"1", b"no"), messages("t[1]", 7, b"3", b"oops", b"4"))
    bad, good = TestSink(), TestSink()
    source = Messages((batch,)).with_event_time("x")
    handler = ErrorHandler.dead_letter(bad)
    pipeline = Pipeline.builder().source(source).on_error(handler).sink(good).build()
    pipeline.run_sync()
    assert good.received() == [1, 3, 4]
    assert pipeline.metrics().stages["decode"].dead_letter_rows == 2
    found = bad.frame().select("value", "error", "stage", "position").rows()
    assert found == [
        (b"no", "not numbers; found: b'no'", "decode", "t[0] offsets 6-7"),
        (b"oops", "not numbers; found: b'oops'", "decode", "t[1] offsets 8-9"),
    ]


def test_event_time_itself_takes_no_handlers() -> None:
    source = Messages((), partitioned=False).with_event_time("x")
    built = Pipeline.builder().source(source).filter(pl.col("x") > 1).on_error(ErrorHandler.skip())
    assert [step.policies.handlers != () for step in built.graph.steps] == [False, False, True]


def test_a_name_that_is_taken_is_an_error_with_the_way_out() -> None:
    source = Messages((), Numbers("key"), OTHERS)
    with pytest.raises(PlanError, match="messages have a column 'key'") as caught:
        Pipeline.builder().source(source).explain()
    assert caught.value.hint == 'give the other one a name: metadata={"key": "message_key"}'


@pytest.mark.parametrize("waits", [False, True])
def test_a_decoder_that_waits_learns_its_columns_on_a_thread(
    waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_loop = []

    def settled(self: Numbers, values: object) -> Numbers:
        on_loop.append(threading.current_thread() is threading.main_thread())
        return Numbers("x", waits)

    monkeypatch.setattr(Numbers, "settled", settled)
    source = Messages((messages("t[0]", 0, b"1", b"2"),), Numbers(None, waits))
    assert Pipeline.builder().source(source).collect_sync().rows() == [(1,), (2,)]
    assert on_loop == [not waits]


def test_the_first_messages_show_the_columns() -> None:
    source = Messages((Partitions(frozenset({"t[0]"})), messages("t[0]", 0, b"1", b"2")), Numbers(None))
    builder = Pipeline.builder().source(source)
    assert builder.schema() is None
    assert builder.collect_sync().to_dict(as_series=False) == {"x2": [1, 2]}
    sink = TestSink()
    pipeline = builder.sink(sink).build()
    for _ in range(2):
        pipeline.run_sync()
    assert sink.frame().columns == ["x2"]
    with pytest.raises(SchemaError, match="with_columns"):
        builder.with_columns(y=pl.col("x2").cast(pl.Date) + pl.col("x2")).collect_sync()


def test_explain_names_the_format_and_the_partitions() -> None:
    source = Messages(()).with_event_time("x", lateness="5s")
    text = Pipeline.builder().source(source).explain()
    assert "decode(numbers)" in text
    assert "event_time(x, lateness=5 s, by partition)" in text


# Event time by partition.

SECOND = 1_000_000


def timed(**options: Any) -> PartitionedTime:
    process = Watermarks("x", by_partition=True, **options).start(pl.Schema({"x": pl.Int64}), context())
    assert isinstance(process, PartitionedTime)
    return process


def at(origin: str, *times: int) -> Batch:
    batch = messages(origin, 0, *[b""] * len(times))
    return Batch(pl.DataFrame({"x": times}), batch.position)


def marks(found: Any) -> list[Element]:
    return [element for element in found if not isinstance(element, Batch)]


def test_a_watermark_is_the_least_of_all_partitions() -> None:
    process = timed(lateness_us=1)
    assert marks(process.on_partitions(frozenset({"a", "b"}))) == []
    assert marks(process.process(at("a", 10, 50))) == []  # nothing of b has come
    assert marks(process.process(at("b", 20, 5))) == [Watermark(19)]
    assert marks(process.process(at("a", 90))) == []
    assert marks(process.process(both(at("b", 30), at("a", 91), at("b", 40)))) == [Watermark(39)]
    assert marks(process.process(at("b", 39))) == []  # it never goes back
    assert marks(process.process(at("b"))) == []
    assert marks(process.on_watermark(7)) == []
    assert marks(process.finish()) == []


def test_partitions_that_leave_hold_no_watermark_back_and_new_ones_do() -> None:
    process = timed()
    list(process.on_partitions(frozenset({"a", "b"})))
    list(process.process(both(at("a", 50), at("b", 20))))
    assert marks(process.on_partitions(frozenset({"a", "c"}))) == []
    assert marks(process.on_partitions(frozenset({"a"}))) == [Watermark(50)]
    assert marks(process.process(Batch(pl.DataFrame({"x": [60]})))) == []  # of a partition without a name
    assert marks(process.process(at("a", 70))) == [Watermark(60)]


def test_an_idle_partition_is_left_aside_until_its_next_row() -> None:
    process = timed(idle_ns=100)
    assert process.deadline_ns is None
    list(process.on_partitions(frozenset({"a", "b"})))
    process.on_waiting(0)
    assert process.deadline_ns == 100
    process.set_time(60)
    assert marks(process.process(at("a", 10))) == []
    assert process.deadline_ns is None  # time counts only while the step waits for input
    process.on_waiting(1_000)
    assert process.deadline_ns == 1_040
    process.set_time(1_040)
    assert marks(process.on_timer(1_040)) == [Watermark(10)]
    process.on_waiting(1_040)
    assert process.deadline_ns == 1_100
    process.set_time(1_100)
    assert marks(process.on_timer(1_100)) == [Idle()]
    process.on_waiting(1_100)
    assert process.deadline_ns is None  # all are idle
    process.set_time(1_200)
    assert marks(process.process(at("b", 5))) == []
    assert marks(process.process(at("b", 15))) == [Watermark(15)]


def test_a_stream_is_idle_once_no_partition_is_left_that_is_not() -> None:
    process = timed(idle_ns=100)
    list(process.on_partitions(frozenset({"a", "b"})))
    process.on_waiting(0)
    process.set_time(60)
    list(process.process(at("a", 10)))
    process.on_waiting(60)
    process.set_time(100)
    assert marks(process.on_timer(100)) == [Watermark(10)]  # b is idle
    assert marks(process.on_partitions(frozenset({"b"}))) == [Idle()]
    assert marks(process.on_partitions(frozenset({"b", "c"}))) == []
    assert marks(process.on_partitions(frozenset())) == [Idle()]  # as of a member that is given none
    assert process.deadline_ns is None


def test_silence_of_all_partitions_moves_the_latest_of_them_if_asked_for() -> None:
    process = timed(idle_ns=10_000, advance_when_idle=True)
    list(process.on_partitions(frozenset({"a", "b", "c"})))
    list(process.process(both(at("a", 100), at("b", 40))))
    for now, expected in ((10_000, 110), (20_000, 120)):
        process.on_waiting(now - 10_000)
        process.set_time(now)
        assert marks(process.on_timer(now)) == [Watermark(expected), Idle()]
    nothing = timed(idle_ns=10_000, advance_when_idle=True)
    list(nothing.on_partitions(frozenset({"a"})))
    nothing.on_waiting(0)
    nothing.set_time(10_000)
    assert marks(nothing.on_timer(10_000)) == [Idle()]


def test_event_time_by_partition_goes_on_from_a_snapshot() -> None:
    process, after = timed(), timed()
    list(process.process(both(at("a", 50), at("b", 20))))
    after.restore(process.snapshot())
    assert marks(after.on_partitions(frozenset({"a", "b"}))) == []
    assert marks(after.process(at("b", 60))) == [Watermark(50)]


def test_rows_too_far_ahead_are_noted_for_each_partition() -> None:
    process = timed(max_jump_us=10)
    list(process.process(both(at("a", 1, 500), at("b", 2, 600, 700))))
    list(process.on_partitions(frozenset({"b"})))
    (note,) = process.notes
    assert (note.count, note.first) == (3, "row 2 of a, x = 500")


@pytest.mark.parametrize("waits", [False, True])
def test_only_event_time_gets_the_partitions(waits: bool) -> None:
    mark, first, second = (
        Partitions(frozenset({"t[0]", "t[1]"})),
        messages("t[0]", 0, b"1"),
        messages("t[1]", 0, b"9"),
    )
    source = Messages((mark, first, second), Numbers(waits=waits))
    streams = Pipeline.builder().source(source), Pipeline.builder().source(source.with_event_time("x"))
    for stream in streams:
        assert sorted(stream.merge(stream).collect_sync()["x"]) == [1, 1, 9, 9]


class Rows(Messages):
    """The same elements as rows, without a decoder."""

    @property
    def decoder(self) -> Decoder | None:
        return None

    def schema(self) -> pl.Schema | None:
        return self.message_schema


@pytest.mark.parametrize(
    "step", [lambda rows: rows.batch(rows=1), lambda rows: rows.parallel_map(lambda batch: batch)]
)
def test_other_steps_end_the_mark_of_partitions(step: Callable[[Builder], Builder]) -> None:
    source = Rows((Partitions(frozenset({"t[0]"})), messages("t[0]", 0, b"1", b"2")))
    stream = step(Pipeline.builder().source(source))
    assert stream.collect_sync()["value"].to_list() == [b"1", b"2"]


def test_a_decoder_that_knows_its_columns_is_never_asked_for_them() -> None:
    with pytest.raises(NotImplementedError, match="numbers"):
        Decoder.settled(Numbers(), pl.Series([b"1"]).to_arrow())


def test_decoding_has_no_state() -> None:
    process = Decode(Numbers()).start(pl.Schema({"value": pl.Binary()}), context())
    assert isinstance(process, Process)
    assert list(process.snapshot()) == []
    process.restore(iter(()))


@pytest.mark.untraced
@pytest.mark.parametrize("skew", [0, 3_600])
def test_a_backlog_read_at_different_speeds_makes_no_row_late(skew: int) -> None:
    def part(number: int, hour: int) -> Batch:
        values = [str((hour * 3_600 + minute * 60 + number * skew) * SECOND).encode() for minute in range(60)]
        return messages(f"t[{number}]", hour * 60, *values)

    hours = ((0, 3), (1, 2), (2, 3), (3, 3))
    order = [part(number, hour) for number, until in hours for hour in range(until)]
    mark = Partitions(frozenset(f"t[{number}]" for number in range(4)))
    for partitioned in (True, False):
        source = Messages((mark, *order), partitioned=partitioned).with_event_time("x")
        sink = TestSink()
        built = Pipeline.builder().source(source).window(size="10m", on="x").agg(rows=pl.len())
        report = built.sink(sink).build().run_sync()
        late = sum(stage.late_rows for stage in report.stages)
        assert late == 0 if partitioned else late > 0
        assert sink.frame()["rows"].sum() == sum(batch.num_rows for batch in order) - late
