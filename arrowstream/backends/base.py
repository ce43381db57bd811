"""The contract of a backend: it makes an evaluator for a segment, or gives the reasons why not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol, Self

import polars as pl

from arrowstream.config.settings import Settings
from arrowstream.core.batch import Batch
from arrowstream.expressions.every_row import ExpressionStep
from arrowstream.expressions.program import Program, Refusal


class Frames(Protocol):
    """A segment as a function of a frame: `apply_lazy` runs it whole, `steps` one by one, over rows of `schema`."""

    @property
    def steps(self) -> Sequence[ExpressionStep]: ...

    @property
    def schema(self) -> pl.Schema: ...

    def apply_lazy(self, frame: pl.LazyFrame) -> pl.LazyFrame: ...


Evaluator = Callable[[Batch], Batch]
"""Runs one segment over one batch. Pure, thread-safe, and exact: the same rows for any cut of the input.

It may be called from any thread, also from several at a time. It returns `batch.with_rows(...)`, in whichever form of
rows the backend computes with (see `arrowstream.core.rows.forms`). Raising means that the batch fails as a whole: the
policies of the stage then decide, and may call it again with the same batch or parts of it.
"""


class TransferCost(NamedTuple):
    """The assumed time of a transfer between host memory and a device's, in microseconds.

    Parameters
    ----------
    per_batch
        Time of a transfer of no rows.
    per_row, per_byte
        Time that each row, and each byte of the rows, adds.
    """

    per_batch: float = 0.0
    per_row: float = 0.0
    per_byte: float = 0.0


class DeviceEvaluator(ABC):
    """An evaluator of a backend with a memory of its own, which knows the columns that it needs there.

    Attributes
    ----------
    ahead : frozenset of str
        Columns that pass the segment and that the stages after it read on the device. `bring` brings them as well.
    host : str
        The name of the backend that computes, in host memory, what the device does not.
    """

    ahead: frozenset[str] = frozenset()
    host: str = "polars"

    @property
    def left_to_host(self) -> int:
        """Number of rows that `host` has computed so far, in calls from this thread."""
        return 0

    @property
    @abstractmethod
    def reads(self) -> frozenset[str]:
        """The columns that come in and that it computes with."""

    @property
    @abstractmethod
    def passed(self) -> Mapping[str, str]:
        """The columns that come out unchanged, each with the name that it came in with."""

    @abstractmethod
    def look_ahead(self, names: Iterable[str]) -> None:
        """Set `ahead` to those of these columns that the device can hold."""

    @abstractmethod
    def bring(self, batch: Batch) -> int:
        """Bring what it reads, and `ahead`, into the device's memory, and let the batch keep it there.

        Returns
        -------
        int
            The bytes that were brought; 0 if the device has no room for them, or needs none.
        """

    @abstractmethod
    def __call__(self, batch: Batch) -> Batch:
        """Run the segment, as any `Evaluator`."""


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

    form: ClassVar[str | None] = None
    """Name of the registered form of rows that the backend computes with, if that is in another memory, such as
    ``"gpu"``; None for host memory, whose forms cost nothing to pass on.

    A stage on such a backend calls ``bring(batch)`` of a `DeviceEvaluator`, or for another evaluator
    ``batch.form(form)``, and times it as the upload. If that raises MemoryError, the evaluator is called all the
    same, with the batch as it was. The evaluator returns rows in this form, or in a form of the host if it had to
    compute there. The next stage, or this one if that one needs host memory, calls ``arrow()`` on the result, and
    times it as the download.
    """

    upload_cost: ClassVar[TransferCost] = TransferCost()
    """Assumed cost of ``batch.form(form)`` of rows in host memory, before any is measured."""

    download_cost: ClassVar[TransferCost] = TransferCost()
    """Assumed cost of ``batch.arrow()`` of rows in the backend's form, before any is measured."""

    least_rows: int = 0
    """Number of rows of a batch below which the backend runs only what is pinned to it. Smaller batches that wait
    together before a stage that gains by it are joined up to this size."""

    def with_settings(self, settings: Settings) -> Self:
        """Return the backend for pipelines with these settings, such as one with another `least_rows`."""
        return self

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
