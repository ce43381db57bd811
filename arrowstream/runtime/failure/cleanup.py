"""Clean-up that raises the first failure and attaches the others as notes; release of those who wait for a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from arrowstream.core.failures import FAILURES
from arrowstream.core.waiting import until_done
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec

T = TypeVar("T")
CleanUp = Callable[[], Awaitable[None]]


@contextmanager
def releasing(sources: Iterable[SourceSpec], sinks: Iterable[SinkSpec]) -> Iterator[None]:
    """Release whoever waits for these sources and sinks, such as a channel's sender, if the block fails."""
    try:
        yield
    except BaseException as failure:
        never_opened(sources, sinks, failure)
        raise


def never_opened(
    sources: Iterable[SourceSpec], sinks: Iterable[SinkSpec], failure: BaseException | None
) -> None:
    """Notify sources and sinks that no run will open, with the failure that is the reason, if any."""
    for source in sources:
        source.on_never_opened(failure)
    for sink in sinks:
        sink.on_never_opened(failure)


async def despite(failure: BaseException, clean_ups: Iterable[CleanUp]) -> None:
    """Clean up after `failure`, in turn; failures of the clean-up become notes on it."""
    try:
        await in_turn(clean_ups)
    except FAILURES as error:
        first = first_failure(failure)
        for note in (f"and: {error}", *getattr(error, "__notes__", ())):
            first.add_note(note)


async def in_turn(clean_ups: Iterable[CleanUp]) -> None:
    """Clean up one after the other, also if one of them fails or is cancelled.

    Raises
    ------
    Exception
        The first failure; the others become notes on it.
    CancelledError
        This task was cancelled meanwhile; failures become notes on it. Other exceptions that are not failures are
        raised in the same way.
    """
    failures: list[BaseException] = []
    stops: list[BaseException] = []
    for clean_up in clean_ups:
        try:
            await clean_up()
        except FAILURES as error:
            failures.append(error)
        except BaseException as stop:
            stops.append(stop)
    if stops or failures:
        first, *others = [*stops[:1], *failures]
        for other in others:
            first.add_note(f"and: {other}")
        raise first


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end, even if this task is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    with suppress(asyncio.CancelledError):
        await until_done([task])
    return task.result()


def first_failure(failure: BaseException) -> BaseException:
    """Return the failure that came first, without notes of others."""
    return next(_leaves(failure))


def root(failure: BaseException) -> BaseException:
    """Return the failure that came first; the others, if any, become notes on it."""
    # One that passed through several tasks is found several times.
    first, *others = dict.fromkeys(_leaves(failure))
    for other in others:
        first.add_note(f"and: {other}")
    return first


def _leaves(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for inner in failure.exceptions:
            yield from _leaves(inner)
        # The frames of a task group refer to the group that they raise: with it, all frames that its failures passed
        # through would wait for the garbage collector, with files of state.
        failure.__traceback__ = None
    else:
        yield failure
