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

    def pieces(self) -> tuple[Self, ...]: ...

    def apply(self, frame: Frame) -> Frame: ...

    def expressions(self) -> tuple[pl.Expr, ...]: ...

    def with_expressions(self, exprs: tuple[pl.Expr, ...]) -> Self: ...


class Frames(Protocol):
    """A segment as a function of a frame: whole over a lazy one, or step by step."""

    @property
    def steps(self) -> Sequence[Step]: ...

    def apply_lazy(self, frame: pl.LazyFrame) -> pl.LazyFrame: ...


Evaluator = Callable[[Batch], Batch]
"""Runs one segment over one batch. Pure, thread-safe, and exact: the same rows for any cut of the input.

It may be called from any thread, also from several at a time. It returns `batch.with_rows(...)`, in whichever form of
rows the backend computes with (see `arrowstream.core.rows.forms`). Raising means that the batch fails as a whole: the
policies of the stage then decide, and may call again with the same batch or parts of it.
"""


class Backend(ABC):
    """One way of running segments. Values of this class hold no state of a run; one serves all pipelines.

    A backend takes part once `arrowstream.backends.registry.register_backend` knows it: ``.backend(name)`` then pins
    steps to it, and without a pin the cost model chooses it where it has measured it to be the fastest.
    """

    name: ClassVar[str]

    start_cost: ClassVar[tuple[float, float]] = (170.0, 0.0022)
    """Cost of a batch before any was measured: microseconds, and microseconds for each row."""

    runs_everything: ClassVar[bool] = False
    """True if it refuses no segment, because it computes with Polars itself. The names of a split are then
    computed by it, and a file read may take over segments that are pinned to it."""

    @abstractmethod
    def prepare(self, segment: Frames, program: Program | Refusal) -> Evaluator | Refusal:
        """An evaluator for this segment, or all the reasons why this backend will not run it.

        Called once for each segment when a pipeline is built. What the backend does not know (a step, a function, a
        type) it must refuse; a guess would give other rows than Polars.

        Parameters
        ----------
        segment
            The segment as a function over Polars frames.
        program
            The segment lowered, or why it could not be.
        """
