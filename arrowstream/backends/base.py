"""The contract of a backend: it makes an evaluator for one segment, or says why not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol, Self, TypeVar

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.expressions.program import Program, Refusal

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class Step(Protocol):
    """One step of a segment."""

    def apply(self, frame: Frame) -> Frame: ...

    def expressions(self) -> tuple[pl.Expr, ...]: ...

    def with_expressions(self, exprs: tuple[pl.Expr, ...]) -> Self: ...


class Frames(Protocol):
    """A segment as a function of a frame: whole over a lazy one, or step by step."""

    @property
    def steps(self) -> Sequence[Step]: ...

    def apply_lazy(self, frame: pl.LazyFrame) -> pl.LazyFrame: ...


Evaluator = Callable[[Batch], Batch]
"""Runs one segment over one batch. Pure, thread-safe, and exact: same rows for any cut of the input."""


class Backend(ABC):
    """One way of running segments."""

    name: ClassVar[str]

    @abstractmethod
    def prepare(self, segment: Frames, program: Program | Refusal) -> Evaluator | Refusal:
        """An evaluator for this segment, or all the reasons why this backend will not run it.

        Parameters
        ----------
        segment
            The segment as a function over Polars frames.
        program
            The segment lowered, or why it could not be.
        """
