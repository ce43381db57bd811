"""`Source`: the constructors of all sources."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import Any

from arrowstream.connectors.databases import DatabaseSources
from arrowstream.connectors.file_sources import FileSources
from arrowstream.connectors.lakes import LakeSources
from arrowstream.connectors.network_sources import NetworkSources
from arrowstream.core.checks import check_flag
from arrowstream.core.mistakes.explain import ExplainsNames, explain_calls
from arrowstream.core.schemas import SchemaLike, declared_schema
from arrowstream.io.memory.channel_source import ChannelSource
from arrowstream.io.memory.frame_source import FrameSource
from arrowstream.io.memory.function_source import FunctionSource
from arrowstream.io.memory.lazy_source import LazySource


@explain_calls
class Source(FileSources, NetworkSources, DatabaseSources, LakeSources, metaclass=ExplainsNames):
    """Constructors of sources. Nothing is opened before the pipeline runs."""

    @staticmethod
    def from_frame(
        data: Any, *, schema: SchemaLike | None = None, batch_rows: int | None = None
    ) -> FrameSource | LazySource:
        """Read rows from a frame, or from an iterable of frames.

        Parameters
        ----------
        data
            A Polars, pandas or narwhals frame, a pyarrow Table or RecordBatch, or any other Arrow-like object; a
            frame whose rows are read only while the pipeline runs: a `polars.LazyFrame`, a pyarrow Dataset, Scanner
            or RecordBatchReader, a DuckDB relation; or an iterable of these with one schema. A generator or a
            RecordBatchReader can be read only once.
        schema
            Types to cast to where no value can be lost, in the forms of `from_file`; lets `build()` check generators.
        batch_rows
            Number of rows of the slices into which larger frames are cut, without copying; by default 8 MiB of rows,
            but at least 131,072 rows and at most 524,288.

        Raises
        ------
        SchemaError
            `data` is not a frame, or (while running) a later frame has another schema.

        Notes
        -----
        Costs only references: copies no rows, and holds no state except the frames.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> source = Source.from_frame(pl.DataFrame({"x": [1, 2, 3]}))
        >>> Pipeline.builder().source(source).filter(pl.col("x") > 1).collect_sync()["x"].to_list()
        [2, 3]
        """
        return FrameSource.of(data, schema=declared_schema("from_frame", schema), batch_rows=batch_rows)

    @staticmethod
    def from_channel(stream: AsyncIterable[Any], schema: SchemaLike | None = None) -> ChannelSource:
        """Read batches from a channel's receiver, or from any async iterable of Arrow-like objects and records.

        A record is a dict, ``{"x": 1, "y": "a"}``: one row. A list of dicts is several. Records that wait in a
        channel one after the other become one batch; none waits for others.

        Parameters
        ----------
        stream
            The receiver of `arrowstream.channel()`, an async generator, ...
        schema
            The schema of every batch, in the forms of `from_file`. Without it, the first batch gives the schema, and
            the pipeline is checked then. A record without a key has a null there.

        Raises
        ------
        PlanError
            `stream` is not an async iterable.
        SchemaError
            While running: a batch has another schema, or a record has a key that is not a column, or a value that
            does not fit its column.

        Notes
        -----
        Costs no thread; holds no state except what waits in the channel. A run that ends before the stream does
        (limit, stop, a failure, `preview`, `collect(limit=...)`) closes the receiver of a channel, so that its
        sender gets `PeerGone` instead of waiting for ever, with the failure, if any, as the cause. Any other stream
        is left open. Any thread and event loop may feed a channel: by ``await tx.send(...)``, or by
        ``tx.send_sync(...)`` on a thread without a loop.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> async def numbers():
        ...     yield pl.DataFrame({"x": [1, 2]})
        >>> Pipeline.builder().source(Source.from_channel(numbers())).collect_sync()["x"].to_list()
        [1, 2]
        >>> async def records():
        ...     yield {"x": 1}
        ...     yield [{"x": 2}, {"x": None}]
        >>> source = Source.from_channel(records(), schema={"x": pl.Int64})
        >>> Pipeline.builder().source(source).collect_sync()["x"].to_list()
        [1, 2, None]
        """
        return ChannelSource(stream, declared_schema("from_channel", schema))

    @staticmethod
    def from_fn(
        fn: Callable[..., Any], schema: SchemaLike | None = None, *, resumable: bool = False
    ) -> FunctionSource:
        """Read batches from ``async def fn()``, called until it returns None, or from an async generator function.

        Parameters
        ----------
        fn
            Returns or yields Arrow-like objects; called without arguments.
        schema
            Schema of every batch, in the forms of `from_file`; without it, the first batch has it.
        resumable
            Whether `fn` is an async generator function that can continue, as runs with ``checkpoint=`` need: it is
            called as ``fn(resume=position)`` and yields pairs of rows and the position after them, any value that has
            a form in JSON. It gets the position of the last rows that are in a checkpoint, and None at the beginning.

        Raises
        ------
        PlanError
            `fn` is not async, or with `resumable` it is not a generator function or has no parameter ``resume``.
        SourceError
            While running, with `resumable`: `fn` yields something else.

        Notes
        -----
        Costs no thread: `fn` runs on the event loop. Holds no state. Each run calls `fn` again.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Source
        >>> async def numbers():
        ...     yield pl.DataFrame({"x": [1, 2]})
        ...     yield pl.DataFrame({"x": [3]})
        >>> Pipeline.builder().source(Source.from_fn(numbers)).collect_sync()["x"].to_list()
        [1, 2, 3]
        >>> async def counted(resume):
        ...     for n in range(resume or 0, 3):
        ...         yield pl.DataFrame({"x": [n]}), n + 1
        >>> source = Source.from_fn(counted, schema={"x": int}, resumable=True)
        >>> Pipeline.builder().source(source).collect_sync()["x"].to_list()
        [0, 1, 2]
        """
        check_flag("resumable", resumable)
        return FunctionSource(fn, declared_schema("from_fn", schema), resumable)
