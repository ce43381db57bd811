"""TUMBLE, HOP and SESSION give what DuckDB gives for the same windows in its own words."""

from __future__ import annotations

import polars as pl
import pytest
from sql_oracle import check
from sql_streams import events, stream

ROWS = events(1)
TEN = "INTERVAL '10 seconds'"
START = f"time_bucket({TEN}, ts)"
HOPS = "time_bucket(INTERVAL '2 seconds', ts) - i * INTERVAL '2 seconds'"
TUMBLE = "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))"
HOP = "TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))"


def sessions(seconds: int) -> str:
    """The rows with the number of their session."""
    gap = f"INTERVAL '{seconds} seconds'"
    apart = f"CAST(ts - lag(ts) OVER (PARTITION BY k ORDER BY ts) >= {gap} AS INTEGER)"
    return (
        "(SELECT *, coalesce(sum(apart) OVER (PARTITION BY k ORDER BY ts ROWS UNBOUNDED PRECEDING), 0) AS number "
        f"FROM (SELECT *, {apart} AS apart FROM t))"
    )


CASES = {
    "tumble in from": (
        f"SELECT k, window_start, window_end, sum(v) AS s, count(*) AS n FROM {TUMBLE} GROUP BY k, window_start, window_end",
        f"SELECT k, {START} AS window_start, {START} + {TEN} AS window_end, sum(v) AS s, count(*) AS n FROM t GROUP BY ALL",
    ),
    "one bound, an expression as key, an alias": (
        f"SELECT w.k % 2 AS odd, max(w.v) + 1 AS m FROM {TUMBLE} AS w GROUP BY w.k % 2, w.window_end",
        f"SELECT odd, m FROM (SELECT k % 2 AS odd, {START} AS b, max(v) + 1 AS m FROM t GROUP BY ALL)",
    ),
    "without the words TABLE": (
        "SELECT window_end, min(v) AS m FROM TUMBLE(t, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end",
        f"SELECT {START} + {TEN} AS window_end, min(v) AS m FROM t GROUP BY ALL",
    ),
    "tumble of a subquery, grouped by nothing else, without functions": (
        "SELECT k FROM TUMBLE((SELECT k, ts FROM t WHERE v > 0), DESCRIPTOR(ts), INTERVAL '10' SECOND) "
        "GROUP BY k, window_start, window_end",
        f"SELECT k FROM (SELECT DISTINCT k, {START} FROM t WHERE v > 0)",
    ),
    "tumble in group by": (
        "SELECT k, TUMBLE_START(ts, INTERVAL '10' SECOND) AS s, TUMBLE_END(ts, INTERVAL '10' SECOND) AS e, avg(v) AS m "
        "FROM t GROUP BY TUMBLE(ts, INTERVAL '10' SECOND), k HAVING count(v) > 3 AND k <> 2",
        f"SELECT k, {START} AS s, {START} + {TEN} AS e, avg(v) AS m FROM t GROUP BY ALL HAVING count(v) > 3 AND k <> 2",
    ),
    "hop in from": (
        f"SELECT window_start, max(v) AS m FROM {HOP} WHERE k < 3 GROUP BY window_start, window_end",
        f"SELECT {HOPS} AS window_start, max(v) AS m FROM t, range(5) r(i) WHERE k < 3 GROUP BY 1",
    ),
    "hop in group by": (
        "SELECT HOP_START(ts, INTERVAL '2' SECOND, INTERVAL '10' SECOND) AS s, count(DISTINCT k) AS n FROM t "
        "GROUP BY HOP(ts, INTERVAL '2' SECOND, INTERVAL '10' SECOND)",
        f"SELECT {HOPS} AS s, count(DISTINCT k) AS n FROM t, range(5) r(i) GROUP BY 1",
    ),
    "sessions in from": (
        "SELECT k, window_start, window_end, count(*) AS n "
        "FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND)) GROUP BY k, window_start, window_end",
        f"SELECT k, min(ts) AS window_start, max(ts) + INTERVAL '2 seconds' AS window_end, count(*) AS n FROM {sessions(2)} "
        "GROUP BY k, number",
    ),
    "sessions in group by": (
        "SELECT SESSION_START(ts, INTERVAL '1' SECOND) AS s, SESSION_END(ts, INTERVAL '1' SECOND) AS e, k, sum(v) AS n "
        "FROM t GROUP BY SESSION(ts, INTERVAL '1' SECOND), k",
        f"SELECT min(ts) AS s, max(ts) + INTERVAL '1 seconds' AS e, k, sum(v) AS n FROM {sessions(1)} GROUP BY k, number",
    ),
    "months": (
        "SELECT TUMBLE_START(ts, INTERVAL '1' MONTH) AS s, count(*) AS n FROM t GROUP BY TUMBLE(ts, INTERVAL '1' MONTH)",
        "SELECT date_trunc('month', ts) AS s, count(*) AS n FROM t GROUP BY ALL",
    ),
    "windows of windows": (
        "SELECT st, max(n) AS most FROM (SELECT k, count(*) AS n, window_start AS st, window_end AS e FROM "
        f"{HOP} GROUP BY k, window_start, window_end) GROUP BY st, e",
        f"SELECT st, max(n) AS most FROM (SELECT k, count(*) AS n, {HOPS} AS st FROM t, range(5) r(i) GROUP BY ALL) GROUP BY st",
    ),
    "windows of sessions": (
        "SELECT st, sum(n) AS n FROM (SELECT k, count(*) AS n, SESSION_START(ts, INTERVAL '2' SECOND) AS st FROM t "
        "GROUP BY SESSION(ts, INTERVAL '2' SECOND), k) GROUP BY st",
        f"SELECT st, sum(n) AS n FROM (SELECT count(*) AS n, min(ts) AS st FROM {sessions(2)} GROUP BY k, number) GROUP BY st",
    ),
    "windows of windows by their ends": (
        f"SELECT e, count(*) AS n FROM (SELECT k, window_end AS e FROM {TUMBLE} GROUP BY k, window_start, window_end) GROUP BY e",
        f"SELECT {START} + {TEN} AS e, count(DISTINCT k) AS n FROM t GROUP BY ALL",
    ),
    "larger windows of windows": (
        "SELECT TUMBLE_START(st, INTERVAL '1' MINUTE) AS minute, sum(n) AS n FROM (SELECT count(*) AS n, window_start AS st "
        f"FROM {TUMBLE} GROUP BY window_start, window_end) GROUP BY TUMBLE(st, INTERVAL '1' MINUTE)",
        "SELECT date_trunc('minute', ts) AS minute, count(*) AS n FROM t GROUP BY ALL",
    ),
    "rows with their window": (
        f"SELECT window_start, window_end, k, v FROM {TUMBLE} WHERE v > 0 AND window_start > TIMESTAMP '2026-01-01 00:00:30'",
        f"SELECT * FROM (SELECT {START} AS window_start, {START} + {TEN} AS window_end, k, v FROM t WHERE v > 0) "
        "WHERE window_start > TIMESTAMP '2026-01-01 00:00:30'",
    ),
    "rows with each of their windows": (
        "SELECT window_start, k, v FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '5' SECOND))",
        f"SELECT {HOPS} AS window_start, k, v FROM t, range(3) r(i) WHERE {HOPS} + INTERVAL '5 seconds' > ts",
    ),
    "times": ("SELECT ts, count(*) AS n, k + 1 AS l FROM t GROUP BY ts, k", None),
    "the whole stream": (
        "SELECT k, count(DISTINCT v) AS d, sum(DISTINCT v) AS sd, avg(DISTINCT v) AS ad, count(*) FILTER (WHERE v > 0) AS p, "
        "sum(v) FILTER (WHERE v > 900) AS none, bool_or(v > 40) AS o, bool_and(v > -40) AS a, median(v) AS m, "
        "stddev(v) AS d1, stddev_pop(v) AS d2, variance(v) AS d3, var_pop(v) AS d4, min(ts) AS f, max(ts) - INTERVAL '1' DAY AS l "
        "FROM t GROUP BY k",
        None,
    ),
    "no key": (
        "SELECT count(*) AS n, count(v) AS c, sum(v) AS s, min(v) AS m, count(DISTINCT v) AS d FROM t",
        None,
    ),
    "no key and no row": (
        "SELECT count(*) AS n, count(v) AS c, sum(v) AS s, min(ts) AS m, avg(v) AS a, count(DISTINCT v) AS d, "
        "count(*) FILTER (WHERE v IS NULL) AS f, bool_and(v > 0) AS b, 1 AS one FROM t WHERE v > 900",
        None,
    ),
    "a key and no row": ("SELECT k, count(*) AS n FROM t WHERE v > 900 GROUP BY k", None),
    "having alone": ("SELECT sum(v) AS s FROM t HAVING count(*) > 10000", None),
    "keys of many kinds": (
        "SELECT v % 3 AS r, CASE WHEN k > 2 THEN 'high' END AS c, count(*) AS n FROM t GROUP BY v % 3, c",
        None,
    ),
    "by number, and a constant": ("SELECT 'x' AS x, k, sum(v + k) AS s FROM t GROUP BY 1, 2", None),
}


@pytest.mark.parametrize("name", CASES)
def test_as_duckdb(name: str) -> None:
    query, other = CASES[name]
    check(query, {"t": stream(ROWS, 5)}, {"t": ROWS}, other)


@pytest.mark.parametrize("unit", ["ms", "ns"])
@pytest.mark.parametrize(
    "name", ["hop in from", "rows with each of their windows", "windows of sessions", "times"]
)
def test_times_of_another_unit(name: str, unit: str) -> None:
    query, other = CASES[name]
    rows = ROWS.with_columns(pl.col("ts").cast(pl.Datetime(unit)))  # type: ignore[arg-type]
    check(query, {"t": stream(rows, 5)}, {"t": ROWS}, other)


def test_days() -> None:
    rows = ROWS.with_columns((pl.col("ts").dt.date() + pl.duration(days="k")).alias("ts"))
    query = "SELECT ts, count(*) AS n FROM t GROUP BY ts"
    assert check(query, {"t": rows}, {"t": rows}) == 5
    query = "SELECT TUMBLE_START(ts, INTERVAL '1' DAY) AS ts, count(*) AS n FROM t GROUP BY TUMBLE(ts, INTERVAL '1' DAY)"
    check(query, {"t": rows}, {"t": rows}, "SELECT ts, count(*) AS n FROM t GROUP BY ts")
