"""`throttle`: never more than the bucket gives, everything in order, marks behind their rows."""

from __future__ import annotations

import asyncio
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch, Watermark
from arrowstream.errors import PlanError
from arrowstream.operators.base import TimedProcess
from arrowstream.operators.throttle import Throttle
from arrowstream.testing import ManualClock, TestSink

pytestmark = pytest.mark.once

SCHEMA = pl.Schema({"x": pl.Int64})
SECOND = 10**9


def start(**options: Any) -> TimedProcess:
    process = Throttle(**options).start(SCHEMA, context())
    assert isinstance(process, TimedProcess)
    return process


def numbered(rows: int, start: int = 0) -> Batch:
    return Batch(pl.DataFrame({"x": range(start, start + rows)}, schema=SCHEMA))


def sizes(elements: Any) -> list[Any]:
    return [item.num_rows if isinstance(item, Batch) else item.time_us * 1j for item in elements]


def test_a_batch_is_cut_into_what_the_bucket_gives() -> None:
    process = start(rows=20, per="2s")
    process.set_time(5 * SECOND)
    assert process.accepts_input
    assert sizes(process.process(numbered(0))) == []
    assert sizes(process.process(numbered(15))) == [15]
    assert process.accepts_input and process.deadline_ns is None
    assert sizes(process.process(numbered(8))) == [5]
    # A tenth of 20 rows are worth a slice, and 10 come in a second.
    assert not process.accepts_input and process.deadline_ns == 5 * SECOND + SECOND // 5
    assert sizes(process.on_timer(5 * SECOND + SECOND // 5 - 1)) == []
    assert sizes(process.on_timer(5 * SECOND + SECOND // 5)) == [2]
    # The last row does not wait for another.
    assert process.deadline_ns == 5 * SECOND + 3 * SECOND // 10
    assert sizes(process.on_timer(process.deadline_ns)) == [1]
    assert process.accepts_input and process.deadline_ns is None
    # After a silence no more than a full bucket.
    process.set_time(100 * SECOND)
    assert sizes(process.process(numbered(50))) == [20]
    assert sizes(process.finish()) == [30]


def test_batches_pass_whole() -> None:
    process = start(batches=2, per="1s")
    process.set_time(0)
    assert [sizes(process.process(numbered(rows))) for rows in (9, 1, 5)] == [[9], [1], []]
    assert process.deadline_ns == SECOND // 2
    assert sizes(process.process(numbered(4))) == []
    assert sizes(process.on_timer(SECOND)) == [5, 4]


def test_a_mark_waits_for_the_rows_before_it() -> None:
    process = start(rows=1, per="1s")
    process.set_time(0)
    assert sizes(process.on_watermark(1)) == [1j]
    assert sizes(process.process(numbered(2))) == [1]
    assert sizes([*process.on_watermark(2), *process.on_watermark(3)]) == []
    assert sizes(process.on_timer(SECOND)) == [1, 3j]
    assert sizes(process.on_watermark(4)) == [4j]


@settings(max_examples=examples(30))
@given(
    steps=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3 * SECOND)), max_size=8),
    rows=st.integers(1, 30),
    cut=st.integers(0, 12),
)
def test_no_stretch_of_time_lets_more_through(steps: list[tuple[int, int]], rows: int, cut: int) -> None:
    process, now, number = start(rows=rows, per="1s"), 0, 0
    let_through: list[tuple[int, int]] = []
    values: list[int] = []
    marks: list[int] = []

    def note(elements: Any) -> None:
        for item in elements:
            if isinstance(item, Watermark):
                marks.append(item.time_us)
                assert len(values) >= item.time_us
            else:
                let_through.append((now, item.num_rows))
                values.extend(item.polars()["x"])

    for place, (count, pause) in enumerate(steps):
        if place == cut:
            state, process = process.snapshot(), start(rows=rows, per="1s")
            process.restore(state)
            process.set_time(now)
        process.set_time(now)
        note(process.process(numbered(count, number)))
        number += count
        note(process.on_watermark(number))
        while not process.accepts_input:
            assert process.deadline_ns is not None
            now = max(now, process.deadline_ns)
            before = len(values)
            note(process.on_timer(now))
            assert len(values) > before
        now += pause
    assert values == list(range(number))
    assert marks == sorted(marks) and marks[-1:] == ([number] if steps else [])
    for first in range(len(let_through)):
        for last in range(first, len(let_through)):
            passed = let_through[last][0] - let_through[first][0]
            assert (
                sum(count for _, count in let_through[first : last + 1])
                <= rows + rows * passed / SECOND + 1e-6
            )


def test_slices_share_memory() -> None:
    batch = Batch(numbered(10).arrow())
    process = start(rows=4, per="1s")
    process.set_time(0)
    out = [*process.process(batch), *process.on_timer(SECOND), *process.finish()]
    assert sizes(out) == [4, 4, 2]
    addresses = {part.arrow()["x"].buffers()[1].address for part in out if isinstance(part, Batch)}
    assert addresses == {batch.arrow()["x"].buffers()[1].address}


def test_a_running_pipeline_is_slowed_down_to_its_end() -> None:
    async def run() -> list[int]:
        clock, sink = ManualClock(), TestSink()
        source = Source.from_frame([numbered(25).polars(), numbered(10, 25).polars()])
        pipeline = Pipeline.builder().source(source).throttle(rows=10, per="1s").sink(sink).build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        counts = []
        for _ in range(25):
            await clock.advance(0.1)
            counts.append(len(sink.received()))
        await running
        assert sink.received() == list(range(35))
        return counts

    assert asyncio.run(run()) == list(range(11, 36))


@pytest.mark.parametrize(
    "options, match",
    [
        ({}, "rows or batches"),
        ({"rows": 1, "batches": 1}, "rows or batches"),
        ({"rows": 0}, "at least 1"),
        ({"batches": -1}, "at least 1"),
        ({"rows": 1, "per": 0}, "not a time"),
    ],
)
def test_arguments_are_checked(options: dict[str, Any], match: str) -> None:
    with pytest.raises(PlanError) as raised:
        Throttle(**options)
    assert match in str(raised.value)


def test_text_and_schema() -> None:
    assert Throttle(rows=5, per="1s").describe() == "throttle(rows=5, per=1s)"
    assert Throttle(batches=5).describe() == "throttle(batches=5, per=1s)"
    source = Source.from_frame(numbered(1).polars())
    assert Pipeline.builder().source(source).throttle(9, per="1s").schema() == SCHEMA
