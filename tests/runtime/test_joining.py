"""Small batches that wait before a stage of a device become one: never across a mark, and none waits for another."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence

import polars as pl
import pytest
from devices import LOST, DeviceBackend, Selective, device

from arrowstream import Pipeline, Source
from arrowstream.backends.arrow.backend import ArrowBackend
from arrowstream.backends.base import Backend
from arrowstream.backends.registry import register_backend, unregister_backend
from arrowstream.core.batch import Barrier, Batch, Element, Watermark
from arrowstream.core.clock import MonotonicClock
from arrowstream.core.position import Position
from arrowstream.plan.physical import SegmentStage
from arrowstream.plan.placement.columns import ColumnUse
from arrowstream.plan.placement.device_choice import DevicePlacement
from arrowstream.plan.placement.transfer import TransferEdge
from arrowstream.runtime.device_stage import RunningDeviceSegment
from arrowstream.runtime.flow.joining import JoiningInput
from arrowstream.runtime.flow.ports import ChannelLimits
from arrowstream.runtime.threads import Threads
from arrowstream.testing import TestSink

pytestmark = pytest.mark.once

Log = list[tuple[str, int]]
CHEAP, DEAR = (0.001, 1e-7), (1e6, 1.0)


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    with device() as entries:
        yield entries


def placement(start: tuple[float, float], least_rows: int, *, pinned: bool = False) -> DevicePlacement:
    host: list[Backend] = [] if pinned else [ArrowBackend()]
    backends = [*host, DeviceBackend(start, least_rows)]
    edge = TransferEdge(pl.Schema({"x": pl.Int64}), backends)
    return DevicePlacement(
        backends, {}, "device" if pinned else "auto", "stage", edge, edge, ColumnUse(frozenset("x"), {})
    )


def rows(start: int, stop: int) -> Batch:
    frame = pl.DataFrame({"x": range(start, stop)})
    return Batch(frame, Position("frame", start, stop), ingest_ns=start)


def received(elements: Sequence[Element], choice: DevicePlacement) -> list[str]:
    """What a stage gets of elements that all wait."""

    async def main() -> list[str]:
        sender, receiver = ChannelLimits().channel(len(elements) + 1)
        source = JoiningInput(receiver, choice)
        for element in elements:
            await sender.send(element)
        await sender.end()
        return await drained(source)

    return asyncio.run(main())


async def drained(source: JoiningInput) -> list[str]:
    """All elements, received in both ways in turn: the position and ingest time of batches, and marks."""
    found = []
    while True:
        element = source.begin_receive() if len(found) % 2 else await source.receive()
        if element is None:
            return found
        if isinstance(element, Batch):
            place = element.position
            assert place is not None and element.num_rows == place.rows
            if not element.has("device"):
                assert element.polars()["x"].to_list() == list(range(place.start, place.stop))
            found.append(f"{place.start}-{place.stop} since {element.ingest_ns}")
        else:
            assert isinstance(element, Watermark | Barrier)
            found.append(type(element).__name__)


def small(count: int) -> list[Element]:
    return [rows(number * 40, number * 40 + 40) for number in range(count)]


APART = ["0-40 since 0", "40-80 since 40", "80-120 since 80", "120-160 since 120"]


def test_batches_are_joined_until_they_have_the_least_rows_of_the_device() -> None:
    assert received(small(5), placement(CHEAP, 100)) == [
        "0-120 since 0",
        "120-160 since 120",
        "160-200 since 160",
    ]
    assert received(small(6), placement(CHEAP, 100)) == ["0-120 since 0", "120-240 since 120"]


def test_a_pinned_stage_joins_what_there_is() -> None:
    assert received(small(5), placement(DEAR, 100, pinned=True)) == ["0-120 since 0", "120-200 since 120"]
    assert received(small(1), placement(DEAR, 100, pinned=True)) == ["0-40 since 0"]


def test_nothing_is_joined_where_the_device_does_not_pay_or_takes_any_batch() -> None:
    for choice in (placement(DEAR, 100), placement(CHEAP, 0), placement(CHEAP, 40, pinned=True)):
        assert received(small(4), choice) == APART


@pytest.mark.parametrize("pinned", [False, True])
def test_no_batch_passes_a_mark(pinned: bool) -> None:
    first, second, third, fourth, fifth, sixth = small(6)
    elements = [first, Watermark(1), second, third, fourth, Barrier(1), fifth, sixth]
    expected = ["0-40 since 0", "Watermark", "40-160 since 40", "Barrier"]
    assert received(elements, placement(CHEAP, 100, pinned=pinned)) == [
        *expected,
        *(["160-240 since 160"] if pinned else ["160-200 since 160", "200-240 since 200"]),
    ]


def test_rows_on_the_device_stay_as_they_are() -> None:
    first, second, third, fourth = small(4)
    assert isinstance(first, Batch) and isinstance(third, Batch)
    first, third = (Batch(each.form("device"), each.position, each.ingest_ns) for each in (first, third))
    choice = placement(CHEAP, 100, pinned=True)
    assert received([first, second, third, fourth], choice) == APART


def test_no_batch_waits_for_another_one() -> None:
    async def main() -> list[str]:
        sender, receiver = ChannelLimits().channel(8)
        source = JoiningInput(receiver, placement(CHEAP, 100, pinned=True))
        found = []
        for batch in small(2):
            received = source.begin_receive()
            assert not isinstance(received, Batch) and isinstance(received, Awaitable)
            await sender.send(batch)
            element = await received
            assert isinstance(element, Batch)
            found.append(f"{element.position}")
        await sender.end()
        return [*found, *await drained(source)]

    assert asyncio.run(main()) == ["frame rows 0-40", "frame rows 40-80"]


def test_the_first_stage_has_a_queue_if_it_joins(log: Log) -> None:
    unregister_backend("device")
    register_backend(DeviceBackend(CHEAP, 1_000))
    frame = pl.DataFrame({"x": range(3_000)})
    source = Source.from_frame(frame, batch_rows=100)
    steps = Pipeline.builder().source(source).with_columns(y=pl.col("x") + 1)
    assert steps.backend("device").collect_sync().equals(frame.with_columns(y=pl.col("x") + 1))
    computed = [rows for kind, rows in log if kind == "compute"]
    assert sum(computed) == 3_000
    assert max(computed) <= 1_000


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [([], None), ([Watermark(1)], None), ([rows(0, 40)], None), ([rows(0, 200)], 200), ([rows(0, 100)], 100)],
    ids=["nothing", "a mark", "to be joined", "whole", "just whole"],
)
def test_the_batch_that_comes_next_is_seen_if_it_stays_as_it_is(
    waiting: list[Element], expected: int | None
) -> None:
    async def main() -> tuple[Batch | None, list[str]]:
        sender, receiver = ChannelLimits().channel(2)
        source = JoiningInput(receiver, placement(CHEAP, 100))
        for element in waiting:
            await sender.send(element)
        seen = source.whole()
        await sender.end()
        return seen, await drained(source)

    seen, after = asyncio.run(main())
    assert (None if seen is None else seen.num_rows) == expected
    assert len(after) == len(waiting)


def test_a_batch_that_is_on_the_device_need_not_be_brought() -> None:
    async def main() -> Batch | None:
        sender, receiver = ChannelLimits().channel(2)
        there = rows(0, 200)
        there = there.with_rows(there.form("device"))
        await sender.send(there)
        return JoiningInput(receiver, placement(CHEAP, 100)).whole()

    assert asyncio.run(main()) is None


@pytest.mark.parametrize("fails", [False, True])
def test_the_next_batch_is_brought_while_this_one_is_computed(log: Log, fails: bool) -> None:
    backend = DeviceBackend((5_000.0, 1e-7), 100, selective=True)
    unregister_backend("device")
    register_backend(backend)
    frame = pl.DataFrame({"x": range(200)})
    builder = Pipeline.builder().source(Source.from_frame(frame)).with_columns(y=pl.col("x") + 1)
    plan = builder.backend("device").sink(TestSink()).build()._plan
    assert plan is not None
    (stage,) = plan.stages
    assert isinstance(stage, SegmentStage) and isinstance(stage.placement, DevicePlacement)
    evaluate = stage.evaluators["device"]
    assert isinstance(evaluate, Selective)

    async def main() -> tuple[Batch, bool]:
        threads = Threads(2)
        running = RunningDeviceSegment(stage, stage.placement, MonotonicClock(), threads)
        sender, receiver = ChannelLimits().channel(2)
        source = running.joining(receiver)
        first, second = rows(0, 100), rows(100, 200)
        await sender.send(first)
        await sender.send(second)
        received = await source.receive()
        assert received is first
        if fails:
            LOST.append(second)
        (result,) = await running.process(first)
        threads.close()
        following = await source.receive()
        assert isinstance(result, Batch) and isinstance(following, Batch)
        # Other branches of a split may wait with the same batches.
        assert not first.has("device") and not second.has("device")
        return result, following.has("device")

    result, brought = asyncio.run(main())
    assert result.polars()["y"].to_list() == list(range(1, 101))
    assert brought is not fails
