"""`reduce`: aggregates over the whole stream so far, for each key."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.hints import did_you_mean
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.changes import CHANGE, changes_schema
from arrowstream.core.rows.grouping import Grouping
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.expressions.lineage import Names
from arrowstream.expressions.text import columns_text, expression_text
from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.aggregation.folded_groups import FoldedGroups
from arrowstream.operators.aggregation.keyed_groups import KeyedGroups
from arrowstream.operators.aggregation.made_groups import made_groups
from arrowstream.operators.aggregation.mergeable import numbered
from arrowstream.operators.aggregation.once import aggregation_of
from arrowstream.operators.aggregation.replaced_rows import replaced
from arrowstream.operators.aggregation.reserved_names import check_names
from arrowstream.operators.arguments import flatten, key_schema, parse_expressions, parse_keys
from arrowstream.operators.base import Operator, Process
from arrowstream.state.limit import NO_LIMIT, OnFull, StateLimit
from arrowstream.state.memory import StateMemory
from arrowstream.state.snapshot import SnapshotFormat

Emit = Literal["end", "updates", "changes"]
OPTIONS = ("by", "emit", "max_keys", "max_bytes", "on_full")
"""The arguments of `reduce` besides aggregates."""


_FORMAT = SnapshotFormat("reduce", 1)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Reduce(Operator):
    """A running aggregate for each key.

    With ``emit="end"`` one row for each key comes out when the stream has ended, in the order in which the
    keys first came: what Polars' ``group_by(by, maintain_order=True).agg(...)`` gives over all rows at once,
    however the stream was cut into batches. Without `by` it is one row for all; no row if the stream was empty.

    With ``emit="updates"`` every batch gives a row for each key in it, in the order in which they first
    came in that batch, with the aggregates over all rows of the key up to there. The number of
    updates depends on how the stream was cut into batches; the last update of every key does not, and is the row
    that ``"end"`` gives. Put ``batch(rows=...)`` before it to have updates at known rows.

    Parameters
    ----------
    by
        The columns to group by; null is a key.
    exprs
        Aggregations, of any kind Polars has; `window` says which of them keep a few values for each key and which all
        values of the columns they read.
    emit
        ``"end"`` for rows at the end of the stream, ``"updates"`` for rows after every batch, ``"changes"`` for
        these with what they replace.
    max_keys
        The most keys to hold; None for no limit.
    max_bytes
        The most bytes of memory for keys and state, of which the first key takes 30,000 to 70,000; None for no
        limit. While an array grows, memory may reach twice the limit.
    on_full
        The reaction to a limit. ``"error"``: batches that exceed `max_keys` or `max_bytes` fail, and leave the state
        unchanged. ``"evict"``: the key that first came the longest ago is evicted. With ``emit="end"`` its row
        comes out then; if the key comes again, it starts again. `max_bytes` is then converted to a number of keys
        of fixed size, so texts and lists are refused. ``"spill"``: state above `max_bytes` goes to unnamed files
        in the folder of the environment variable ``TMPDIR``, else in /var/tmp. Results are the same; the disk
        bounds the number of keys.

    Raises
    ------
    PlanError
        No aggregate is given, or a name in its place, `emit` or `on_full` is unknown, a limit is below 1 or does not
        go with `on_full`, or an argument is neither a column name nor an expression.
    StageError
        While running: the limit is reached, the disk is full, or a count is larger than its type holds.
    """

    name: ClassVar[str] = "reduce"
    by: tuple[str, ...]
    exprs: tuple[pl.Expr, ...]
    emit: Emit = "end"
    limit: StateLimit = NO_LIMIT

    def __post_init__(self) -> None:
        if self.emit not in get_args(Emit):
            raise PlanError(
                "reduce(emit=...) is unknown",
                expected="'end', 'updates' or 'changes'",
                found=repr(self.emit),
                hint=did_you_mean(str(self.emit), get_args(Emit)),
            )
        if self.emit == "changes" and self.limit.evicts:
            raise PlanError(
                'reduce(emit="changes", on_full="evict") would forget which rows were there',
                expected="on_full='error' or 'spill'",
                found=self.limit.describe().removeprefix(", "),
            )

    @classmethod
    def of(
        cls,
        *exprs: Any,
        by: Any = None,
        emit: Emit = "end",
        max_keys: int | None = None,
        max_bytes: int | None = None,
        on_full: OnFull = "error",
        **named: Any,
    ) -> Reduce:
        """Make the step from column names and what Polars' `agg` takes."""
        # Polars would read a name as pl.col(name), all its values in a list, where a forgotten by= is meant.
        for name in flatten(value for value in exprs if isinstance(value, str | list | tuple)):
            if isinstance(name, str):
                raise PlanError(
                    "reduce() takes aggregates",
                    expected="expressions such as pl.len(); columns to group by in by=",
                    found=f"the name {name!r}",
                    hint=f"by={name!r} groups by it; pl.col({name!r}) keeps all its values, in a list",
                )
        parsed = parse_expressions("reduce", exprs, named, OPTIONS)
        # A name here gives a list, a constant a column of it: a misspelt option, or a forgotten function.
        for column, value in named.items():
            if not isinstance(value, pl.Expr):
                raise PlanError(
                    "reduce() takes aggregates",
                    expected=f"expressions such as {column}=pl.len(), or one of the options {', '.join(OPTIONS)}",
                    found=f"{column}={value!r}",
                    hint=f"{column}=pl.col({value!r}).sum() adds it up; without .sum() it is a list of all values"
                    if isinstance(value, str)
                    else f"a column of this value is {column}=pl.lit({value!r})",
                )
        return cls(parse_keys("reduce", by), parsed, emit, StateLimit(max_keys, max_bytes, on_full))

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        keys = key_schema("reduce", self.by, schema)
        aggregation = aggregation_of(self, schema)
        self._max_keys(schema, aggregation)
        output = pl.Schema({**keys, **aggregation.output})
        arrow_schema(output)
        return changes_schema(self.name, output) if self.emit == "changes" else output

    def names_after(self, names: Names) -> Names | None:
        return None if self.emit == "end" else names

    def that_come_again(self, columns: Collection[str]) -> frozenset[str] | None:
        if self.emit == "end":
            return None
        return frozenset(self.by if self.emit == "updates" else columns) - {CHANGE}

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        aggregation = aggregation_of(self, schema)
        keys = key_schema("reduce", self.by, schema)
        memory = self.limit.memory(context)
        return _Reducing(self, keys, schema, aggregation, self._max_keys(schema, aggregation), memory)

    def grouping(self, schema: pl.Schema) -> Grouping | None:
        # A key that is evicted within a batch begins again with the rows after that.
        return None if self.limit.evicts else aggregation_of(self, schema).grouping(schema, self.by)

    @property
    def identity(self) -> str:
        return replace(self, limit=self.limit.lasting).describe()

    def describe(self) -> str:
        by = f"by=[{columns_text(self.by)}], " if self.by else ""
        emit = "" if self.emit == "end" else f", emit={self.emit}"
        return f"reduce({by}{', '.join(map(expression_text, self.exprs))}{emit}{self.limit.describe()})"

    def split_aggregation(self, schema: pl.Schema) -> Aggregation:
        """Check and split the expressions for rows of `schema`."""
        check_names("reduce", schema)
        return Aggregation.of("reduce", self.exprs, schema, self.by, in_order=True, one_group=not self.by)

    def _max_keys(self, schema: pl.Schema, aggregation: Aggregation) -> int | None:
        return self.limit.keys("reduce", lambda: aggregation.state_schema(schema, self.by))


class _Reducing(Process):
    __slots__ = (
        "_aggregation",
        "_by",
        "_changes",
        "_grouping",
        "_groups",
        "_memory",
        "_next_row",
        "_updates",
    )

    def __init__(
        self,
        operator: Reduce,
        keys: pl.Schema,
        schema: pl.Schema,
        aggregation: Aggregation,
        max_keys: int | None,
        memory: StateMemory,
    ) -> None:
        limit = operator.limit
        self._by = [pl.col(name) for name in operator.by]
        self._aggregation = aggregation
        self._memory = memory
        self._grouping = operator.grouping(schema)
        self._groups: FoldedGroups | KeyedGroups
        if aggregation.update and not limit.evicts:
            self._groups = FoldedGroups(keys, aggregation, self._memory, max_keys)
        else:
            self._groups = KeyedGroups(keys, aggregation, self._memory, max_keys, limit.full_keys)
        self._next_row = 0
        self._updates = operator.emit != "end"
        self._changes = operator.emit == "changes"

    def process(self, batch: Batch) -> Iterator[Element]:
        self._memory.check()
        rows = self._rows(batch)
        if self._changes:
            for before, after, there in self._groups.changed(rows):
                moved = replaced(self._results(before), self._results(after), there)
                if moved.height:
                    yield batch.with_rows(moved)
            return
        states = self._groups.fold(rows, self._updates)
        results = [self._results(state) for state in states]
        if results:
            yield batch.with_rows(pl.concat(results))

    def _rows(self, batch: Batch) -> pl.DataFrame:
        """Return the rows, or their groups where these are made where the rows lie."""
        numbers = isinstance(self._groups, KeyedGroups)
        rows = None if self._grouping is None else made_groups(batch, self._grouping, self._next_row)
        if rows is None:
            rows = self._aggregation.rows(batch.polars())
            rows = numbered(rows, self._next_row) if numbers else rows
        self._next_row += batch.num_rows if numbers else 0
        return rows

    def _results(self, state: pl.DataFrame) -> pl.DataFrame:
        return self._aggregation.results(state, self._by)

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        # The rows at the end may be of any time, so nothing can be promised before them.
        return iter((Watermark(time_us),) if self._updates else ())

    def on_idle(self) -> Iterator[Element]:
        return iter((Idle(),) if self._updates else ())

    def finish(self) -> Iterator[Element]:
        if self._updates:
            return
        self._memory.check()
        # The oldest key first: that is the order of the first rows.
        for state in self._groups.frames():
            yield Batch(self._results(state))

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        self._memory.check_whole()
        return _FORMAT.write(self._groups.saved(), self._groups.keys, ordered=True, next_row=self._next_row)

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, groups = _FORMAT.read(batches)
        self._next_row = values["next_row"]
        self._groups.restore(batch.polars() for batch in groups)
