"""The schema of a user's function: learnt before data moves, and checked on each result."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.failures import is_failure
from arrowstream.core.hints import frame_hint
from arrowstream.core.ingest import batches_of, conform, no_frame, schema_of
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.errors import ArrowstreamError, PlanError, SchemaError
from arrowstream.operators.functions.frame_forms import from_form
from arrowstream.state.owned_rows import owned_if_few, record_if_few

LEARNING_S = 10.0
"""Seconds that a coroutine may take for a batch without rows: a server that is down must not hang `build()`."""

HINT = "pass schema={...}, the names and types of what the function returns"


def function_name(fn: Callable[..., Any]) -> str:
    """Return a function's name for `explain()`, the same in every run."""
    inner = getattr(fn, "func", fn)  # functools.partial
    return str(getattr(inner, "__qualname__", type(inner).__qualname__)).rpartition("<locals>.")[2]


def is_async(fn: Callable[..., Any]) -> bool:
    """Return whether calling `fn` gives a coroutine or an async generator."""
    forms = (fn, type(fn).__call__)
    return any(inspect.iscoroutinefunction(form) or inspect.isasyncgenfunction(form) for form in forms)


def check_function(step: str, fn: Any) -> None:
    """Raise unless `fn` can be called.

    Raises
    ------
    PlanError
        `fn` can't be called.
    """
    if not callable(fn):
        raise PlanError(
            f"{step}() needs a function", expected="fn(batch)", found=f"{type(fn).__name__} {fn!r}"
        )


def learn(call: Callable[[Batch], Iterable[Any]], schema: pl.Schema) -> pl.Schema:
    """Return the schema of the first frame that `call` gives for a batch without rows.

    Raises
    ------
    PlanError
        The function fails on such a batch, gives no frame, or gives a column without a type.
    SchemaError
        The result isn't a frame, or a type has no Arrow form.
    """
    try:
        frame = next(iter(call(Batch(pl.DataFrame(schema=schema)))), None)
    except ArrowstreamError:
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        raise PlanError(
            "the function failed on a batch without rows, from which the schema of its result is learnt",
            found=f"{type(error).__name__}: {next(iter(str(error).splitlines()), 'no message')}",
            hint=frame_hint(error) or f"{HINT}, or let it accept a batch without rows",
        ) from error
    if frame is None:
        raise PlanError(
            "the function returned no frame for a batch without rows, from which its schema is learnt",
            hint=f"{HINT}; a function without `return` returns None",
        )
    found = schema_of(next(batches_of(from_form(frame))))
    arrow_schema(found)  # raises for types that rows cannot have between steps
    untyped = [name for name, dtype in found.items() if dtype == pl.Null and schema.get(name) != pl.Null]
    if untyped:
        raise PlanError(
            "columns of the function's result have no type when there are no rows",
            found=", ".join(untyped),
            hint=HINT,
        )
    return found


def await_apart(coroutine: Coroutine[Any, Any, list[Any]]) -> list[Any]:
    """Run a coroutine on a new event loop in a thread: `build()` may run inside a loop or without one.

    Raises
    ------
    TimeoutError
        It took longer than `LEARNING_S` seconds.
    Exception
        The exception of the coroutine.
    """
    given: list[list[Any]] = []
    failed: list[BaseException] = []

    async def limited() -> None:
        async with asyncio.timeout(LEARNING_S):
            given.append(await coroutine)

    def run() -> None:
        try:
            asyncio.run(limited())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="arrowstream-learn")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return given[0]


def conformed(
    result: Any,
    batch: Batch,
    schema: pl.Schema,
    target: pa.Schema,
    what: str = "the function returned other columns or types than its schema says",
    hint: str = "cast inside the function, or pass schema={...} if what was learnt is not what it returns",
    function: str = "the function",
) -> Iterator[Batch]:
    """Yield one result of a function of `batch`, as batches of exactly `schema`.

    Parameters
    ----------
    target
        The Arrow form of `schema`.
    what, hint
        Message and hint of the error where the frame has other columns or types.
    function
        What has given the result, for the error if that is not a frame.

    Raises
    ------
    SchemaError
        The frame has other columns or types, or isn't a frame.
    """
    if isinstance(result, pa.RecordBatch) and result.schema.equals(target, check_metadata=True):
        # The common case, without any conversion.
        yield batch.with_rows(record_if_few(result, batch.num_rows))
        return
    for part in batches_of(from_form(result), partial(_returned, function, schema)):
        try:
            fitted = conform(part, schema)
        except SchemaError as error:
            raise SchemaError(
                what,
                expected=error.expected,
                found=error.found,
                hint=hint,
            ) from error
        # A function that filters would otherwise keep all texts of a batch for a few of its rows.
        if fitted.is_polars:
            yield batch.with_rows(owned_if_few(fitted.polars(), batch.num_rows))
        else:
            yield batch.with_rows(record_if_few(fitted.arrow(), batch.num_rows))


def _returned(function: str, schema: pl.Schema, result: Any) -> SchemaError:
    columns = ", ".join(f"{name}: {dtype}" for name, dtype in schema.items())
    return no_frame(result, f"{function} returned no frame", f"a frame of {columns}")


def not_awaited(result: Any) -> Any:
    """Return the result of a plain function; raise if it is a coroutine.

    Raises
    ------
    PlanError
        The result is awaitable, which the function did not show.
    """
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise PlanError(
            "a plain function returned something to be awaited",
            expected="a frame",
            found=type(result).__name__,
            hint="declare the function with `async def` to have it awaited",
        )
    return result
