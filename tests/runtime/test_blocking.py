"""Running a coroutine from plain code, with and without a running loop."""

import asyncio
import signal
import threading

import pytest

from arrowstream.runtime.run_blocking import run_blocking

pytestmark = pytest.mark.once


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


async def fail() -> int:
    raise ValueError("no")


def test_without_a_loop() -> None:
    assert run_blocking(answer) == 42
    with pytest.raises(ValueError, match="no"):
        run_blocking(fail)


def test_what_a_run_gives_is_never_written_out() -> None:
    """asyncio.run has a task's result written into a message that nobody reads, which can take long or fail."""

    class Panic(BaseException):
        """As Polars raises it for a date that it cannot write."""

    class Unwritable:
        def __repr__(self) -> str:
            raise Panic

    async def give() -> Unwritable:
        return Unwritable()

    # Where tests run in the background, interrupts are ignored; asyncio then leaves them alone.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert isinstance(run_blocking(give), Unwritable)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_inside_a_running_loop() -> None:
    async def main() -> int:
        with pytest.raises(ValueError, match="no"):
            run_blocking(fail)
        return run_blocking(answer)

    assert asyncio.run(main()) == 42


def test_an_exit_inside_a_running_loop_is_handed_on() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def main() -> None:
        run_blocking(leave)

    with pytest.raises(SystemExit, match="3"):
        asyncio.run(main())


def test_an_interrupt_inside_a_running_loop_cancels_and_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned: list[bool] = []
    started = threading.Event()

    async def forever() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    join, joins = threading.Thread.join, []

    def interrupted(thread: threading.Thread, timeout: float | None = None) -> None:
        if thread.name == "arrowstream-loop" and not joins:
            joins.append(thread)
            assert started.wait(30)
            raise KeyboardInterrupt
        join(thread, timeout)

    async def main() -> None:
        run_blocking(forever)

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert cleaned == [True]
