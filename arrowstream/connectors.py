"""`Source` and `Sink`: the constructors of all connectors."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Never

import pyarrow as pa

from arrowstream.core.channel import Sender
from arrowstream.core.checks import PathLike
from arrowstream.core.schemas import SchemaLike, declared_schema
from arrowstream.io.memory.channel_sink import ChannelSink
from arrowstream.io.memory.channel_source import ChannelSource
from arrowstream.io.memory.frame_source import BATCH_ROWS, FrameSource
from arrowstream.io.memory.function_sink import FunctionSink
from arrowstream.io.memory.function_source import FunctionSource
from arrowstream.io.memory.lazy_source import LazySource
from arrowstream.io.sink import AnySink, Fanout

if TYPE_CHECKING:
    from arrowstream.io.files.evolution import Extra, Missing
    from arrowstream.io.files.sink import FileSink
    from arrowstream.io.files.source import FileSource


class Source:
    """Constructors of sources. Nothing is opened before the pipeline runs."""

    @staticmethod
    def from_file(
        path: PathLike | Iterable[PathLike],
        *,
        format: str | None = None,
        schema: SchemaLike | None = None,
        delimiter: str | None = None,
        strict_keys: bool = False,
        missing_columns: Missing = "error",
        extra_columns: Extra = "error",
        widen: bool = False,
        include_file_paths: str | None = None,
        skip_empty: bool = False,
    ) -> FileSource:
        r"""Read rows from files: Parquet, CSV, NDJSON, JSON, Arrow IPC; text also as ``.gz``, ``.zst``, ``.zip``.

        Parameters
        ----------
        path
            A file, a glob, a list of files, or a folder: all files of one format at any depth, through symbolic
            links, except names that begin with ``.`` or ``_``. Hive partitions ``key=value`` and ``_key=value``
            become columns, those in the paths of a list, too. ``~`` is the home folder; a URL is refused.
        format
            ``"parquet"``, ``"csv"``, ``"ndjson"``, ``"json"`` or ``"ipc"``; by default the names of the files decide.
        schema
            Types of all columns, or of some: the others are those of the file, or inferred from the first 10,000 rows
            of the first text file. A schema of Polars or pyarrow, or pairs or a dict of their types or Python's.
        delimiter
            Delimiter between the fields of CSV files; by default a comma, and a tab in ``.tsv``.
        strict_keys
            Whether a key of NDJSON or JSON is an error if it first appears after the first 10,000 rows and is not in
            `schema`; by default it is left out and counted in the report. Adds twice the time of parsing.
        missing_columns
            ``"insert"`` to read a column of the first file or of `schema` as nulls where a file lacks it.
        extra_columns
            ``"ignore"`` to leave out columns that a later file has in addition.
        widen
            Whether a column may have several types, as far as one holds all values exactly. In text, integers and
            floats become Float64, others text. Of more than 1,000 files, the types of the first must hold all values.
        include_file_paths
            Name of a last column with the path of each row's file. A filter on it decides which files are read.
        skip_empty
            Whether files without content are left out and counted in the report; by default an error.

        Raises
        ------
        SourceError, SchemaError, PlanError
            At `build()`: a file is missing, or the files have different formats or schemas.

        Notes
        -----
        Costs a thread and memory for a few batches; files are read in order. Parquet and IPC read only
        the columns and row groups that the first steps need, text only the columns. Holds no state between batches.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from arrowstream import Pipeline
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "prices.csv"
        >>> _ = file.write_text("item;price\ntea;3\n")
        >>> source = Source.from_file(file, delimiter=";")
        >>> Pipeline.builder().source(source).collect_sync().rows()
        [('tea', 3)]
        """
        from arrowstream.io.files.source import FileSource  # here, to keep importing arrowstream fast

        source = FileSource.of(path, format=format, schema=declared_schema("from_file", schema))
        source = source.with_differences(missing_columns, extra_columns, widen=widen)
        source = replace(source, include_file_paths=include_file_paths, skip_empty=skip_empty)
        if delimiter is not None:
            source = source.with_delimiter(delimiter)
        return source.with_strict_keys() if strict_keys else source

    @staticmethod
    def from_frame(
        data: Any, *, schema: SchemaLike | None = None, batch_rows: int = BATCH_ROWS
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
            Number of rows of the slices into which larger frames are cut, without copying.

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
        >>> from arrowstream import Pipeline
        >>> source = Source.from_frame(pl.DataFrame({"x": [1, 2, 3]}))
        >>> Pipeline.builder().source(source).filter(pl.col("x") > 1).collect_sync()["x"].to_list()
        [2, 3]
        """
        return FrameSource.of(data, schema=declared_schema("from_frame", schema), batch_rows=batch_rows)

    @staticmethod
    def from_channel(stream: AsyncIterable[Any], schema: SchemaLike | None = None) -> ChannelSource:
        """Read batches from a channel's receiver, or from any async iterable of Arrow-like objects.

        Parameters
        ----------
        stream
            The receiver of `arrowstream.channel()`, an async generator, ...
        schema
            Schema of every batch, in the forms of `from_file`; without it, the first batch has it.

        Raises
        ------
        PlanError
            `stream` is not an async iterable.
        SchemaError
            While running: a batch has another schema.

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
        >>> from arrowstream import Pipeline
        >>> async def numbers():
        ...     yield pl.DataFrame({"x": [1, 2]})
        >>> Pipeline.builder().source(Source.from_channel(numbers())).collect_sync()["x"].to_list()
        [1, 2]
        """
        return ChannelSource(stream, declared_schema("from_channel", schema))

    @staticmethod
    def from_fn(fn: Callable[[], Any], schema: SchemaLike | None = None) -> FunctionSource:
        """Read batches from ``async def fn()``, called until it returns None, or from an async generator function.

        Parameters
        ----------
        fn
            Returns or yields Arrow-like objects; called without arguments.
        schema
            Schema of every batch, in the forms of `from_file`; without it, the first batch has it.

        Raises
        ------
        PlanError
            `fn` is not async.

        Notes
        -----
        Costs no thread: `fn` runs on the event loop. Holds no state. Each run calls `fn` again.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline
        >>> async def numbers():
        ...     yield pl.DataFrame({"x": [1, 2]})
        ...     yield pl.DataFrame({"x": [3]})
        >>> Pipeline.builder().source(Source.from_fn(numbers)).collect_sync()["x"].to_list()
        [1, 2, 3]
        """
        return FunctionSource(fn, declared_schema("from_fn", schema))


class Sink:
    """Constructors of sinks. Nothing is created before the pipeline runs."""

    @staticmethod
    def to_file(
        path: PathLike,
        *,
        format: str | None = None,
        partition_by: str | Sequence[str] = (),
        compression: str | None = None,
        overwrite: bool = False,
        max_rows_per_file: int | None = None,
    ) -> FileSink:
        """Write one file, part files in a folder, or Hive partitions; visible only once complete.

        Parameters
        ----------
        path
            A file, or a folder (existing, or ending in ``/``) for part files; a device or a pipe gets the rows as
            they come. ``~`` is the home folder; a URL is refused.
        format
            ``"parquet"``, ``"csv"``, ``"ndjson"``, ``"json"`` or ``"ipc"``; by default the name decides, and a folder
            gets Parquet.
        partition_by
            Column, or columns, whose values become folders ``key=value``.
        compression
            A compression of the format, such as ``"zstd"``, ``"snappy"``, ``"gzip"``.
        overwrite
            Whether to replace all data files of this format that a folder and its partitions already hold, whichever
            program wrote them; by default such a folder is refused. Files of other formats are never changed: a
            folder that holds such data is refused.
        max_rows_per_file
            Most rows of a part file in a folder; 4,194,304 by default.

        Raises
        ------
        SinkError, SchemaError, PlanError
            The target cannot be written, or the format cannot hold a column's type.

        Notes
        -----
        Costs two threads for each open file, at most 16, which holds up to 32 MB of rows and a few row groups. Rows
        of further partitions wait in memory up to 128 MB, then in a spill file. Names are hidden until the end.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> import polars as pl
        >>> from arrowstream import Pipeline
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> _ = rows.sink(Sink.to_file(folder / "x.parquet")).build().run_sync()
        >>> pl.read_parquet(folder / "x.parquet")["x"].to_list()
        [1, 2]
        """
        from arrowstream.io.files.sink import FileSink

        sink = FileSink.of(path, format=format, partition_by=partition_by, compression=compression)
        return replace(sink, overwrite=overwrite, max_rows_per_file=max_rows_per_file)

    @staticmethod
    def to_channel(sender: Sender[pa.RecordBatch]) -> ChannelSink:
        """Send each batch as a `pyarrow.RecordBatch` into a channel, which ends when the stream ends.

        Parameters
        ----------
        sender
            The sender of `arrowstream.channel()`.

        Raises
        ------
        PeerGone
            While running: the receiver was closed.

        Notes
        -----
        Costs the conversion of batches that are Polars frames. Holds no state: a batch waits until the channel has
        free capacity, which slows the source. A failed run also fails the channel, so that its receiver does not
        take a broken stream for a complete one.

        Examples
        --------
        >>> import asyncio
        >>> import polars as pl
        >>> from arrowstream import Pipeline, channel
        >>> async def main():
        ...     tx, rx = channel(10)
        ...     rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        ...     await rows.sink(Sink.to_channel(tx)).build().run()
        ...     return [batch.num_rows async for batch in rx]
        >>> asyncio.run(main())
        [2]
        """
        return ChannelSink(sender)

    @staticmethod
    def to_fn(fn: Callable[[pa.RecordBatch], Any]) -> FunctionSink:
        """Call ``fn(batch)``, plain or async, with each batch as a `pyarrow.RecordBatch`.

        Parameters
        ----------
        fn
            Function of a RecordBatch. Its result is awaited if it is awaitable, and otherwise ignored.

        Raises
        ------
        PlanError
            `fn` cannot be called.
        SinkError
            While running: `fn` raised.

        Notes
        -----
        Costs the conversion of batches that are Polars frames. `fn` runs on the event loop: a slow one blocks every
        pipeline of the loop. Holds no state. The effects of `fn` remain if the run fails.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline
        >>> sizes = []
        >>> rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> _ = rows.sink(Sink.to_fn(lambda batch: sizes.append(batch.num_rows))).build().run_sync()
        >>> sizes
        [2]
        """
        return FunctionSink(fn)

    @staticmethod
    def fanout(sinks: Sequence[AnySink], *more: Never) -> Fanout:
        """Write every batch to each of `sinks`; the slowest of those that are not `best_effort` sets the pace.

        ``.on_error(...)`` after ``.sink(...)`` applies to all of them; the handlers of a single sink, as in
        ``Sink.fanout([a, b.on_error(ErrorHandler.skip())])``, replace it.
        """
        return Fanout.of(sinks, more)
