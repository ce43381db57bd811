"""Sources that continue where another run was, and barriers between two of their batches."""

import asyncio
import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from epoch_files import PacedSource
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryStore, run_with
from scripted import BlockingSource

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Barrier, Batch, Element, Watermark, to_frame, to_record
from arrowstream.core.plural import counted
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.errors import SnapshotError, SourceError, StageError
from arrowstream.io.memory.frame_position import FramePosition
from arrowstream.io.memory.frame_source import FrameSource
from arrowstream.io.open_source import open_source
from arrowstream.io.source import BlockingReader, Reader, SourceSpec
from arrowstream.runtime.checkpoints.snapshots import Snapshots
from arrowstream.runtime.checkpoints.state_writes import StateWrites
from arrowstream.runtime.endpoints.source import RunningSource
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.threads import Threads
from arrowstream.state.snapshot import SnapshotFormat
from arrowstream.testing import ManualClock, Pause, TestSink, TestSource

pytestmark = pytest.mark.once

ROWS = pl.DataFrame({"x": range(23)})


async def drained(reader: Reader) -> tuple[list[int], list[SourcePosition | None]]:
    """The rows of a reader, and its position before the first batch and after each."""
    rows, positions = [], [reader.position()]
    while (element := await reader.read()) is not None:
        assert isinstance(element, Batch)
        rows.append(element.polars()["x"].to_list())
        positions.append(reader.position())
    await reader.close()
    return [row for batch in rows for row in batch], positions


def opened(source: SourceSpec, resume: SourcePosition | None = None) -> Reader:
    reader = open_source(source, context(), resume=resume)
    assert isinstance(reader, Reader)
    return reader


@settings(max_examples=examples(60))
@given(
    cuts=st.lists(st.integers(0, ROWS.height), max_size=4).map(sorted),
    batch_rows=st.integers(1, 30),
    scripted=st.booleans(),
)
def test_a_reader_continues_after_any_position(cuts: list[int], batch_rows: int, scripted: bool) -> None:
    assert_continues(cuts, batch_rows, scripted)


@pytest.mark.parametrize("scripted", [False, True])
def test_a_reader_continues_after_positions_at_and_between_the_ends_of_frames(scripted: bool) -> None:
    assert_continues([3, 3, 8], 4, scripted)


def assert_continues(cuts: list[int], batch_rows: int, scripted: bool) -> None:
    places = [0, *cuts, ROWS.height]
    frames = [ROWS[start:stop] for start, stop in pairwise(places)]
    if scripted:
        tables = [pa.table(pl.concat([frame, frame]).rechunk()) for frame in frames]
        cut = [table.to_batches(max_chunksize=batch_rows) for table in tables]
        chunked = [pa.Table.from_batches(parts, tables[0].schema) for parts in cut]
        source: SourceSpec = TestSource.from_frames(chunked, schema=ROWS.schema)
    else:
        source = FrameSource.of(frames, batch_rows=batch_rows)
    assert source.resumable

    async def main() -> None:
        rows, positions = await drained(opened(source))
        lengths = [0]
        reader = opened(source)
        while (element := await reader.read()) is not None:
            assert isinstance(element, Batch)
            lengths.append(lengths[-1] + element.num_rows)
        for position, before in zip(positions, lengths, strict=True):
            rest, _ = await drained(opened(source, position))
            assert rest == rows[before:], position

    asyncio.run(main())


def test_rows_keep_their_place_among_all_rows_where_a_reader_continues() -> None:
    async def main() -> list[str]:
        source = FrameSource.of([ROWS[:10], ROWS[10:]], batch_rows=4)
        assert isinstance(source, FrameSource) and isinstance(source.frames, list)
        reader = opened(source, FramePosition(source.frames, 8))
        first, second = await reader.read(), await reader.read()
        assert isinstance(first, Batch) and isinstance(second, Batch)
        return [str(first.position), str(second.position)]

    assert asyncio.run(main()) == ["frame rows 8-10", "frame rows 10-14"]


MANY = pl.DataFrame({"x": range(5000)})
TIMES = pl.DataFrame(
    {
        "at": pl.Series([2**62, None]).cast(pl.Datetime("us")),
        "days": pl.Series([[3_000_000], []], dtype=pl.List(pl.Int32)).cast(pl.List(pl.Date)),
        "pair": pl.Series([[2**62, 1]] * 2, dtype=pl.Array(pl.Int64, 2)).cast(pl.Array(pl.Datetime("us"), 2)),
        "of": pl.Series([{"at": 2**62, "s": "a"}] * 2).cast(
            pl.Struct({"at": pl.Datetime("ms"), "s": pl.Enum(["a"])})
        ),
    }
)


@pytest.mark.parametrize("frame", [ROWS, MANY, TIMES], ids=["rows", "many", "times"])
def test_a_frame_that_begins_with_other_rows_is_refused(frame: pl.DataFrame) -> None:
    row = frame.height

    def resumed(*frames: pl.DataFrame) -> None:
        opened(FrameSource.of(list(frames)), FramePosition([Batch(frame)], row))

    resumed(frame)
    resumed(frame[:1], pl.concat([frame[1:], frame]))  # cut in another way, and with new rows
    resumed(to_frame(to_record(frame)))
    for other, found in (
        (frame[:-1], counted(row - 1, "rows")),
        (frame[list(range(row))[::-1]], "with other values"),
        (pl.concat([frame[1:2], frame[1:]]), "with other values"),
        (pl.concat([frame[:-1], frame[:1]]), "with other values"),
    ):
        if not other.equals(frame):
            with pytest.raises(SourceError, match=f"(?s)does not begin with the {row:,} rows .*{found}"):
                resumed(other)


def test_of_a_long_frame_some_rows_are_compared() -> None:
    position = FramePosition([Batch(MANY)], 5000)
    changed = MANY.with_columns(pl.when(pl.col("x").is_between(2000, 2020)).then(0).otherwise("x").alias("x"))
    with pytest.raises(SourceError, match="with other values"):
        opened(FrameSource.of([changed]), position)
    assert len(position) == 3


def test_a_script_continues_after_a_mark() -> None:
    source = TestSource.from_frames([ROWS[:2], Watermark(5), ROWS[2:4], Barrier(1), ROWS[4:]])

    async def main() -> list[Element | None]:
        reader = opened(source)
        for _ in range(4):
            await reader.read()
        again = opened(source, reader.position())
        return [await again.read(), await again.read()]

    batch, end = asyncio.run(main())
    assert isinstance(batch, Batch) and end is None
    assert batch.polars().equals(ROWS[4:])


@pytest.mark.parametrize(
    "position",
    [{}, {"version": 1, "row": 3}, {"version": 2, "row": "3"}, {"version": 1, "item": 3, "element": 0}],
)
def test_a_position_of_another_version_or_source_is_refused(position: SourcePosition) -> None:
    with pytest.raises(SourceError, match="cannot continue after this position"):
        opened(FrameSource.of([ROWS]), position)


@pytest.mark.parametrize(
    "source",
    [
        Source.from_frame(iter([ROWS]), schema=ROWS.schema),
        BlockingSource(ROWS.schema, []),
    ],
)
def test_a_source_that_cannot_continue_says_so(source: SourceSpec) -> None:
    with pytest.raises(SourceError, match="cannot continue where an earlier run ended") as caught:
        open_source(source, context(), resume={"row": 1})
    assert caught.value.found == "the position {'row': 1}"
    reader = open_source(source, context())
    assert reader.position() is None


def test_a_snapshot_of_another_kind_is_no_position() -> None:
    store = MemoryStore()
    store.saved["source", 1], store.complete = list(SnapshotFormat("reduce", 1).write(total=3)), 1
    pipeline = Pipeline.builder().source(Source.from_frame(ROWS)).sink(TestSink()).build()
    with pytest.raises(SnapshotError, match=r"cannot be restored here \(stage source\)") as caught:
        asyncio.run(run_with(pipeline, snapshots=store))
    assert caught.value.expected == "state of source position, version 1"


def saved_position(store: MemoryStore, epoch: int) -> SourcePosition | None:
    """The position of the source at a barrier, as another run gets it."""
    store.complete = epoch

    async def main() -> SourcePosition | None:
        return await Snapshots(
            "source", "source", Resources(ManualClock(), Threads(1), snapshots=store)
        ).position()

    return asyncio.run(main())


class Marking(BlockingReader):
    """A blocking reader of any elements."""

    def __init__(self, elements: list[Element]) -> None:
        self._elements = elements

    def read(self) -> Element | None:
        return self._elements.pop(0) if self._elements else None

    def close(self) -> None: ...


class MarkingSource(BlockingSource):
    def open(self, *_: Any, **__: Any) -> BlockingReader:
        return Marking([Batch(ROWS), Watermark(7), Batch(ROWS)])


def test_a_blocking_reader_may_give_marks() -> None:
    sink = TestSink()
    pipeline = Pipeline.builder().source(MarkingSource(ROWS.schema, [])).sink(sink).build()
    report = pipeline.run_sync()
    assert (report.rows_in, sink.frame().height) == (46, 46)
    assert pipeline.metrics().stages["source"].watermark_us == 7


def running(
    source: SourceSpec, store: MemoryStore | None, clock: ManualClock, writes: StateWrites | None = None
) -> RunningSource:
    resources = Resources(clock, Threads(1), snapshots=store, state_writes=writes or StateWrites())
    return RunningSource("source", open_source(source, resources.context("source")), resources)


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("stored", [False, True])
def test_a_barrier_comes_between_two_batches_with_the_position_there(blocking: bool, stored: bool) -> None:
    frames = [ROWS[:4], ROWS[4:8], ROWS[8:]]
    store = MemoryStore()
    end = None if blocking else dict(FramePosition([Batch(ROWS)], ROWS.height))

    async def main() -> list[str]:
        source: SourceSpec = FrameSource.of(frames)
        if blocking:
            source = BlockingSource(ROWS.schema, [Batch(frame) for frame in frames])
        writes = StateWrites()
        run = running(source, store if stored else None, ManualClock(), writes)
        seen = [str(await run.receive())]
        assert run.inject(Barrier(1))
        assert run.inject(Barrier(2))
        while (element := await run.receive()) is not None:
            seen.append(str(element))
        assert not run.inject(Barrier(3))
        assert (None if run.position is None else dict(run.position)) == end
        await writes.done()
        await run.close()
        return [text.split(",")[0] for text in seen]

    assert asyncio.run(main()) == [
        "Batch(4 rows" if not blocking else "Batch(4 rows)",
        "Barrier(epoch=1",
        "Barrier(epoch=2",
        "Batch(4 rows" if not blocking else "Batch(4 rows)",
        "Batch(15 rows" if not blocking else "Batch(15 rows)",
    ]
    position = dict(FramePosition([Batch(ROWS)], 4)) if stored and not blocking else None
    assert [saved_position(store, epoch) for epoch in (1, 2)] == [position] * 2


@pytest.mark.parametrize("then", ["goes on", "stops", "closes"])
def test_a_source_that_waits_passes_a_barrier_at_once(then: str) -> None:
    store = MemoryStore()

    async def main() -> None:
        clock = ManualClock()
        source = TestSource.from_frames([ROWS[:2], Pause(60), ROWS[2:]], clock=clock)
        writes = StateWrites()
        run = running(source, store, clock, writes)
        await run.receive()
        waiting = asyncio.ensure_future(run.receive())
        await clock.advance(1)
        assert not waiting.done()
        run.inject(Barrier(1))
        run.inject(Barrier(2))
        assert [await waiting, await run.receive()] == [Barrier(1), Barrier(2)]
        waiting = asyncio.ensure_future(run.receive())
        await clock.advance(1)
        if then == "goes on":
            await clock.advance(60)
            batch = await waiting
            assert isinstance(batch, Batch) and batch.polars().equals(ROWS[2:])
            assert await run.receive() is None
        elif then == "stops":
            run.stop()
            assert await waiting is None
        else:
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await writes.done()
        await run.close()

    asyncio.run(main())
    assert saved_position(store, 2) == {"version": 1, "item": 1, "element": 0}


def test_a_barrier_does_not_wait_until_the_position_is_written() -> None:
    """While rows flow on; the epoch waits for it, and gets its failure."""
    may_write = threading.Event()

    class Held(MemoryStore):
        def save(self, step_id: str, epoch: int, batches: Iterator[pa.RecordBatch]) -> None:
            assert may_write.wait(60)
            super().save(step_id, epoch, batches)
            raise OSError("no space left")

    async def main() -> None:
        store, writes = Held(), StateWrites()
        run = running(FrameSource.of([ROWS[:2], ROWS[2:]]), store, ManualClock(), writes)
        assert run.inject(Barrier(1))
        assert await run.receive() == Barrier(1)
        assert isinstance(await run.receive(), Batch)
        assert not store.saved and run.saved_epoch == 1
        may_write.set()
        with pytest.raises(StageError, match=r"no space left \(stage source\)"):
            await writes.done()
        assert ("source", 1) in store.saved
        await run.close()

    asyncio.run(main())


def test_what_was_read_when_a_barrier_came_is_handed_out_also_after_stop() -> None:
    async def main() -> list[Element | None]:
        run = running(PacedSource([ROWS]), MemoryStore(), ManualClock())
        waiting = asyncio.ensure_future(run.receive())
        await asyncio.sleep(0)
        run.inject(Barrier(1))
        first = await waiting
        run.stop()
        elements = [first, await run.receive(), await run.receive()]
        await run.close()
        return elements

    first, second, third = asyncio.run(main())
    assert first == Barrier(1)
    assert isinstance(second, Batch) and second.num_rows == ROWS.height
    assert third is None


def test_a_read_that_fails_names_the_source_where_positions_are_stored() -> None:
    async def main() -> None:
        run = running(TestSource.from_frames([ValueError("cable cut")]), MemoryStore(), ManualClock())
        with pytest.raises(SourceError, match=r"cable cut \(stage source\)"):
            await run.receive()
        await run.close()

    asyncio.run(main())


def test_a_close_that_is_cancelled_is_no_failure_of_the_source() -> None:
    class Slow(Reader):
        async def read(self) -> Element | None:
            return None

        async def close(self) -> None:
            await asyncio.Event().wait()

    async def main() -> None:
        source = RunningSource("source", Slow(), Resources(ManualClock(), Threads(1)))
        closing = asyncio.ensure_future(source.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing

    asyncio.run(main())


def test_the_form_of_a_frame_does_not_matter() -> None:
    """Of a long one in many batches, some rows of many of them are compared."""
    parts = [Batch(part) for part in MANY.iter_slices(7)]
    arrow = [Batch(to_record(part)) for part in MANY.iter_slices(11)]
    mixed = [Batch(MANY[:9]), *(Batch(to_record(part)) for part in MANY[9:].iter_slices(600))]
    expected = dict(FramePosition([Batch(MANY)], 4_321))
    assert all(dict(FramePosition(batches, 4_321)) == expected for batches in (parts, arrow, mixed))
    assert dict(FramePosition(parts, 4_320)) != expected


def test_positions_of_one_reader_are_compared_by_their_rows() -> None:
    batches = [Batch(MANY)]
    assert FramePosition(batches, 5) == FramePosition(batches, 5) != FramePosition(batches, 6)
    assert FramePosition(batches, 5) == FramePosition([Batch(MANY[:9])], 5) == dict(FramePosition(batches, 5))
