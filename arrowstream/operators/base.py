"""The two kinds of operators: plain expressions, which are fused, and opaque ones, which run alone.

An operator is a frozen value: what the user wrote, checked, with nothing running. `Expressions` are
functions of a frame and melt with their neighbours into one segment. An `Operator` makes a `Process`
when the pipeline runs, and that holds its state. Neither ever awaits, reads a clock or counts: the
runtime owns loops, time and counting, which is what makes both easy to test.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, TypeVar

import polars as pl
import pyarrow as pa

from arrowstream.batch import Batch

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class Expressions(ABC):
    """Plain Polars expressions over each row: a function of a frame that never looks at other rows."""

    __slots__ = ()

    name: ClassVar[str]
    broadcasts: ClassVar[bool] = True
    """Whether a lone constant is spread over all rows; where not (`select`), it would give one row a batch."""

    @abstractmethod
    def apply(self, frame: Frame) -> Frame:
        """The step over an eager or a lazy frame."""

    @abstractmethod
    def expressions(self) -> tuple[pl.Expr, ...]:
        """Every expression in it, for the check that none looks at other rows."""

    @abstractmethod
    def describe(self) -> str:
        """One stable line for `explain()`, such as ``filter(col("x") > 100)``."""


class Operator(ABC):
    """A step with state or a shape of its own; it becomes a stage."""

    __slots__ = ()

    name: ClassVar[str]

    @abstractmethod
    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        """The schema that comes out for one that goes in; raises SchemaError or PlanError."""

    @abstractmethod
    def start(self, schema: pl.Schema) -> Process:
        """A fresh running form for batches of `schema`."""

    @abstractmethod
    def describe(self) -> str:
        """One line for `explain()`, such as ``batch(rows=2048)``."""


class Process(ABC):
    """An operator while it runs: pure methods from batches to batches, over its own state."""

    __slots__ = ()

    @abstractmethod
    def process(self, batch: Batch) -> Iterable[Batch]:
        """What comes out for this batch."""

    def on_watermark(self, time_us: int) -> Iterable[Batch]:
        """What comes out once no row before `time_us` is expected any more."""
        return ()

    @abstractmethod
    def snapshot(self) -> pa.Table:
        """All state, as Arrow; `restore` of it on a fresh process continues exactly here."""

    @abstractmethod
    def restore(self, state: pa.Table) -> None:
        """Take over a snapshot."""

    @abstractmethod
    def finish(self) -> Iterable[Batch]:
        """What is still held when the stream ends."""
