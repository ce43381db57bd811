"""`Sink`: the constructors of all sinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Never

import pyarrow as pa

from arrowstream.connectors.databases import DatabaseSinks
from arrowstream.connectors.lakes import LakeSinks
from arrowstream.connectors.network_sinks import NetworkSinks
from arrowstream.core.channel import Sender
from arrowstream.core.checks import PathLike, check_flag, check_whole
from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import ExplainsNames, explain_calls
from arrowstream.io.memory.channel_sink import ChannelSink
from arrowstream.io.memory.function_sink import FunctionSink
from arrowstream.io.sink import AnySink, Fanout

if TYPE_CHECKING:
    from arrowstream.io.files.destination.write_mode import Mode
    from arrowstream.io.files.formats import WrittenFormat
    from arrowstream.io.files.remote.sink import ObjectSink
    from arrowstream.io.files.sink import FileSink
    from arrowstream.io.files.text.options.csv_layout import QuoteStyle


@explain_calls
class Sink(NetworkSinks, DatabaseSinks, LakeSinks, metaclass=ExplainsNames):
    """Constructors of sinks. Nothing is created before the pipeline runs."""

    @staticmethod
    def to_file(
        path: PathLike,
        *,
        format: WrittenFormat | None = None,
        partition_by: str | Sequence[str] = (),
        compression: str | None = None,
        overwrite: bool = False,
        mode: Mode | None = None,
        max_rows_per_file: int | None = None,
        max_bytes_per_file: int | None = None,
        roll_every: Duration | None = None,
        sort_by: str | Sequence[str] = (),
        row_group_size: int | None = None,
        statistics: bool = True,
        compression_level: int | None = None,
        delimiter: str | None = None,
        has_header: bool = True,
        quote_char: str = '"',
        quote_style: QuoteStyle = "necessary",
        null_values: str | None = None,
        decimal_comma: bool = False,
        float_precision: int | None = None,
        date_format: str | None = None,
        datetime_format: str | None = None,
        time_format: str | None = None,
        storage_options: Mapping[str, str | int] | None = None,
    ) -> FileSink | ObjectSink:
        """Write one file, part files in a folder, or Hive partitions; visible only once complete.

        Parameters
        ----------
        path
            A file, or a folder (existing, or ending in ``/``) for part files; a device, a pipe or standard output,
            ``"-"``, gets the rows of text that is not compressed as they come. ``~`` is the home folder. ``s3://``,
            ``gs://`` and ``az://`` URLs name one object, or a folder of them if they end in ``/``.
        format
            ``"parquet"``, ``"csv"``, ``"ndjson"``, ``"json"``, ``"ipc"`` or ``"avro"``; by default the name decides,
            and a folder gets Parquet. NDJSON and JSON hold nulls for NaN and infinity, and the report counts
            them.
        partition_by
            Column, or columns, whose values become folders ``key=value``.
        compression
            A compression of the format, such as ``"zstd"``, ``"snappy"``, ``"gzip"``.
        overwrite
            Short for ``mode="overwrite"``.
        mode
            What happens to rows that the target already holds. By default a file is replaced, and a folder that holds
            data files is refused; late rows and dead letters are appended, as is everything with checkpoints.

            ``"append"``: they stay. A folder gets further part files, and a CSV or NDJSON file a new version with
            the rows at its end; other files are refused. The columns must be the same, for Parquet and Arrow files
            their types too (the first and last file are looked at). A run without rows changes nothing.

            ``"overwrite"``: all data files of this format in the folder and its partitions are replaced, whichever
            program wrote them. Files of other formats are never changed: a folder that holds such data is refused.

            ``"overwrite_partitions"``: only files in the partitions that the run writes to are replaced.

            ``"error"``: a file that holds rows, or a folder that holds data files, is refused.
        max_rows_per_file
            Most rows of a part file in a folder; 4,194,304 by default.
        max_bytes_per_file
            Bytes after which a part file ends, about: rows that wait for the encoder are still added to it.
        roll_every
            Time after which part files end, such as ``"10m"``, also when no rows come. Needs ``mode="append"``.
        sort_by
            Column, or columns, by which the rows of each file are sorted, ascending and nulls first; equal rows keep
            their order. Each part file is sorted by itself, and all its rows are held in memory, twice: they count
            against `state_memory_mb`, and the run fails if they exceed it.
        row_group_size
            Rows in each row group of Parquet; 262,144 by default, fewer if rows are wide.
        statistics
            Whether row groups of Parquet have the least and largest value of each column, by which readers skip them.
        compression_level
            1 to 22 for zstd (1 by default), 1 to 9 for gzip, in Parquet and text.
        delimiter
            Delimiter between the fields of CSV, one ASCII character; a comma by default, a tab if the name ends in
            ``.tsv``. `Source.from_file` reads the file by the same `delimiter`, `has_header`, `quote_char`,
            `null_values` and `decimal_comma`.
        has_header
            Whether a CSV file begins with the names of the columns.
        quote_char
            Character around the CSV fields that hold a delimiter, a quote or a line end, doubled inside of them.
        null_values
            Text for nulls in CSV; an empty field by default, while an empty text is ``""``. A text of a column that
            equals it is read as null.
        decimal_comma
            Whether a comma is before the decimals of numbers in CSV. Needs another `delimiter`, such as ``";"``.
        quote_style
            Which fields of CSV are in quotes: those for which it is ``"necessary"``, ``"always"`` all of them, which
            makes nulls empty texts without `null_values`, or all that are ``"non_numeric"``.
        float_precision
            Number of decimals of floats in CSV; by default all that are needed to read the same float.
        date_format, datetime_format, time_format
            Formats of dates and times in CSV, as of `strftime`: ``"%d.%m.%Y"``; by default ISO 8601. The source reads
            other formats as text, which a step can parse. One with the zone, such as ``"%z"``, needs times in a zone.
        storage_options
            Options of the object store of a URL, as for `Source.from_file`; secrets are never shown.

        Raises
        ------
        SinkError, SchemaError, PlanError
            The target cannot be written, or the format cannot hold a column's type.

        Notes
        -----
        With ``mode="append"`` and `roll_every` or `max_bytes_per_file`, each part file becomes visible as soon as it
        is complete, and stays if the run fails later: at least once, as a run that repeats the work writes those rows
        again. Only what is not visible yet is removed then. Otherwise all files of a run become visible together at
        its end, or none.

        Costs two threads for each open file, at most 16, which holds up to 32 MB of rows and a few row groups. Rows
        of further partitions wait in memory up to 128 MB, then in a spill file. Names are hidden until the end.

        In a run with checkpoints, ``run(checkpoint=...)``, rows become visible epoch by epoch, exactly once, however
        often it is killed. A folder gets part files whose names begin with their epoch and a token of the job, as in
        ``part-00000012-5d0c9a4e11f2-00000.parquet``, so that several jobs can add to it. They wait in a hidden folder
        next to it, ``.out.5d0c9a4e11f2.epochs``, and are renamed one by one once the checkpoint is complete. No file
        holds rows of two epochs. An epoch without rows adds none, but until there are rows, a file without any shows
        the columns. To a CSV or NDJSON file that is not compressed, the rows of each epoch are appended; a reader may
        see the last ones half-written, and after a kill until the next run. By default, rows are added to those that
        the target holds; with ``mode="error"``, only to those of the same job. The other modes are refused, as are
        other single files, single objects, pipes and devices. A run that continues from an older checkpoint, as the
        newest one is damaged, removes what it will write again. The files of the newest epoch with rows must still be
        there, and a single file as long as before. A hidden file next to the target, ``.out.5d0c9a4e11f2.epoch``,
        says which epoch is there, so that a run with a copy of the checkpoint folder is refused. Objects of a folder
        in a store wait in the folder of the checkpoints, and are uploaded once the checkpoint is complete, again by
        the next run if that fails.

        Objects of a store are written as files in the folder for temporary files (``TMPDIR``), and uploaded after all
        sinks of the run have prepared, 8 at a time. A single object appears when its upload completes, and replaces
        one of the same name. Objects of a folder appear one after the other; if an upload fails, those before it
        are deleted. ``"overwrite"`` and ``"overwrite_partitions"`` delete the old objects once all new ones are in
        place, so that a reader may see rows of both meanwhile. ``"append"`` to a single object and `roll_every` are
        refused. A run that is killed leaves its temporary files, and in the store perhaps parts of an upload that no
        reader sees and a lifecycle rule can remove.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> _ = rows.sink(Sink.to_file(folder / "x.parquet")).build().run_sync()
        >>> pl.read_parquet(folder / "x.parquet")["x"].to_list()
        [1, 2]
        """
        from arrowstream.io.files.paths import path_text
        from arrowstream.io.files.remote.sink import ObjectSink
        from arrowstream.io.files.remote.urls import is_url, options_for
        from arrowstream.io.files.sink import FileSink
        from arrowstream.io.files.text.options.csv_layout import CsvLayout

        flags = {"overwrite": overwrite, "statistics": statistics}
        for name, flag in (flags | {"has_header": has_header, "decimal_comma": decimal_comma}).items():
            check_flag(name, flag)
        parts = {"max_rows_per_file": max_rows_per_file, "max_bytes_per_file": max_bytes_per_file}
        counts = {**parts, "row_group_size": row_group_size, "compression_level": compression_level}
        for name, count in counts.items():
            if count is not None:
                check_whole(name, count)
        text = path_text("to_file", path, urls=True)
        if storage_options is not None:
            options_for([text], storage_options)  # raises if the path is not a URL
        sink = partial(ObjectSink.of, storage_options=storage_options) if is_url(text) else FileSink.of
        return sink(
            text,
            format=format,
            partition_by=partition_by,
            compression=compression,
            overwrite=overwrite,
            mode=mode,
            max_rows_per_file=max_rows_per_file,
            max_bytes_per_file=max_bytes_per_file,
            roll_every=roll_every,
            sort_by=sort_by,
            row_group_size=row_group_size,
            statistics=statistics,
            compression_level=compression_level,
            layout=CsvLayout(
                delimiter,
                quote_char,
                has_header=has_header,
                null_values=null_values,
                decimal_comma=decimal_comma,
                quote_style=quote_style,
                date_format=date_format,
                datetime_format=datetime_format,
                time_format=time_format,
                float_precision=float_precision,
            ),
        )

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
        >>> from arrowstream import Pipeline, Sink, Source, channel
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
        >>> from arrowstream import Pipeline, Sink, Source
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
        ``Sink.fanout([a, b.on_error(ErrorHandler.skip())])``, replace it. A row that several of them write counts
        once in the report's `rows_out` and for a `limit`.

        Parameters
        ----------
        sinks
            The sinks, in a list.
        more
            Nothing: a second sink outside the list is an error that says so.

        Raises
        ------
        PlanError
            `sinks` is not a list of sinks.

        Examples
        --------
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> first, second = [], []
        >>> both = Sink.fanout([Sink.to_fn(first.append), Sink.to_fn(second.append)])
        >>> rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1, 2]})))
        >>> _ = rows.sink(both).build().run_sync()
        >>> [batch.num_rows for batch in first], [batch.num_rows for batch in second]
        ([2], [2])
        """
        return Fanout.of(sinks, more)
