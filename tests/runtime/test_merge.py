"""Where streams meet: what is passed on, and in which order."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowstream.core.batch import Barrier, Batch, Element, Idle, Partitions, Watermark
from arrowstream.core.channel import Receiver, Sender, channel
from arrowstream.runtime.flow.merge import RunningMerge
from arrowstream.runtime.flow.ports import ChannelOutput

pytestmark = pytest.mark.once

ROWS = pl.DataFrame({"x": [1]})


def merged(inputs: int, *script: Coroutine[Any, Any, None] | Any, room: int = 100) -> list[Element]:
    """What comes out when `script`, a function of the merge, has run and all inputs have ended."""

    async def main() -> list[Element]:
        sender: Sender[Element]
        receiver: Receiver[Element]
        sender, receiver = channel(room)
        merge = RunningMerge(inputs, ChannelOutput(sender))
        async with asyncio.TaskGroup() as group:
            group.create_task(script[0](merge))
            return [element async for element in receiver]

    return asyncio.run(main())


def test_the_watermark_is_the_least_of_all_inputs_and_never_goes_back() -> None:
    async def script(merge: RunningMerge) -> None:
        await merge.send(0, Watermark(5))
        await merge.send(1, Watermark(3))
        await merge.send(1, Watermark(9))
        await merge.send(0, Watermark(4))
        await merge.send(0, Watermark(7))
        await merge.end(0)
        await merge.end(1)

    assert merged(2, script) == [Watermark(3), Watermark(5), Watermark(7), Watermark(9)]


def test_partitions_of_a_source_mean_nothing_where_streams_meet() -> None:
    async def script(merge: RunningMerge) -> None:
        await merge.send(0, Partitions(frozenset({"t[0]"})))
        await merge.send(1, Watermark(3))
        await merge.end(0)
        await merge.end(1)

    assert merged(2, script) == [Watermark(3)]


def test_nobody_waits_for_an_idle_input_until_it_delivers_again() -> None:
    first = Batch(ROWS)

    async def script(merge: RunningMerge) -> None:
        await merge.send(0, Watermark(5))
        await merge.send(1, Idle())
        await merge.send(1, first)
        await merge.send(0, Watermark(8))
        await merge.send(1, Watermark(7))
        await merge.send(0, Idle())
        await merge.send(1, Idle())
        await merge.end(0)
        await merge.end(1)

    assert merged(2, script) == [Watermark(5), first, Watermark(7), Idle(), Idle()]


def test_an_input_waits_at_a_barrier_for_the_others() -> None:
    early, late, after = Batch(ROWS), Batch(ROWS), Batch(ROWS)

    async def script(merge: RunningMerge) -> None:
        async def quick() -> None:
            await merge.send(0, Barrier(1))
            await merge.send(0, after)
            await merge.end(0)

        async def slow() -> None:
            await merge.send(1, early)
            for _ in range(5):
                await asyncio.sleep(0)
            await merge.send(1, late)
            await merge.send(1, Barrier(1))
            await merge.end(1)

        async with asyncio.TaskGroup() as group:
            group.create_task(quick())
            group.create_task(slow())

    assert merged(2, script) == [early, late, Barrier(1), after]


def test_nobody_waits_at_a_barrier_for_an_input_that_has_ended() -> None:
    async def script(merge: RunningMerge) -> None:
        await merge.send(0, Barrier(1))
        await merge.end(1)
        await merge.send(0, Watermark(3))
        await merge.end(0)

    assert merged(2, script) == [Barrier(1), Watermark(3)]


ELEMENTS = st.one_of(
    st.integers(0, 20).map(Watermark), st.just(Idle()), st.just(None)
)  # None is a batch without a name


@given(scripts=st.lists(st.lists(ELEMENTS, max_size=8), min_size=1, max_size=4), room=st.integers(1, 3))
def test_marks_rise_and_no_batch_is_lost_whatever_the_order(
    scripts: list[list[Watermark | Idle | None]], room: int
) -> None:
    async def script(merge: RunningMerge) -> None:
        async def feed(number: int, elements: list[Watermark | Idle | None]) -> None:
            for element in elements:
                await merge.send(number, Batch(ROWS) if element is None else element)
            await merge.end(number)

        async with asyncio.TaskGroup() as group:
            for number, elements in enumerate(scripts):
                group.create_task(feed(number, elements))

    out = merged(len(scripts), script, room=room)
    marks = [element.time_us for element in out if isinstance(element, Watermark)]
    assert marks == sorted(set(marks))
    batches = sum(element is None for elements in scripts for element in elements)
    assert sum(isinstance(element, Batch) for element in out) == batches


def test_the_last_input_ends_while_a_mark_of_another_waits_for_room() -> None:
    async def main() -> list[Element]:
        sender: Sender[Element]
        receiver: Receiver[Element]
        sender, receiver = channel(1)
        merge = RunningMerge(2, ChannelOutput(sender))
        await merge.send(0, Watermark(5))
        await merge.send(1, Watermark(3))
        async with asyncio.TaskGroup() as group:
            for number in (1, 0):
                group.create_task(merge.end(number))
            await asyncio.sleep(0)
            return [element async for element in receiver]

    assert asyncio.run(main()) == [Watermark(3), Watermark(5)]


def test_a_barrier_that_ends_an_input_is_passed_on_when_the_others_end() -> None:
    async def script(merge: RunningMerge) -> None:
        await merge.send(0, Barrier(1))
        ending = asyncio.ensure_future(merge.end(0))
        await asyncio.sleep(0)
        await merge.end(1)
        await ending

    assert merged(2, script) == [Barrier(1)]


@pytest.mark.untraced
@pytest.mark.parametrize("seed", range(60))
def test_inputs_that_end_together_lose_nothing_in_any_order_of_their_tasks(seed: int) -> None:
    """Ends, marks, barriers and batches of several inputs meet in a channel that is mostly full."""
    chance = random.Random(seed)
    inputs = chance.randint(2, 6)
    latest = [chance.randint(1, 50) for _ in range(inputs)]

    async def main() -> list[Element]:
        sender: Sender[Element]
        receiver: Receiver[Element]
        sender, receiver = channel(chance.randint(1, 2))
        merge = RunningMerge(inputs, ChannelOutput(sender))

        async def pause() -> None:
            for _ in range(chance.randint(0, 3)):
                await asyncio.sleep(0)

        async def feed(number: int) -> None:
            if chance.random() < 0.3:
                await merge.send(number, Idle())
            for element in (Watermark(1), Batch(ROWS), Barrier(1), Watermark(latest[number]), Batch(ROWS)):
                await pause()
                await merge.send(number, element)
            await pause()
            await merge.end(number)

        got = []
        async with asyncio.TaskGroup() as group:
            for number in chance.sample(range(inputs), inputs):
                group.create_task(feed(number))
            async for element in receiver:
                got.append(element)
                await pause()
        return got

    out = asyncio.run(main())
    assert sum(isinstance(element, Batch) for element in out) == 2 * inputs
    assert out.count(Barrier(1)) == 1
    assert sum(isinstance(element, Batch) for element in out[: out.index(Barrier(1))]) == inputs
    marks = [element.time_us for element in out if isinstance(element, Watermark)]
    assert marks == sorted(set(marks))
    assert min(latest) <= marks[-1] <= max(latest)
