"""`scan`: running values, one output row for each input row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.step_context import StepContext
from arrowstream.expressions.among_others import among_others, spread
from arrowstream.expressions.text import expression_text
from arrowstream.operators.arguments import key_schema, parse_expressions, parse_keys
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.running.recipe import Check, Recipe, take_apart
from arrowstream.operators.running.rows_by_slot import RowsBySlot
from arrowstream.state.arrays import Array
from arrowstream.state.key_index import KeyIndex
from arrowstream.state.limit import NO_LIMIT, StateLimit
from arrowstream.state.memory import StateMemory
from arrowstream.state.snapshot import SnapshotFormat
from arrowstream.state.snapshots.key_ranges import KeyRanges, RangeRows

_FORMAT = SnapshotFormat("scan", 2)


@dataclass(frozen=True, slots=True, eq=False)
class Scan(Operator):
    """All columns and running values after them: what Polars gives for ``expr.over(by)`` on the whole input.

    Expressions may use the functions of this table, also nested, and any function of a single row.

    | running | with |
    |---|---|
    | `cum_sum`, `cum_prod`, `cum_min`, `cum_max`, `cum_count` | from the first row on |
    | `shift`, `diff`, `pct_change` | a positive number of rows; a constant `fill_value` of the same type |
    | `forward_fill` | any `limit` |
    | `rle_id` | |
    | `rolling_sum`, `_mean`, `_min`, `_max`, `_median`, `_quantile` | the last n rows |
    | `rolling_var`, `_std`, `_skew`, `_kurtosis` | the last n rows |
    | `ewm_mean`, `ewm_var`, `ewm_std` | all options |

    Refused, with a hint: functions of later rows (`reverse=True`, `backward_fill`, `interpolate`, centred windows,
    negative numbers of rows), windows of time, weights, and `is_first_distinct`.

    The result does not depend on how the rows are cut into batches, to the last bit, and equals that of Polars
    exactly, up to the sign of a zero that is an extreme. For floats, two kinds differ from Polars in the last
    digits: rolling functions, computed here from the rows of their window alone, in Polars from all rows
    before; and the `ewm` functions, after a null or after a key's first 256 values, where they are joined from
    blocks, and for `ewm_var` and `ewm_std` with ``bias=False`` at any value. An
    `ewm_mean` with ``adjust=False, ignore_nulls=True`` is exact.

    Parameters
    ----------
    exprs
        The new columns; all are computed from the columns that come in, not from one another.
    by
        Key columns: running values are separate for each key. Without any, they run over the whole stream.
    max_keys
        The most keys to hold; None for no limit.
    max_bytes
        The most bytes of memory for keys and state; None for no limit.
    on_full
        The reaction to a limit, as for `reduce`: ``"error"``, ``"evict"`` the key that first came the longest
        ago, which starts again if it comes again, or ``"spill"`` to files.
    check
        The plan's check that an expression looks at one row only.

    Raises
    ------
    PlanError
        No expression is given, or one can't be run this way (the message lists those that can), or the limit is
        out of range.
    SchemaError
        A column is missing, or types do not fit.
    StageError
        While running: the limit is reached, the disk is full, or a `cum_count` or `rle_id` is larger than its
        type holds, 4,294,967,295; a `cum_sum` of ``pl.Int64`` counts further.
    """

    name: ClassVar[str] = "scan"
    exprs: tuple[pl.Expr, ...]
    by: tuple[str, ...]
    limit: StateLimit
    check: Check

    @classmethod
    def of(
        cls,
        check: Check,
        exprs: tuple[Any, ...],
        named: dict[str, Any],
        *,
        by: Any = None,
        limit: StateLimit = NO_LIMIT,
    ) -> Scan:
        """Make the step from the builder's arguments."""
        parsed = parse_expressions(
            cls.name, exprs, named, ("by", "state", "max_keys", "max_bytes", "on_full")
        )
        return cls(parsed, parse_keys(cls.name, by), limit, check)

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        recipe = self._recipe(schema)
        self._max_keys(key_schema(self.name, self.by, schema), recipe)
        return recipe.schema

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        keys, recipe, memory = (
            key_schema(self.name, self.by, schema),
            self._recipe(schema),
            self.limit.memory(context),
        )
        index = None
        if self.by:
            index = KeyIndex(keys, self._max_keys(keys, recipe), self.limit.full_keys, memory)
        return _Scanning(recipe, self.by, index, self.limit.evicts, memory)

    @property
    def identity(self) -> str:
        return replace(self, limit=self.limit.lasting).describe()

    def describe(self) -> str:
        by = [f"by=[{', '.join(self.by)}]"] if self.by else []
        return f"scan({', '.join([*by, *map(expression_text, self.exprs)])}{self.limit.describe()})"

    def _recipe(self, schema: pl.Schema) -> Recipe:
        return take_apart(self.exprs, schema, self.check)

    def _max_keys(self, keys: pl.Schema, recipe: Recipe) -> int | None:
        def state() -> dict[str, pl.DataType]:
            none = np.zeros(0, np.int64)
            kept = [column for leaf in recipe.leaves for column in leaf.make(StateMemory()).snapshot(none)]
            return {
                **keys,
                **{f"the state in column {place}": column.dtype for place, column in enumerate(kept)},
            }

        return self.limit.keys(self.name, state)


class _Scanning(Process):
    __slots__ = ("_by", "_index", "_leaves", "_memory", "_ranges", "_recipe")

    def __init__(
        self,
        recipe: Recipe,
        by: tuple[str, ...],
        index: KeyIndex | None,
        evicts: bool,
        memory: StateMemory,
    ) -> None:
        self._memory = memory
        self._recipe = recipe
        self._by = by
        self._index = index
        self._ranges = None
        if index is not None and not evicts:
            self._ranges = KeyRanges(index, self._key_names(), memory)
        self._leaves = [(leaf, leaf.make(memory)) for leaf in recipe.leaves]
        if index is None:
            self._begin(np.zeros(1, np.int64), 1)

    def process(self, batch: Batch) -> Iterator[Batch]:
        if not batch.num_rows:
            yield batch.with_rows(pl.DataFrame(schema=self._recipe.schema))
            return
        self._memory.check()
        frame = spread(batch.polars()) if self._recipe.needs_values else batch.polars()
        if self._index is None:
            yield batch.with_rows(self._run(frame, np.zeros(frame.height, np.int64)))
            return
        parts = []
        for part in self._index.assign(frame.select(self._by)):
            self._begin(part.fresh, self._index.capacity)
            parts.append(self._run(frame.slice(part.start, len(part.slots)), part.slots))
        yield batch.with_rows(parts[0] if len(parts) == 1 else pl.concat(parts))

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        self._memory.check_whole()
        return _FORMAT.write(self._saved(), self._key_names(), ordered=True)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        _, states = _FORMAT.read(batches)
        for batch in states:
            columns, slots = batch.polars().get_columns(), np.zeros(1, np.int64)
            if self._index is not None:
                self._index.check_room(batch.num_rows)
                keys = columns[-len(self._by) :]
                named = [column.alias(name) for name, column in zip(self._by, keys, strict=True)]
                (assigned,) = self._index.assign(pl.DataFrame(named))
                slots = assigned.slots
                self._begin(assigned.fresh, self._index.capacity)
            for _, running in self._leaves:
                width = len(running.snapshot(np.zeros(0, np.int64)))
                running.restore(columns[:width], slots)
                columns = columns[width:]

    def finish(self) -> Iterator[Batch]:
        return iter(())

    def _saved(self) -> Iterator[Batch | RangeRows]:
        """Yield the states of all functions, in columns named by their place, and then the keys, oldest first."""
        return map(Batch, self._frames()) if self._ranges is None else self._ranges.saved(self._states)

    def _frames(self) -> Iterator[pl.DataFrame]:
        if self._index is None:
            yield self._states(np.zeros(1, np.int64))
            return
        start = 0
        for slots in self._index.pieces():
            keys = self._index.keys(start, start + len(slots))
            keys.columns = self._key_names()
            yield self._states(slots).hstack(keys)
            start += len(slots)

    def _states(self, slots: Array) -> pl.DataFrame:
        columns = [column for _, running in self._leaves for column in running.snapshot(slots)]
        return pl.DataFrame([column.alias(str(place)) for place, column in enumerate(columns)])

    def _key_names(self) -> list[str]:
        return [f"key {place}" for place in range(len(self._by))]

    def _begin(self, fresh: Array, capacity: int) -> None:
        for _, running in self._leaves:
            running.begin(fresh, capacity)

    def _run(self, frame: pl.DataFrame, slots: Array) -> pl.DataFrame:
        by_slot, with_leaves = RowsBySlot(slots), frame
        for leaf, running in self._leaves:
            column = among_others(with_leaves, leaf.select).to_series()
            with_leaves = with_leaves.with_columns(running.run(column, by_slot).alias(leaf.name))
        return self._recipe.finish(frame, with_leaves)
