"""`window(rows=...)`: aggregates over every n rows of a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element
from arrowstream.core.checks import check_whole
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.step_context import StepContext
from arrowstream.expressions.lineage import Names
from arrowstream.expressions.text import columns_text, expression_text
from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.aggregation.keyed_groups import KeyedGroups, KeyedRows
from arrowstream.operators.aggregation.mergeable import ROW, numbered
from arrowstream.operators.aggregation.once import aggregation_of
from arrowstream.operators.aggregation.reserved_names import check_names
from arrowstream.operators.arguments import key_schema
from arrowstream.operators.base import Operator, Process
from arrowstream.state.limit import NO_LIMIT, StateLimit
from arrowstream.state.memory import StateMemory
from arrowstream.state.slot_store import SLOT
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("count window", 1)
_WINDOW, _COUNT, _LAST = "__window__", "__count__", "__last__"


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CountWindow(Operator):
    """Aggregates over every `rows` rows of a key; see `arrowstream.operators.window`.

    Parameters
    ----------
    rows
        Rows in a window, at least 1.
    by
        The key columns; each key has its own windows.
    exprs
        The aggregations.
    limit
        Limit on the state.

    Raises
    ------
    PlanError
        `rows` is below 1.
    """

    name: ClassVar[str] = "window"
    rows: int
    by: tuple[str, ...]
    exprs: tuple[pl.Expr, ...]
    limit: StateLimit = NO_LIMIT

    def __post_init__(self) -> None:
        check_whole("window(rows=...)", self.rows)

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        keys = key_schema("window", self.by, schema)
        output = pl.Schema({**keys, **aggregation_of(self, schema).output})
        arrow_schema(output)
        return output

    def names_after(self, names: Names) -> Names | None:
        return None

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        keys, memory = key_schema("window", self.by, schema), self.limit.memory(context)
        return _CountWindows(self, keys, aggregation_of(self, schema), memory)

    @property
    def identity(self) -> str:
        return replace(self, limit=self.limit.lasting).describe()

    def describe(self) -> str:
        by = f", by=[{columns_text(self.by)}]" if self.by else ""
        aggregates = ", ".join(map(expression_text, self.exprs))
        return f"window(rows={self.rows}{by}{self.limit.describe()}).agg({aggregates})"

    def split_aggregation(self, schema: pl.Schema) -> Aggregation:
        """Check and split the expressions for rows of `schema`."""
        check_names("window", schema)
        return Aggregation.of("window", self.exprs, schema, self.by, in_order=True)


def _counting(aggregation: Aggregation) -> Aggregation:
    """Return the aggregation with two more columns of state: the row count and the number of the last row."""
    count, last = pl.col(_COUNT), pl.col(_LAST)
    return replace(
        aggregation,
        init=(pl.len().cast(pl.Int64).alias(_COUNT), pl.col(ROW).max().alias(_LAST), *aggregation.init),
        combine=(count.sum(), last.max(), *aggregation.combine),
        init_row=aggregation.init_row
        and (pl.lit(1, pl.Int64).alias(_COUNT), pl.col(ROW).alias(_LAST), *aggregation.init_row),
    )


class _CountWindows(Process):
    """Count windows at work; the state is the open window of each key."""

    __slots__ = ("_aggregation", "_by", "_groups", "_memory", "_next_row", "_rows")

    def __init__(
        self, operator: CountWindow, keys: pl.Schema, aggregation: Aggregation, memory: StateMemory
    ) -> None:
        self._rows = operator.rows
        self._by = [pl.col(name) for name in operator.by]
        self._aggregation = _counting(aggregation)
        self._memory = memory
        self._groups = KeyedGroups(keys, self._aggregation, self._memory)
        self._next_row = 0

    def process(self, batch: Batch) -> Iterator[Element]:
        self._memory.check()
        frame = batch.polars()
        rows = numbered(self._aggregation.rows(frame), self._next_row)
        self._next_row += frame.height
        for part in self._groups.parts(rows):
            state = self._groups.merged(self._numbered(part), more=(_WINDOW,))
            is_full = pl.col(_COUNT) == self._rows
            full, rest = state.filter(is_full), state.filter(~is_full).drop(_WINDOW)
            self._groups.drop(part.slots)
            if rest.height:
                self._groups.put(part.slots[rest[SLOT].to_numpy()], rest)
            if full.height:
                yield batch.with_rows(self._aggregation.results(full.sort(_LAST), self._by))

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        # A window that is not full yet may hold rows of any time, so no watermark can pass it.
        return iter(())

    def on_idle(self) -> Iterator[Element]:
        # Nor may other inputs proceed without the rows held here.
        return iter(())

    def finish(self) -> Iterator[Element]:
        self._memory.check()
        states = list(self._groups.frames())
        if states:
            yield Batch(self._aggregation.results(pl.concat(states).sort(ROW), self._by))

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        self._memory.check_whole()
        return _FORMAT.write(self._groups.saved(), self._groups.keys, ordered=True, next_row=self._next_row)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, groups = _FORMAT.read(batches)
        self._next_row = values["next_row"]
        self._groups.restore(batch.polars() for batch in groups)

    def _numbered(self, part: KeyedRows) -> KeyedRows:
        """Return rows and state with their window's number within the key; the open window has number 0."""
        before, state = pl.lit(0), None
        if part.state is not None:
            state = part.state.with_columns(pl.lit(0, pl.Int64).alias(_WINDOW))
            known = pl.DataFrame({SLOT: range(len(part.slots))}, schema={SLOT: pl.Int64}).join(
                part.state.select(SLOT, _COUNT), on=SLOT, how="left", maintain_order="left"
            )
            counts = known[_COUNT].fill_null(0)
            before = pl.lit(counts.gather(part.rows[SLOT]))
        place = pl.int_range(pl.len()).over(SLOT) + before
        rows = part.rows.with_columns((place // self._rows).alias(_WINDOW))
        return replace(part, rows=rows, state=state)
