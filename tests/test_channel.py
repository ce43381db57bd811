"""The channel: order, bounds, the three endings (waiting and not), cancellation."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from arrowstream.core.channel import ChannelStatistics, Receiver, Sender, WouldBlock, channel
from arrowstream.errors import ChannelClosed, ChannelError, PeerGone, PlanError

pytestmark = pytest.mark.once


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(main())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Sized:
    def __init__(self, nbytes: object) -> None:
        self.nbytes = nbytes


def test_items_come_out_in_order_and_iteration_stops_at_the_end() -> None:
    async def main() -> list[int]:
        tx, rx = channel(capacity=2)

        async def produce() -> None:
            async with tx:
                for number in range(100):
                    await tx.send(number)

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            return [item async for item in rx]

    assert run(main) == list(range(100))


def test_capacity_bounds_items() -> None:
    async def main() -> ChannelStatistics:
        tx, rx = channel(capacity=2)
        tx.send_nowait(1)
        tx.send_nowait(2)
        with pytest.raises(WouldBlock):
            tx.send_nowait(3)
        waiting = asyncio.create_task(tx.send(3))
        await settle()
        before = rx.statistics()
        assert await anext(rx) == 1
        await waiting
        assert tx.statistics().length == 2
        return before

    assert run(main) == ChannelStatistics(2, 0, 2, 1, 0)


def test_bytes_bound_too_but_an_oversized_item_passes_alone() -> None:
    async def main() -> None:
        tx, rx = channel(capacity=10, nbytes=100)
        tx.send_nowait(Sized(60))
        with pytest.raises(WouldBlock):
            tx.send_nowait(Sized(41))
        tx.send_nowait(Sized(40))
        assert rx.statistics().nbytes == 100
        rx.receive_nowait()
        rx.receive_nowait()
        tx.send_nowait(Sized(1000))
        with pytest.raises(WouldBlock):
            tx.send_nowait(Sized(1))
        rx.receive_nowait()
        with pytest.raises(WouldBlock):
            rx.receive_nowait()
        assert rx.statistics().nbytes == 0
        tx.send_nowait(Sized("not a number of bytes"))
        assert rx.statistics().nbytes == 0

    run(main)


@pytest.mark.parametrize("bounds", [{"capacity": 0}, {"nbytes": 0}])
def test_bounds_must_let_something_through(bounds: dict[str, int]) -> None:
    with pytest.raises(PlanError, match=next(iter(bounds))):
        channel(**bounds)


def test_using_a_closed_end_is_the_users_own_mistake() -> None:
    async def main() -> None:
        tx, rx = channel()
        tx.close()
        tx.close()
        with pytest.raises(ChannelClosed):
            await tx.send(1)
        rx.close()
        with pytest.raises(ChannelClosed):
            await anext(rx)

    run(main)


@pytest.mark.parametrize("waiting", [False, True])
def test_closing_ends_the_stream_after_what_is_buffered(waiting: bool) -> None:
    async def main() -> list[str]:
        tx, rx = channel()

        async def consume() -> list[str]:
            return [item async for item in rx]

        task = asyncio.create_task(consume())
        if waiting:
            await settle()
            assert rx.statistics().waiting_receivers == 1
        tx.send_nowait("last")
        tx.close()
        return await task

    assert run(main) == ["last"]


@pytest.mark.parametrize("waiting", [False, True])
def test_a_failed_sender_is_not_the_end_of_the_stream(waiting: bool) -> None:
    async def main() -> None:
        tx, rx = channel()

        async def produce() -> None:
            async with tx:
                await tx.send("before")
                if waiting:
                    await settle()
                raise ValueError("broken")

        async def consume() -> list[str]:
            got = []
            with pytest.raises(PeerGone, match="broken") as caught:
                async for item in rx:
                    got.append(item)
            assert isinstance(caught.value.__cause__, ValueError)
            return got

        consumer = asyncio.create_task(consume())
        with pytest.raises(ValueError, match="broken"):
            await produce()
        assert await consumer == ["before"]

    run(main)


def test_failing_after_closing_changes_nothing() -> None:
    async def main() -> list[int]:
        tx, rx = channel()
        tx.close()
        tx.fail(ValueError("too late"))
        return [item async for item in rx]

    assert run(main) == []


@pytest.mark.parametrize("waiting", [False, True])
def test_a_receiver_that_goes_away_tells_the_sender(waiting: bool) -> None:
    async def main() -> None:
        tx, rx = channel(capacity=1)
        tx.send_nowait(1)
        task = asyncio.create_task(tx.send(2))
        if waiting:
            await settle()
        rx.close()
        with pytest.raises(PeerGone):
            await task

    run(main)


def test_cancelling_a_waiting_sender_leaves_its_item_out() -> None:
    async def main() -> list[int]:
        tx, rx = channel(capacity=1)
        tx.send_nowait(1)
        task = asyncio.create_task(tx.send(2))
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert tx.statistics().waiting_senders == 0
        tx.close()
        return [item async for item in rx]

    assert run(main) == [1]


@pytest.mark.parametrize("side", ["senders", "receivers"])
def test_a_wakeup_is_handed_on_when_the_woken_task_is_cancelled(side: str) -> None:
    async def main() -> None:
        tx: Sender[int]
        rx: Receiver[int]
        tx, rx = channel(capacity=1)
        if side == "senders":
            tx.send_nowait(0)
            tasks = [asyncio.create_task(tx.send(number)) for number in (1, 2)]
            await settle()
            assert rx.receive_nowait() == 0
        else:
            tasks = [asyncio.create_task(anext(rx)) for _ in range(2)]  # type: ignore[arg-type]
            await settle()
            tx.send_nowait(7)
        # The first waiter has been woken but has not run yet.
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        async with asyncio.timeout(60):
            result = await tasks[1]
        assert (rx.receive_nowait() == 2) if side == "senders" else (result == 7)

    run(main)


def test_waking_skips_a_waiter_that_was_cancelled() -> None:
    async def main() -> int:
        tx, rx = channel()
        first, second = (asyncio.create_task(anext(rx)) for _ in range(2))  # type: ignore[arg-type]
        await settle()
        first.cancel()  # its future is done, but the task has not removed it from the queue yet
        tx.send_nowait(1)
        async with asyncio.timeout(60):
            return await second

    assert run(main) == 1


@pytest.mark.parametrize("seed", range(30))
def test_no_item_is_lost_or_doubled_under_random_cancellation(seed: int) -> None:
    """Senders and receivers are cancelled at random; every item sent is received once, in order a sender."""
    import random

    chance = random.Random(seed)

    async def main() -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        tx, rx = channel(capacity=chance.randint(1, 3))
        sent: list[tuple[int, int]] = []
        got: list[tuple[int, int]] = []

        async def produce(name: int) -> None:
            for number in range(20):
                await tx.send((name, number))
                sent.append((name, number))

        async def consume() -> None:
            async for item in rx:
                got.append(item)
                if chance.random() < 0.3:
                    await asyncio.sleep(0)

        producers = [asyncio.create_task(produce(name)) for name in range(4)]
        consumers = [asyncio.create_task(consume()) for _ in range(3)]
        for _ in range(40):
            await asyncio.sleep(0)
            if chance.random() < 0.2:
                chance.choice(producers[1:] + consumers[1:]).cancel()
        await asyncio.gather(*producers, return_exceptions=True)
        tx.close()
        await asyncio.gather(*consumers, return_exceptions=True)
        return sent, got

    sent, got = run(main)
    assert sorted(sent) == sorted(got)
    assert len(got) == len(set(got))


@pytest.mark.untraced
@pytest.mark.parametrize("seed", range(8))
def test_no_item_is_lost_or_doubled_between_threads_and_event_loops(seed: int) -> None:
    """Senders: threads that block, and loops of their own; receivers: loops of their own."""
    import random

    chance = random.Random(seed)
    tx: Sender[tuple[int, int]]
    rx: Receiver[tuple[int, int]]
    tx, rx = channel(capacity=chance.randint(1, 3))
    got: list[list[tuple[int, int]]] = [[] for _ in range(3)]

    async def send(name: int) -> None:
        for number in range(200):
            await tx.send((name, number))

    def send_sync(name: int) -> None:
        for number in range(200):
            tx.send_sync((name, number), timeout=60)

    async def receive(into: list[tuple[int, int]]) -> None:
        async for item in rx:
            into.append(item)

    senders = [
        threading.Thread(target=send_sync, args=[0]),
        threading.Thread(target=send_sync, args=[1]),
        threading.Thread(target=lambda: asyncio.run(send(2))),
        threading.Thread(target=lambda: asyncio.run(send(3))),
    ]
    receivers = [threading.Thread(target=lambda into=into: asyncio.run(receive(into))) for into in got]
    for thread in (*senders, *receivers):
        thread.start()
    for thread in senders:
        thread.join(60)
    tx.close()
    for thread in receivers:
        thread.join(60)
    assert sorted(item for part in got for item in part) == [
        (name, number) for name in range(4) for number in range(200)
    ]
    for part in got:
        for name in range(4):
            numbers = [number for sender, number in part if sender == name]
            assert numbers == sorted(numbers)


@pytest.mark.parametrize("end", ["close", "fail"])
def test_an_end_that_goes_away_on_another_thread_wakes_a_waiting_task(end: str) -> None:
    async def main() -> None:
        tx, rx = channel(capacity=1)
        tx.send_nowait(1)
        sending = asyncio.create_task(tx.send(2))
        await settle()
        away = rx.close if end == "close" else partial(rx.fail, ValueError("lost"))
        threading.Thread(target=away).start()
        async with asyncio.timeout(60):
            with pytest.raises(PeerGone, match="lost" if end == "fail" else "went away") as gone:
                await sending
        assert isinstance(gone.value.__cause__, ValueError) == (end == "fail")
        rx.fail(ValueError("too late"))
        with pytest.raises(PeerGone):
            tx.send_nowait(3)

    run(main)


def test_send_sync_waits_for_room_and_no_longer_than_asked() -> None:
    tx, rx = channel(capacity=1)
    tx.send_sync("a")
    with pytest.raises(TimeoutError, match="stayed full"):
        tx.send_sync("b", timeout=0.01)
    assert tx.statistics().waiting_senders == 0
    threading.Timer(0.02, rx.receive_nowait).start()
    tx.send_sync("c")
    assert rx.receive_nowait() == "c"


def test_receive_sync_waits_for_an_item_and_no_longer_than_asked() -> None:
    tx, rx = channel()
    with pytest.raises(TimeoutError, match="stayed empty"):
        rx.receive_sync(timeout=0.01)
    assert rx.statistics().waiting_receivers == 0
    threading.Timer(0.02, tx.send_nowait, args=["a"]).start()
    assert rx.receive_sync() == "a"
    tx.close()
    with pytest.raises(StopAsyncIteration):
        rx.receive_sync()


def test_calls_that_block_are_refused_where_an_event_loop_runs() -> None:
    async def main() -> None:
        tx, rx = channel()
        with pytest.raises(ChannelError, match="send_sync would block the event loop") as raised:
            tx.send_sync(1)
        assert raised.value.hint == "write await tx.send(item)"
        with pytest.raises(ChannelError, match="receive_sync would block the event loop"):
            rx.receive_sync()

    run(main)


def test_a_task_whose_event_loop_was_closed_is_passed_over() -> None:
    tx, rx = channel(capacity=1)
    loop = asyncio.new_event_loop()
    coroutine = anext(rx)
    waiting = loop.create_task(coroutine)  # type: ignore[arg-type]
    loop.run_until_complete(settle())
    assert rx.statistics().waiting_receivers == 1
    loop.close()
    tx.send_nowait(1)
    assert rx.receive_nowait() == 1
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]
    del waiting


def test_a_wakeup_from_another_thread_for_a_task_that_was_cancelled_goes_to_the_next() -> None:
    async def main() -> int:
        tx: Sender[int]
        rx: Receiver[int]
        tx, rx = channel(capacity=1)
        first, second = (asyncio.create_task(anext(rx)) for _ in range(2))  # type: ignore[arg-type]
        await settle()
        sender = threading.Thread(target=tx.send_nowait, args=[7])
        sender.start()
        sender.join()  # the wake-up waits in the loop; its task is cancelled before
        first.cancel()
        async with asyncio.timeout(60):
            return await second

    assert run(main) == 7
