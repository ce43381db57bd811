"""Joins give what DuckDB gives: with tables, of streams within a time, and of windows."""

from __future__ import annotations

import polars as pl
import pytest
from sql_oracle import check
from sql_streams import events, stream

from arrowstream import Pipeline, Source

A, B = events(1), events(2)
NAMES = pl.DataFrame(
    {"k": [0, 1, 1, 3, None], "name": ["zero", "one", "uno", "three", "none"], "v": [0, 1, 3, 3, 5]}
)
TEN = "INTERVAL '10 seconds'"


def windows(table: str, kind: str = "TUMBLE", lengths: str = "INTERVAL '10' SECOND") -> str:
    return f"TABLE({kind}(TABLE {table}, DESCRIPTOR(ts), {lengths}))"


CASES = {
    # Tables.
    "inner": ("SELECT a.k, a.v, n.name FROM a JOIN n ON a.k = n.k", None),
    "all columns": ("SELECT a.*, n.name FROM a JOIN n ON a.k = n.k WHERE a.v > 0 AND n.name <> 'uno'", None),
    "left": ("SELECT a.k, n.k AS nk, n.name, n.v FROM a LEFT JOIN n ON a.k = n.k", None),
    "left with a condition": (
        "SELECT a.k, n.k AS nk, n.name FROM a LEFT JOIN n ON a.k = n.k AND n.v > 2",
        None,
    ),
    "semi": ("SELECT * FROM a SEMI JOIN n ON a.k = n.k AND n.v > 1 WHERE a.v > 3", None),
    "anti": ("SELECT a.k, v FROM a ANTI JOIN n USING (k)", None),
    "using": ("SELECT k, name, a.v FROM a JOIN n USING (k)", None),
    "star over using": ("SELECT * EXCLUDE (v) FROM (SELECT k, ts FROM a) x JOIN n USING (k)", None),
    "comma": ("SELECT a.v, name FROM a, n WHERE a.k = n.k AND a.v < n.v", None),
    "expressions as keys": ("SELECT a.v, name FROM a JOIN n ON a.k + 1 = n.k * 2", None),
    "two keys": ("SELECT a.v, name FROM a JOIN n ON a.k = n.k AND a.v % 5 = n.v", None),
    "the same key twice": ("SELECT a.v, name FROM a JOIN n ON a.k = n.k AND a.k = n.v", None),
    "nulls are not equal": ("SELECT a.k, name FROM a JOIN n ON NULLIF(a.k, 3) = n.k", None),
    "other types": ("SELECT a.k, name FROM a JOIN n ON CAST(a.k AS DOUBLE) = n.k", None),
    "three": (
        "SELECT a.v, x.name, y.name AS other FROM a JOIN n x ON a.k = x.k LEFT JOIN n y ON a.v = y.v",
        None,
    ),
    "a table on the left": ("SELECT n.name, a.v FROM n JOIN a ON n.k = a.k AND a.v > 10", None),
    "grouped": (
        "SELECT name, count(*) AS n, sum(a.v) AS s FROM a JOIN n ON a.k = n.k GROUP BY name HAVING count(*) > 3",
        None,
    ),
    "a stream with itself": ("SELECT x.v, y.v AS w FROM a x JOIN a y ON x.k = y.k AND x.v = y.v + 1", None),
    "conditions of one side": (
        "SELECT a.v, name FROM a JOIN n ON (a.k = n.k AND (a.v > 3 AND n.v > 0) AND 1 = 1)",
        None,
    ),
    "a key in a condition": ("SELECT a.v FROM a JOIN n ON a.k = n.k WHERE a.v > n.k", None),
    "a sum of both sides": ("SELECT a.v, name FROM a JOIN n ON a.k = n.k AND a.v + n.v = 12", None),
    "times without a bound": (
        "SELECT x.v, y.v AS w FROM a x JOIN b y ON x.k = y.k AND x.v = y.v AND x.ts > y.ts",
        None,
    ),
    "times of months": (
        "SELECT x.v, y.v AS w FROM a x JOIN b y ON x.k = y.k AND x.v = y.v AND x.ts BETWEEN y.ts - INTERVAL "
        "'1' MONTH AND y.ts",
        None,
    ),
    "other times": (
        "SELECT x.v, y.v AS w FROM a x JOIN b y ON x.k = y.k AND x.v = y.v AND x.ts <> y.ts AND x.ts "
        "BETWEEN y.ts AND x.ts",
        None,
    ),
    "a full join among others": (
        "SELECT a.v, b.v AS w, n.name FROM a JOIN n ON a.k = n.k FULL JOIN b "
        "ON a.k = b.k AND a.ts BETWEEN b.ts AND b.ts + INTERVAL '1' SECOND WHERE a.v > 0 OR b.v > 0",
        None,
    ),
    "a filtered table": (
        "SELECT a.v, m.name FROM a JOIN (SELECT k, name FROM n WHERE v > 2) AS m ON m.k = a.k",
        None,
    ),
    # Streams.
    "within": (
        "SELECT a.k, a.v, b.v AS w FROM a JOIN b ON a.k = b.k "
        "AND a.ts BETWEEN b.ts - INTERVAL '3' SECOND AND b.ts + INTERVAL '1' SECOND",
        None,
    ),
    "within, in WHERE": (
        "SELECT a.v, b.v AS w FROM a, b WHERE b.k = a.k AND b.ts <= a.ts + INTERVAL '1' SECOND AND a.ts <= "
        "b.ts AND a.v < b.v",
        None,
    ),
    "within, not up to the ends": (
        "SELECT a.v, b.v AS w FROM a JOIN b ON a.k = b.k AND a.ts > b.ts - INTERVAL '1' SECOND AND a.ts < "
        "b.ts + INTERVAL '1' SECOND",
        None,
    ),
    "later only": (
        "SELECT a.k, b.v AS w FROM a JOIN b ON a.k = b.k AND b.ts BETWEEN a.ts + INTERVAL '2' SECOND AND "
        "a.ts + INTERVAL '4' SECOND",
        None,
    ),
    "earlier only": (
        "SELECT a.k, b.v AS w FROM a JOIN b ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '4' SECOND AND "
        "a.ts - INTERVAL '2' SECOND",
        None,
    ),
    "within, in brackets": (
        "SELECT a.v, b.v AS w FROM a JOIN b ON a.k = b.k AND (a.ts) >= (b.ts) AND a.ts <= INTERVAL '2' "
        "SECOND + b.ts",
        None,
    ),
    "one time": ("SELECT a.v, b.v AS w FROM a JOIN b ON a.k = b.k AND a.ts = b.ts", None),
    "no key": ("SELECT a.v, b.v AS w FROM a JOIN b ON a.ts = b.ts", None),
    "streams, left": (
        "SELECT a.k, a.v, b.v AS w, b.ts AS bt, b.k AS bk FROM a LEFT JOIN b "
        "ON a.k = b.k AND b.ts >= a.ts AND b.ts < a.ts + INTERVAL '1' SECOND",
        None,
    ),
    "streams, full": (
        "SELECT a.k, a.v, a.ts AS at, b.v AS w, b.ts AS bt, b.k AS bk FROM a FULL JOIN b "
        "ON a.k = b.k AND b.ts >= a.ts AND b.ts < a.ts + INTERVAL '1' SECOND",
        None,
    ),
    "streams, semi": (
        "SELECT a.* FROM a SEMI JOIN b ON a.k = b.k AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' SECOND "
        "AND b.v > 0",
        None,
    ),
    "streams, anti": (
        "SELECT a.* FROM a ANTI JOIN b ON a.k = b.k AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' SECOND",
        None,
    ),
    "grouped by windows of the left": (
        "SELECT TUMBLE_START(ats, INTERVAL '10' SECOND) AS st, count(*) AS n FROM (SELECT a.ts AS ats, b.ts "
        "AS bts FROM a JOIN b "
        "ON a.k = b.k AND a.ts BETWEEN b.ts - INTERVAL '3' SECOND AND b.ts) GROUP BY TUMBLE(ats, INTERVAL "
        "'10' SECOND)",
        f"SELECT time_bucket({TEN}, a.ts) AS st, count(*) AS n FROM a JOIN b ON a.k = b.k "
        "AND a.ts BETWEEN b.ts - INTERVAL '3' SECOND AND b.ts GROUP BY ALL",
    ),
    "grouped by windows of the right": (
        "SELECT TUMBLE_START(b.ts, INTERVAL '10' SECOND) AS st, count(*) AS n FROM a JOIN b "
        "ON a.k = b.k AND a.ts BETWEEN b.ts - INTERVAL '3' SECOND AND b.ts GROUP BY TUMBLE(b.ts, INTERVAL "
        "'10' SECOND)",
        f"SELECT time_bucket({TEN}, b.ts) AS st, count(*) AS n FROM a JOIN b ON a.k = b.k "
        "AND a.ts BETWEEN b.ts - INTERVAL '3' SECOND AND b.ts GROUP BY ALL",
    ),
    # Windows.
    "windows by key": (
        f"SELECT x.k, x.window_start, x.n, y.s FROM (SELECT k, window_start, window_end, count(*) AS n FROM "
        f"{windows('a')} "
        f"GROUP BY k, window_start, window_end) x JOIN (SELECT k, window_start, window_end, sum(v) AS s "
        f"FROM {windows('b')} "
        "GROUP BY k, window_start, window_end) y ON x.k = y.k AND x.window_start = y.window_start AND "
        "x.window_end = y.window_end",
        f"SELECT x.k, x.window_start, x.n, y.s FROM (SELECT k, time_bucket({TEN}, ts) AS window_start, "
        f"count(*) AS n FROM a "
        f"GROUP BY ALL) x JOIN (SELECT k, time_bucket({TEN}, ts) AS window_start, sum(v) AS s FROM b GROUP "
        f"BY ALL) y "
        "USING (k, window_start)",
    ),
    "rows of windows": (
        f"SELECT l.k, l.v, r.v AS w, l.window_start FROM {windows('a')} l JOIN {windows('b')} r "
        "ON l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end",
        f"SELECT a.k, a.v, b.v AS w, time_bucket({TEN}, a.ts) AS window_start FROM a JOIN b "
        f"ON a.k = b.k AND time_bucket({TEN}, a.ts) = time_bucket({TEN}, b.ts)",
    ),
    "rows of hopping windows, left": (
        "SELECT l.v, r.v AS w, l.window_start FROM "
        f"{windows('a', 'HOP', 'INTERVAL 5 SECOND, INTERVAL 10 SECOND')} l LEFT JOIN "
        f"{windows('b', 'HOP', 'INTERVAL 5 SECOND, INTERVAL 10 SECOND')} r "
        "ON l.k = r.k AND l.v = r.v AND l.window_start = r.window_start AND l.window_end = r.window_end",
        "WITH x AS (SELECT *, time_bucket(INTERVAL '5 seconds', ts) - i * INTERVAL '5 seconds' AS st FROM "
        "a, range(2) r(i)), "
        "y AS (SELECT *, time_bucket(INTERVAL '5 seconds', ts) - i * INTERVAL '5 seconds' AS st FROM b, "
        "range(2) r(i)) "
        "SELECT x.v, y.v AS w, x.st AS window_start FROM x LEFT JOIN y ON x.k = y.k AND x.v = y.v AND x.st = y.st",
    ),
    "rows and their window": (
        f"SELECT a.k, a.v FROM a JOIN (SELECT max(v) AS m, window_end AS e FROM {windows('a')} GROUP BY "
        f"window_start, window_end) w "
        "ON a.v = w.m WHERE a.ts >= w.e - INTERVAL '10' SECOND AND a.ts < w.e",
        f"SELECT k, v FROM a QUALIFY v = max(v) OVER (PARTITION BY time_bucket({TEN}, ts))",
    ),
    # Around joins.
    "with and union": (
        "WITH x AS (SELECT k, v, ts FROM a WHERE v > 0), y AS (SELECT k, v, ts FROM x UNION ALL SELECT k, v "
        "+ 100, ts FROM b) "
        "SELECT k, count(*) AS n, sum(v) AS s FROM y GROUP BY k",
        None,
    ),
    "windows over a union": (
        "SELECT TUMBLE_START(ts, INTERVAL '10' SECOND) AS st, sum(n) AS n FROM (SELECT ts, 1 AS n FROM a UNION ALL "
        "SELECT ts, 2 FROM b) GROUP BY TUMBLE(ts, INTERVAL '10' SECOND)",
        f"SELECT time_bucket({TEN}, ts) AS st, sum(n) AS n FROM (SELECT ts, 1 AS n FROM a UNION ALL SELECT "
        f"ts, 2 FROM b) GROUP BY ALL",
    ),
    "unions of unions": (
        "SELECT k FROM a UNION ALL (SELECT v AS w FROM b UNION ALL SELECT k + 1 FROM b) UNION ALL SELECT * "
        "FROM (SELECT 1 FROM a)",
        None,
    ),
    "a union of types": (
        "SELECT k AS x FROM a UNION ALL SELECT v / 2 FROM b UNION ALL SELECT 1 FROM b",
        None,
    ),
    "names of any case": (
        "SELECT A.K, V AS W FROM A JOIN N ON A.k = N.K",
        "SELECT a.k AS k, a.v AS W FROM a JOIN n ON a.k = n.k",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_as_duckdb(name: str) -> None:
    query, other = CASES[name]
    query = query.replace("V AS W FROM A", "a.V AS W FROM A")
    tables = {"a": stream(A, 3, "a"), "b": stream(B, 4, "b"), "n": NAMES}
    assert check(query, tables, {"a": A, "b": B, "n": NAMES}, other)


@pytest.mark.parametrize(
    "name", ["within", "streams, left", "rows of windows", "windows by key", "rows and their window"]
)
def test_without_event_time(name: str) -> None:
    """Without watermarks no row is late, and all rows are held."""
    query, other = CASES[name]
    check(query, {"a": A, "b": B}, {"a": A, "b": B}, other)


def test_times_of_nanoseconds_have_no_next_one() -> None:
    query = (
        "SELECT a.v, b.v AS w FROM a JOIN b ON a.k = b.k AND a.ts >= b.ts AND a.ts < b.ts + INTERVAL "
        "'1' SECOND AND a.v = b.v"
    )
    a, b = (each.with_columns(pl.col("ts").cast(pl.Datetime("ns"))) for each in (A, B))
    assert check(query, {"a": a, "b": b}, {"a": A, "b": B})


def test_a_stream_without_end_is_looked_up_from() -> None:
    source = Source.from_tcp("127.0.0.1:0", schema={"k": pl.Int64, "ts": pl.Datetime("us")})
    builder = Pipeline.sql("SELECT n.name, e.ts FROM n JOIN e ON n.k = e.k", n=NAMES, e=source)
    assert builder.schema() == {"name": pl.String, "ts": pl.Datetime("us")}
    assert "source: tcp" in builder.explain().split("stage")[0]


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.parametrize("bound", ["<", "<=", "=", ">", ">="])
@pytest.mark.parametrize("micros", [-2000, -1500, -500, 0, 500, 1000, 1500])
@pytest.mark.parametrize("swapped", [False, True])
def test_bounds_between_the_ticks_of_a_type(bound: str, micros: int, swapped: bool) -> None:
    times = pl.DataFrame({"t": pl.Series(range(6)).cast(pl.Datetime("ms"))})
    one = f"x.t + INTERVAL '{micros}' MICROSECOND"
    condition = f"y.t {bound} {one}" if not swapped else f"{one} {bound} y.t"
    near = "y.t BETWEEN x.t - INTERVAL '4 milliseconds' AND x.t + INTERVAL '4 milliseconds'"
    query = f"SELECT x.t, y.t AS u FROM m x JOIN m y ON {condition} AND {near}"
    source = Pipeline.builder().source(Source.from_frame(times).with_event_time("t"))
    check(query, {"m": source}, {"m": times})
