"""`Running`: a run in the background, and what it has done so far."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.runtime.background.thread import Background

if TYPE_CHECKING:
    from arrowstream.runtime.background.charts import RunChart


@explain_calls
class Running(Background):
    """A run in the background. Make one with `Pipeline.start`; every method may be called from any thread.

    In a ``with`` block, leaving the block stops the run gently and waits for it; an exception inside ends it at once.
    ``async with`` and ``await running`` do the same in async code, without blocking its loop.

    An error of the run is raised by `wait`, ``await`` and the end of a block, and is in `error`. If nobody waits when
    the run fails, it is logged as an error. A run that is still going on when the program exits is ended at once:
    nothing half-written is visible, and a warning is logged.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream import Pipeline, Sink, Source
    >>> source = Source.from_frame(pl.DataFrame({"x": [1, 2, 3]}))
    >>> pipeline = Pipeline.builder().source(source).filter(pl.col("x") > 1).sink(Sink.to_fn(len)).build()
    >>> running = pipeline.start()
    >>> running.wait().rows_out, running.done
    (2, True)
    """

    def plot(self) -> RunChart:
        """Return a chart of the history: rows a second, busy share, queues and latency of every stage over time.

        It is an altair chart, which a cell shows as SVG, without a script and without the network.

        Raises
        ------
        MissingExtra
            altair or vl-convert-python is not installed (extra ``notebook``).
        """
        from arrowstream.runtime.background.charts import history_chart

        return history_chart(self.history(), self.name)

    def _ipython_display_(self) -> None:
        """Show the run live in the output of a notebook's cell; elsewhere its text."""
        import_module("arrowstream.page.cell").show_in_cell(self)

    def __repr__(self) -> str:
        return f"<Running {self.state}: {self.metrics()}>"
