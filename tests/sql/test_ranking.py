"""The first rows of an order, DISTINCT and LIMIT give what DuckDB gives."""

from __future__ import annotations

import polars as pl
import pytest
from sql_oracle import by_duckdb, check, multiset
from sql_streams import events, stream

from arrowstream import Pipeline

A, B = events(1), events(2)
NUMBER = "ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC, ts)"
START = "time_bucket(INTERVAL '10 seconds', ts)"
TUMBLE = "TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '10' SECOND))"

CASES = {
    "first": (f"SELECT k, v, ts FROM (SELECT *, {NUMBER} AS rn FROM a) WHERE rn = 1", None),
    "first three with their numbers": (
        f"SELECT * FROM (SELECT k, v, {NUMBER} AS rn, ts FROM a) WHERE rn <= 3",
        None,
    ),
    "number in an expression": (
        f"SELECT k, rn * 2 AS t FROM (SELECT k, {NUMBER} AS rn FROM a) q WHERE q.rn < 4 AND k > 1",
        None,
    ),
    "the bound first": (f"SELECT k, v FROM (SELECT *, {NUMBER} AS rn FROM a) WHERE 2 >= rn", None),
    "first with its number": (f"SELECT rn, k FROM (SELECT k, {NUMBER} AS rn FROM a) WHERE rn = 1", None),
    "without partition": (
        "SELECT v, ts FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY ts DESC, k, v) AS rn FROM a) WHERE rn <= 5",
        None,
    ),
    "by expressions": (
        "SELECT s, v FROM (SELECT k + v AS s, v, ROW_NUMBER() OVER (PARTITION BY k % 2 ORDER BY abs(v), ts, "
        "k, v) AS rn FROM a) "
        "WHERE rn <= 2",
        None,
    ),
    "nulls first": (
        "SELECT ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v NULLS FIRST, ts) AS rn FROM "
        "a) WHERE rn = 1",
        None,
    ),
    "qualify": (f"SELECT k, v, ts FROM a WHERE v < 40 QUALIFY {NUMBER} <= 2", None),
    "qualify by name": (f"SELECT k, v, {NUMBER} AS n FROM a QUALIFY n <= 2", None),
    "qualify over groups": (
        "SELECT k, count(*) AS n FROM a GROUP BY k QUALIFY ROW_NUMBER() OVER (ORDER BY count(*) DESC, k) <= 2",
        None,
    ),
    "of windows": (
        "SELECT st, k, n FROM (SELECT window_start AS st, k, count(*) AS n, ROW_NUMBER() OVER (PARTITION BY "
        "window_start, window_end "
        f"ORDER BY count(*) DESC, k) AS rn FROM {TUMBLE} GROUP BY window_start, window_end, k) WHERE rn <= 2",
        f"SELECT st, k, n FROM (SELECT {START} AS st, k, count(*) AS n FROM a GROUP BY ALL) "
        "QUALIFY ROW_NUMBER() OVER (PARTITION BY st ORDER BY n DESC, k) <= 2",
    ),
    "of windows, in a query around them": (
        "SELECT st, k FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY st ORDER BY n DESC, k) AS rn FROM "
        "(SELECT window_start AS st, "
        f"k, count(*) AS n FROM {TUMBLE} GROUP BY window_start, window_end, k)) WHERE rn = 1",
        f"SELECT st, k FROM (SELECT {START} AS st, k, count(*) AS n FROM a GROUP BY ALL) "
        "QUALIFY ROW_NUMBER() OVER (PARTITION BY st ORDER BY n DESC, k) = 1",
    ),
    "of rows of windows": (
        f"SELECT window_start, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start ORDER BY v "
        f"DESC, ts, k) AS rn FROM {TUMBLE}) "
        "WHERE rn <= 2",
        f"SELECT {START} AS window_start, v FROM a QUALIFY ROW_NUMBER() OVER (PARTITION BY window_start "
        f"ORDER BY v DESC, ts, k) <= 2",
    ),
    "of a join": (
        "SELECT ak, av, bv FROM (SELECT a.k AS ak, a.v AS av, b.v AS bv, ROW_NUMBER() OVER (PARTITION BY "
        "a.k ORDER BY b.v DESC, a.v, "
        "a.ts, b.ts) AS rn FROM a JOIN b ON a.k = b.k AND a.ts BETWEEN b.ts AND b.ts + INTERVAL '2' SECOND) "
        "WHERE rn = 1",
        None,
    ),
    "joined": (
        f"SELECT b.v, f.v AS w FROM b JOIN (SELECT k, v FROM a QUALIFY {NUMBER} = 1) f ON b.k = f.k",
        None,
    ),
    "distinct": ("SELECT DISTINCT k, v % 3 AS r FROM a", None),
    "distinct groups": ("SELECT DISTINCT count(*) > 80 AS n FROM a GROUP BY k", None),
    "distinct of a union": ("SELECT DISTINCT * FROM (SELECT k FROM a UNION ALL SELECT v FROM b)", None),
    "count of distinct rows": ("SELECT count(*) AS n FROM (SELECT DISTINCT k, v FROM a)", None),
    "order and limit": ("SELECT k, v, ts FROM a ORDER BY v DESC, ts, k LIMIT 7", None),
    "order by number and name": (
        "SELECT v AS w, ts AS t, k FROM a ORDER BY 2, w NULLS FIRST, K DESC LIMIT 5",
        None,
    ),
    "order by an expression, in FROM": (
        "SELECT sum(v) AS s FROM (SELECT v FROM a ORDER BY v * v DESC LIMIT 9)",
        None,
    ),
    "order of groups": ("SELECT k, sum(v) AS s FROM a GROUP BY k ORDER BY s DESC LIMIT 2", None),
    "order by what is computed": (
        "SELECT k AS q, v * 2 AS w, ts FROM a ORDER BY v * 2 DESC, k, a.ts LIMIT 6",
        None,
    ),
    "order by an expression of what is computed": (
        "SELECT k, count(*) AS n FROM a GROUP BY k ORDER BY count(*) * 2 DESC, k LIMIT 3",
        None,
    ),
    "order of all columns": (
        "SELECT * FROM a ORDER BY a.v, k, ts LIMIT 3",
        "SELECT * FROM a ORDER BY v, k, ts LIMIT 3",
    ),
    "rows after the first": ("SELECT k, v, ts FROM a ORDER BY v DESC, ts, k LIMIT 7 OFFSET 3", None),
    "rows of groups after the first": (
        "SELECT k, sum(v) AS s FROM a GROUP BY ALL ORDER BY s DESC LIMIT 2 OFFSET 1",
        None,
    ),
    "rows after the first, in FROM": (
        "SELECT sum(v) AS s FROM (SELECT v, ts FROM a ORDER BY ts, v LIMIT 9 OFFSET 100)",
        None,
    ),
    "as other databases write it": (
        "SELECT k, v, ts FROM a ORDER BY v, ts, k OFFSET 2 ROWS FETCH NEXT 3 ROWS ONLY",
        "SELECT k, v, ts FROM a ORDER BY v, ts, k LIMIT 3 OFFSET 2",
    ),
    "order of a union": ("SELECT v, ts FROM a UNION ALL SELECT v, ts FROM b ORDER BY ts, v LIMIT 4", None),
}


@pytest.mark.parametrize("name", CASES)
def test_as_duckdb(name: str) -> None:
    query, other = CASES[name]
    assert check(query, {"a": stream(A, 3, "a"), "b": stream(B, 4, "b")}, {"a": A, "b": B}, other)


@pytest.mark.parametrize("offset", ["", " OFFSET 2"])
def test_rows_come_in_their_order(offset: str) -> None:
    query = f"SELECT k, v, ts FROM a WHERE v IS NOT NULL ORDER BY v DESC, ts, k LIMIT 7{offset}"
    assert Pipeline.sql(query, a=stream(A, 3)).collect_sync().rows() == by_duckdb(query, {"a": A}).rows()


@pytest.mark.parametrize(("count", "rows"), [(0, 0), (1, 1), (150, 150), (9_999, 400)])
def test_limit_gives_some_rows(count: int, rows: int) -> None:
    found = Pipeline.sql(f"SELECT k, v FROM a LIMIT {count}", a=stream(A, 3)).collect_sync()
    assert found.height == rows
    assert multiset(found) <= multiset(A.select("k", "v"))


def test_no_row_of_an_order_may_be_asked_for() -> None:
    for query in ("SELECT k FROM a ORDER BY v LIMIT 0", "SELECT k, v FROM a ORDER BY v LIMIT 5 OFFSET 9999"):
        assert (
            Pipeline.sql(query.replace("SELECT k ", "SELECT k, v "), a=stream(A, 3)).collect_sync().height
            == 0
        )


def test_an_empty_stream_has_no_first_rows() -> None:
    none = pl.DataFrame(schema=A.schema)
    assert Pipeline.sql("SELECT k, v FROM a ORDER BY v LIMIT 3", a=none).collect_sync().height == 0
