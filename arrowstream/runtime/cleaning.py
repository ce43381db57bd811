"""Of several failures the first is told, and the others beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator


async def despite(failure: BaseException, clean_up: Callable[[], Awaitable[None]]) -> None:
    """Clean up after `failure`, which must stay what the user sees if that fails, too."""
    try:
        await clean_up()
    except Exception as error:
        next(_leaves(failure)).add_note(f"and: {error}")


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
