"""CAST and TRY_CAST of columns, and of values that are written in the query, as DuckDB has them."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest
from sql_oracle import check

from arrowstream import Pipeline
from arrowstream.errors import QueryError, SchemaError, StageError

TEXTS = [
    "1.5",
    "2.5",
    "-2.5",
    "-0.5",
    "1e3",
    " 12 ",
    "+5",
    "",
    "x",
    "127.4",
    "127.5",
    "-128.4",
    "nan",
    "inf",
    None,
]
ROWS = pl.DataFrame(
    {
        "s": [*TEXTS, "9223372036854775807", "2147483647.4", "2147483648"],
        "dec": pl.Series([n / 4 for n in range(-9, 9)]).cast(pl.Decimal(10, 2)),
        "x": [0.5, 1.5, 2.5, -2.5, 1e10, 1e30, float("nan"), float("inf"), None] * 2,
    }
)


@pytest.mark.parametrize(
    "expression",
    [
        *(f"TRY_CAST(s AS {kind})" for kind in ("TINYINT", "INTEGER", "BIGINT")),
        *(f"CAST(dec AS {kind})" for kind in ("TINYINT", "INTEGER", "BIGINT", "DOUBLE")),
        "TRY_CAST(dec AS SMALLINT)",
        *(f"TRY_CAST(x AS {kind})" for kind in ("TINYINT", "INTEGER", "BIGINT")),
        *("TRY_CAST(x * 1e20 AS FLOAT)", "TRY_CAST(-x * 1e9 AS FLOAT)", "TRY_CAST(1e38 * 100 AS FLOAT)"),
        *(
            "CAST('1.5' AS INTEGER)",
            "CAST('1e3' AS INTEGER)",
            "CAST(' 7 ' AS DOUBLE)",
            "TRY_CAST('x' AS INTEGER)",
        ),
        *(
            "TRY_CAST(1e30 AS BIGINT)",
            "TRY_CAST(300 AS TINYINT)",
            "CAST(-2.5e0 AS INTEGER)",
            "CAST(0 AS BOOLEAN)",
        ),
        *("CAST(TRUE AS INTEGER)", "CAST(12 AS VARCHAR)", "CAST(DATE '2024-02-03' AS TIMESTAMP)"),
        "CAST(TIMESTAMP '2024-02-03 10:00:00' AS DATE)",
    ],
)
def test_as_duckdb(expression: str) -> None:
    check(f"SELECT {expression} AS value FROM t", {"t": ROWS}, {"t": ROWS})


@pytest.mark.parametrize(
    "expression",
    ["CAST('x' AS INTEGER)", "CAST(300 AS TINYINT)", "CAST(1e30 AS BIGINT)", "CAST('' AS DOUBLE)"],
)
def test_a_written_value_that_does_not_fit(expression: str) -> None:
    with pytest.raises(QueryError, match="the value is not of the type") as caught:
        Pipeline.sql(f"SELECT s,\n{expression} AS value FROM t", t=ROWS)
    assert (caught.value.line, caught.value.column) == (2, 1)
    assert "TRY_CAST" in str(caught.value)


@pytest.mark.parametrize(
    "value", ["ABS(-300)", "-ABS(-300)", "ROUND(300.4)", "FLOOR(300.4)", "CEIL(PI() * 100)"]
)
def test_what_is_computed_of_written_numbers_does_not_wrap_around(value: str) -> None:
    with pytest.raises(SchemaError, match="conversion from"):
        Pipeline.sql(f"SELECT CAST({value} AS TINYINT) AS value FROM t", t=ROWS).collect_sync()
    check(f"SELECT TRY_CAST({value} AS TINYINT) AS value FROM t", {"t": ROWS}, {"t": ROWS})


@pytest.mark.parametrize("value", ["1e39", "-1e39", "3.4028235677973366e38", "1e38 * 100", "-1e38 * 1e2"])
def test_a_written_number_that_a_float_cannot_hold_is_refused(value: str) -> None:
    with pytest.raises(QueryError, match="not of the type FLOAT, or too large for it") as caught:
        Pipeline.sql(f"SELECT s,\nCAST({value} AS FLOAT) AS value FROM t", t=ROWS)
    assert (caught.value.line, caught.value.column) == (2, 1)
    check(f"SELECT TRY_CAST({value} AS FLOAT) AS value FROM t", {"t": ROWS}, {"t": ROWS})


@pytest.mark.parametrize(
    "value",
    [
        "3.4028235e38",
        "1e-50",
        "'1e39'",
        "'inf'",
        "CAST('-inf' AS DOUBLE)",
        "'nan'",
        "NULL",
        "1e0",
        "1e39 / 1e5",
        "CAST('inf' AS DOUBLE) * 2",
    ],
)
def test_a_float_is_infinite_only_if_it_is_written_so(value: str) -> None:
    check(f"SELECT CAST({value} AS FLOAT) AS value FROM t", {"t": ROWS}, {"t": ROWS})


@pytest.mark.parametrize("text", ["x", "9007199254740993.0"])
def test_a_text_that_does_not_fit_ends_the_run(text: str) -> None:
    query = "SELECT CAST(s AS BIGINT) AS n FROM t"
    with pytest.raises(StageError, match="conversion from") as caught:
        Pipeline.sql(query, t=pl.DataFrame({"s": ["1.5", text]})).collect_sync()
    assert "__POLARS" not in str(caught.value)


def test_a_time_with_a_zone_is_read_by_its_clock() -> None:
    late = pl.Series([datetime(2026, 1, 1, 23, 30)]).dt.replace_time_zone("America/New_York")
    query = "SELECT CAST(ts AS DATE) AS day, CAST(ts AS TIMESTAMP) AS clock, HOUR(ts) AS hour FROM t"
    (row,) = Pipeline.sql(query, t=pl.DataFrame({"ts": late})).collect_sync().rows()
    assert row == (date(2026, 1, 1), datetime(2026, 1, 1, 23, 30), 23)
