"""A coroutine that explains itself to code that takes it for its result."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import update_wrapper
from inspect import CORO_CREATED, getcoroutinestate
from types import MethodType, TracebackType
from typing import TYPE_CHECKING, Any

from arrowstream.errors import PlanError, UnknownName


class Awaited:
    """Coroutine function whose coroutines explain themselves to code that does not await them.

    It looks like the function to `inspect`, so that frameworks that are given it know that it is to be awaited.

    Parameters
    ----------
    fn
        The function.
    hint
        What to write in place of a call that is not awaited.
    """

    def __init__(self, fn: Callable[..., Any], hint: str) -> None:
        update_wrapper(self, fn)
        self._fn = fn
        self._hint = hint
        self.__code__ = fn.__code__
        self.__defaults__ = fn.__defaults__
        self.__kwdefaults__ = fn.__kwdefaults__

    def __call__(self, *args: Any, **kwargs: Any) -> Unawaited:
        return Unawaited(self._fn(*args, **kwargs), self._fn.__name__, self._hint)

    def __get__(self, instance: object, owner: type) -> Any:
        return self if instance is None else MethodType(self, instance)


class Unawaited(Coroutine[Any, Any, Any]):
    """Coroutine of a call such as ``builder.collect()``; an attribute or item of the result raises an error.

    Parameters
    ----------
    coroutine
        The coroutine itself, which does the work.
    call
        Name of the function that was called.
    hint
        What to write instead.
    """

    __slots__ = ("_call", "_coroutine", "_hint")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], call: str, hint: str) -> None:
        self._coroutine = coroutine
        self._call = call
        self._hint = hint

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        return self._coroutine.send(value)

    def throw(
        self,
        typ: Any,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        return self._coroutine.throw(typ) if val is None else self._coroutine.throw(typ, val, tb)

    def close(self) -> None:
        self._coroutine.close()

    def _close_unless_begun(self) -> None:
        """Close a coroutine that nobody awaits, so that Python does not complain about it, too."""
        if getcoroutinestate(self._coroutine) == CORO_CREATED:
            self.close()

    if not TYPE_CHECKING:  # a type checker finds the mistake itself

        def __getattr__(self, name: str) -> Any:
            if name.startswith(("_", "cr_", "gi_", "ag_")):  # asyncio and debuggers look at the frame
                return getattr(self._coroutine, name)
            self._close_unless_begun()
            raise UnknownName(f"{self._call}() has not been awaited, so it has no {name!r}", hint=self._hint)

        def __getitem__(self, key: object) -> Any:
            self._close_unless_begun()
            raise PlanError(f"{self._call}() has not been awaited, so it has no rows", hint=self._hint)
