"""`map_zero_copy`: columns changed in place by NumPy, in memory that only this step holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SchemaError
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.functions.schema import check_function, function_name, is_async
from arrowstream.operators.zero_copy.buffer import ZeroCopyBuffer
from arrowstream.operators.zero_copy.columns import BufferLayout, ZeroCopyColumns

BUFFERS = 8
"""Buffers that a step keeps for reuse. Channels hold a few batches; a user who keeps more gets new memory."""


@dataclass(frozen=True, slots=True, eq=False)
class MapZeroCopy(Operator):
    """Functions that change a batch's columns in place, as writable NumPy arrays.

    A column is copied once, when a function first asks for it, into memory that only this step holds. From
    then on all functions of the step, and of neighbours of its kind, work on that copy in place, and it leaves
    as an Arrow column without another copy. Memory that the user, a source or another branch holds never changes,
    and an error handler tries again with the original rows: Arrow does not know who else reads a buffer, so the
    step never writes into memory that it did not allocate. The memory is reused for a later batch once no array
    or column over it is alive, the user's included.

    Parameters
    ----------
    fns
        Called in turn with a `ZeroCopyColumns`: a mapping from column names to writable arrays, with
        ``valid(name)`` for where a column is not null. A function returns None or one of these arrays, as
        `numpy.multiply` with ``out=`` does.

    Raises
    ------
    PlanError
        No function is given, or one is async.
    SchemaError
        No column has an array: bits, text and nested values cannot be changed in place.
    NoArray
        A function asks for a column that has no array, or that is missing; also a KeyError.
    TypeError
        A function returns another array: it did not work in place.
    """

    name: ClassVar[str] = "map_zero_copy"
    passes_rows_on: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    fusible: ClassVar[bool] = True
    fns: tuple[Callable[[ZeroCopyColumns], Any], ...]

    def __post_init__(self) -> None:
        if not self.fns:
            raise PlanError("map_zero_copy() has no function", expected="fn(columns)")
        for fn in self.fns:
            check_function(self.name, fn)
            if is_async(fn):
                raise PlanError(
                    "map_zero_copy() takes plain functions",
                    found=f"{function_name(fn)} is async",
                    hint="columns must not be waited for while they are written; use map(fn)",
                )

    def fused_with(self, after: Operator) -> MapZeroCopy:
        assert isinstance(after, MapZeroCopy)
        return MapZeroCopy(self.fns + after.fns)

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        if not BufferLayout(arrow_schema(schema)).dtypes:
            raise SchemaError(
                "map_zero_copy() has no column it could change in place",
                expected="at least one column of numbers, dates or times",
                found=", ".join(f"{name}: {dtype}" for name, dtype in schema.items()),
            )
        return schema

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        return _Writing(self.fns, schema)

    def describe(self) -> str:
        return f"map_zero_copy({', '.join(map(function_name, self.fns))})"


class _Writing(Process):
    __slots__ = ("_buffers", "_fns", "_layout")

    def __init__(self, fns: tuple[Callable[[ZeroCopyColumns], Any], ...], schema: pl.Schema) -> None:
        self._fns = fns
        self._layout = BufferLayout(arrow_schema(schema))
        self._buffers: list[ZeroCopyBuffer] = []

    def process(self, batch: Batch) -> Iterable[Batch]:
        columns = ZeroCopyColumns(batch.arrow(), self._layout, self._free(batch.num_rows))
        for fn in self._fns:
            result = fn(columns)
            if not (result is None or any(result is array for array in columns.written())):
                raise TypeError(
                    f"{function_name(fn)} returned a {type(result).__name__} of its own; "
                    f"map_zero_copy changes columns in place: columns[name][:] = ..."
                )
        return (batch.with_rows(columns.record()),)

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return iter(())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Ignore the snapshot: the step has no state."""

    def finish(self) -> Iterable[Batch]:
        return ()

    def _free(self, rows: int) -> ZeroCopyBuffer:
        """Return a buffer that is not in use and large enough for `rows` rows."""
        nbytes = self._layout.nbytes(rows)
        for place, buffer in enumerate(self._buffers):
            if not buffer.in_use:
                if buffer.nbytes < nbytes:
                    self._buffers[place] = buffer = ZeroCopyBuffer(nbytes)
                return buffer
        if len(self._buffers) == BUFFERS:
            self._buffers.pop(0)  # its memory is freed with the last array or column over it
        self._buffers.append(ZeroCopyBuffer(nbytes))
        return self._buffers[-1]
