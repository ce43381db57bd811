"""What every function of the fake does first: check its stream and its handles, and note the call."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from fake_gpu.memory import Memory

F = TypeVar("F", bound=Callable[..., Any])


class Handle:
    """Something that lives on a device: a column, a table, a scalar, a buffer, an expression."""

    def memories(self) -> Iterator[Memory]:
        """All memory that is read when this is used."""
        raise NotImplementedError


_OF_CLASSES = {"column", "scalar", "table"}
"""Modules of one class each, which pylibcudf has at its top."""


def memories(value: Any) -> Iterator[Memory]:
    """All device memory that an argument stands for."""
    if isinstance(value, Handle):
        yield from value.memories()
    elif isinstance(value, list | tuple):
        for each in value:
            yield from memories(each)


def call(function: F) -> F:
    """Make a function of pylibcudf of one that computes with pyarrow.

    The function must have a parameter `stream`. Before it runs: a stream is given; handles are of the stream's
    machine; what they stand for is written before; the call is logged. Its work is the stream's newest then. What
    it raises, but for want of memory, is a violation.
    """
    parameters = list(inspect.signature(function).parameters)
    at = parameters.index("stream")
    within = function.__module__.removeprefix("fake_gpu.plc.")
    name = function.__qualname__ if within in _OF_CLASSES else f"{within}.{function.__qualname__}"

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        stream = args[at] if len(args) > at else kwargs.get("stream")
        if stream is None:
            _no_stream(name, [*args, *kwargs.values()])
        begin(name, stream, [*args, *kwargs.values()])
        try:
            return function(*args, **kwargs)
        except (MemoryError, AssertionError):
            raise
        except Exception as error:
            # A caller may go on without the device after an error: then nobody would hear of a wrong call.
            stream.queue.machine.violations.append(f"{name}: {type(error).__name__}: {error}")
            raise

    return checked  # type: ignore[return-value]


def begin(name: str, stream: Any, values: list[Any]) -> None:
    """Check the arguments of a call, and add it to the work of its stream."""
    queue = stream.queue
    machine = queue.machine
    used = list(memories(values))
    for memory in used:
        if memory.machine is not machine:
            what = f"{name} is given a handle of another machine than its stream's"
            machine.violations.append(what)
            raise ValueError(what)
    machine.log.calls.append(name)
    queue.push()
    for memory in used:
        memory.use(queue, name)


def _no_stream(name: str, values: list[Any]) -> None:
    what = f"{name} was called without a stream: it would run on the default stream"
    for memory in memories(values):
        memory.machine.violations.append(what)
        break
    raise AssertionError(what)
