"""Bearer tokens of Kafka connections."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

from aiokafka.abc import AbstractTokenProvider

from arrowstream.config.secret_text import read_secret
from arrowstream.errors import PlanError


class TokenProvider(AbstractTokenProvider):
    """Gives each new connection the token, which is read from its place or asked for each time.

    Parameters
    ----------
    place
        ``env:NAME``, ``file:PATH``, the token, or a function that returns it.
    """

    def __init__(self, place: str | Callable[[], object]) -> None:
        self._place = place
        if isinstance(place, str):
            read_secret("token", place)

    async def token(self) -> str:
        """Return the current token.

        Raises
        ------
        PlanError
            It cannot be read, or is not a token. The message does not show it.
        """
        found = (
            read_secret("token", self._place) if isinstance(self._place, str) else await _answer(self._place)
        )
        if not isinstance(found, str) or not found or not found.isascii() or not found.isprintable():
            raise PlanError(
                "the token of the Kafka connection cannot be sent",
                expected="ASCII characters in one line",
                found="a text of others, or none" if isinstance(found, str) else f"a {type(found).__name__}",
                hint="look at where the token comes from: the variable, the file, or the function",
            )
        return found


async def _answer(function: Callable[[], object]) -> object:
    """Return what a function or a coroutine function returns; a plain one may wait for its answer on a thread."""
    is_coroutine = inspect.iscoroutinefunction(function)
    found = function() if is_coroutine else await asyncio.to_thread(function)
    return await found if inspect.isawaitable(found) else found
