"""`LakeSources` and `LakeSinks`: the constructors of sources and sinks that are tables of a lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from arrowstream.core.checks import PathLike
from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls

if TYPE_CHECKING:
    from arrowstream.io.delta.sink import DeltaSink
    from arrowstream.io.delta.source import DeltaSource
    from arrowstream.io.iceberg.sink import IcebergSink
    from arrowstream.io.iceberg.source import IcebergSource
    from arrowstream.io.lake.modes import Mode


@explain_calls
class LakeSources:
    """Constructors of sources that are tables of a lake; `Source` inherits them."""

    @staticmethod
    def from_delta(
        path: PathLike,
        *,
        version: int | None = None,
        follow: Duration | None = None,
        storage_options: Mapping[str, str | int] | None = None,
    ) -> DeltaSource:
        """Read the rows of a Delta Lake table: one version, and those that later versions add.

        Parameters
        ----------
        path
            Folder of the table, or its URL, ``s3://bucket/table``, ``gs://...`` or ``az://...``.
        version
            Version that is read; the newest one by default.
        follow
            Time after which new versions are looked for again, such as ``"1s"``. The source then goes on until
            `stop()`, a limit or a duration.
        storage_options
            Options of the object store, as those of `from_file`.

        Raises
        ------
        PlanError
            At once: an argument does not fit.
        SourceError, SchemaError
            At `build()`: the table is missing, cannot be read, or has features with which its data files alone do
            not show its rows, such as deletion vectors or column mapping. While running: a new version has removed
            or changed rows, or has other columns.
        MissingExtra
            At `build()`: deltalake is not installed (extra: delta).

        Notes
        -----
        Costs a thread. Holds a batch of at most 131,072 rows. Reads only the columns that the first steps need.
        The files of a version come in the order of their paths. Columns that a file lacks are null.

        With checkpoints, the position is a version, a file and a row. Without `version`, each run reads what the
        versions since the last run have added: the first run all rows, the next ones new rows only. Commits that
        rewrite files without changing rows (``OPTIMIZE``) are passed over. A commit that has deleted, updated,
        merged or overwritten rows is an error, as is a version whose entry in the log has been cleaned up.
        With `version` and without `follow`, exactly this version is read.

        Examples
        --------
        >>> import tempfile
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> table = f"{tempfile.mkdtemp()}/prices"
        >>> for price in (1.5, 2.0):
        ...     rows = Source.from_frame(pl.DataFrame({"price": [price]}))
        ...     _ = Pipeline.builder().source(rows).sink(Sink.to_delta(table)).build().run_sync()
        >>> Pipeline.builder().source(Source.from_delta(table)).collect_sync()["price"].sort().to_list()
        [1.5, 2.0]
        >>> Pipeline.builder().source(Source.from_delta(table, version=0)).collect_sync()["price"].to_list()
        [1.5]
        """
        from arrowstream.io.delta.source import DeltaSource  # here, to keep importing arrowstream fast

        return DeltaSource.of(path, version, follow, storage_options)

    @staticmethod
    def from_iceberg(
        table: str,
        *,
        catalog: PathLike | Mapping[str, Any],
        snapshot: int | None = None,
        follow: Duration | None = None,
    ) -> IcebergSource:
        """Read the rows of an Iceberg table: one snapshot, and those that later snapshots add.

        Parameters
        ----------
        table
            Name of the table with its namespace: ``"shop.sales"``.
        catalog
            The catalog that knows the table, as that of `to_iceberg`.
        snapshot
            Id of the snapshot that is read; the newest one by default.
        follow
            Time after which new snapshots are looked for again, such as ``"1s"``. The source then goes on until
            `stop()`, a limit or a duration.

        Raises
        ------
        PlanError
            At once: an argument does not fit.
        SourceError
            At `build()`: the catalog or the table is missing or cannot be read. While running: a new snapshot has
            removed or changed rows, the snapshot of a checkpoint has expired, or rows are deleted by values
            (equality deletes).
        SchemaError
            While running: the table has got other columns.
        MissingExtra
            At `build()`: pyiceberg is not installed (extra: iceberg).

        Notes
        -----
        Costs a thread. Holds a batch of at most 131,072 rows. Reads only the columns that the first steps need.
        The files of a snapshot come in the order of their paths. Columns are found by their ids, under whatever name
        and type a file has them. A file with deleted rows (position deletes), one that lacks columns, and one that
        is not Parquet is read by pyiceberg, which holds it as a whole.

        With checkpoints, the position is a snapshot, a file and a row. Without `snapshot`, each run reads what the
        snapshots since the last run have added: the first run all rows, the next ones new rows only. Snapshots that
        rewrite files without changing rows (compaction, ``replace``) are passed over. One that has deleted or
        overwritten rows is an error, as is a snapshot of a checkpoint that has expired, or that the table was
        rolled back before. With `snapshot` and without `follow`, exactly this snapshot is read.

        Examples
        --------
        >>> import tempfile
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> lake = tempfile.mkdtemp()
        >>> for price in (1.5, 2.0):
        ...     rows = Source.from_frame(pl.DataFrame({"price": [price]}))
        ...     sink = Sink.to_iceberg("shop.prices", catalog=lake)
        ...     _ = Pipeline.builder().source(rows).sink(sink).build().run_sync()
        >>> source = Source.from_iceberg("shop.prices", catalog=lake)
        >>> Pipeline.builder().source(source).collect_sync()["price"].sort().to_list()
        [1.5, 2.0]
        """
        from arrowstream.io.iceberg.source import IcebergSource  # here, to keep importing arrowstream fast

        return IcebergSource.of(table, catalog, snapshot, follow)


@explain_calls
class LakeSinks:
    """Constructors of sinks that are tables of a lake; `Sink` inherits them."""

    @staticmethod
    def to_delta(
        path: PathLike,
        *,
        mode: Mode = "append",
        partition_by: str | Sequence[str] = (),
        storage_options: Mapping[str, str | int] | None = None,
    ) -> DeltaSink:
        """Write rows into a Delta Lake table, all of them or none.

        Parameters
        ----------
        path
            Folder of the table, or its URL, ``s3://bucket/table``, ``gs://...`` or ``az://...``. A table that is
            missing is made.
        mode
            ``"append"``: rows are added. ``"overwrite"``: all rows of the table are replaced; older versions can
            still be read. ``"error"``: a table that exists is an error.
        partition_by
            Column, or columns, of texts, whole numbers, dates or truth values by which a new table is partitioned. A
            table that exists has its own; naming others is an error.
        storage_options
            Options of the object store, as those of `to_file`.

        Raises
        ------
        PlanError
            At once: an argument does not fit. At `build()`: with checkpoints, the mode is ``"overwrite"``.
        SchemaError
            At `build()`: Delta has no type for a column. At the start: the table has other columns, types or
            partitions.
        SinkError
            While running: the table cannot be written, a value cannot be stored as it is, or the table has rules that
            are not kept here: constraints, generated columns, identity columns.
        MissingExtra
            At `build()`: deltalake is not installed (extra: delta).

        Notes
        -----
        Costs a thread. Holds rows of at most 64 MiB, which are written as Parquet files (zstd) into the folder of the
        table as they come; those of small partitions wait longest. They are part of the table only by the commit.
        A run makes one commit; one with checkpoints makes one for each epoch that
        has rows. Such a commit also holds the number of the epoch, as an application transaction of
        ``pipeline/sink``: after a kill, the next run sees from it whether the epoch is there, commits it if not, and
        removes the files of epochs that were not complete. Many small commits make many small files: take a longer
        `every`, or run ``DeltaTable(...).optimize.compact()`` now and then. Other writers may append, compact and
        vacuum at the same time.

        Columns are matched by name, and types must be those of the table. A column that the table has and the
        rows lack is null. What a new table has:

        - Int8 to Int64, Float32, Float64, Boolean, String, Binary, Date and Decimal as they are.
        - UInt8, UInt16 and UInt32 as Int16, Int32 and Int64; UInt64 as Decimal(20, 0).
        - Categorical and Enum as String.
        - Datetime as ``timestamp_ntz``, with a time zone as ``timestamp``, which is in UTC; both in microseconds: a
          value with nanoseconds is an error.
        - List, Array and Struct as arrays and structs; an Array loses its fixed length.
        - Duration and Time are refused: write ``pl.col("x").dt.total_microseconds()`` or text.

        In a partition, Delta reads an empty text as null: it is an error.

        Examples
        --------
        >>> import tempfile
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> table = f"{tempfile.mkdtemp()}/prices"
        >>> rows = pl.DataFrame({"item": ["tea", "mug"], "price": [1.5, 2.0]})
        >>> sink = Sink.to_delta(table, partition_by="item")
        >>> _ = Pipeline.builder().source(Source.from_frame(rows)).sink(sink).build().run_sync()
        >>> pl.read_delta(table).select("item", "price").sort("price").rows()
        [('tea', 1.5), ('mug', 2.0)]
        """
        from arrowstream.io.delta.sink import DeltaSink  # here, to keep importing arrowstream fast

        return DeltaSink.of(path, mode, partition_by, storage_options)

    @staticmethod
    def to_iceberg(
        table: str,
        *,
        catalog: PathLike | Mapping[str, Any],
        mode: Mode = "append",
        partition_by: str | Sequence[str] = (),
    ) -> IcebergSink:
        """Write rows into an Iceberg table, all of them or none.

        Parameters
        ----------
        table
            Name of the table with its namespace: ``"shop.sales"``. A table that is missing is made, as is its
            namespace.
        catalog
            The catalog that knows where tables are. A folder, which then has the catalog as the SQLite file
            ``catalog.db`` and the tables next to it; or the path of such a file, which ends with ``.db``,
            ``.sqlite`` or ``.sqlite3``. For any other catalog the properties that pyiceberg has for it, such as
            ``{"type": "rest", "uri": "https://...", "token": "env:TOKEN"}``; ``"name"`` is the name of a catalog that
            pyiceberg is configured for. Secrets as ``"env:NAME"`` or ``"file:PATH"`` are read when the catalog is
            opened.
        mode
            ``"append"``: rows are added. ``"overwrite"``: all rows of the table are replaced; older snapshots can
            still be read. ``"error"``: a table that exists is an error.
        partition_by
            Column, or columns, of texts, whole numbers, dates or truth values by which a new table is partitioned. A
            table that exists has its own; naming others is an error.

        Raises
        ------
        PlanError
            At once: an argument does not fit. At `build()`: with checkpoints, the mode is ``"overwrite"``.
        SchemaError
            At `build()`: Iceberg has no type for a column. At the start: the table has other columns, types or
            partitions.
        SinkError
            While running: the table cannot be written, a value cannot be stored as it is, or the table has the format
            version 3, or partitions by ``bucket`` or ``truncate``.
        MissingExtra
            At `build()`: pyiceberg is not installed (extra: iceberg).

        Notes
        -----
        Costs a thread. Holds rows of at most 64 MiB, which are written as Parquet files (zstd) into the folder of the
        table as they come; those of small partitions wait longest. They are part of the table only by the commit.
        A run makes one snapshot; one with checkpoints makes one for each epoch that has rows. Such a snapshot also
        has the number of the epoch, in its summary and, since snapshots expire, in a property of the table for
        ``pipeline/sink``: after a kill, the next run sees from it whether the epoch is there, commits it if not, and
        removes the files of epochs that were not complete. Many small snapshots make many small files: take a longer
        `every`, compact and expire snapshots now and then. Other writers may append and compact at the same time; a
        conflict with them is tried again.

        Files of an embedded catalog are flushed to the disk before the catalog names them. A run that fails may
        leave an empty namespace and files of metadata, but no rows.

        Columns are matched by name, and types must be those of the table. A column that the table has and the
        rows lack is null. A new table has format version 2, merges its manifests and keeps the last 100 files of
        metadata. What it has of columns:

        - Int32, Int64, Float32, Float64, Boolean, String, Binary, Date and Decimal as they are.
        - Int8, Int16, UInt8 and UInt16 as ``int``; UInt32 as ``long``; UInt64 as ``decimal(20, 0)``.
        - Categorical and Enum as ``string``.
        - Datetime as ``timestamp``, with a time zone as ``timestamptz``, which is in UTC; Time as ``time``; all in
          microseconds: a value with nanoseconds is an error.
        - List, Array and Struct as lists and structs; an Array loses its fixed length.
        - Duration is refused: write ``pl.col("x").dt.total_microseconds()``.

        Examples
        --------
        >>> import tempfile
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> lake = tempfile.mkdtemp()
        >>> rows = pl.DataFrame({"item": ["tea", "mug"], "price": [1.5, 2.0]})
        >>> sink = Sink.to_iceberg("shop.prices", catalog=lake, partition_by="item")
        >>> _ = Pipeline.builder().source(Source.from_frame(rows)).sink(sink).build().run_sync()
        >>> from pyiceberg.catalog import load_catalog
        >>> with load_catalog("default", uri=f"sqlite:///{lake}/catalog.db") as catalog:
        ...     catalog.load_table("shop.prices").scan().to_arrow().sort_by("price").to_pylist()
        [{'item': 'tea', 'price': 1.5}, {'item': 'mug', 'price': 2.0}]
        """
        from arrowstream.io.iceberg.sink import IcebergSink  # here, to keep importing arrowstream fast

        return IcebergSink.of(table, catalog, mode, partition_by)
