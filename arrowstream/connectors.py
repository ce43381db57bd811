"""`Source` and `Sink`: the connectors under the names users know."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Never

import polars as pl
import pyarrow as pa

from arrowstream.core.channel import Sender
from arrowstream.errors import SchemaError
from arrowstream.io.fanout_sink import FanoutSink
from arrowstream.io.memory.channel_sink import ChannelSink
from arrowstream.io.memory.channel_source import ChannelSource
from arrowstream.io.memory.frame_source import BATCH_ROWS, FrameSource
from arrowstream.io.memory.function_sink import FunctionSink
from arrowstream.io.memory.function_source import FunctionSource
from arrowstream.io.sink import SinkSpec

if TYPE_CHECKING:
    from arrowstream.io.files.sink import FileSink
    from arrowstream.io.files.source import FileSource

SchemaLike = pl.Schema | Mapping[str, Any]
"""Column names and Polars types."""


class Source:
    """Where a pipeline's batches come from. Nothing is opened before the pipeline runs."""

    @staticmethod
    def from_file(
        path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        format: str | None = None,
        schema: SchemaLike | None = None,
    ) -> FileSource:
        """Rows of files: Parquet, CSV, NDJSON, JSON, Arrow IPC; text also as ``.gz`` or ``.zst``.

        Parameters
        ----------
        path
            A file, a glob, a list of files, or a folder: all files of one format at any depth, through symbolic
            links, without names that begin with ``.`` or ``_``. Hive partitions ``key=value`` become columns,
            also ``_key=value``. ``~`` is the home folder; a URL is refused.
        format
            ``"parquet"``, ``"csv"``, ``"ndjson"``, ``"json"`` or ``"ipc"``, where the name does not tell.
        schema
            Types of all columns, or only of those whose type should not be inferred. A key of NDJSON or JSON
            that first appears after the first 10,000 rows is left out unless it is named here;
            with ``.with_strict_keys()`` it is an error.

        Raises
        ------
        SourceError, SchemaError, PlanError
            At `build()`: no such file, formats or schemas that do not go together.

        Examples
        --------
        >>> Source.from_file("bids/*.parquet")  # doctest: +SKIP
        >>> Source.from_file("prices.csv").with_delimiter(";")  # doctest: +SKIP
        """
        from arrowstream.io.files.source import FileSource

        return FileSource.of(path, format=format, schema=_schema(schema))

    @staticmethod
    def from_frame(
        data: Any, *, schema: SchemaLike | None = None, batch_rows: int = BATCH_ROWS
    ) -> FrameSource:
        """Rows in memory: an Arrow-like frame (Polars, pandas, pyarrow, ...) or an iterable of them.

        Parameters
        ----------
        data
            A frame, or an iterable of frames with one schema; a generator is read once.
        schema
            Types to cast to where no value can be lost; needed only for a generator whose schema
            should be checked at `build()`.
        batch_rows
            Larger frames are cut into slices of so many rows, without copying.

        Raises
        ------
        SchemaError
            `data` is no frame, or (while running) a later frame has another schema.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline
        >>> source = Source.from_frame(pl.DataFrame({"x": [1, 2, 3]}))
        >>> Pipeline.builder().source(source).filter(pl.col("x") > 1).collect_sync()["x"].to_list()
        [2, 3]
        """
        return FrameSource.of(data, schema=_schema(schema), batch_rows=batch_rows)

    @staticmethod
    def from_channel(stream: AsyncIterable[Any], schema: SchemaLike | None = None) -> ChannelSource:
        """Batches from a channel's receiver, or any async iterable of Arrow-like objects.

        Parameters
        ----------
        stream
            The receiver of `arrowstream.channel()`, an async generator, ...
        schema
            The schema of every batch. Without it, the first batch tells, and the pipeline is checked
            only then.

        A run that ends before the stream does (limit, stop, a failure; `preview` and `collect(limit=...)`, too)
        closes the receiver of a channel, so that its sender gets `PeerGone` instead of waiting for room. Any other
        stream stays yours.
        """
        return ChannelSource(stream, _schema(schema))

    @staticmethod
    def from_fn(fn: Callable[[], Any], schema: SchemaLike | None = None) -> FunctionSource:
        """Batches from ``async def fn()``, called until it gives None, or from an async generator function.

        Parameters
        ----------
        fn
            Gives Arrow-like objects.
        schema
            As for `from_channel`.

        Raises
        ------
        PlanError
            `fn` is not async.
        """
        return FunctionSource(fn, _schema(schema))


class Sink:
    """Where a pipeline's batches go. Nothing is created before the pipeline runs."""

    @staticmethod
    def to_file(
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        partition_by: str | Sequence[str] = (),
        compression: str | None = None,
        overwrite: bool = False,
    ) -> FileSink:
        """One file, or part files in a folder, or Hive partitions; visible only once complete.

        Parameters
        ----------
        path
            A file, or a folder (existing, or ending in ``/``) for part files; a device or a pipe gets the rows as
            they come. ``~`` is the home folder; a URL is refused.
        format
            ``"parquet"``, ``"csv"``, ``"ndjson"``, ``"json"`` or ``"ipc"``, where the name does not tell.
        partition_by
            Column, or columns, whose values become folders ``key=value``.
        compression
            What the format offers, such as ``"zstd"``, ``"snappy"``, ``"gzip"``.
        overwrite
            Replace all data files of this format that a folder and its partitions already hold, whoever
            wrote them; without it such a folder is refused. Files of other formats are never touched: a
            folder that holds such data is refused.

        Raises
        ------
        SinkError, SchemaError, PlanError
            The target cannot be written, or the format cannot hold a column's type.
        """
        from arrowstream.io.files.sink import FileSink

        return FileSink.of(
            path,
            format=format,
            partition_by=partition_by,
            compression=compression,
            overwrite=overwrite,
        )

    @staticmethod
    def to_channel(sender: Sender[pa.RecordBatch]) -> ChannelSink:
        """Each batch as a `pyarrow.RecordBatch` into a channel, which ends when the stream ends."""
        return ChannelSink(sender)

    @staticmethod
    def to_fn(fn: Callable[[pa.RecordBatch], Any]) -> FunctionSink:
        """Call ``fn(batch)``, plain or async, with each batch as a `pyarrow.RecordBatch`."""
        return FunctionSink(fn)

    @staticmethod
    def fanout(sinks: Sequence[SinkSpec], *more: Never) -> FanoutSink:
        """Every batch into each of `sinks`; the slowest sets the pace, but for those that are `best_effort`.

        ``.on_error(...)`` after ``.sink(...)`` is for all of them; a sink's own, as in
        ``Sink.fanout([a, b.on_error(ErrorHandler.skip())])``, stands in its place.
        """
        return FanoutSink.of(sinks, more)


def _schema(schema: SchemaLike | None) -> pl.Schema | None:
    if schema is None:
        return None
    for name, dtype in schema.items():
        try:
            pl.Schema({name: dtype})
        except TypeError as error:
            raise SchemaError(
                f"{name!r} has no type in the declared schema",
                expected="a Polars type, such as pl.Int64 or pl.Datetime('us')",
                found=repr(dtype),
                hint=str(error),
            ) from None
    return pl.Schema(schema)
