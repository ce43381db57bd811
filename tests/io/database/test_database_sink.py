"""A database sink in a run: all rows or none, and modes, keys and names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from databases import ROWS, Database, batch, checkpointed, opened

from arrowstream import ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.rows.changes import CHANGE_TYPE
from arrowstream.errors import DatabaseBusy, PlanError, SchemaError, SinkError, SourceError
from arrowstream.io.database.identifiers import TableName, quoted
from arrowstream.io.database.systems import adbc_database
from arrowstream.io.database.systems.postgresql import PostgresqlDatabase
from arrowstream.io.database.systems.sqlite import SqliteDatabase
from arrowstream.io.sink import AnySink

pytestmark = pytest.mark.once


def write(frame: pl.DataFrame, sink: AnySink, rows: int = 2) -> int:
    """Write a frame in batches of some rows; return the number of rows written."""
    steps = Pipeline.builder().source(Source.from_frame(frame, batch_rows=rows))
    return steps.sink(sink).build().run_sync().rows_out


@pytest.mark.untraced
def test_rows_are_appended_to_a_table_that_is_made(database: Database) -> None:
    assert write(ROWS, database.sink()) == 3
    write(ROWS.select("price", "id").with_columns(id=pl.col("id") + 3), database.sink())
    rows = [*ROWS.rows(), *((number + 3, None, price) for number, _, price in ROWS.rows())]
    assert database.rows("SELECT id, name, price FROM t ORDER BY id") == rows


def test_a_run_without_rows_makes_the_table(database: Database) -> None:
    write(ROWS.clear(), database.sink(mode="create", key="id"))
    assert database.rows("SELECT id, name, price FROM t") == []
    with pytest.raises(SinkError, match="the table t exists"):
        write(ROWS, database.sink(mode="create"))


async def nothing() -> None:
    return None


def test_a_stream_whose_columns_never_show_is_an_error(sqlite: Database) -> None:
    with pytest.raises(SchemaError, match="its columns are unknown"):
        Pipeline.builder().source(Source.from_fn(nothing)).sink(sqlite.sink()).build().run_sync()
    assert sqlite.path is not None and not sqlite.path.exists()


@pytest.mark.untraced
def test_the_last_row_of_a_key_remains(database: Database) -> None:
    sink = database.sink(mode="upsert", key=["id", "name"])
    rows = pl.DataFrame(
        {
            "id": [1, 1, 2, 1, 3],
            "name": ["a", "b", "a", "a", "a"],
            "x": [1, 2, 3, 4, 5],
            "y": [None] * 4 + ["z"],
        }
    )
    write(rows, sink, rows=5)
    write(rows.with_columns(x=-pl.col("x")).head(2), sink.with_batch_size(10), rows=1)
    found = database.rows("SELECT id, name, x, y FROM t ORDER BY id, name")
    assert found == [(1, "a", -1, None), (1, "b", -2, None), (2, "a", 3, None), (3, "a", 5, "z")]


def test_gathered_batches_with_one_key_are_one_row(database: Database) -> None:
    sink = database.sink(mode="upsert", key="id").with_batch_size(100)
    write(pl.DataFrame({"id": [1, 2, 1, 1], "x": ["a", "b", "c", "d"]}), sink, rows=1)
    assert database.rows("SELECT * FROM t ORDER BY id") == [(1, "d"), (2, "b")]


@pytest.mark.untraced
def test_a_row_of_nothing_but_a_key_is_written_once(database: Database) -> None:
    for _ in range(2):
        write(pl.DataFrame({"id": [1, 2, 1]}), database.sink(mode="upsert", key="id"))
    assert database.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


def test_upserting_needs_a_unique_index(database: Database) -> None:
    database.execute("CREATE TABLE t (id bigint, x bigint)", "CREATE TABLE u (id bigint, x bigint)")
    database.execute("CREATE UNIQUE INDEX one ON u (id)", "INSERT INTO u VALUES (1, 1)")
    rows = pl.DataFrame({"id": [1, 2], "x": [3, 4]})
    with pytest.raises(SinkError, match="rows cannot be upserted into the table") as raised:
        write(rows, database.sink(mode="upsert", key="id"))
    assert raised.value.expected == "a unique index on the key (id)"
    assert raised.value.hint is not None
    statement, _, rest = raised.value.hint.partition("; ")
    assert rest == "or let the sink make the table"
    database.execute(statement)
    write(rows, database.sink(mode="upsert", key="id"))
    name, keys = "ü" * 30, ['a "b"', "c"]
    columns = ", ".join(f"{quoted(key)} bigint" for key in keys)
    database.execute(f"CREATE TABLE {name} ({columns})")
    keyed = pl.DataFrame({key: [1] for key in keys})
    with pytest.raises(SinkError) as raised:
        write(keyed, database.sink(name, mode="upsert", key=keys))
    database.execute(str(raised.value.hint).partition("; ")[0])
    write(keyed, database.sink(name, mode="upsert", key=keys))
    write(rows, database.sink("u", mode="upsert", key="id"))
    assert database.rows("SELECT * FROM u ORDER BY id") == rows.rows()


def test_a_null_in_a_key_is_refused(database: Database) -> None:
    rows = pl.DataFrame({"id": [1, None, 2]})
    sink = database.sink(mode="upsert", key="id")
    with pytest.raises(SinkError, match="cannot hold a value of the column 'id'") as raised:
        write(rows, sink)
    assert raised.value.hint == (
        'put a value in place of null before: .with_columns(pl.col("id").fill_null(...)), '
        'or leave such rows out: .filter(pl.col("id").is_not_null())'
    )
    assert write(rows, sink.on_error(ErrorHandler.skip())) == 2


def test_a_refused_row_undoes_the_run(database: Database) -> None:
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text NOT NULL, price double precision)")
    with pytest.raises(SinkError, match=r"the table .*t refuses rows for a constraint") as raised:
        write(batch(1, 2, 3, 4, 2).polars(), database.sink())
    assert raised.value.position == "frame rows 4-5"
    found = f"{raised.value.expected} {raised.value.found}"
    named = {"sqlite": "UNIQUE of t.id", "postgresql": "t_pkey"}.get(database.kind, "PRIMARY KEY")
    assert named in found
    assert raised.value.hint is not None and raised.value.hint.startswith('mode="upsert"')
    assert database.rows("SELECT * FROM t") == []
    with pytest.raises(SinkError, match="refuses rows for a constraint") as raised:
        write(ROWS, database.sink())
    assert "name" in f"{raised.value.expected} {raised.value.found}" and raised.value.hint is None


def test_only_refused_rows_are_left_out(database: Database) -> None:
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text, price double precision)")
    database.execute("INSERT INTO t VALUES (4, 'there', 0)")
    sent, dead = batch(*range(11), 3, 11).polars(), []
    handler = ErrorHandler.dead_letter(Sink.to_fn(lambda rows: dead.extend(rows["id"].to_pylist())))
    assert write(sent, database.sink().on_error(handler), rows=5) == 11
    assert sorted(dead) == [3, 4]
    assert database.rows("SELECT count(*), max(id), min(name) FROM t") == [(12, 11, "0")]


@pytest.mark.parametrize("bad", [0, 40, 99], ids=["first", "middle", "last"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_row_is_refused_in_any_piece_of_a_batch(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    """The server refuses it while the driver sends the pieces that follow."""
    database: Database = request.getfixturevalue(kind)
    sizes: list[int] = []

    def ingest(self: Any, table: TableName, rows: pa.RecordBatchReader, **options: Any) -> None:
        def pieces() -> Iterator[pa.RecordBatch]:
            for piece in rows:
                sizes.append(piece.num_rows)
                yield piece

        real(self, table, pa.RecordBatchReader.from_batches(rows.schema, pieces()), **options)

    system = {"sqlite": SqliteDatabase, "postgres": PostgresqlDatabase}[kind]
    real: Any = system.ingest
    monkeypatch.setattr(system, "ingest", ingest)
    monkeypatch.setattr(adbc_database, "PIECE_BYTES", 256)
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text, price double precision)")
    numbers = [*range(1000, 1100)]
    numbers[bad] = 1
    writer = opened(database.sink())
    writer.write(batch(*range(100)))
    assert 5 < max(sizes) < 15 and sum(sizes) == 100
    with pytest.raises(SinkError, match=r"the table .*t refuses rows for a constraint") as raised:
        writer.write(batch(*numbers))
    assert {"sqlite": "UNIQUE of t.id", "postgres": "t_pkey"}[kind] in str(raised.value.expected)
    writer.write(batch(*range(200, 300)))
    writer.commit(writer.prepare(0))
    writer.close()
    assert [row for (row,) in database.rows("SELECT id FROM t ORDER BY id")] == [
        *range(100),
        *range(200, 300),
    ]


def test_rows_among_gathered_ones_cannot_be_left_out(database: Database) -> None:
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY, name text, price double precision)")
    sink = database.sink().with_batch_size(4).on_error(ErrorHandler.skip())
    with pytest.raises(SinkError, match="refuses rows for a constraint") as raised:
        write(batch(1, 2, 2, 3, 4, 5, 6).polars(), sink, rows=3)
    assert raised.value.hint is not None and raised.value.hint.startswith('mode="upsert"')
    assert raised.value.hint.endswith("; without with_batch_size, handlers of errors find the rows that fail")
    assert database.rows("SELECT * FROM t") == []
    # In the last of the gathered batches they can.
    assert write(batch(*range(5), 2, *range(5, 20)).polars(), sink, rows=3) == 20


@pytest.mark.untraced
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_batches_are_gathered_and_cut(database: Database, size: int) -> None:
    sent = batch(*range(20)).polars()
    write(sent, database.sink(batch_size=size), rows=7)
    assert database.rows("SELECT * FROM t ORDER BY id") == sent.rows()


@pytest.mark.untraced
def test_names_are_never_sql(database: Database) -> None:
    name = 'a"; DROP TABLE x'
    rows = pl.DataFrame({name: [1, 2], "select": ["a", "b"], "ü '": [1.0, 2.0]})
    database.execute("CREATE TABLE x (id bigint)")
    for mode, key in (("create", ()), ("append", ()), ("append", ())):
        write(rows, database.sink(name, mode, key))
    write(rows, database.sink(f"{name} too", "upsert", [name, "select"]))
    quoted = name.replace('"', '""')
    assert database.rows(f'SELECT count(*) FROM "{quoted}"') == [(6,)]
    assert database.rows(f'SELECT * FROM "{quoted} too" ORDER BY 1') == rows.rows()
    assert database.rows("SELECT * FROM x") == []


def test_the_columns_of_a_table_must_fit(database: Database) -> None:
    database.execute("CREATE TABLE t (id bigint, name text)")
    with pytest.raises(SchemaError, match="the table t has no column 'price'") as raised:
        write(ROWS, database.sink())
    assert raised.value.expected == "columns of id, name"
    with pytest.raises(SchemaError, match="the column 'name' does not fit the table t") as raised:
        write(ROWS.select("id", name="price"), database.sink())
    assert str(raised.value.expected).lower() in ("text", "varchar")
    assert str(raised.value.found).startswith("Float64, for which a new table would have ")


def test_a_table_may_be_in_a_schema(duck: Database, postgres: Database) -> None:
    for database in (duck, postgres):
        database.execute("DROP SCHEMA IF EXISTS other CASCADE", "CREATE SCHEMA other")
        for _ in range(2):
            write(ROWS, database.sink("t", "upsert", "id", db_schema="other"))
        assert database.rows("SELECT * FROM other.t ORDER BY id") == ROWS.rows()
        assert "table other.t (upsert by id)" in database.sink("t", "upsert", "id", db_schema="other").label


@pytest.mark.parametrize("size", [None, 2])
def test_a_locked_table_is_an_error_that_may_be_tried_again(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    monkeypatch.setattr("arrowstream.io.database.systems.sqlite.BUSY_MS", 1)
    write(ROWS.clear(), sqlite.sink())
    first, second = opened(sqlite.sink()), opened(sqlite.sink(batch_size=size))
    first.write(batch(1))
    if size is not None:
        second.write(batch(0))
    with pytest.raises(DatabaseBusy, match="the table t is locked") as raised:
        second.write(batch(2))
    assert str(raised.value.hint).startswith(
        "try again, as .on_error(ErrorHandler.retry(3)) does for a write, or "
    )
    first.commit(first.prepare(0))
    second.write(batch(2))
    handle = second.prepare(0)
    for _ in range(2):
        second.commit(handle)
    for writer in (first, second):
        writer.close()
    assert sqlite.rows("SELECT id FROM t") == [(1,), *([(0,)] if size else []), (2,)]


def test_a_table_that_ends_the_transaction_ends_the_run(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SQLite itself does when the disk is full: what comes after must not be committed without what was before."""
    sqlite.execute("CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK, name TEXT, price REAL)")
    sink = sqlite.sink().on_error(ErrorHandler.skip())
    with pytest.raises(SinkError, match="the transaction with the rows for the table t was undone"):
        write(batch(1, 2, 2, 3).polars(), sink, rows=1)
    assert sqlite.rows("SELECT * FROM t") == []
    writer = opened(sqlite.sink(), at=checkpointed(tmp_path))  # has a log of the rows before
    for number in (1, 2, 3):
        writer.write(batch(number))
        with pytest.raises(SinkError, match="refuses rows for a constraint"):
            writer.write(batch(number))
    writer.commit(writer.prepare(1))
    assert Pipeline.builder().source(sqlite.source()).collect_sync()["id"].to_list() == [1, 2, 3]
    writer.write(batch(4))

    def fail(rows: object) -> None:
        raise SinkError("the database is away")

    insert = writer._session.target.insert
    monkeypatch.setattr(writer._session.target, "insert", lambda rows: (insert(rows), fail(rows)))
    with pytest.raises(SinkError, match="the table t refuses rows"):
        writer.write(batch(4))
    for call in (lambda: writer.write(batch(5)), lambda: writer.prepare(2)):
        with pytest.raises(SinkError, match="the database is away"):
            call()
    writer.abort()


ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"table": "a.b"}, "the name of a table has no dot"),
    ({"table": ""}, "table takes a name"),
    ({"table": "a\0b"}, "table takes a name"),
    ({"db_schema": "s"}, "tables of SQLite are in no schema"),
    ({"mode": "apend"}, "unknown mode 'apend'"),
    ({"mode": "upsert"}, "upsert needs a key"),
    ({"key": "id"}, "a key is for the modes upsert and create"),
    ({"batch_size": 0}, "with_batch_size"),
    ({"uri": "postgresql://h/d", "table": "ü" * 32}, "table is too long a name for PostgreSQL"),
]


@pytest.mark.parametrize(("options", "message"), ARGUMENTS, ids=[message for _, message in ARGUMENTS])
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Sink.to_database(**{"uri": "sqlite:///x.db", "table": "t", **options})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"a": [1], "A": [2]}), "two columns have one name in SQLite"),
        (pl.DataFrame({"x": [1]}), "the key has a column 'a' that the rows lack"),
        (
            pl.DataFrame({"a": [1.5]}),
            r"(?s)the column 'a' cannot be part of the key.*\.cast\(\{'a': pl.Int64\}\)",
        ),
        (pl.DataFrame({"a": [1], "": [2]}), "a column of a table takes a name"),
    ],
)
def test_columns_that_no_table_can_have(frame: pl.DataFrame, message: str) -> None:
    sink = Sink.to_database("sqlite:///x.db", "t", mode="upsert", key="a")
    with pytest.raises((SchemaError, PlanError), match=message):
        Pipeline.builder().source(Source.from_frame(frame)).sink(sink).build()


def test_a_table_needs_a_column() -> None:
    with pytest.raises(SchemaError, match="a table needs a column"):
        Sink.to_database("sqlite:///x.db", "t").check(pl.Schema())


def test_a_file_of_duckdb_is_read_or_written(duck: Database) -> None:
    write(ROWS, duck.sink())
    steps = Pipeline.builder().source(duck.source()).sink(duck.sink("u"))
    with pytest.raises((SinkError, SourceError), match="cannot be opened") as raised:
        steps.build().run_sync()
    assert raised.value.hint is not None and "two files, or two runs" in raised.value.hint


def test_two_sinks_of_one_file_are_refused() -> None:
    sinks = [Sink.to_database("sqlite:///x.db", table) for table in ("a", "b")]
    steps = Pipeline.builder().source(Source.from_frame(ROWS)).sink(Sink.fanout(sinks))
    with pytest.raises(PlanError, match="two sinks write to the same place"):
        steps.build()


def test_two_first_runs_at_the_same_time(database: Database) -> None:
    """Of two that have found no table, the second one to make it says so."""
    one, other = (opened(database.sink()) for _ in range(2))
    one.write(batch(1))
    one.commit(one.prepare(0))
    one.close()
    with pytest.raises(SinkError, match=r"another run has made the table .*t meanwhile") as caught:
        other.write(batch(2))
    other.abort()
    assert caught.value.hint is not None and caught.value.hint.startswith("run again")
    write(batch(2).polars(), database.sink())
    assert database.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


def test_a_table_that_cannot_be_made_is_another_error(sqlite: Database) -> None:
    with pytest.raises(SinkError, match="object name reserved for internal use"):
        write(ROWS, sqlite.sink("sqlite_t"))


CHANGED = pl.DataFrame(
    {
        "id": [1, 2, 3, 1, 1, 3, 2, 4, 4],
        "x": ["a", "b", "c", "a", "A", "c", "b", "d", "d"],
        "_change": [*["insert"] * 3, "update_before", "update_after", "delete", "delete", "insert", "delete"],
    }
)


@pytest.mark.parametrize("rows", [1, 2, 9])
@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_table_that_is_upserted_into_follows_changes(
    database: Database, rows: int, batch_size: int | None
) -> None:
    write(pl.DataFrame({"id": [9], "x": ["z"]}), database.sink(mode="upsert", key="id"))
    changed = CHANGED.with_columns(pl.col("_change").cast(CHANGE_TYPE))
    parts = [changed[at : at + rows] for at in range(0, changed.height, rows)]
    sink = database.sink(mode="upsert", key="id")
    sink = sink if batch_size is None else sink.with_batch_size(batch_size)
    Pipeline.builder().source(Source.from_frame(parts)).sink(sink).build().run_sync()
    assert sorted(database.rows("SELECT * FROM t")) == [(1, "A"), (9, "z")]


@pytest.mark.parametrize("word", ["DELETE", None])
def test_what_becomes_of_rows_is_known(sqlite: Database, word: str | None) -> None:
    """A word in capitals was a row to keep."""
    changed = CHANGED.with_columns(pl.col("_change").replace("delete", word))
    with pytest.raises(SinkError, match="for the table t are no changes"):
        write(changed, sqlite.sink(mode="upsert", key="id"))
    numbers = CHANGED.with_columns(_change=1)
    with pytest.raises(SchemaError, match="reads the column '_change' as what becomes of rows"):
        write(numbers, sqlite.sink(mode="upsert", key="id"))


def test_the_column_of_changes_is_no_part_of_a_key() -> None:
    sink = Sink.to_database("sqlite:///x.db", "t", mode="upsert", key=["id", "_change"])
    with pytest.raises(SchemaError, match="a column '_change' that the rows lack") as raised:
        Pipeline.builder().source(Source.from_frame(CHANGED)).sink(sink).build()
    assert str(raised.value.hint).startswith("leave it out: an upserted table has the rows of now")


def test_changes_that_are_appended_are_a_log(database: Database) -> None:
    write(CHANGED, database.sink())
    assert sorted(database.rows("SELECT * FROM t")) == sorted(CHANGED.rows())
