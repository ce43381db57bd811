"""What cannot be is refused with the place of the clause, and what to write instead."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import polars as pl
import pytest

from arrowstream import Pipeline, Source, channel
from arrowstream.errors import MissingExtra, PlanError, QueryError

pytestmark = pytest.mark.once

T = pl.DataFrame(
    {
        "k": [1],
        "x": [1.5],
        "s": ["a"],
        "ts": [datetime(2026, 1, 1)],
        "b": [True],
        "tags": [["a"]],
        "dec": pl.Series([1]).cast(pl.Decimal(10, 2)),
    }
)
U = T.select("k", "s", "ts")


def stream(endless: bool = True) -> Any:
    """A stream that never ends."""
    source = Source.from_tcp("127.0.0.1:0", schema={"k": pl.Int64, "s": pl.String, "ts": pl.Datetime("us")})
    return Pipeline.builder("e").source(source.with_event_time("ts"))


SECONDS = "INTERVAL '{}' SECOND"
TUMBLE = "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)"
CASES: list[tuple[str, tuple[int, int], str]] = [
    # The text.
    ("SELECT k\nFROM t WHERE (k", (2, 15), "the query is not SQL"),
    ("SELECT 'x", (1, 8), "the query is not SQL"),
    ("SELEC k FROM t", (1, 9), "a query begins with SELECT or WITH, not with SELEC"),
    ("", (1, 1), "a query is one SELECT"),
    ("SELECT k FROM TUMBLE(TABLE t", (1, 28), "the query is not SQL"),
    ("SELECT k FROM t; SELECT k FROM t", (1, 1), "2 statements"),
    ("INSERT INTO t SELECT k FROM t", (1, 13), "INSERT is not a query"),
    ("SELECT k,, s FROM t", (1, 10), "something is missing before this comma"),
    ("SELECT\n , s FROM t", (2, 2), "something is missing before this comma"),
    ("SELECT k FROM t WHERE k IN (,1)", (1, 29), "something is missing before this comma"),
    ("SELECT k FROM t LIMIT 3 WHERE k > 1", (1, 25), "WHERE stands after LIMIT"),
    ("SELECT k FROM (SELECT k FROM t ORDER BY k\nGROUP BY k) AS v", (2, 1), "GROUP BY stands after ORDER BY"),
    ("SELECT t.k FROM t WHERE b JOIN u ON t.k = u.k", (1, 27), "JOIN stands after WHERE"),
    ("SELECT k FROM t OFFSET 1 ORDER BY k", (1, 26), "ORDER BY stands after OFFSET"),
    ("SELECT k FROM t GROUP BY", (1, 17), "something is missing here"),
    ("SELECT k FROM (SELECT k FROM t GROUP BY) AS v", (1, 32), "something is missing here"),
    ("SELECT k FROM t WHERE b = b = b", (1, 23), "a comparison of a comparison needs brackets"),
    ("SELECT 1 < k < 3 AS x FROM t", (1, 8), "a comparison of a comparison needs brackets"),
    ("SELECT b = k < 3 AS x FROM t", (1, 8), "a comparison of a comparison needs brackets"),
    ("SELECT 1", (1, 8), "a SELECT reads from something"),
    # Names.
    ("SELECT k,\n  pirce FROM t", (2, 3), "no column is called pirce"),
    ('SELECT k FROM t WHERE s = "bb"', (1, 27), "a text stands in single quotes: 'bb'"),
    ("SELECT k FROM tt", (1, 15), "no table is called tt"),
    ("SELECT w.k FROM t", (1, 8), "no table of this FROM is called w"),
    ("SELECT w.* FROM t", (1, 8), "no table of this FROM is called w"),
    ("SELECT k FROM t JOIN u ON t.k = u.k", (1, 8), "the column k is in more than one table"),
    (
        "SELECT t.k FROM t JOIN u ON t.k = u.k WHERE s = 'a'",
        (1, 45),
        "the column s is in more than one table",
    ),
    ("SELECT t.k, u.k FROM t JOIN u ON t.k = u.k", (1, 13), "two columns are called k"),
    ("SELECT * EXCLUDE (nope) FROM t", (1, 8), "no column is called nope"),
    ("SELECT * REPLACE (k + 1 AS k) FROM t", (1, 8), "* has EXCLUDE alone"),
    ("SELECT k FROM a.t", (1, 15), "a table has one name"),
    ("SELECT k FROM t AS q (k)", (1, 20), "names of columns do not stand here"),
    # Expressions.
    ("SELECT nope(k) AS n FROM t", (1, 8), "no function is called NOPE"),
    ("SELECT LENGHT(s) AS n FROM t", (1, 8), "did you mean 'LENGTH'?"),
    ("SELECT now() AS n FROM t", (1, 8), "its result differs from run to run"),
    ("SELECT k FROM t WHERE ts < current_timestamp", (1, 23), "the time of the clock differs"),
    ("SELECT LOG(x) AS n FROM t", (1, 8), "write LN or LOG10"),
    ("SELECT LENGTH(s, s) AS n FROM t", (1, 8), "LENGTH takes other arguments"),
    ("SELECT LENGTH(k) AS n FROM t", (1, 8), "LENGTH is for text"),
    ("SELECT ABS(s) AS n FROM t", (1, 8), "ABS is for numbers"),
    ("SELECT MOD(x, 2) AS n FROM t", (1, 8), "MOD takes a whole number"),
    ("SELECT YEAR(k) AS n FROM t", (1, 8), "YEAR is for times"),
    ("SELECT SUBSTRING(s, k) AS n FROM t", (1, 8), "an argument of SUBSTRING stands in the query"),
    ("SELECT SUBSTRING(s, 0) AS n FROM t", (1, 8), "SUBSTRING counts from 1"),
    ("SELECT SPLIT_PART(s, '/', 0) AS n FROM t", (1, 8), "SPLIT_PART counts from 1"),
    ("SELECT LPAD(s, 3, 'ab') AS n FROM t", (1, 8), "LPAD fills up with one character"),
    (
        "SELECT REGEXP_REPLACE(s, 'a', 'b', 'i') AS n FROM t",
        (1, 8),
        "REGEXP_REPLACE has the option 'g' alone",
    ),
    (
        r"SELECT REGEXP_REPLACE(s, '(a)', '\2') AS n FROM t",
        (1, 8),
        r"expected: \0 to \1 for groups of the expression",
    ),
    (r"SELECT REGEXP_REPLACE(s, 'a', 'b\') AS n FROM t", (1, 8), "the replacement of REGEXP_REPLACE"),
    ("SELECT SPLIT_INDEX(s, '', 0) AS n FROM t", (1, 8), "SPLIT_INDEX counts from 0"),
    ("SELECT REGEXP_MATCHES(s, '(') AS n FROM t", (1, 8), "the regular expression cannot be read"),
    ("SELECT ROUND(x, -1) AS n FROM t", (1, 8), "ROUND takes decimals"),
    ("SELECT GREATEST(x, 1e0) AS n FROM t", (1, 8), "GREATEST is for whole numbers"),
    ("SELECT DATE_TRUNC('fortnight', ts) AS n FROM t", (1, 8), "knows no part of a time of this name"),
    ("SELECT DATE_FORMAT(ts, 'EEE') AS n FROM t", (1, 8), "DATE_FORMAT knows no such layout"),
    ("SELECT STRFTIME(ts, '%Q') AS n FROM t", (1, 8), "STRFTIME knows no such letter"),
    ("SELECT k FROM t WHERE k", (1, 23), "a condition is true or false"),
    ("SELECT k FROM t WHERE k = s", (1, 23), "values of these types cannot be compared"),
    ("SELECT k FROM t WHERE tags = tags", (1, 23), "values of these types cannot be compared"),
    ("SELECT k FROM t WHERE k = 'one'", (1, 23), "the text is not a number"),
    ("SELECT k FROM t WHERE ts > 'yesterday'", (1, 23), "the text is not a TIMESTAMP"),
    ("SELECT k FROM t WHERE ts > '2026-01-01 00:00:00+01:00'", (1, 23), "the text is not a TIMESTAMP"),
    ("SELECT k FROM t WHERE ts > '2026-01-01 00:00:00.1234567'", (1, 23), "more digits than the type"),
    (
        "SELECT k FROM t WHERE CAST(ts AS TIMESTAMP_MS) > '2026-01-01 00:00:00.0005'",
        (1, 28),
        "hint: write TIMESTAMP",
    ),
    ("SELECT k FROM t WHERE CAST(ts AS DATE) > 'x'", (1, 28), "the text is not a DATE"),
    ("SELECT k + s AS n FROM t", (1, 8), "+ does not go with these types"),
    ("SELECT dec * 2 AS n FROM t", (1, 8), "around a DECIMAL"),
    ("SELECT ts - ts AS n FROM t", (1, 8), "DATE_DIFF('second', a, b)"),
    ("SELECT x % 2 AS n FROM t", (1, 8), "% is for whole numbers"),
    ("SELECT k FROM t WHERE x % 2 = 0", (1, 23), "% is for whole numbers"),
    ("SELECT -s AS n FROM t", (1, 9), "- is for numbers"),
    ("SELECT k + INTERVAL '1' DAY AS n FROM t", (1, 8), "an INTERVAL is added to a time"),
    ("SELECT ts + INTERVAL '1' FORTNIGHT AS n FROM t", (1, 22), "the interval cannot be read"),
    ("SELECT ts + INTERVAL '0.1' MICROSECOND AS n FROM t", (1, 22), "the interval cannot be read"),
    ("SELECT INTERVAL '1' DAY AS n FROM t", (1, 17), "an INTERVAL is added to a time"),
    ("SELECT 99999999999999999999 AS n FROM t", (1, 8), "a whole number is too large"),
    ("SELECT NULL AS n FROM t", (1, 16), "a column of NULL has no type"),
    ("SELECT CAST(k AS UUID) AS n FROM t", (1, 8), "CAST knows no such type"),
    ("SELECT CAST(x AS VARCHAR) AS n FROM t", (1, 8), "the text of a DOUBLE is not the same everywhere"),
    ("SELECT CAST(ts AS VARCHAR) AS n FROM t", (1, 8), "STRFTIME"),
    ("SELECT CAST(s AS TIMESTAMP) AS n FROM t", (1, 8), "STRPTIME"),
    ("SELECT CAST(ts AS BIGINT) AS n FROM t", (1, 8), "EPOCH(ts)"),
    ("SELECT CAST(b AS DATE) AS n FROM t", (1, 8), "BOOLEAN cannot be cast to DATE"),
    ("SELECT CASE WHEN b THEN k ELSE s END AS n FROM t", (1, 8), "values of these types do not go together"),
    ("SELECT s LIKE s AS n FROM t", (1, 8), "the pattern of LIKE stands in the query"),
    ("SELECT k LIKE 'a' AS n FROM t", (1, 8), "LIKE is for text"),
    ("SELECT k IS 3 AS n FROM t", (1, 8), "IS compares with NULL, TRUE or FALSE"),
    ("SELECT k FROM t WHERE k IN (SELECT k FROM u)", (1, 23), "write SEMI JOIN"),
    ("SELECT k FROM t WHERE EXISTS (SELECT k FROM u)", (1, 23), "write SEMI JOIN"),
    ("SELECT (SELECT k FROM u) AS n FROM t", (1, 16), "a subquery stands in FROM"),
    ("SELECT SUM(k) OVER (ORDER BY ts) AS n FROM t", (1, 8), "OVER looks at other rows"),
    ("SELECT k, COUNT(*) OVER (PARTITION BY k) AS n FROM t", (1, 11), "OVER looks at other rows"),
    (
        "SELECT k, SUM(k) FILTER (WHERE k > 1) OVER (PARTITION BY k) FROM t",
        (1, 11),
        "OVER looks at other rows",
    ),
    ("SELECT k, SUM(SUM(k)) OVER (ORDER BY k) AS n FROM t GROUP BY k", (1, 11), "OVER looks at other rows"),
    ("SELECT k & 1 AS n FROM t", (1, 8), "queries do not compute with bits"),
    # Groups.
    ("SELECT k, s FROM t GROUP BY k", (1, 11), "s is neither grouped by nor inside"),
    ("SELECT k FROM t GROUP BY 2", (1, 26), "GROUP BY counts the columns of SELECT"),
    ("SELECT sum(k) AS n FROM t GROUP BY n", (1, 36), "GROUP BY names no function of many rows"),
    ("SELECT k FROM t WHERE sum(k) > 1", (1, 23), "SUM does not stand here"),
    ("SELECT sum(max(k)) AS n FROM t", (1, 12), "MAX does not stand here"),
    ("SELECT sum(s) AS n FROM t", (1, 8), "SUM is for numbers"),
    ("SELECT sum(k, k) AS n FROM t", (1, 8), "SUM takes one argument"),
    ("SELECT sum(*) AS n FROM t", (1, 8), "SUM takes one argument"),
    ("SELECT count(DISTINCT k, s) AS n FROM t", (1, 8), "DISTINCT takes one argument here"),
    ("SELECT stddev(DISTINCT k) AS n FROM t", (1, 8), "STDDEV has no DISTINCT here"),
    ("SELECT bool_and(k) AS n FROM t", (1, 8), "BOOL_AND is for conditions"),
    ("SELECT max(tags) AS n FROM t", (1, 8), "MAX is for values that can be compared"),
    ("SELECT string_agg(s, ',') AS n FROM t", (1, 8), "rows have no order"),
    ("SELECT k FROM t GROUP BY ROLLUP (k)", (1, 17), "GROUP BY has no ROLLUP here"),
    ("SELECT k FROM t\nGROUP BY k WITH TOTALS", (2, 1), "GROUP BY has no TOTALS here"),
    ("SELECT k FROM t GROUP BY GROUPING SETS ((k), ())", (1, 17), "GROUP BY has no GROUPING SETS here"),
    ("SELECT k + count(*) AS n FROM t GROUP BY ALL", (1, 8), "k is neither grouped by"),
    ("SELECT k, count(*) AS n FROM e GROUP BY k", (1, 8), "groups come out at the end"),
    # Windows.
    (f"SELECT k FROM {TUMBLE} GROUP BY k, TUMBLE(ts, INTERVAL '1' SECOND)", (1, 81), "in windows already"),
    (
        "SELECT count(*) AS n FROM t GROUP BY TUMBLE(ts, INTERVAL '1' SECOND), TUMBLE(ts, INTERVAL '2' SECOND)",
        (1, 71),
        "GROUP BY takes one function of windows",
    ),
    (
        "SELECT count(*) AS n FROM t GROUP BY TUMBLE(k, INTERVAL '1' SECOND)",
        (1, 45),
        "TUMBLE needs event times",
    ),
    (
        "SELECT count(*) AS n FROM t GROUP BY TUMBLE(INTERVAL '1' SECOND)",
        (1, 38),
        "TUMBLE needs the column of event times",
    ),
    (f"SELECT count(*) AS n FROM t GROUP BY TUMBLE(ts, {SECONDS.format(0)})", (1, 58), "TUMBLE is too short"),
    (
        f"SELECT count(*) AS n FROM t GROUP BY TUMBLE(ts, {SECONDS.format(-1)})",
        (1, 58),
        "TUMBLE is too short",
    ),
    (
        f"SELECT count(*) AS n FROM t GROUP BY SESSION(ts, {SECONDS.format(0)})",
        (1, 59),
        "SESSION is too short",
    ),
    (f"SELECT k FROM TUMBLE(TABLE t, DESCRIPTOR(ts), {SECONDS.format(0)})", (1, 56), "TUMBLE is too short"),
    (
        f"SELECT k FROM HOP(TABLE t, DESCRIPTOR(ts), {SECONDS.format(0)}, {SECONDS.format(2)})",
        (1, 53),
        "HOP is too short",
    ),
    (
        f"SELECT count(*) AS n FROM t\nGROUP BY HOP(ts, {SECONDS.format(3)}, {SECONDS.format(2)})",
        (2, 27),
        "by more than the size",
    ),
    (
        f"SELECT k FROM HOP(TABLE t, DESCRIPTOR(ts), {SECONDS.format(3)}, {SECONDS.format(2)})",
        (1, 53),
        "by more than the size",
    ),
    (
        f"SELECT count(*) AS n FROM t GROUP BY HOP(ts, {SECONDS.format(3)}, INTERVAL '1' MONTH)",
        (1, 55),
        "mix months with shorter times",
    ),
    (
        "SELECT count(*) AS n FROM t GROUP BY TUMBLE(ts, INTERVAL '1 month 1 day')",
        (1, 58),
        "months differ in length from days",
    ),
    (
        "SELECT count(*) AS n FROM t GROUP BY SESSION(ts, INTERVAL '1' MONTH)",
        (1, 59),
        "a length of SESSION has no months",
    ),
    (
        f"SELECT count(*) AS n FROM (SELECT CAST(ts AS DATE) AS d FROM t) GROUP BY TUMBLE(d, {SECONDS.format(1)})",
        (1, 93),
        "times that DATE cannot hold",
    ),
    (
        "SELECT count(*) AS n FROM (SELECT CAST(ts AS TIMESTAMP_MS) AS d FROM t) "
        "GROUP BY TUMBLE(d, INTERVAL '1500' MICROSECOND)",
        (1, 101),
        "expected: whole milliseconds",
    ),
    ("SELECT count(*) AS n FROM t GROUP BY TUMBLE(ts)", (1, 38), "TUMBLE takes one length"),
    ("SELECT count(*) AS n FROM t GROUP BY HOP(ts, INTERVAL '1' SECOND)", (1, 38), "HOP takes two lengths"),
    ("SELECT count(*) AS n FROM t GROUP BY TUMBLE(ts, 10)", (1, 49), "an interval is needed here"),
    (
        "SELECT k FROM TUMBLE(TABLE t, ts, INTERVAL '1' SECOND)",
        (1, 15),
        "TUMBLE needs the column of event times",
    ),
    (
        "SELECT k FROM TUMBLE(TABLE t, DESCRIPTOR(k + 1), INTERVAL '1' SECOND)",
        (1, 15),
        "TUMBLE needs the column",
    ),
    ("SELECT k FROM TUMBLE(1, DESCRIPTOR(ts), INTERVAL '1' SECOND)", (1, 15), "TUMBLE takes a table"),
    (
        "SELECT k FROM TUMBLE(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' SECOND)",
        (1, 30),
        "PARTITION BY is for SESSION",
    ),
    (
        "SELECT k, window_start FROM SESSION(TABLE t, DESCRIPTOR(ts), INTERVAL '1' SECOND)",
        (1, 29),
        "these windows are known only once rows are grouped",
    ),
    (
        "SELECT k, count(*) AS n FROM SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' SECOND) "
        "GROUP BY window_start, k",
        (1, 108),
        "GROUP BY window_start, window_end, k",
    ),
    (
        "SELECT TUMBLE(ts, INTERVAL '1' SECOND) AS w FROM t",
        (1, 8),
        "a function of windows stands in GROUP BY",
    ),
    # Joins.
    ("SELECT t.k FROM t RIGHT JOIN u ON t.k = u.k", (1, 30), "write the tables the other way round"),
    ("SELECT t.k FROM t NATURAL JOIN u", (1, 32), "NATURAL JOIN is not part"),
    ("SELECT t.k FROM t FULL JOIN u USING (k)", (1, 29), "FULL JOIN takes ON"),
    ("SELECT t.k FROM t FULL JOIN u ON t.k = u.k", (1, 29), "FULL JOIN is for streams"),
    ("SELECT t.k FROM t CROSS JOIN u", (1, 30), "a join needs keys"),
    ("SELECT t.k FROM t JOIN u ON t.x > u.k", (1, 24), "a join needs keys"),
    (
        "SELECT t.k FROM t LEFT JOIN u ON t.k = u.k AND t.x > 1",
        (1, 50),
        "LEFT JOIN takes conditions of the right side",
    ),
    ("SELECT t.k FROM t LEFT JOIN u ON t.k = u.k AND t.x > u.k", (1, 29), "LEFT JOIN takes equations"),
    ("SELECT t.k FROM t LEFT JOIN e ON t.k = e.k", (1, 29), "rows of a stream without an end"),
    (
        "SELECT t.k FROM t FULL JOIN u ON t.k = u.k AND t.ts = u.ts AND u.s = 'a'",
        (1, 66),
        "FULL JOIN takes conditions of both sides",
    ),
    (
        "SELECT t.k FROM t JOIN LATERAL (SELECT k FROM u) q ON TRUE",
        (1, 40),
        "LATERAL is not part of the SQL of pipelines",
    ),
    ("SELECT k FROM generate_series(1, 3)", (1, 15), "FROM takes tables and subqueries"),
    # Orders.
    ("SELECT k FROM t\nORDER BY k", (2, 1), "ORDER BY needs all rows at once"),
    ("SELECT k FROM t LIMIT 3 OFFSET 2", (1, 25), "OFFSET needs rows in an order"),
    ("SELECT k FROM t OFFSET 2", (1, 17), "OFFSET needs rows in an order, and a LIMIT"),
    ("SELECT k FROM t ORDER BY k LIMIT 3 OFFSET 1 + 1", (1, 36), "OFFSET takes a number"),
    ("SELECT k FROM t LIMIT 10 PERCENT", (1, 17), "LIMIT takes a number"),
    ("SELECT k FROM t ORDER BY x LIMIT 3", (1, 26), "SELECT * EXCLUDE (...) FROM (...) around the query"),
    ("SELECT k AS price FROM t ORDER BY pirce LIMIT 3", (1, 35), "did you mean 'price'?"),
    ("SELECT k FROM t GROUP BY k ORDER BY max(x) LIMIT 3", (1, 37), "and MAX(x) is none of them"),
    ("SELECT k FROM t ORDER BY 2 LIMIT 3", (1, 26), "ORDER BY counts the columns of SELECT"),
    ("SELECT k FROM t ORDER BY ALL LIMIT 3", (1, 8), "expected: ORDER BY k"),
    ("SELECT k FROM t LIMIT 1 + 1", (1, 17), "LIMIT takes a number"),
    ("SELECT k FROM e ORDER BY k LIMIT 3", (1, 26), "the first rows are known at the end"),
    ("SELECT k, ROW_NUMBER() OVER (ORDER BY k) AS n FROM t", (1, 11), "ROW_NUMBER() needs a bound"),
    (
        "SELECT k FROM (SELECT k, ROW_NUMBER() OVER (ORDER BY k) AS n FROM t) WHERE n > 2",
        (1, 26),
        "needs a bound",
    ),
    (
        "SELECT k FROM (SELECT k, ROW_NUMBER() OVER (ORDER BY k) AS n FROM t) WHERE n < 1",
        (1, 26),
        "is too low",
    ),
    (
        "SELECT k FROM (SELECT k, ROW_NUMBER() OVER () AS n FROM t) WHERE n < 2",
        (1, 26),
        "numbers rows in an order",
    ),
    (
        "SELECT ROW_NUMBER() OVER (ORDER BY k) AS n, ROW_NUMBER() OVER (ORDER BY s) AS m FROM t",
        (1, 45),
        "a SELECT numbers rows in one way",
    ),
    (
        "SELECT k FROM (SELECT k, ROW_NUMBER() OVER (ORDER BY k) AS n FROM t) WHERE n <= k",
        (1, 26),
        "needs a bound",
    ),
    ("SELECT k FROM t QUALIFY k > 2", (1, 25), "QUALIFY limits the number of rows"),
    ("SELECT DISTINCT ON (k) k FROM t", (1, 21), "DISTINCT ON keeps the first row of an order"),
    (
        "SELECT DISTINCT k, ROW_NUMBER() OVER (ORDER BY k) AS n FROM t",
        (1, 20),
        "DISTINCT does not go with ROW_NUMBER()",
    ),
    # Around.
    ("SELECT k FROM t UNION SELECT k FROM u", (1, 17), "UNION without ALL"),
    ("SELECT k FROM t EXCEPT SELECT k FROM u", (1, 8), "EXCEPT needs all rows at once"),
    (
        "SELECT k FROM t UNION ALL SELECT k, s FROM u",
        (1, 17),
        "both sides of UNION ALL have the same columns",
    ),
    ("SELECT k FROM t UNION ALL SELECT s FROM u", (1, 17), "the column k has another type"),
    ("WITH RECURSIVE q AS (SELECT k FROM t) SELECT k FROM q", (1, 16), "WITH RECURSIVE reads its own rows"),
    ("SELECT k FROM t, q", (1, 18), "no table is called q"),
    ("SELECT k FROM t TABLESAMPLE 10 PERCENT", (1, 15), "SAMPLE of a table is not part"),
    ("SELECT k FROM t FOR UPDATE", (1, 8), "FOR UPDATE locks rows"),
    ("SELECT x.s FROM e x JOIN e y ON x.k = y.k AND x.ts = y.ts", (1, 26), "reads e twice"),
    ("SELECT * FROM c", (1, 15), "the columns of c are not known before it runs"),
]


@pytest.mark.parametrize(
    ("query", "place", "text"), CASES, ids=[query.replace("\n", " ") for query, _, _ in CASES]
)
def test_the_place_and_what_to_write(query: str, place: tuple[int, int], text: str) -> None:
    with pytest.raises(QueryError) as caught:
        Pipeline.sql(query, t=T, u=U, e=stream(), c=Source.from_channel(channel()[1])).explain()
    assert text in str(caught.value), str(caught.value)
    assert (caught.value.line, caught.value.column) == place
    assert str(caught.value).startswith(f"line {place[0]}, column {place[1]}: ")


def test_a_query_is_text() -> None:
    with pytest.raises(PlanError, match=r"sql\(\) takes a query as text"):
        Pipeline.sql(3)  # type: ignore[arg-type]


def test_a_table_has_rows() -> None:
    with pytest.raises(PlanError, match="the table 't' has no rows"):
        Pipeline.sql("SELECT k FROM t", t=Pipeline.builder())


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"the extra 'sql'.*\n.*pip install 'arrowstream\[sql\]'"):
        Pipeline.sql("SELECT k FROM t", t=T)


def test_explain_shows_the_query_and_the_plan() -> None:
    text = Pipeline.sql("\nSELECT k\nFROM t WHERE k > 1\n", t=T).explain()
    assert text.startswith("query\n  SELECT k\n  FROM t WHERE k > 1\npipeline sql\n  source: frame\n")
    assert "filter(k > 1)" in text


def test_rows_that_come_once_are_read_by_one_part_of_a_query() -> None:
    async def nothing() -> None:
        return None

    schema = {"a": pl.Int64}
    for source in (
        Source.from_channel(channel()[1], schema=schema),
        Source.from_fn(nothing, schema=schema),
        Source.from_kafka("127.0.0.1:9", "t", schema=schema, group="g"),
    ):
        with pytest.raises(QueryError, match="reads t twice, and its rows come once only") as raised:
            Pipeline.sql("SELECT a FROM t UNION ALL SELECT a FROM t", t=source)
        assert raised.value.found == source.label
    again = Source.from_kafka("127.0.0.1:9", "t", schema=schema)
    assert Pipeline.sql("SELECT a FROM t UNION ALL SELECT a FROM t", t=again).schema() == schema


@pytest.mark.parametrize(
    "query",
    [
        "SELECT k, s, FROM t",
        "SELECT coalesce(k, 1,) AS x FROM t WHERE k IN (1,)",
        "SELECT (k < 3) = b AS x FROM t WHERE b = (k < 3)",
        "SELECT k FROM (SELECT k FROM t ORDER BY k LIMIT 3) AS v WHERE k > 0",
        "SELECT k FROM t WHERE b UNION ALL SELECT k FROM t WHERE b",
        "SELECT k FROM t WHERE k IS DISTINCT FROM 3",
        "SELECT k FROM t ORDER BY k LIMIT 2 OFFSET 0",
        "SELECT k FROM t QUALIFY row_number() OVER (PARTITION BY s ORDER BY k) <= 1",
    ],
)
def test_what_duckdb_reads_is_read(query: str) -> None:
    found = Pipeline.sql(query, t=T)
    connection = duckdb.connect()
    connection.register("t", T.drop("dec").to_arrow())
    assert found.collect_sync().rows() == connection.sql(query).fetchall()
