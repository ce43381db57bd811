"""A query is read whole: names that WITH gives count, and a part that no step reads is refused with its place."""

from __future__ import annotations

import polars as pl
import pytest
from sql_oracle import check

from arrowstream import Pipeline
from arrowstream.errors import QueryError

T = pl.DataFrame({"k": ["a", "b", "a"], "i": [1, 2, 3], "tags": [[1], [2], []]})
U = pl.DataFrame({"k": ["a"], "w": [7]})


@pytest.mark.parametrize(
    "query",
    [
        "WITH a(i, k) AS (SELECT k, i FROM t) SELECT i FROM a",
        "WITH a(k, i) AS (SELECT k, i FROM t) SELECT * FROM a",
        "WITH a(x, n) AS (SELECT k, count(*) FROM t GROUP BY k), b(m) AS (SELECT max(n) FROM a) SELECT * FROM b",
        "WITH a(x) AS (SELECT i FROM t UNION ALL SELECT w FROM u) SELECT a.x + 1 AS y FROM a WHERE x > 1",
        "WITH a(i, k) AS (SELECT k, i FROM t) SELECT a.k, u.w FROM a JOIN u ON a.i = u.k",
    ],
)
def test_names_of_columns_in_with(query: str) -> None:
    assert check(query, {"t": T, "u": U}, {"t": T, "u": U})


@pytest.mark.parametrize(
    ("query", "place", "message"),
    [
        ("WITH a(x, y) AS (SELECT k FROM t) SELECT x FROM a", 8, "not those of its columns"),
        ("WITH a(x, X) AS (SELECT k, i FROM t) SELECT x FROM a", 8, "not those of its columns"),
        ("WITH a AS (SELECT k FROM t), A AS (SELECT w FROM u) SELECT * FROM a", 30, "two tables called A"),
        ("SELECT t.i FROM t JOIN u FOR SYSTEM_TIME AS OF t.i AS r ON t.k = r.k", 48, "join_asof"),
        ("SELECT * ILIKE '%i%' FROM t", 16, "* ILIKE is not part"),
        ("SELECT i FROM t LIMIT 3 BY k", 28, "LIMIT ... BY is not part"),
        ("SELECT i FROM t WHERE i BETWEEN SYMMETRIC 3 AND 1", 23, "write the smaller bound first"),
        ("SELECT i FROM t WHERE i IN tags", 28, "IN without brackets"),
        ("SELECT i FROM t WHERE i IN UNNEST(tags)", 28, "IN UNNEST(...)"),
        ("SELECT i FROM t WHERE i IN ()", 23, "IN takes values"),
        ("SELECT i FROM t ORDER BY i WITH FILL LIMIT 3", 26, "WITH FILL is not part"),
        ("SELECT sum(i ORDER BY i) AS s FROM t", 12, "functions of many rows take no ORDER BY"),
        ("SELECT AS STRUCT i FROM t", 18, "SELECT AS is not part"),
        ("SELECT i FROM t CLUSTER BY i", 28, "an order of partitions is not part"),
        ("SELECT i FROM t WITH ORDINALITY", 15, "WITH ORDINALITY is not part"),
        (
            "WITH a USING KEY (k) AS (SELECT k FROM t) SELECT k FROM a",
            19,
            "KEY EXPRESSIONS of CTE is not part",
        ),
        ("SELECT k ->> 'a' AS x FROM t", 8, "this is not part of the SQL of pipelines"),
        ("SELECT FROM t", 13, "SELECT names no column"),
        ("SELECT i, (SELECT max(w) FROM u) AS m FROM t", 19, "a subquery stands in FROM"),
        ("SELECT max((SELECT w FROM u)) AS m FROM t", 20, "a subquery stands in FROM"),
        ("SELECT i FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k)", 23, "write SEMI JOIN"),
        ("SELECT i, v FROM t CROSS JOIN UNNEST(tags) AS q(v)", 31, "explode a list before"),
        ("SELECT n FROM (VALUES (1, 'a')) AS v(n, s)", 24, "give the rows as a table of the query"),
        ("SELECT i, UNNEST(tags) AS v FROM t", 11, "explode a list before"),
        (
            "SELECT s.m FROM t, LATERAL (SELECT max(w) AS m FROM u WHERE u.k = t.k) s",
            36,
            "LATERAL is not part",
        ),
        (
            "SELECT i FROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(i), INTERVAL '1' SECOND, INTERVAL '5' SECOND))",
            21,
            "TUMBLE, HOP and SESSION are the functions of windows",
        ),
        ("SELECT CURRENT_DATE AS d, i FROM t", 1, "differs from run to run"),
        ("SELECT i FROM t WHERE k SIMILAR TO 'a.*'", 23, "write REGEXP_MATCHES"),
        ("SELECT i FROM t WHERE k = ?", 23, "a query has no parameters"),
        ("SELECT k[1] AS c FROM t", 8, "take no parts of lists, structs and texts"),
    ],
)
def test_refused(query: str, place: int, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        Pipeline.sql(query, t=T, u=U)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == (1, place)


@pytest.mark.parametrize(
    ("query", "place", "message"),
    [
        ("SELECT k,\n 'abc FROM t", (2, 2), "a text in single quotes has no end"),
        ("SELECT 'it''s', \"abc FROM t", (1, 17), "a name in double quotes has no end"),
        ("SELECT k -- it's\nFROM t /* 'x'", (2, 8), "a comment has no end"),
        ("SELECT $$abc FROM t", (1, 1), "its words cannot be told apart"),
        ("SELECT k FROM", (1, 10), "something is missing here"),
        ("SELECT k FROM t WHERE", (1, 17), "something is missing here"),
        ("SELECT 1 + FROM t", (1, 12), "something is missing here"),
    ],
)
def test_texts_that_are_not_sql(query: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(QueryError) as caught:
        Pipeline.sql(query, t=T)
    assert message in str(caught.value)
    assert "sqlglot" not in str(caught.value)
    assert (caught.value.line, caught.value.column) == place
