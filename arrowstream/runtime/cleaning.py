"""Of several failures the first is told, and the others beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator

from arrowstream.runtime.failures import FAILURES


async def despite(failure: BaseException, clean_up: Callable[[], Awaitable[None]]) -> None:
    """Clean up after `failure`, which must stay what the user sees if that fails, too."""
    try:
        await clean_up()
    except Exception as error:
        next(_leaves(failure)).add_note(f"and: {error}")


async def in_turn(clean_ups: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Clean up one after the other, also if one of them fails.

    Raises
    ------
    Exception
        The first failure; the others become notes on it.
    """
    failures = []
    for clean_up in clean_ups:
        try:
            await clean_up()
        except FAILURES as error:
            failures.append(error)
    if failures:
        first, *others = failures
        for other in others:
            first.add_note(f"and: {other}")
        raise first


def root(failure: BaseException) -> BaseException:
    """The failure that came first; the others, if any, become notes on it."""
    # One that passed through several tasks is found several times.
    first, *others = dict.fromkeys(_leaves(failure))
    for other in others:
        first.add_note(f"and: {other}")
    return first


def _leaves(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for inner in failure.exceptions:
            yield from _leaves(inner)
    else:
        yield failure
