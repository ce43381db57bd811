"""A join with a table while it runs: the table in memory, and the rows that come out for a batch."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import ClassVar, Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, to_record
from arrowstream.core.failures import FAILURES
from arrowstream.core.notes import ReaderNote
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.rows.elsewhere import is_elsewhere, looked_up
from arrowstream.core.rows.forms import FORMS, Form
from arrowstream.core.rows.lookup import LookupTable
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SchemaError, StageError
from arrowstream.metrics.inner import RunsPipeline
from arrowstream.metrics.snapshot import Metrics
from arrowstream.operators.base import AsyncProcess
from arrowstream.operators.joins.columns import JoinColumns
from arrowstream.operators.joins.keys import JoinKeys
from arrowstream.operators.joins.loads import Loads
from arrowstream.operators.joins.table_index import TableIndex
from arrowstream.operators.joins.tables import JoinTable, TableLoad
from arrowstream.state.arrays import Array
from arrowstream.state.limit import NO_LIMIT
from arrowstream.state.memory import StateMemory

_INLINE_ROWS = 8_192
"""Rows of a batch that are looked up on the event loop's thread: a hop to another one costs as much as they do."""

_PIECES = 2
"""Pieces of output that are made before any is passed on."""

_STOPPED_AGAIN_SECONDS = 0.05
"""Time after which a load that goes on is stopped once more."""


class Index(Protocol):
    """A table's rows, found by what rows of the stream ask for."""

    def pairs(self, asked: pl.DataFrame, *, unmatched: bool = False) -> Iterator[tuple[Array, Array]]:
        """Yield pairs: positions in `asked`, and rows of the table (pairs,), int64; -1 for none, if `unmatched`."""


@dataclass(frozen=True, slots=True, eq=False)
class Lookup(ABC):
    """What a join knows of its table.

    Parameters
    ----------
    table
        The table.
    columns
        The columns that come out.
    """

    table: JoinTable
    columns: JoinColumns

    @abstractmethod
    def asked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return what rows of the stream ask for."""

    @abstractmethod
    def index(self, table: pl.DataFrame, memory: StateMemory) -> Index:
        """Return the index of a table.

        Raises
        ------
        StageError
            The table is not what the step needs.
        """

    def found(self, rows: pl.DataFrame, index: Index, values: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield the rows that come out, in pieces where many rows of the table have one key."""
        how, asked = self.columns.how, self.asked(rows)
        if how not in ("semi", "anti"):
            yield from _side_by_side(rows, values, index.pairs(asked, unmatched=how == "left"))
            return
        assert isinstance(index, TableIndex), "versions are added to rows"
        kept = (index.find(asked) >= 0) == (how == "semi")
        yield rows if kept.all() else rows.filter(pl.Series(kept))

    def elsewhere(
        self, table: pl.DataFrame, index: Index, values: pl.DataFrame, memory: StateMemory
    ) -> LookupTable | None:
        """Return the table for forms of rows that look rows up by themselves; None if none can."""
        return None


@dataclass(frozen=True, slots=True, eq=False)
class KeyLookup(Lookup):
    """What a join by keys knows of its table.

    Parameters
    ----------
    keys
        The key columns of stream and table.
    types
        The types in which keys are compared.
    once
        Whether a key may come only once in the table.
    """

    keys: JoinKeys
    types: pl.Schema
    once: bool = False

    def asked(self, rows: pl.DataFrame) -> pl.DataFrame:
        return self.keys.of_left(rows, self.types)

    def index(self, table: pl.DataFrame, memory: StateMemory) -> Index:
        index = TableIndex(self.keys.of_right(table, self.types), memory, self.keys.nulls_equal)
        if self.once and index.duplicate is not None:
            raise StageError(
                'a key of the table comes more than once, which validate="m:1" excludes',
                expected="each key once",
                found=str(table.select(self.keys.right).row(index.duplicate, named=True)),
                hint="keep one row a key, as with .unique(subset=...), or leave validate= out",
            )
        return index

    def elsewhere(
        self, table: pl.DataFrame, index: Index, values: pl.DataFrame, memory: StateMemory
    ) -> LookupTable | None:
        assert isinstance(index, TableIndex)
        if index.duplicate is not None or self.keys.nulls_equal or not any(map(_looks_up, FORMS.values())):
            return None
        # Equal floats may have other bits.
        if any(self.columns.schema[name] != dtype or dtype.is_float() for name, dtype in self.types.items()):
            return None
        keys = self.keys.of_right(table, self.types)
        memory.reserve(int(keys.estimated_size()))

        def load() -> tuple[pa.RecordBatch, pa.RecordBatch]:
            # Numbered, so that no key has the name of the places.
            numbered = keys.rename({name: str(number) for number, name in enumerate(keys.columns)})
            places = numbered.with_row_index("place").drop_nulls().sort(numbered.columns)["place"]
            return to_record(keys[places]), to_record(values[places] if values.width else values)

        def on_cpu(rows: pl.DataFrame) -> pl.DataFrame:
            return pl.concat([pl.DataFrame(schema=self.columns.schema), *self.found(rows, index, values)])

        return LookupTable(self.keys.left, self.columns.how, arrow_schema(self.columns.schema), load, on_cpu)


def _looks_up(form: Form) -> bool:
    return form.looked_up is not None


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A table in memory with its index.

    Parameters
    ----------
    index
        The rows by key.
    values
        The columns that come out, under their new names, in one piece each.
    memory
        What both count as.
    elsewhere
        The table for forms of rows that look rows up by themselves.
    """

    index: Index
    values: pl.DataFrame
    memory: StateMemory
    elsewhere: LookupTable | None


class TableJoining(AsyncProcess, RunsPipeline, Loads):
    """The process of a `TableJoin`. The table is replaced as a whole, so that each batch sees one state of it.

    Parameters
    ----------
    lookup
        The table, what is looked up in it, and its columns.
    refresh
        Seconds after which the table is loaded again; None to load it once.
    context
        Clock, threads and memory of the run.
    """

    __slots__ = ("_context", "_given_up", "_load", "_loaded", "_lookup", "_refresh_seconds", "_refreshing")

    busy_while_awaited: ClassVar[bool] = True

    def __init__(self, lookup: Lookup, refresh: float | None, context: StepContext) -> None:
        self._lookup = lookup
        self._refresh_seconds = refresh
        self._context = context
        self._loaded: Loaded | None = None
        self._load: TableLoad | None = None
        """The load that has begun last."""
        self._refreshing: asyncio.Task[None] | None = None
        self._given_up = False
        """True if the run was stopped before the table was loaded."""

    @property
    def inner(self) -> Metrics | None:
        return None if self._load is None else self._load.metrics

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        if not self._given_up:
            return ()
        what = "tables of joins not loaded, as the run was stopped before"
        return (ReaderNote(what, 1, self._lookup.table.describe(), lost=False),)

    async def load(self) -> None:
        self._given_up = True
        self._loaded = await self._load_on_thread()
        self._given_up = False

    async def open(self) -> None:
        if self._refresh_seconds is not None and self._loaded is not None:
            self._refreshing = asyncio.create_task(self._refresh(self._refresh_seconds))

    async def process(self, batch: Batch) -> Iterable[Batch]:
        if self._loaded is None:
            await self.load()  # it was given up, and a row has come all the same
        made = self._joined(batch)
        first: Callable[[], list[Batch]] = partial(_first, made)
        inline = batch.num_rows <= _INLINE_ROWS and not is_elsewhere(batch)
        now = first() if inline else await self._context.threads.call(first)
        # That is all, unless many rows of the table have one key: then the rest is made as it is passed on.
        return chain(now, made)

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        self._loaded = None

    async def _refresh(self, every: float) -> None:
        """Load the table again from time to time. If that fails, the rows of the last time stay in use."""
        while True:
            await self._context.clock.sleep(every)
            try:
                loaded, before = await self._load_on_thread(), self._loaded
            except FAILURES as error:
                self._context.logger.warning(
                    "%s: the table could not be loaded again, rows are looked up in the last one: %s",
                    self._context.id,
                    error,
                )
            else:
                assert before is not None, "the table is loaded before it is loaded again"
                self._loaded = loaded
                before.memory.close()

    async def _load_on_thread(self) -> Loaded:
        """Load the table; a cancellation ends a pipeline that reads it, and rows that have come are not indexed."""
        load = self._load = self._lookup.table.load()
        loading = asyncio.ensure_future(self._context.threads.call(load.rows))
        try:
            table = await asyncio.shield(loading)
        except asyncio.CancelledError:
            while not loading.done():
                # Again, as a pipeline that has not begun yet has nothing to stop.
                load.stop()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([loading], timeout=_STOPPED_AGAIN_SECONDS)
            loading.exception()  # marks it as retrieved; the caller gets the cancellation
            raise
        return await self._context.threads.call(self._index_rows, table)

    def _index_rows(self, table: pl.DataFrame) -> Loaded:
        expected = self._lookup.table.schema
        if table.schema != expected:
            raise SchemaError(
                "the table of join() has other columns than when the pipeline was built",
                expected=str(dict(expected)),
                found=str(dict(table.schema)),
            )
        memory = NO_LIMIT.memory(self._context)
        try:
            return self._indexed(table, memory)
        except BaseException:
            memory.close()
            raise

    def _indexed(self, table: pl.DataFrame, memory: StateMemory) -> Loaded:
        index = self._lookup.index(table, memory)
        values = table.select(
            **{new: pl.col(name) for name, new in self._lookup.columns.added.items()}
        ).rechunk()
        memory.reserve(int(values.estimated_size()))
        elsewhere = self._lookup.elsewhere(table, index, values, memory)
        memory.check()
        return Loaded(index, values, memory, elsewhere)

    def _joined(self, batch: Batch) -> Iterator[Batch]:
        """Yield the rows that come out for a batch, in pieces where many rows of the table have one key."""
        assert self._loaded is not None
        loaded = self._loaded
        found = None if loaded.elsewhere is None else looked_up(batch, loaded.elsewhere)
        if found is not None:
            yield found
            return
        rows = batch.polars()
        for part in self._lookup.found(rows, loaded.index, loaded.values):
            yield batch if part is rows else batch.with_rows(part)


def _first(made: Iterator[Batch]) -> list[Batch]:
    return list(islice(made, _PIECES))


def _side_by_side(
    rows: pl.DataFrame, values: pl.DataFrame, pairs: Iterator[tuple[Array, Array]]
) -> Iterator[pl.DataFrame]:
    """Yield pairs of rows and values next to each other; -1 stands for values of null."""
    for ours, theirs in pairs:
        whole = len(ours) == rows.height and bool((ours == np.arange(len(ours))).all())
        left = rows if whole else rows[pl.Series(ours.astype(np.uint32))]
        if not values.width:
            yield left
            continue
        yield left.hstack(_gathered(values, theirs))


def _gathered(values: pl.DataFrame, places: Array) -> list[pl.Series]:
    index = pl.Series(places.astype(np.uint32))
    missing = places < 0
    if missing.any():
        index = index.set(pl.Series(missing), None)
    return [column.gather(index) for column in values.get_columns()]
