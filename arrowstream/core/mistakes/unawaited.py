"""A coroutine that explains itself to code that takes it for its result."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from arrowstream.errors import PlanError, UnknownName


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

    if not TYPE_CHECKING:  # a type checker finds the mistake itself

        def __getattr__(self, name: str) -> Any:
            if name.startswith(("_", "cr_")):  # asyncio and debuggers look at the frame
                return getattr(self._coroutine, name)
            self.close()
            raise UnknownName(f"{self._call}() has not been awaited, so it has no {name!r}", hint=self._hint)

        def __getitem__(self, key: object) -> Any:
            self.close()
            raise PlanError(f"{self._call}() has not been awaited, so it has no rows", hint=self._hint)
