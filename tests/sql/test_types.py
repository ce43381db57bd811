"""Types that few tables have: categories, other units of time, decimals; and tables that are paths."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from sql_oracle import check
from sqlglot import exp

from arrowstream import Pipeline, Source
from arrowstream.sql.places import QueryText

ROWS = pl.DataFrame(
    {
        "c": pl.Series(["b", "a", None]).cast(pl.Categorical),
        "e": pl.Series(["x", "y", "x"]).cast(pl.Enum(["y", "x"])),
        "s": ["b", "c", "x"],
        "ms": pl.Series([datetime(2026, 1, 1), None, datetime(2025, 1, 1)]).cast(pl.Datetime("ms")),
        "us": [datetime(2024, 1, 1), datetime(2026, 1, 1), None],
        "dec": pl.Series(["1.50", "2.25", None]).cast(pl.Decimal(10, 2)),
        "u": pl.Series([1, 2, 3], dtype=pl.UInt64),
        "f": pl.Series([0.5, 0.1, None], dtype=pl.Float32),
        "b": [True, False, None],
        "k": [1, 2, 3],
    }
)
PLAIN = ROWS.with_columns(pl.col("c", "e").cast(pl.String))


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "c = 'b'",
            "c < 'b'",
            "c = s",
            "c = c",
            "e = e",
            "e < 'y'",
            "e = s",
            "COALESCE(c, s)",
            "COALESCE(c, 'z')",
            "c || e",
        ),
        *(
            "UPPER(c)",
            "c LIKE 'b%'",
            "c IN ('a', 'q')",
            "ms = us",
            "ms < us",
            "COALESCE(us, ms)",
            "GREATEST(ms, us)",
        ),
        *(
            "dec = 1.5e0",
            "dec > 1",
            "dec = k",
            "dec < 2.25e0",
            "CAST(k AS BIGINT) >= dec",
            "u = 2",
            "u + 1",
            "u > k",
            "f = 0.1e0 OR TRUE",
            "f * 2",
            "k > 0.5e0",
            "ABS(NULL)",
            "SQRT(NULL)",
        ),
        *(
            "us + INTERVAL (-1) DAY",
            "ms + INTERVAL '1500' MICROSECOND",
            "ms - INTERVAL '500' MICROSECOND < us",
            "ms = '2026-01-01 00:00:00.000000'",
            "NULLIF(c, 'b')",
            "CASE WHEN b THEN c ELSE s END",
        ),
    ],
)
def test_expressions(expression: str) -> None:
    query = f"SELECT {expression} AS value FROM t"
    check(query, {"t": ROWS}, {"t": PLAIN})


@pytest.mark.parametrize(
    "aggregate",
    [
        "COUNT(NULL)",
        "SUM(NULL)",
        "SUM(b)",
        "SUM(dec)",
        "MAX(s)",
        "MIN(e)",
        "MAX(c)",
        "MAX(ms)",
        "MIN(b)",
        "SUM(f)",
        "MAX(dec)",
        "SUM(u)",
    ],
)
def test_aggregates(aggregate: str) -> None:
    query = f"SELECT {aggregate} AS value FROM t"
    check(query, {"t": ROWS}, {"t": PLAIN})


def test_columns_without_a_name() -> None:
    assert Pipeline.sql("SELECT k + 1, upper(s), K FROM t", t=ROWS).schema() == {
        "k + 1": pl.Int64,
        "UPPER(s)": pl.String,
        "k": pl.Int64,
    }


def test_types_that_are_passed_on() -> None:
    nested = ROWS.select(tags=pl.concat_list("k", "k"), place=pl.struct("k", "s"), dec="dec")
    assert (
        Pipeline.sql("SELECT place, tags, dec AS d FROM t", t=nested)
        .collect_sync()
        .equals(nested.select("place", "tags", d="dec"))
    )


def test_names_that_differ_by_case() -> None:
    table = pl.DataFrame({"x": [1], "X": [2]})
    assert Pipeline.sql('SELECT x, "X" AS y FROM t', t=table).collect_sync().rows() == [(1, 2)]


def test_a_table_is_a_path_or_a_frame(tmp_path: Path) -> None:
    PLAIN.write_parquet(tmp_path / "t.parquet")
    query = "(SELECT k FROM T WHERE k > 1)"
    for table in (tmp_path / "t.parquet", str(tmp_path / "t.parquet"), PLAIN, PLAIN.to_arrow(), PLAIN.lazy()):
        assert Pipeline.sql(query, t=table).collect_sync().rows() == [(2,), (3,)]


def test_a_part_without_a_place_is_at_the_beginning() -> None:
    assert QueryText("SELECT", []).error(exp.Null(), "wrong").column == 1


def test_only_columns_that_are_named_are_read(tmp_path: Path) -> None:
    PLAIN.write_parquet(tmp_path / "t.parquet")
    source = Source.from_file(tmp_path / "t.parquet").with_event_time("us")
    text = Pipeline.sql("SELECT s FROM t WHERE K > 1", t=source).explain()
    assert "-> s: String, us: Datetime(time_unit='us', time_zone=None), k: Int64" in text.split("stage")[0]
    assert Pipeline.sql("SELECT count(*) AS n FROM t", t=PLAIN).collect_sync().item() == 3
    for query in (
        "SELECT * FROM t",
        "SELECT q.* FROM (SELECT t.* FROM t JOIN u USING (k)) q",
        "SELECT * FROM u JOIN t USING (k)",
    ):
        assert Pipeline.sql(query, t=PLAIN, u=PLAIN.select("k")).collect_sync().width == PLAIN.width
    windows = "SELECT * FROM TUMBLE(t, DESCRIPTOR(us), INTERVAL '1' DAY)"
    rows = PLAIN.drop_nulls("us")
    assert Pipeline.sql(windows, t=rows).collect_sync().width == PLAIN.width + 2
