"""Groups of rows that come out once they are complete: when the watermark has passed them, or at the end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.notes import ReaderNote
from arrowstream.operators.arguments import key_schema
from arrowstream.operators.base import Process
from arrowstream.operators.windows.event_time import EventTimeColumn
from arrowstream.operators.windows.late_rows import LateRows
from arrowstream.operators.windows.pane_store import PaneGrouping, PaneStore
from arrowstream.operators.windows.panes import PANE, Rows
from arrowstream.operators.windows.timeless_rows import NullTimes, TimelessRows
from arrowstream.state.key_index import KeyIndex
from arrowstream.state.memory import StateMemory
from arrowstream.state.owned_rows import owned
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("complete groups", 1)
_SLOT = "__slot__"


class CompleteGrouping(PaneGrouping, Protocol):
    """What groups keep of their rows, and what comes out for complete ones.

    Parts are given in the order in which their rows came, and rows that are equal in what matters keep their order.
    """

    in_order: ClassVar[bool]
    """Whether what comes out depends on the order of rows of different groups of a pane, too."""

    @abstractmethod
    def complete(self, groups: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield the rows that come out for complete groups, given with a column `PANE`."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupKeys:
    """How rows are grouped.

    Parameters
    ----------
    schema
        The schema of the rows.
    keys
        Names and types of the columns whose values make a group.
    time
        The column of event time whose value is part of the group; None if groups are complete at the end.
    step
        Name of the operator, for errors.
    """

    schema: pl.Schema
    keys: pl.Schema
    time: EventTimeColumn | None
    step: str

    @classmethod
    def of(cls, step: str, schema: pl.Schema, per: tuple[str, ...], time: str | None) -> GroupKeys:
        """Return how rows of a schema are grouped by columns, and perhaps by event time.

        Raises
        ------
        SchemaError
            A column is missing, or `time` does not hold times.
        PlanError
            A column's type cannot be that of a group.
        """
        keys = key_schema(step, per, schema, "per")
        if time is None:
            return cls(schema, keys, None, f"{step}()")
        found = EventTimeColumn.of(f"{step}()", time, schema)
        return cls(schema, pl.Schema({time: schema[time], **keys}), found, f"{step}()")

    def timeless(self, null_times: NullTimes, late: LateRows) -> TimelessRows | None:
        """Return what sifts rows without an event time; None if groups are complete at the end."""
        return None if self.time is None else TimelessRows(null_times, self.time, late, self.step)

    @property
    def within(self) -> list[str]:
        """The keys of a group among those of its pane: a pane is a time, or else a group."""
        return [name for name in self.keys if name != self.time.column] if self.time is not None else []


class CompleteGroups(Process):
    """Rows by group until it is complete.

    A pane of its `PaneStore` is a tick of event time, or, where groups are complete at the end, a group, numbered in
    the order in which groups first came.

    Parameters
    ----------
    grouped
        How rows are grouped.
    groups
        What groups keep, and what comes out.
    memory
        The memory that holds the rows.
    null_times
        What is done with rows without an event time, where groups have one.
    """

    __slots__ = ("_grouped", "_groups", "_index", "_late", "_memory", "_reached_us", "_store", "_timeless")

    def __init__(
        self,
        grouped: GroupKeys,
        groups: CompleteGrouping,
        memory: StateMemory,
        null_times: NullTimes = "error",
    ) -> None:
        self._grouped = grouped
        self._groups = groups
        self._memory = memory
        self._late = LateRows(grouped.schema)
        self._timeless = grouped.timeless(null_times, self._late)
        self._reached_us: int | None = None
        self._index: KeyIndex | None = None
        pane = pl.col(_SLOT)
        if grouped.time is not None:
            pane = grouped.time.expression()
        elif grouped.keys:
            self._index = KeyIndex(grouped.keys, memory=memory)
        self._store = PaneStore(grouped.within, groups, pane, memory)

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return () if self._timeless is None else self._timeless.notes

    def process(self, batch: Batch) -> Iterator[Element]:
        rows = batch.polars()
        if not rows.height:
            return iter(())
        self._memory.check()
        if self._grouped.time is not None:
            assert self._timeless is not None
            rows = self._timely(self._timeless.sift(batch), self._grouped.time)
            if rows.height:
                self._store.add(rows, *self._grouped.time.span(rows))
        elif self._index is None:
            self._store.add(rows, 0, 0)
        else:
            (part,) = self._index.assign(rows.select(list(self._grouped.keys)))
            rows = rows.with_columns(pl.Series(_SLOT, part.slots))
            self._store.add(rows, int(part.slots.min()), int(part.slots.max()))
        return iter(())

    def on_watermark(self, time_us: int) -> Iterator[Element]:
        time = self._grouped.time
        if time is None:
            return
        if self._reached_us is None or time_us > self._reached_us:
            yield from self._close(time.first_tick(time_us))
            self._reached_us = time_us
        yield Watermark(self._reached_us)

    def on_idle(self) -> Iterator[Element]:
        return iter(() if self._grouped.time is None else (Idle(),))

    def take_late(self) -> Batch | None:
        return self._late.take()

    def finish(self) -> Iterator[Element]:
        return self._close(None)

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        self._memory.check_whole()
        timed = self._grouped.time is not None
        keys = self._grouped.within if timed else list(self._grouped.keys)
        # Groups that have no time have a number instead, which is saved.
        return _FORMAT.write(
            self._store.saved(), keys, ordered=timed and self._groups.in_order, reached_us=self._reached_us
        )

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        values, saved = _FORMAT.read(batches)
        self._reached_us = values["reached_us"]
        first: list[pl.DataFrame] = []

        def noted() -> Iterator[pl.DataFrame]:
            for batch in saved:
                groups = batch.polars()
                # Of several runs, each of which began with the earliest pane.
                if not groups[PANE].is_sorted():
                    groups = groups.sort(PANE, maintain_order=True)
                if self._index is not None:
                    first.append(groups.select(PANE, *self._grouped.keys).unique(PANE))
                yield groups

        self._store.restore(noted())
        if self._index is not None and first:
            # Each group has a row, so that all numbers are there, in the order of which groups came.
            keys = pl.concat(first).unique(PANE).sort(PANE).drop(PANE)
            list(self._index.assign(keys))

    def _timely(self, rows: pl.DataFrame, time: EventTimeColumn) -> pl.DataFrame:
        if self._reached_us is None:
            return rows
        return self._late.sift(rows, time.expression() < time.first_tick(self._reached_us))

    def _close(self, before: int | None) -> Iterator[Batch]:
        """Yield what comes out for the panes before `before` (None: all), a few at a time if they are in files."""
        self._memory.check()
        while (few := self._store.first_few(before, 1)) is not None:
            if before is not None and few[1] >= before:
                break
            yield from self._taken(few[1])
        yield from self._taken(before)

    def _taken(self, before: int | None) -> Iterator[Batch]:
        in_files = self._store.in_files(before)
        groups = self._store.take(before, before)
        if groups is not None:
            for rows in self._groups.complete(groups.frame):
                yield Batch(owned(rows) if in_files else rows)


def in_one(parts: Sequence[Rows], columns: Iterable[str]) -> pl.DataFrame:
    """Return the rows of all parts, with `PANE` as the first column."""
    return pl.concat([part.all().select(PANE, *columns) for part in parts])
