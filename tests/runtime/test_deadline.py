"""Time limits by a clock that only moves when told; whatever happens, nothing is left running."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import polars as pl
import pytest

from arrowstream.core.batch import Batch, Element
from arrowstream.core.position import Position
from arrowstream.errors import StageTimeout
from arrowstream.runtime.failure.timeout import Deadline
from arrowstream.runtime.threads import Threads
from arrowstream.testing import ManualClock

pytestmark = pytest.mark.once

BATCH = Batch(pl.DataFrame({"x": [1, 2]}), Position("n.csv", 3, 5))


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def checked() -> Any:
        try:
            return await main()
        finally:
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(checked())


class Work:
    """An attempt that takes so long, and what became of it."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.ended = ""

    async def __call__(self, batch: Batch) -> list[Element]:
        try:
            await self.clock.sleep(self.seconds)
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "done"
        return [batch]


def test_what_is_in_time_comes_out() -> None:
    async def main() -> None:
        clock = ManualClock()
        work = Work(clock, 5)
        task = asyncio.create_task(Deadline("s", 5, clock).run(BATCH, work))
        await clock.advance(5)
        assert await task == [BATCH]

    run(main)


def test_what_is_late_is_cancelled_and_fails() -> None:
    async def main() -> None:
        clock = ManualClock()
        work = Work(clock, 6)
        task = asyncio.create_task(Deadline("map", 5, clock).run(BATCH, work))
        await clock.advance(4.9)
        assert not task.done()
        await clock.advance(0.1)
        with pytest.raises(StageTimeout) as caught:
            await task
        assert str(caught.value) == "\n".join(
            [
                "a batch took too long (stage map)",
                "  position: n.csv rows 3-5",
                "  expected: at most 5 s for 2 rows",
                '  hint: make batches smaller with batch(...), or leave such batches out with on_timeout="skip"',
            ]
        )
        assert caught.value.__cause__ is None
        assert work.ended == "cancelled"

    run(main)


def test_what_is_late_can_be_left_out_and_is_counted() -> None:
    async def main() -> None:
        clock, left_out = ManualClock(), []
        deadline = Deadline("s", 5, clock, left_out.append)
        task = asyncio.create_task(deadline.run(BATCH, Work(clock, 6)))
        await clock.advance(5)
        assert await task == []
        assert left_out == [2]

    run(main)


def test_a_failure_in_time_is_what_it_is() -> None:
    async def main() -> None:
        async def attempt(batch: Batch) -> list[Element]:
            raise ValueError("bad")

        with pytest.raises(ValueError, match="bad"):
            await Deadline("s", 5, ManualClock()).run(BATCH, attempt)

    run(main)


def test_a_failure_on_the_way_out_is_told_as_the_cause() -> None:
    async def main() -> None:
        clock = ManualClock()

        async def attempt(batch: Batch) -> list[Element]:
            try:
                await clock.sleep(9)
            finally:
                raise ValueError("no clean end")
            return []

        task = asyncio.create_task(Deadline("s", 5, clock).run(BATCH.with_rows(BATCH.polars()), attempt))
        await clock.advance(5)
        with pytest.raises(StageTimeout) as caught:
            await task
        assert str(caught.value.__cause__) == "no clean end"

    run(main)


def test_what_gives_a_result_though_it_was_cancelled_is_late_all_the_same() -> None:
    async def main() -> None:
        clock = ManualClock()

        async def attempt(batch: Batch) -> list[Element]:
            with contextlib.suppress(asyncio.CancelledError):
                await clock.sleep(9)
            return [batch]

        task = asyncio.create_task(Deadline("s", 5, clock).run(Batch(BATCH.polars()), attempt))
        await clock.advance(5)
        with pytest.raises(StageTimeout) as caught:
            await task
        assert (caught.value.position, caught.value.__cause__) == (None, None)

    run(main)


def test_a_cancellation_from_outside_goes_through_and_leaves_nothing_running() -> None:
    async def main() -> None:
        clock, left_out = ManualClock(), []
        work = Work(clock, 6)
        task = asyncio.create_task(Deadline("s", 5, clock, left_out.append).run(BATCH, work))
        await clock.advance(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (work.ended, left_out) == ("cancelled", [])

    run(main)


def test_a_cancellation_while_late_work_ends_waits_for_its_end() -> None:
    async def main() -> None:
        clock, ended = ManualClock(), False

        async def attempt(batch: Batch) -> list[Element]:
            nonlocal ended
            try:
                await clock.sleep(9)
            finally:
                await clock.sleep(3)
                ended = True
            return []

        task = asyncio.create_task(Deadline("s", 5, clock).run(BATCH, attempt))
        await clock.advance(6)
        assert not task.done()
        task.cancel()
        await clock.advance(1)
        assert not task.done()
        await clock.advance(2)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended

    run(main)


def test_a_cancellation_that_came_from_the_attempt_itself_is_one() -> None:
    async def main() -> None:
        async def attempt(batch: Batch) -> list[Element]:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await Deadline("s", 5, ManualClock()).run(BATCH, attempt)

    run(main)


def test_work_that_holds_the_loop_is_late_too() -> None:
    async def main() -> None:
        clock = ManualClock()

        async def attempt(batch: Batch) -> list[Element]:
            clock.set_ns(clock.now_ns() + batch.num_rows * 1_000_000_000)
            return [batch]

        assert await Deadline("s", 2, clock).run(BATCH, attempt) == [BATCH]
        with pytest.raises(StageTimeout, match=r"at most 1\.5 s for 2 rows"):
            await Deadline("s", 1.5, clock).run(BATCH, attempt)

    run(main)


def test_a_call_on_a_thread_is_waited_for_and_late() -> None:
    async def main() -> None:
        import threading

        clock, threads, go = ManualClock(), Threads(1), threading.Event()
        finished: list[bool] = []

        def blocking() -> list[Element]:
            finished.append(go.wait(30))
            return [BATCH]

        task = asyncio.create_task(Deadline("s", 5, clock).run(BATCH, lambda _: threads.call(blocking)))
        await clock.advance(5)
        assert not task.done()
        go.set()
        with pytest.raises(StageTimeout):
            await task
        assert finished == [True]
        threads.close()

    run(main)


@pytest.mark.parametrize("skip", [None, lambda rows: pytest.fail("left out")])
def test_what_cannot_be_undone_is_done_however_late(skip: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        clock = ManualClock()
        work = Work(clock, 9)
        deadline = Deadline("s", 5, clock, skip, stays=True, blocks=True)
        task = asyncio.create_task(deadline.run(BATCH, work))
        await clock.advance(5)
        assert not task.done()
        await clock.advance(4)
        assert (await task, work.ended) == ([BATCH], "done")

    run(main)
    assert caplog.messages == ["stage s: 2 rows took 9 s, more than 5 s; they are written all the same"]


def test_what_does_not_hold_a_thread_is_cancelled_though_what_it_did_may_stay() -> None:
    async def main() -> None:
        clock = ManualClock()
        work = Work(clock, 9)
        task = asyncio.create_task(Deadline("s", 5, clock, stays=True).run(BATCH, work))
        await clock.advance(5)
        with pytest.raises(StageTimeout):
            await task
        assert work.ended == "cancelled"

    run(main)


def test_what_failed_late_has_done_nothing() -> None:
    clock = ManualClock()

    async def fails(batch: Batch) -> list[Element]:
        await clock.sleep(9)
        raise OSError("no")

    async def main() -> None:
        deadline = Deadline("s", 5, clock, stays=True, blocks=True)
        task = asyncio.create_task(deadline.run(BATCH, fails))
        await clock.advance(5)
        await clock.advance(4)
        with pytest.raises(StageTimeout) as raised:
            await task
        assert isinstance(raised.value.__cause__, OSError)

    run(main)
