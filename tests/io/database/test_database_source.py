"""A database source: queries read once or by ranges, their columns and errors."""

import sqlite3
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context
from databases import ROWS, Database, batch

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import DatabaseBusy, PlanError, SchemaError, SourceError
from arrowstream.io.database.query import DatabaseQuery
from arrowstream.io.database.reading import ranges
from arrowstream.io.database.reading.query import OpenQuery
from arrowstream.io.database.source import DatabaseSource
from arrowstream.io.source import BlockingReader


def read(source: Any) -> pl.DataFrame:
    return Pipeline.builder().source(source).collect_sync()


def fill(database: Database, frame: pl.DataFrame, table: str = "t") -> None:
    Pipeline.builder().source(Source.from_frame(frame)).sink(database.sink(table)).build().run_sync()


@pytest.mark.untraced
def test_the_rows_of_a_query(database: Database) -> None:
    fill(database, ROWS)
    source = database.source(
        "SELECT price, id, name FROM t WHERE id > 1 ORDER BY id DESC; -- the last first\n;"
    )
    assert read(database.source("SELECT * FROM t WHERE id > 5")).equals(ROWS.clear())
    with pytest.raises((SourceError, SchemaError)):
        read(source)
    source = database.source(
        " SELECT price, id, name FROM t WHERE id > 1 ORDER BY id DESC -- the last first\n ; "
    )
    assert read(source).equals(ROWS.select("price", "id", "name")[:0:-1])


@pytest.mark.once
@pytest.mark.untraced
def test_many_rows_come_in_batches_with_their_places(database: Database) -> None:
    frame = pl.DataFrame({"id": pl.int_range(150_000, eager=True)})
    fill(database, frame)
    reader = database.source().open(context("source"))
    assert isinstance(reader, BlockingReader)
    found = list(iter(reader.read, None))
    reader.close()
    assert max(each.num_rows for each in found) <= 65_536  # type: ignore[union-attr]
    rows = pl.concat([each.polars() for each in found])  # type: ignore[union-attr]
    assert rows["id"].sort().equals(frame["id"])
    first, second = found[0], found[1]
    label = f"the query of {database.source().query.address.label}"
    assert str(second.position) == (  # type: ignore[union-attr]
        f"{label} rows {first.num_rows}-{first.num_rows + second.num_rows}"  # type: ignore[union-attr]
    )


def test_declared_types_replace_those_of_the_database(database: Database) -> None:
    fill(database, ROWS)
    found = read(database.source(schema={"id": pl.UInt8, "price": pl.Float32, "name": pl.Categorical}))
    assert found.schema["id"] == pl.UInt8 and found.schema["price"] == pl.Float32
    assert found["id"].to_list() == [1, 2, 3] and found["name"].to_list() == ["a", None, "c"]
    with pytest.raises(SchemaError, match="has no column 'prize'") as raised:
        read(database.source(schema={"prize": pl.Float32}))
    assert raised.value.hint == "did you mean 'price'?"
    with pytest.raises(SourceError, match="a value that is none of its column's type"):
        read(database.source("SELECT id * 100 AS id, name FROM t", schema={"id": pl.Int8}))


@pytest.mark.once
@pytest.mark.parametrize("count", [*(pytest.param(few, marks=pytest.mark.untraced) for few in (1, 3)), 20])
def test_ranges_have_every_row_once(database: Database, count: int) -> None:
    days = [date(2026, 1, 1), None, date(2025, 12, 30), date(2026, 3, 1)]
    frame = pl.DataFrame({"id": [5, None, -3, 2**60], "day": days, "x": ["a", "b", "c", "d"]})
    fill(database, frame)
    for column in ("id", "day"):
        found = read(database.source(partition_on=column, partitions=count))
        assert found.sort("x").equals(frame)


@pytest.mark.once
def test_ranges_of_sqlite_have_four_connections_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Besides the first one. Each has a process of its own."""
    is_open: set[OpenQuery] = set()
    counts: list[int] = []

    class Counted(OpenQuery):
        def __init__(self, query: DatabaseQuery) -> None:
            super().__init__(query)
            is_open.add(self)
            counts.append(len(is_open))

        def close(self) -> None:
            super().close()
            is_open.discard(self)

    monkeypatch.setattr(ranges, "OpenQuery", Counted)
    frame = pl.DataFrame({"id": range(12)})
    uri = f"sqlite:///{tmp_path}/x.db"
    Pipeline.builder().source(Source.from_frame(frame)).sink(Sink.to_database(uri, "t")).build().run_sync()
    found = read(Source.from_database(uri, "SELECT * FROM t", partition_on="id", partitions=12))
    assert found.sort("id").equals(frame)
    assert len(counts) == 13 and max(counts) <= 5 and not is_open


@pytest.mark.once
def test_ranges_of_no_rows(database: Database) -> None:
    fill(database, pl.DataFrame({"id": pl.Series([None, None], dtype=pl.Int64)}))
    assert read(database.source(partition_on="id")).height == 2
    empty = database.source("SELECT * FROM t WHERE id = 1", partition_on="id")
    assert read(empty).equals(pl.DataFrame(schema={"id": pl.Int64}))


@pytest.mark.once
def test_ranges_that_were_not_read_are_closed(database: Database) -> None:
    fill(database, batch(*range(100)).polars())
    for reads in (0, 1):
        reader = database.source(partition_on="id").open(context("source"))
        assert isinstance(reader, BlockingReader)
        for _ in range(reads):
            assert reader.read() is not None
        reader.close()


@pytest.mark.once
def test_ranges_of_a_query_that_fails(postgres: Database) -> None:
    fill(postgres, ROWS)
    with pytest.raises(SourceError, match="division by zero") as raised:
        read(postgres.source("SELECT 1 / (id - id) AS id FROM t", partition_on="id"))
    assert "cannot be read" in raised.value.what


@pytest.mark.once
@pytest.mark.untraced
def test_ranges_of_postgresql_are_one_state(postgres: Database) -> None:
    fill(postgres, batch(*range(10)).polars())
    reader = postgres.source(partition_on="id").open(context("source"))
    assert isinstance(reader, BlockingReader)
    postgres.execute("UPDATE t SET price = -1", "INSERT INTO t (id) VALUES (3), (100)")
    found = pl.concat([each.polars() for each in iter(reader.read, None)])  # type: ignore[union-attr]
    reader.close()
    assert found.sort("id").equals(batch(*range(10)).polars())


def test_the_columns_of_a_choice_must_fit(database: Database) -> None:
    fill(database, ROWS)
    for option in ("partition_on", "increasing"):
        with pytest.raises(
            SchemaError, match=f"{option} names a column that the query does not give"
        ) as raised:
            read(database.source(**{option: "ids"}))
        assert raised.value.hint == "did you mean 'id'?"
        with pytest.raises(
            SchemaError, match=f"{option} names a column of a type that does not fit"
        ) as raised:
            read(database.source(**{option: "price"}))
        assert raised.value.found == "price: Float64"


@pytest.mark.once
def test_a_query_that_is_wrong(database: Database) -> None:
    fill(database, ROWS)
    for sql in ("SELECT nothing FROM t", "SELECT * FROM nowhere", "SELEC", "DELETE FROM t"):
        with pytest.raises(SourceError, match=r"the query of .* cannot be read"):
            read(database.source(sql))
    assert len(database.rows("SELECT * FROM t")) == 3
    if database.kind == "sqlite":  # which gives the second one another name
        assert read(database.source("SELECT id, id FROM t")).columns == ["id", "id:1"]
    else:
        with pytest.raises(SchemaError, match="several columns are called 'id'"):
            read(database.source("SELECT id, id FROM t"))


@pytest.mark.once
def test_a_source_writes_nothing(database: Database) -> None:
    fill(database, ROWS)
    sql = "WITH gone AS (DELETE FROM t RETURNING id) SELECT * FROM gone"
    with pytest.raises(SourceError, match="cannot be read"):
        read(database.source(sql))
    assert len(database.rows("SELECT * FROM t")) == 3


@pytest.mark.once
def test_a_file_that_is_missing(tmp_path: Path) -> None:
    for kind in ("sqlite", "duckdb"):
        with pytest.raises(SourceError, match=f"the database {kind} .*x.db cannot be opened"):
            read(Source.from_database(f"{kind}:///{tmp_path}/x.db", "SELECT 1"))
        with pytest.raises(SourceError) as raised:
            read(Source.from_database(f"{kind}:///{tmp_path}/none/x.db", "SELECT 1"))
        assert raised.value.found == f"no folder {tmp_path}/none"
    assert list(tmp_path.iterdir()) == []


def test_columns_of_sqlite_that_are_computed_need_a_type(sqlite: Database) -> None:
    fill(sqlite, ROWS)
    with pytest.raises(SchemaError, match="does not say the type of the column 'n'") as raised:
        read(sqlite.source("SELECT count(*) AS n FROM t"))
    assert "schema={'n': int}" in (raised.value.hint or "")
    assert read(sqlite.source("SELECT count(*) AS n FROM t", schema={"n": int})).rows() == [(3,)]
    found = read(sqlite.source("SELECT CAST(sum(id) AS INTEGER) AS n, CAST(max(name) AS TEXT) AS s FROM t"))
    assert found.rows() == [(6, "c")]


FOREIGN = {
    "INT": (7, pl.Int64, 7),
    "MEDIUMINT(3)": (7, pl.Int64, 7),
    "NUMERIC(9, 2)": (1.5, pl.Float64, 1.5),
    "DOUBLE PRECISION": (2, pl.Float64, 2.0),
    "VARCHAR(9)": ("a", pl.String, "a"),
    "NATIVE CHARACTER(70)": (3, pl.String, "3"),
    "BOOL": (1, pl.Boolean, True),
    "TIMESTAMP": ("2026-01-01T01:02:03", pl.Datetime("us"), "2026-01-01 01:02:03.000000"),
    "datetime": ("2026-01-01 01:02:03", pl.Datetime("us"), "2026-01-01 01:02:03.000000"),
    "DATETIME_UTC": ("2026-01-01 01:02:03Z", pl.Datetime("us", "UTC"), "2026-01-01 01:02:03.000000"),
    "BLOB": (b"x", pl.Binary, b"x"),
}


def test_tables_of_sqlite_that_others_made(sqlite: Database) -> None:
    sqlite.execute(f"CREATE TABLE t ({', '.join(f'x{number} {sql}' for number, sql in enumerate(FOREIGN))})")
    values = ", ".join("X'78'" if value == b"x" else repr(value) for value, *_ in FOREIGN.values())
    nulls = ", ".join(["NULL"] * len(FOREIGN))
    sqlite.execute(*[f"INSERT INTO t VALUES ({nulls})"] * 3, f"INSERT INTO t VALUES ({values})")
    found = read(sqlite.source())
    assert list(found.schema.values()) == [dtype for _, dtype, _ in FOREIGN.values()]
    last = found.select(pl.selectors.temporal().dt.to_string("%F %T%.6f"), ~pl.selectors.temporal())[-1]
    assert last.select(found.columns).row(0) == tuple(value for *_, value in FOREIGN.values())
    assert found.null_count().row(0) == (3,) * len(FOREIGN)
    zone = pl.Datetime("ms", "Europe/Berlin")
    zoned = read(sqlite.source("SELECT x9 FROM t", schema={"x9": zone}))
    assert zoned.schema["x9"] == zone and zoned["x9"].dt.hour().to_list()[-1] == 2


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("BOOLEAN", "2"),
        ("DATE", "'1 May'"),
        ("INTEGER", "'x'"),
        ("DATETIME", "1767225600"),
        ("REAL", "'x'"),
        ("INT", "1.5"),
    ],
)
def test_values_of_sqlite_that_are_no_values_of_their_column(sqlite: Database, sql: str, value: str) -> None:
    sqlite.execute(f"CREATE TABLE t (x {sql})", f"INSERT INTO t VALUES ({value})")
    with pytest.raises(SourceError, match="has a value that"):
        read(sqlite.source())
    if sql != "BOOLEAN":
        assert read(sqlite.source(schema={"x": str})).rows() == [(value.strip("'"),)]


TIMES = [
    ["2026-01-31 01:02:03", "0001-01-01 00:00:00"],
    ["2026-01-31 01:02:03.000004", "9999-12-31T23:59:59.999999"],
    ["2026-01-31 01:02:03.004", "2026-01-31 01:02:03.005"],
    ["2026-01-31 01:02:03.000004", "2026-01-31 01:02:03"],
    ["2026-01-31 1:02:03.0000040", "2026-01-31 01:02:03.000005"],
]


@pytest.mark.parametrize("texts", TIMES, ids=lambda texts: texts[0])
def test_times_of_sqlite_in_forms_that_polars_parses_fast_and_in_others(
    sqlite: Database, texts: list[str]
) -> None:
    values = ", ".join(f"('{text}'), (NULL)" for text in texts)
    sqlite.execute("CREATE TABLE t (x DATETIME)", f"INSERT INTO t VALUES {values}")
    expected = [datetime.fromisoformat(text.replace(" 1:", " 01:").replace("0040", "004")) for text in texts]
    assert read(sqlite.source())["x"].to_list() == [expected[0], None, expected[1], None]
    sqlite.execute("INSERT INTO t VALUES ('2026-02-30 01:02:03')", "DELETE FROM t WHERE length(x) != 19")
    with pytest.raises(SourceError, match="has a value that is none of its column's type") as raised:
        read(sqlite.source())
    assert "2026-02-30 01:02:03" in str(raised.value.found)


def test_types_of_postgresql(postgres: Database) -> None:
    uuid = "6f1d0b52-5b0f-4a52-8c1e-0a4a3b2f9d11"
    found = read(
        postgres.source(
            f"SELECT '{uuid}'::uuid AS u, '{{\"a\": 1}}'::jsonb AS j, 1.5::numeric(9, 2) AS n, 'a'::varchar(3) AS v, "
            "'{1,NULL}'::int[] AS l, NULL::uuid AS m"
        )
    )
    assert found.row(0) == (uuid, '{"a": 1}', Decimal("1.50"), "a", [1, None], None)
    assert read(postgres.source("SELECT 1.5::numeric AS n", schema={"n": pl.Float64})).row(0) == (1.5,)
    assert read(postgres.source("SELECT 1.5::numeric AS n", schema={"n": pl.Decimal(9, 3)})).row(0) == (
        Decimal("1.5"),
    )


@pytest.mark.parametrize(
    "value",
    ["1.5::numeric", "1.5::numeric(40, 2)", "interval '1 day'", "1::money", "1::oid", "'10.0.0.1'::inet"],
)
def test_types_of_postgresql_that_need_a_cast(postgres: Database, value: str) -> None:
    with pytest.raises(SchemaError, match="in the column 'x'") as raised:
        read(postgres.source(f"SELECT {value} AS x"))
    assert "CAST(" in (raised.value.hint or "")


def test_infinite_times_of_postgresql_are_errors(postgres: Database) -> None:
    for sql in ("timestamp", "timestamptz", "date"):
        for sign in ("", "-"):
            with pytest.raises(SourceError, match="cannot be read in the column 'x'") as raised:
                read(postgres.source(f"SELECT '{sign}infinity'::{sql} AS x"))
            assert raised.value.expected == "times that are not infinite"
        assert read(postgres.source(f"SELECT '0001-01-01'::{sql} AS x")).height == 1


def test_types_of_duckdb(duck: Database) -> None:
    fill(duck, ROWS)
    sql = "SELECT sum(id) AS s, 'b'::ENUM('a', 'b') AS e, now() AS z, uuid() AS u FROM t"
    found = read(duck.source(sql))
    assert found["s"].to_list() == [6] and found["e"].cast(pl.String).to_list() == ["b"]
    assert found.schema["z"] == pl.Datetime("us", "UTC") and found.schema["u"] == pl.String
    with pytest.raises(SchemaError, match="a type that is not read in the column 'x'"):
        read(duck.source("SELECT INTERVAL 1 DAY AS x"))


@pytest.mark.once
def test_a_source_that_waits_for_a_lock(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.io.database.systems.sqlite.BUSY_MS", 1)
    fill(sqlite, ROWS)
    with closing(sqlite3.connect(str(sqlite.path))) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseBusy, match=r"the database sqlite .* cannot be opened"):
            read(sqlite.source())
    with (
        closing(OpenQuery(sqlite.source().query)) as opened,
        closing(sqlite3.connect(str(sqlite.path))) as holder,
    ):
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseBusy, match=r"the query of sqlite .* is locked"):
            list(opened.frames())


@pytest.mark.once
def test_a_text_of_sqlite_that_is_not_utf_8_is_an_error(sqlite: Database) -> None:
    sqlite.execute("CREATE TABLE t (s TEXT)", "INSERT INTO t VALUES ('ä'), (CAST(x'ff41' AS TEXT))")
    with pytest.raises(
        SourceError, match=r"the query of sqlite .* has a text in 's' that is not UTF-8"
    ) as raised:
        read(sqlite.source())
    assert "Invalid UTF8 sequence at string index 1" in str(raised.value.found)
    query, schema = 'SELECT CAST("s" AS BLOB) AS "s" FROM t', {"s": bytes}
    assert read(sqlite.source(query, schema=schema))["s"].to_list() == ["ä".encode(), b"\xffA"]
    assert read(sqlite.source("SELECT s FROM t LIMIT 1"))["s"].to_list() == ["ä"]


ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"query": " ; "}, "from_database takes a query"),
    ({"query": None}, "from_database takes a query"),
    ({"partition_on": ""}, r"from_database\(partition_on=...\) takes the name of a column"),
    ({"partitions": 0}, r"from_database\(partitions=...\)"),
    ({"partition_on": "a", "increasing": "b"}, "by ranges or by an increasing column"),
    ({"poll": "1s"}, "needs a column that says which rows are new"),
    ({"poll": 0, "increasing": "a"}, r"from_database\(poll=...\) takes a time"),
]


@pytest.mark.once
@pytest.mark.parametrize(("options", "message"), ARGUMENTS, ids=[message for _, message in ARGUMENTS])
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Source.from_database(**{"uri": "sqlite:///x.db", "query": "SELECT 1", **options})


LABELS: list[tuple[dict[str, Any], str]] = [
    ({}, "database sqlite x.db"),
    ({"partition_on": "a", "partitions": 2}, "database sqlite x.db (2 ranges of a)"),
    ({"increasing": "a"}, "database sqlite x.db (by a)"),
    ({"increasing": "a", "poll": "1500ms"}, "database sqlite x.db (by a, polled every 1.5 s)"),
]


@pytest.mark.once
@pytest.mark.parametrize(("options", "label"), LABELS)
def test_a_label_says_how_rows_are_read(options: dict[str, Any], label: str) -> None:
    source = Source.from_database("sqlite:///x.db", "SELECT 1", **options)
    assert isinstance(source, DatabaseSource) and source.label == label
