"""Every type of Polars in every database, and back: the same values, or an error; never other values."""

from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from databases import Database

from arrowstream import ErrorHandler, Pipeline, Source
from arrowstream.errors import SchemaError, SinkError
from arrowstream.io.database.address import Kind
from arrowstream.io.database.systems.column_types import UnfitColumn
from arrowstream.io.database.systems.types_of import types_of

KINDS: tuple[Kind, ...] = ("sqlite", "postgresql", "duckdb")
WHOLE = {
    dtype: [None, 0, least, greatest]
    for dtype, least, greatest in (
        *((getattr(pl, f"Int{bits}"), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)),
        *((getattr(pl, f"UInt{bits}"), 0, 2**bits - 1) for bits in (8, 16, 32)),
    )
}
MOMENT = datetime(2026, 3, 29, 1, 30, 0, 123000)
TIMES = [None, datetime(1970, 1, 1), MOMENT, datetime(1700, 1, 1), datetime(2261, 12, 31, 23, 59, 59, 999000)]
BERLIN = [None, MOMENT.replace(tzinfo=ZoneInfo("Europe/Berlin"))]
STORED: list[tuple[Any, list[Any]]] = [
    *WHOLE.items(),
    (pl.UInt64, [None, 0, 2**63 - 1]),
    (pl.Float32, [None, 0.0, 3.4028234663852886e38, float("-inf"), 1.5]),
    (pl.Float64, [None, -0.0, 1.7976931348623157e308, 5e-324, float("inf"), 0.1]),
    (pl.Boolean, [None, True, False]),
    (pl.String, [None, "", "a'\"é\n😀", "x" * 70_000]),
    (pl.Categorical, [None, "a", "b", "a"]),
    (pl.Enum(["a", "b"]), [None, "a", "b", "a"]),
    (pl.Binary, [None, b"", b"\0\xff", b"x" * 70_000]),
    (pl.Date, [None, date(1, 1, 1), date(1969, 12, 31), date(9999, 12, 31)]),
    (pl.Time, [None, time(0), time(1, 2, 3, 4), time(23, 59, 59, 999999)]),
    *((pl.Datetime(unit), TIMES) for unit in ("ms", "us", "ns")),
    *((pl.Datetime(unit, "Europe/Berlin"), BERLIN) for unit in ("ms", "us", "ns")),
    (pl.Datetime("us"), [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)]),
    (pl.Decimal(38, 3), [None, Decimal("0.000"), Decimal("-99999999999999999999999999999999999.999")]),
    (pl.Decimal(5, 0), [None, Decimal("99999")]),
]
ONLY: dict[str, list[tuple[Any, list[Any]]]] = {
    "sqlite": [
        (pl.String, ["a\0b", "\0"]),
        (pl.Time, [1, 86_399_999_999_999]),
        (pl.Datetime("ns"), [1, -1, 2**63 - 2]),
        (pl.Datetime("ns", "UTC"), [1, None]),
    ],
    "postgresql": [
        (pl.UInt64, [None, 2**64 - 1]),
        (pl.Float64, [float("nan")]),
        (pl.Date, [-2_440_588, 106_751_990]),
        (pl.Datetime("us"), [-(2**63) // 44]),
    ],
    "duckdb": [
        (pl.UInt64, [None, 2**64 - 1]),
        (pl.Float32, [float("nan")]),
        (pl.String, ["a\0b", "\0"]),
        (pl.Datetime("ns"), [1, -1, 2**63 - 2]),
        (pl.Date, [-106_751_990, 106_751_990]),
        (pl.List(pl.Int8), [None, [], [1, None]]),
        (pl.Array(pl.String, 2), [None, ["a", "b"]]),
        (pl.Struct({"a b": pl.Int64, "c": pl.List(pl.Datetime("ms"))}), [None, {"a b": 1, "c": [MOMENT]}]),
        (pl.List(pl.Struct({"a": pl.Decimal(9, 2)})), [[{"a": Decimal("1.50")}, {"a": None}]]),
    ],
}


def series(dtype: Any, values: list[Any]) -> pl.Series:
    """A column, whose times may be given as numbers."""
    exact = pl.DataFrame(schema={"x": dtype}).schema["x"]
    if exact.is_temporal() and any(type(value) is int for value in values):
        number = pl.Int32 if dtype == pl.Date else pl.Int64
        return pl.Series(values, dtype=number).cast(dtype)
    return pl.Series(values, dtype=dtype)


def write(database: Database, frame: pl.DataFrame, *handlers: ErrorHandler, table: str = "t") -> None:
    sink: Any = database.sink(table)
    for handler in handlers:
        sink = sink.on_error(handler)
    Pipeline.builder().source(Source.from_frame(frame)).sink(sink).build().run_sync()


def read(database: Database) -> pl.DataFrame:
    return Pipeline.builder().source(database.source()).collect_sync()


def test_values_come_back_as_they_were(database: Database) -> None:
    columns = {f"x{number}": series(*each) for number, each in enumerate([*STORED, *ONLY[database.kind]])}
    longest = max(map(len, columns.values()))
    frame = pl.DataFrame(
        {name: values.extend_constant(None, longest - len(values)) for name, values in columns.items()}
    )
    for _ in range(2):
        write(database, frame)
    found = read(database)
    types = types_of(database.kind)
    assert found.schema == pl.Schema(
        {name: types.created(dtype).dtype for name, dtype in frame.schema.items()}
    )
    expected = pl.concat([frame, frame]).cast(dict(found.schema))
    for name in frame.columns:
        assert found[name].equals(expected[name], null_equal=True), (name, frame.schema[name])


REFUSED: dict[str, list[tuple[Any, list[Any]]]] = {
    "sqlite": [
        (pl.UInt64, [0, 2**63]),
        (pl.Float64, [0.0, float("nan")]),
        (pl.Date, [0, 2_932_897]),
        (pl.Datetime("us"), [0, -62_135_596_800_000_001]),
        (pl.Datetime("ms"), [0, 2**63 - 1]),
    ],
    "postgresql": [
        (pl.String, ["", "a\0b"]),
        (pl.Time, [0, 1]),
        (pl.Datetime("ns"), [0, 1]),
        (pl.Datetime("ms"), [0, 2**63 - 1]),
        (pl.Datetime("us", "UTC"), [0, 2**63 - 1]),
        (pl.Date, [0, 2**31 - 1]),
    ],
    "duckdb": [
        (pl.Time, [0, 1]),
        (pl.Datetime("ns", "UTC"), [0, 1]),
        (pl.Datetime("us"), [0, 2**63 - 1]),
        (pl.Datetime("ns"), [0, -(2**63)]),
        (pl.Date, [0, -(2**31) + 1]),
    ],
}


def test_a_value_that_would_be_changed_is_refused(database: Database) -> None:
    for number, (dtype, values) in enumerate(REFUSED[database.kind]):
        frame = pl.DataFrame({"x": series(dtype, values)})
        sink = database.sink(f"t{number}")
        steps = Pipeline.builder().source(Source.from_frame(frame))
        with pytest.raises(SinkError, match=r"cannot hold a value|cannot write to the table") as raised:
            steps.sink(sink).build().run_sync()
        assert dtype != pl.Float64 or raised.value.hint == "make NaN null before, or leave such rows out"
        steps.sink(sink.on_error(ErrorHandler.skip())).build().run_sync()
        source = database.source(f"SELECT * FROM t{number}")
        found = Pipeline.builder().source(source).collect_sync()["x"]
        assert found.cast(frame.schema["x"]).equals(frame["x"][:1]), dtype


NOWHERE = [pl.Duration("us"), pl.Null()]
HINTS = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "duckdb": "DuckDB"}


@pytest.mark.parametrize("kind", KINDS)
def test_types_that_a_database_lacks(kind: Kind) -> None:
    nested = [pl.List(pl.Int64), pl.Array(pl.Int64, 2), pl.Struct({"a": pl.Int64})]
    lacks = {
        "duckdb": [pl.List(pl.Duration), pl.Struct([]), pl.List(pl.Time), pl.List(pl.Datetime("us", "UTC"))]
    }
    database = Database(kind, f"{kind}:///x.db" if kind != "postgresql" else "postgresql://h/d")
    for dtype in (*NOWHERE, *lacks.get(kind, nested)):
        steps = Pipeline.builder().source(Source.from_frame(pl.DataFrame(schema={"x": dtype})))
        with pytest.raises(SchemaError, match=f"{HINTS[kind]} cannot store the column 'x'") as raised:
            steps.sink(database.sink()).build()
        assert 'pl.col("x")' in (raised.value.hint or "") or 'pl.struct("x")' in (raised.value.hint or "")


GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "databases.md"


ROWS_OF_GUIDE: dict[str, pl.DataType] = {
    **{dtype.__name__: dtype() for dtype in WHOLE},
    **{dtype.__name__: dtype() for dtype in (pl.UInt64, pl.Float32, pl.Float64, pl.Boolean, pl.String)},
    **{dtype.__name__: dtype() for dtype in (pl.Categorical, pl.Binary, pl.Date, pl.Time)},
    "Enum": pl.Enum(["a"]),
    **{f'Datetime("{unit}")': pl.Datetime(unit) for unit in ("ms", "us", "ns")},
    **{f'Datetime("{unit}", zone)': pl.Datetime(unit, "Europe/Berlin") for unit in ("ms", "us", "ns")},
    "Decimal(12, 2)": pl.Decimal(12, 2),
    "List": pl.List(pl.Int64()),
    "Array": pl.Array(pl.Int64(), 3),
    "Struct": pl.Struct({"a": pl.Int64()}),
    "Duration": pl.Duration("us"),
}


def test_the_guide_has_the_type_of_every_column() -> None:
    text = GUIDE.read_text()
    made = [
        f"| {name} | {' | '.join(_created(kind, dtype) for kind in KINDS)} |"
        for name, dtype in ROWS_OF_GUIDE.items()
    ]
    assert [line for line in made if line not in text] == []


def _created(kind: Kind, dtype: pl.DataType) -> str:
    try:
        return f"`{types_of(kind).created(dtype).sql}`"
    except UnfitColumn:
        return "refused"


FITS = [
    ("bigint", pl.Int8, 5),
    ("smallint", pl.UInt64, 5),
    ("integer", pl.Int64, -(2**31)),
    ("double precision", pl.Float32, 1.5),
    ("varchar(3)", pl.Categorical, "abc"),
]


def test_a_column_takes_narrower_types_and_those_whose_values_fit(database: Database) -> None:
    columns = ", ".join(f"x{number} {sql}" for number, (sql, _, _) in enumerate(FITS))
    database.execute(f"CREATE TABLE t ({columns})")
    frame = pl.DataFrame(
        {f"x{number}": pl.Series([value], dtype=dtype) for number, (_, dtype, value) in enumerate(FITS)}
    )
    write(database, frame)
    assert database.rows("SELECT * FROM t") == [tuple(value for *_, value in FITS)]
    if database.kind != "sqlite":
        with pytest.raises(SinkError, match="cannot hold a value"):
            write(database, frame.with_columns(x1=pl.lit(2**15, pl.UInt64)))


FLOATS = [
    ("double precision", pl.Int64, [0, 2**53, -(2**53), 2**60, None], [2**53 + 1, -(2**63) + 1, 2**63 - 1]),
    ("double precision", pl.UInt64, [2**53, 2**63], [2**53 + 1, 2**64 - 1]),
    ("double precision", pl.Int32, [2**31 - 1, -(2**31)], []),
    ("real", pl.Int64, [2**24, -(2**24)], [2**24 + 1, 2**53 + 1]),
    ("real", pl.Int8, [127, -128], []),
]


def test_a_float_takes_whole_numbers_that_it_holds_exactly(database: Database) -> None:
    for number, (sql, dtype, good, bad) in enumerate(FLOATS):
        database.execute(f"CREATE TABLE t{number} (x {sql})")
        single = sql == "real" and database.kind != "sqlite"
        steps = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": series(dtype, good + bad)})))
        sink = database.sink(f"t{number}").on_error(ErrorHandler.skip())
        steps.sink(sink).build().run_sync()
        found = [value for (value,) in database.rows(f"SELECT x FROM t{number}")]
        held = [value for value in good + bad if single or value is None or float(value) == value]
        assert found == (good if single else held), (sql, dtype)
        assert all(type(value) is float for value in found if value is not None)
    with pytest.raises(SinkError, match="cannot hold a value of the column 'x'") as raised:
        write(database, pl.DataFrame({"x": [2**53 + 1]}), table="t0")
    assert raised.value.expected == "whole numbers that Float64 holds exactly, as it does all up to 2^53"


NOT_FIT = [
    ("bigint", pl.Float64),
    ("text", pl.Int64),
    ("date", pl.Datetime("us")),
    ("real", pl.Decimal(9, 2)),
    ("boolean", pl.Int8),
]


@pytest.mark.untraced
def test_a_column_of_another_kind_is_refused(database: Database) -> None:
    for number, (sql, dtype) in enumerate(NOT_FIT):
        database.execute(f"CREATE TABLE t{number} (x {sql})")
        steps = Pipeline.builder().source(Source.from_frame(pl.DataFrame(schema={"x": dtype})))
        with pytest.raises(SchemaError, match="the column 'x' does not fit the table"):
            steps.sink(database.sink(f"t{number}")).build().run_sync()


def test_texts_become_types_that_only_postgresql_has(postgres: Database) -> None:
    postgres.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'happy')",
        "CREATE TABLE t (u uuid PRIMARY KEY, j jsonb, m mood, i inet, n numeric(4, 1), p timestamp(3), v numeric)",
    )
    frame = pl.DataFrame(
        {
            "u": ["6f1d0b52-5b0f-4a52-8c1e-0a4a3b2f9d11"],
            "j": ['{"a":  [1]}'],
            "m": ["happy"],
            "i": ["10.0.0.1"],
            "n": pl.Series(["12.5"]).cast(pl.Decimal(4, 1)),
            "p": pl.Series([MOMENT], dtype=pl.Datetime("us")),
            "v": pl.Series(["1.25"]).cast(pl.Decimal(9, 2)),
        }
    )
    for _ in range(2):
        sink = postgres.sink(mode="upsert", key="u")
        Pipeline.builder().source(Source.from_frame(frame)).sink(sink).build().run_sync()
    texts = "u::text, j::text, m::text, i::text, n::text, p::text, v::text"
    assert postgres.rows(f"SELECT {texts} FROM t") == [
        (frame["u"][0], '{"a": [1]}', "happy", "10.0.0.1/32", "12.5", "2026-03-29 01:30:00.123", "1.25")
    ]
    with pytest.raises(SinkError, match="invalid input value for enum mood") as raised:
        write(postgres, frame.with_columns(m=pl.lit("angry")))
    assert "cannot write to the table" in raised.value.what


@pytest.mark.parametrize("sql", ["timestamp(0)", "char(3)", "interval", "text[]", "numeric(40, 2)", "bit(3)"])
def test_types_of_postgresql_that_would_change_a_value_are_refused(postgres: Database, sql: str) -> None:
    postgres.execute(f"CREATE TABLE t (x {sql})")
    dtype = {"timestamp(0)": pl.Datetime("us"), "numeric(40, 2)": pl.Decimal(9, 2)}.get(sql, pl.String())
    steps = Pipeline.builder().source(Source.from_frame(pl.DataFrame(schema={"x": dtype})))
    with pytest.raises(SchemaError, match="the column 'x' does not fit the table"):
        steps.sink(postgres.sink()).build().run_sync()


def test_nested_columns_fit_only_the_same_type(duck: Database) -> None:
    duck.execute('CREATE TABLE t (x STRUCT(a BIGINT, "b c" VARCHAR[]))', "CREATE TABLE u (x BIGINT[])")
    frame = pl.DataFrame({"x": [{"a": 1, "b c": ["x"]}]})
    write(duck, frame)
    assert duck.rows("SELECT x FROM t") == [({"a": 1, "b c": ["x"]},)]
    steps = Pipeline.builder().source(Source.from_frame(frame))
    with pytest.raises(SchemaError, match="the column 'x' does not fit the table"):
        steps.sink(duck.sink("u")).build().run_sync()
