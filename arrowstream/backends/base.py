"""The contract of a backend: it makes an evaluator for a segment, or gives the reasons why not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.expressions.every_row import Step
from arrowstream.expressions.program import Program, Refusal


class Frames(Protocol):
    """A segment as a function of a frame: `apply_lazy` runs it whole, `steps` one by one, over rows of `schema`."""

    @property
    def steps(self) -> Sequence[Step]: ...

    @property
    def schema(self) -> pl.Schema: ...

    def apply_lazy(self, frame: pl.LazyFrame) -> pl.LazyFrame: ...


Evaluator = Callable[[Batch], Batch]
"""Runs one segment over one batch. Pure, thread-safe, and exact: the same rows for any cut of the input.

It may be called from any thread, also from several at a time. It returns `batch.with_rows(...)`, in whichever form of
rows the backend computes with (see `arrowstream.core.rows.forms`). Raising means that the batch fails as a whole: the
policies of the stage then decide, and may call it again with the same batch or parts of it.
"""


class Backend(ABC):
    """A library that can run segments. An instance holds no state of a run; one serves all pipelines.

    Once it is registered by `arrowstream.backends.registry.register_backend`, ``.backend(name)`` pins steps to it,
    and without a pin the cost model chooses it for batches of sizes at which it is measured to be the fastest.
    """

    name: ClassVar[str]

    start_cost: ClassVar[tuple[float, float]] = (170.0, 0.0022)
    """Assumed cost before any batch is measured: microseconds a batch, and microseconds a row."""

    runs_everything: ClassVar[bool] = False
    """True if the backend refuses no segment, because it computes with Polars. It then computes the branch names of
    splits, and a file read may take over segments that are pinned to it."""

    @abstractmethod
    def prepare(self, segment: Frames, program: Program | Refusal) -> Evaluator | Refusal:
        """Return an evaluator for a segment, or all the reasons why this backend does not run it.

        Called once for each segment when a pipeline is built. The backend must refuse every step, function or type
        that it does not know; a guess could give other rows than Polars.

        Parameters
        ----------
        segment
            The segment as a function over Polars frames.
        program
            The segment lowered, or the reasons why it has no program.
        """
