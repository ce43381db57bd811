"""The ends of a builder that give its rows to the program: as a frame, or batch by batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

import polars as pl
import pyarrow as pa

from arrowstream.builder.execution.trace import Trace
from arrowstream.builder.execution.tracing import trace_of
from arrowstream.builder.steps import Steps
from arrowstream.core.batch import to_frame
from arrowstream.core.channel import Receiver, Sender, channel
from arrowstream.core.checks import check_whole
from arrowstream.core.clock import Clock
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.errors import PlanError
from arrowstream.io.memory.channel_sink import ChannelSink
from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.plan.graph import Graph
from arrowstream.plan.part_of import up_to, writing_nothing
from arrowstream.runtime.flow.iteration import iterate, iterate_blocking
from arrowstream.runtime.report import RunReport, log_losses
from arrowstream.runtime.run_blocking import run_blocking


class Runnable(Protocol):
    """The interface of a pipeline that this module needs."""

    async def run(self, *, limit: int | None = None) -> RunReport: ...

    def stop(self) -> None: ...


@explain_calls
@dataclass(frozen=True, slots=True)
class Results(Steps, ABC):
    """A builder whose rows come out as frames and batches."""

    @abstractmethod
    def schema(self) -> pl.Schema | None:
        """Return the schema after the last step; None if it is not known yet."""

    @abstractmethod
    def build(self, *, clock: Clock | None = None) -> Runnable:
        """Return the pipeline."""

    async def collect(self, limit: int | None = None) -> pl.DataFrame:
        """Run, and return the output as a frame; with `limit`, stop the source after this number of output rows.

        A limit ends the run as in `Pipeline.run`: it closes the receiver of a channel source, and what the channel
        still held is lost. Rows that came late, and what a source left out, are logged as a warning.

        Parameters
        ----------
        limit
            Maximum number of rows; None for all.

        Returns
        -------
        polars.DataFrame
            The rows that come out.
        """
        sink = CollectSink()
        log_losses(await self.sink(sink).build().run(limit=limit))
        return sink.frame()

    def collect_sync(self, limit: int | None = None) -> pl.DataFrame:
        """Run `collect` from code that is not async, such as scripts and notebooks.

        Parameters
        ----------
        limit
            Maximum number of rows; None for all.

        Returns
        -------
        polars.DataFrame
            The rows that come out.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2, 3]})))
        >>> builder.filter(pl.col("x") > 1).collect_sync(limit=1).rows()
        [(2,)]
        """
        return run_blocking(lambda: self.collect(limit))

    def preview(self, rows: int = 10) -> pl.DataFrame:
        """Return the first `rows` rows of the output: `collect_sync` with a limit.

        This reads from the source: rows read from a channel are lost for a later run, and its receiver is closed. A
        file or a list of frames can be previewed and then run.

        Parameters
        ----------
        rows
            Maximum number of rows.

        Returns
        -------
        polars.DataFrame
            The rows.
        """
        return self.collect_sync(limit=rows)

    def sample(self, stage: str = "sink", rows: int = 10) -> pl.DataFrame:
        """Return the first rows that come out of a stage, also of one inside a branch or another input.

        Nothing is written: sinks, dead letters and late rows get nothing. It reads from the source, as `preview`.

        Parameters
        ----------
        stage
            The stage or step, as `explain()` and `graph.ids` name it: ``"filter"``, ``"with_columns+filter"``,
            ``"split/high/filter"``, ``"join/orders/source"``; by default what comes out of the last step.
        rows
            Maximum number of rows.

        Returns
        -------
        polars.DataFrame
            The rows.

        Raises
        ------
        PlanError
            `stage` is not text, no stage has this name, or `rows` is less than 1.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2, 3]})))
        >>> builder.filter(pl.col("x") > 1).select(y=pl.col("x") * 2).sample("filter", rows=1).rows()
        [(2,)]
        """
        check_whole("rows", rows, least=1)
        if not isinstance(stage, str):
            raise PlanError(
                "the name of a stage is text",
                expected='sample("filter", rows=5), with a name that explain() prints',
                found=f"{type(stage).__name__} {stage!r}",
                hint=f"write sample(rows={stage})" if type(stage) is int else None,
            )
        graph = writing_nothing(up_to(self.graph, stage))
        return run_blocking(lambda: self._first(graph, rows))

    def trace(self, rows: int = 5) -> Trace:
        """Return what the first rows of the source look like after every step, for debugging.

        Every beginning of the pipeline runs over the same rows, so that functions are called several times. Nothing
        is written: sinks, dead letters and late rows get nothing. It reads from the source, as `preview`.

        Parameters
        ----------
        rows
            Number of rows to read from the source.

        Returns
        -------
        Trace
            A table with a row for each source row, and a column for each step; rows that a filter drops are shown
            as dropped. Rows that come from no single source row, as those of a window, follow the table. The trace
            ends before a split whose branches all have sinks, and after a step that fails, with its error.
            A function that returns as many rows as it got is taken to keep their order.

        Raises
        ------
        PlanError
            The builder has no source, or `rows` is less than 1.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder(name="p").source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> print(builder.filter(pl.col("x") > 1).with_columns(y=pl.col("x") * 2).trace())
        trace of p: 2 rows of frame
        row  frame  filter(x > 1)  with_columns(y = x * 2)
        0    x=1    dropped
        1    x=2    ·              y=4
        """
        check_whole("rows", rows, least=1)
        return run_blocking(lambda: trace_of(self.graph, rows, self._first))

    async def _first(self, graph: Graph, rows: int | None) -> pl.DataFrame:
        """Return the first rows that come out of a graph, which stops gently after them."""
        builder = replace(self, graph=graph)
        found: list[pa.RecordBatch] = []
        async with aclosing(builder._batches()) as batches:
            async for batch in batches:
                found.append(batch)
                if rows is not None and sum(each.num_rows for each in found) >= rows:
                    break
        if not found:
            return pl.DataFrame(schema=builder.schema())
        frame = pl.concat([to_frame(batch) for batch in found])
        return frame if rows is None else frame.head(rows)

    def __aiter__(self) -> AsyncGenerator[pa.RecordBatch, None]:
        """Run, and give each batch that comes out to ``async for``; leaving the loop stops the run gently.

        The run is at most one batch, and what its channels hold, ahead of the loop. An error of the run is raised by
        the loop as it is, and late rows are logged as by `collect`. After a ``break``, asyncio ends the run in
        the background; ``async with contextlib.aclosing(aiter(builder)) as batches`` waits for that.
        """
        return self._batches()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Run, and give each batch that comes out to ``for``; leaving the loop stops the run gently.

        The pipeline works, and its time limits count, while the loop waits for its next batch. Where an event loop
        runs on this thread, as in a notebook, this is a PlanError: write ``async for``.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> builder = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2, 3]})))
        >>> for batch in builder.batch(rows=2):
        ...     print(batch["x"].to_pylist())
        [1, 2]
        [3]
        """
        return iterate_blocking(self._batches)

    def _batches(self, clock: Clock | None = None) -> AsyncGenerator[pa.RecordBatch, None]:
        ends: tuple[Sender[pa.RecordBatch], Receiver[pa.RecordBatch]] = channel(1)
        pipeline = self.sink(ChannelSink(ends[0])).build(clock=clock)
        return iterate(pipeline.run, pipeline.stop, ends[1])
