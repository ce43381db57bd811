"""`DatabaseSources` and `DatabaseSinks`: the constructors of sources and sinks that are databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.core.schemas import SchemaLike, declared_schema

if TYPE_CHECKING:
    from arrowstream.io.database.sink import DatabaseSink
    from arrowstream.io.database.source import DatabaseSource
    from arrowstream.io.database.writing.target import Mode


@explain_calls
class DatabaseSources:
    """Constructors of sources that are databases; `Source` inherits them."""

    @staticmethod
    def from_database(
        uri: str,
        query: str,
        *,
        schema: SchemaLike | None = None,
        partition_on: str | None = None,
        partitions: int = 4,
        increasing: str | None = None,
        poll: Duration | None = None,
    ) -> DatabaseSource:
        """Read the rows of a SQL query from SQLite, PostgreSQL or DuckDB, as Arrow batches.

        Parameters
        ----------
        uri
            ``"sqlite:///orders.db"`` (four slashes for an absolute path), ``"duckdb:///orders.duckdb"``, or
            ``"postgresql://user@host:5432/database"``. The password stands after the user, best as a place,
            ``user:env:NAME@host`` or ``user:file:PATH@host``; ``@ / ? #`` in a password itself are written as
            ``%40 %2F %3F %23``.
        query
            A SELECT.
        schema
            Types of columns, in the forms of `from_file`; those of the others are learnt from the database.
        partition_on
            Column of whole numbers or dates by whose ranges rows are read at the same time, each range on a
            connection of its own. Their batches come in any order.
        partitions
            Number of these ranges.
        increasing
            Column of whole numbers, times, dates or text whose values only grow and are never null, such as a
            generated id. Rows come in its order, and the source can continue where an earlier run ended.
        poll
            Time after which rows with greater values of `increasing` are looked for again, such as ``"1s"``. The
            source then goes on until `stop()`, a limit or a duration.

        Raises
        ------
        PlanError
            At once: an argument does not fit.
        SourceError, SchemaError
            At `build()`: the database cannot be reached, the query is wrong, or a column has a type that is not
            read. While running: a value is none of its column's type.
        DatabaseBusy
            While running: another transaction held a lock for too long.
        MissingExtra
            At `build()`: the driver is not installed (extra: db for SQLite and PostgreSQL, extra: duckdb for DuckDB).

        Notes
        -----
        Costs a connection, and one for each range. Holds one batch of at most 65,536 rows, or as many rows as the
        driver sends at a time: of PostgreSQL up to 16 MiB. `build()` connects to learn the columns, and reads no
        rows. Connections cannot write.

        Types come as `Sink.to_database` writes them. SQLite has types for columns of tables only: other columns
        need a ``CAST(... AS INTEGER)``, ``REAL`` or ``TEXT``, or `schema`; a value that does not fit is an error.
        Of PostgreSQL, numeric without digits needs `schema` or a CAST; uuid, json and jsonb come as text; interval,
        money, oid and types that Arrow lacks need a CAST; infinite times are an error. Ranges of PostgreSQL read one
        state of the database, those of SQLite and DuckDB the state at their start.

        With `increasing`, a row is read if it is committed before a row with a greater value is read. **An id that
        is committed late is missed**: generated ids are given out before the commit, so that with several writers a
        smaller one can become visible after a greater one. Where writers overlap, read with a query that leaves out
        the last moments, such as ``SELECT * FROM t WHERE created < now() - interval '1 minute'``. Rows with equal
        values come together; with `poll`, those of the latest value wait until the next poll finds as many of them.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> uri = f"sqlite:///{tempfile.mkdtemp()}/orders.db"
        >>> rows = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"id": [1, 2], "price": [1.5, 2.0]})))
        >>> _ = rows.sink(Sink.to_database(uri, "orders")).build().run_sync()
        >>> dear = Source.from_database(uri, "SELECT id, price FROM orders WHERE price > 1.5")
        >>> Pipeline.builder().source(dear).collect_sync().rows()
        [(2, 2.0)]
        """
        from arrowstream.io.database.source import DatabaseSource  # here, to keep importing arrowstream fast

        return DatabaseSource.of(
            uri,
            query,
            declared=declared_schema("from_database", schema),
            partition_on=partition_on,
            partitions=partitions,
            poll=poll,
            increasing=increasing,
        )


@explain_calls
class DatabaseSinks:
    """Constructors of sinks that are databases; `Sink` inherits them."""

    @staticmethod
    def to_database(
        uri: str,
        table: str,
        *,
        mode: Mode = "append",
        key: str | Sequence[str] = (),
        db_schema: str | None = None,
        batch_size: int | None = None,
    ) -> DatabaseSink:
        """Write rows into a table of SQLite, PostgreSQL or DuckDB, all of them or none.

        Parameters
        ----------
        uri
            ``"sqlite:///out.db"`` (four slashes for an absolute path), ``"duckdb:///out.duckdb"``, or
            ``"postgresql://user@host:5432/database"``. The password stands after the user, best as a place,
            ``user:env:NAME@host`` or ``user:file:PATH@host``; ``@ / ? #`` in a password itself are written as
            ``%40 %2F %3F %23``. Files of SQLite and DuckDB are made if they are missing.
        table
            Name of the table. It is always quoted: upper and lower case are kept.
        mode
            ``"append"``: rows are added; a missing table is made. ``"upsert"``: a row replaces the one with the same
            `key`; a missing table is made with the key as its primary key, another one must have a unique index on
            it. Rows with a column ``_change``, as ``reduce(emit="changes")`` gives them, are followed: the table has
            the other columns, and ``"delete"`` removes the row with the same `key`. ``"create"``: the table is made,
            with `key` as its primary key if there is one; a table that exists is an error.
        key
            Column, or columns, of the key; not of floats, and never null when upserting.
        db_schema
            Schema that the table is in, of PostgreSQL and DuckDB; by default that of the connection.
        batch_size
            Number of rows that are written at a time: smaller batches are gathered, larger ones are written in
            pieces. By default each batch is written as it comes. ``.with_batch_size(n)`` is the same.

        Raises
        ------
        PlanError
            At once: an argument does not fit. At `build()`: another sink writes to the same file, or a new table gets
            several rows of one `key`, as of ``emit="updates"`` or ``"changes"``, which need ``mode="upsert"``.
        SchemaError
            At `build()`: the database has no type for a column. At the start: the table lacks a column, or one has a
            type that would change values; or the key is null.
        SinkError
            While running: the database cannot be reached, or refuses rows for a constraint, which is named.
        DatabaseBusy
            While running: another transaction held a lock for longer than SQLite's 10 s, or won over this one.
        MissingExtra
            At `build()`: the driver is not installed (extra: db for SQLite and PostgreSQL, extra: duckdb for DuckDB).

        Notes
        -----
        Costs a connection; rows go as Arrow columns to the driver, to PostgreSQL by COPY. Holds one batch, or
        `batch_size` rows. Appended columns are matched by name; the table may have more, which get their defaults.

        All rows of a run are in one transaction, which is committed when all sinks are ready: until then, no other
        connection writes to a SQLite file. Others may read it, Python's sqlite3 in this process, too: the file is
        open in a process of its own. The commit waits for those with rows left to fetch, for 10 s, unless the file
        has a write-ahead log; the guide says how. With checkpoints, each epoch is a transaction that also holds
        the number of the epoch, in the table ``arrowstream_epochs`` next to the table; rows also go to a file in
        the folder of the checkpoints, from which they are written if the transaction is lost before the commit.

        A batch that the database refuses leaves the transaction as it was: ``.on_error(ErrorHandler.skip())`` and
        `ErrorHandler.dead_letter` leave out only the rows that are refused. Among rows gathered by `batch_size` they
        cannot be found, and the run fails. DuckDB has no savepoints: rows for a table with constraints are also
        written to a temporary file, and a refused batch costs writing them again.

        The guide has a table of types. Values are stored as they are, or the write fails: nothing is rounded, cut
        off or made null. SQLite stores times, dates and decimals as text, and has no NaN; SQLite and PostgreSQL
        take no lists and structs, and none of them takes durations.

        Examples
        --------
        >>> import sqlite3, tempfile
        >>> import polars as pl
        >>> from arrowstream import Pipeline, Sink, Source
        >>> path = f"{tempfile.mkdtemp()}/out.db"
        >>> rows = pl.DataFrame({"id": [1, 2, 1], "price": [1.5, 2.0, 1.75]})
        >>> sink = Sink.to_database(f"sqlite:///{path}", "prices", mode="upsert", key="id")
        >>> _ = Pipeline.builder().source(Source.from_frame(rows)).sink(sink).build().run_sync()
        >>> with sqlite3.connect(path) as connection:
        ...     connection.execute("SELECT * FROM prices").fetchall()
        [(1, 1.75), (2, 2.0)]
        """
        from arrowstream.io.database.sink import DatabaseSink  # here, to keep importing arrowstream fast

        return DatabaseSink.of(uri, table, mode, key, batch_size, db_schema)
