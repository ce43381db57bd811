"""`scan(fn, state=...)`: a user's function from a batch and a state to rows and the next state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.plural import counted
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.base import Operator, Process
from arrowstream.state.limit import NO_LIMIT, StateLimit
from arrowstream.state.memory import StateMemory
from arrowstream.state.owned_rows import held_bytes
from arrowstream.state.snapshot import SnapshotFormat

State = pl.DataFrame | dict[str, Any] | None
ScanFn = Callable[[pl.DataFrame, State], tuple[pl.DataFrame, State]]

_FORMAT = SnapshotFormat("scan function", 1)
_SCALARS = (bool, int, float, str, type(None))


@dataclass(frozen=True, slots=True, eq=False)
class ScanFunction(Operator):
    """The rows of ``fn(frame, state) -> (frame, state)``, one output row for each input row.

    At build, `fn` is called once with a frame without rows, to learn the columns it gives. The source decides where
    the stream is cut into batches; `fn` must give results that do not depend on the cut, which
    `arrowstream.testing` helps to test.

    Parameters
    ----------
    fn
        Called with the rows of a batch and the last state; gives rows and the next state.
    state
        The first state: None, a `polars.DataFrame`, or a dict of names to numbers, texts, booleans and None.
        `fn` must return a state of one of these kinds, so that it can be written into a checkpoint.

    Raises
    ------
    PlanError
        `fn` isn't a function, the state is of another kind, or `by` or expressions are given, too.
    SchemaError
        `fn` fails on a frame without rows, or does not return a frame and a state.
    StageError
        While running: `fn` gives another number of rows, other columns, or a state of another kind.
    """

    name: ClassVar[str] = "scan"
    fn: ScanFn
    state: State

    @classmethod
    def of(
        cls, *functions: Any, state: Any, by: Any, named: Mapping[str, Any], limit: StateLimit
    ) -> ScanFunction:
        """Make the step from the builder's arguments."""
        if len(functions) > 1 or by is not None or named or limit != NO_LIMIT:
            raise PlanError(
                "scan(fn) takes a function and its state only",
                expected="scan(fn, state=...)",
                hint="keep a frame of keys and values as the state, or use running expressions with by=",
            )
        return cls(functions[0], _checked(state, PlanError))

    @property
    def at_hand(self) -> bool:
        return False

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        try:
            result = self.fn(pl.DataFrame(schema=schema), self.state)
        except Exception as error:
            raise SchemaError(
                "scan(fn) fails over no rows, so its columns are not known",
                expected="a function that also takes a frame without rows",
                found=f"{type(error).__name__}: {error}",
            ) from error
        frame, _ = _parts(result, SchemaError)
        arrow_schema(frame.schema)
        return frame.schema

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        return _Calling(self.fn, self.state, self.output_schema(schema), NO_LIMIT.memory(context))

    def describe(self) -> str:
        return f"scan({getattr(self.fn, '__name__', type(self.fn).__name__)})"


def is_scan_function(exprs: tuple[Any, ...]) -> bool:
    """Return whether the user gave a function rather than expressions."""
    return bool(exprs) and callable(exprs[0])


class _Calling(Process):
    __slots__ = ("_fn", "_memory", "_schema", "_state")

    def __init__(self, fn: ScanFn, state: State, schema: pl.Schema, memory: StateMemory) -> None:
        self._memory = memory
        self._fn = fn
        self._state = state
        self._schema = schema

    def process(self, batch: Batch) -> Iterator[Batch]:
        self._memory.check()
        frame, state = _parts(self._fn(batch.polars().clone(), self._state), StageError)
        if frame.schema != self._schema:
            raise StageError(
                "scan(fn) gave other columns", expected=str(self._schema), found=str(frame.schema)
            )
        if frame.height != batch.num_rows:
            raise StageError(
                "scan(fn) gave another number of rows",
                expected=f"{counted(batch.num_rows, 'rows')}, a row out for a row in",
                found=counted(frame.height, "rows"),
                hint="flat_map(fn) gives any number of rows",
            )
        self._state = state
        if self._memory.is_limited and isinstance(state, pl.DataFrame):
            self._memory.reserve(held_bytes(state) - self._memory.held)
        yield batch.with_rows(frame)

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        # Made to the end before the next call: the function may hold the memory of its frame, and change it.
        if isinstance(self._state, pl.DataFrame):
            yield from _FORMAT.write([Batch(self._state)], kind="frame")
        else:
            yield from _FORMAT.write(kind="scalars", state=self._state)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, rows = _FORMAT.read(batches)
        if values["kind"] == "frame":
            frames = [batch.polars() for batch in rows]
            self._state = pl.concat(frames) if frames else pl.DataFrame()
        else:
            self._state = values["state"]

    def finish(self) -> Iterator[Batch]:
        return iter(())


def _parts(result: Any, kind: type[SchemaError] | type[StageError]) -> tuple[pl.DataFrame, State]:
    match result:
        case (pl.DataFrame() as frame, state):
            return frame, _checked(state, kind)
    raise kind(
        "scan(fn) must give rows and the next state",
        expected="a tuple of a polars.DataFrame and the state",
        found=type(result).__name__,
    )


def _checked(state: Any, kind: type[SchemaError] | type[StageError] | type[PlanError]) -> State:
    match state:
        case None | pl.DataFrame():
            return state
        case dict() if all(isinstance(k, str) and isinstance(v, _SCALARS) for k, v in state.items()):
            return state
    raise kind(
        "scan(fn) cannot keep this state",
        expected="None, a polars.DataFrame, or a dict of names to numbers, texts, booleans and None",
        found=f"{type(state).__name__} {state!r}",
    )
