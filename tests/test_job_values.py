"""SQL expressions and types in jobs."""

from typing import Any

import polars as pl
import pytest

from arrowstream.config.toml_file import JobFile, Value
from arrowstream.errors import JobError
from arrowstream.jobs.values import columns, expressions, types

FRAME = pl.DataFrame({"a": [1, 2, 3], "b c": [10, 20, 30], "as": [5, 6, 7]})


def value(toml: str) -> Value:
    return JobFile("j.toml", f"[[steps]]\nx = {toml}").root.need("steps").items()[0].need("x")


@pytest.mark.parametrize(
    ("toml", "rows"),
    [
        ('"a > 1"', [2, 3]),
        ('["a > 1", "a < 3"]', [2]),
        ('"a > 1 AND a < 3 -- and a comment"', [2]),
        ("'\"b c\" = 10'", [1]),
        ('"a IN (1, 3)"', [1, 3]),
    ],
)
def test_filters(toml: str, rows: list[int]) -> None:
    assert FRAME.filter(*expressions(value(toml)))["a"].to_list() == rows


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ('"a"', {"a": [1, 2, 3]}),
        ('["a", "a * 2 AS twice"]', {"a": [1, 2, 3], "twice": [2, 4, 6]}),
        ("'a as \"two words\"'", {"two words": [1, 2, 3]}),
        ("'\"b c\" * 2 As  d '", {"d": [20, 40, 60]}),
        ("'\"as\" AS a'", {"a": [5, 6, 7]}),
        ('"CAST(a AS DOUBLE)"', {"a": [1.0, 2.0, 3.0]}),
        ("\"CASE WHEN a = 1 THEN ' x as y' END AS c\"", {"c": [" x as y", None, None]}),
        ('{ d = "a + 1", "e f" = "a" }', {"d": [2, 3, 4], "e f": [1, 2, 3]}),
    ],
)
def test_columns(toml: str, expected: dict[str, list[Any]]) -> None:
    assert FRAME.select(columns(value(toml))).to_dict(as_series=False) == expected


@pytest.mark.parametrize(
    "sql",
    [
        *("", "a >", "a > 1, a < 3", "a > 1; a", "a b c", "a > 'x", "no_such_function(a)"),
        *("SELECT 1", "a AS b", "a > 1)", "*", "a > INTERVAL 'x'"),
    ],
)
def test_what_is_no_expression_is_told_on_one_line_with_its_place(sql: str) -> None:
    with pytest.raises(
        JobError, match=r"^j\.toml:2: 'x' in \[\[steps\]\]: .* is not an SQL expression: "
    ) as raised:
        expressions(value(f"'''\n{sql}'''"))
    assert "\n" not in str(raised.value)
    assert sql in str(raised.value)


def refused(sql: str) -> bool:
    """Whether this Polars takes a word for one of SQL's own: which words, differs from version to version."""
    try:
        pl.sql_expr(sql)
    except pl.exceptions.SQLInterfaceError:
        return True
    return False


@pytest.mark.parametrize("sql", ["user", "a > 1 AND user = b", *filter(refused, ["order > 1"])])
def test_a_column_named_like_a_word_of_sql_is_told_to_be_quoted(sql: str) -> None:
    word = "order" if "order" in sql else "user"
    with pytest.raises(JobError) as raised:
        expressions(value(f'"{sql}"'))
    assert str(raised.value).endswith(f'; a column of this name stands in double quotes: "{word}"')
    quoted = sql.replace(word, f'"{word}"')
    (found,) = expressions(value(f"'{quoted}'"))
    assert word in found.meta.root_names()


def test_a_function_that_is_not_there_is_no_column() -> None:
    with pytest.raises(JobError) as raised:
        expressions(value('"no_such_function (a)"'))
    assert "double quotes" not in str(raised.value)


def test_a_parser_that_ignores_what_follows_an_expression_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pl, "sql_expr", lambda text: pl.col("a"))
    with pytest.raises(JobError, match="'a > 1' is not an SQL expression: there is more after its end"):
        expressions(value('"a > 1"'))


@pytest.mark.parametrize("sql", ["a, b * 2 AS c", "a, b", "a > 1, b"])
def test_several_expressions_in_one_text(sql: str) -> None:
    with pytest.raises(JobError) as raised:
        columns(value(f'"{sql}"'))
    assert f"'{sql}' is not an SQL expression: " in str(raised.value)
    assert str(raised.value).endswith("; several go into a list of texts: ['a', 'b * 2 AS b2']")


def test_the_place_of_one_of_several_expressions() -> None:
    with pytest.raises(JobError, match=r"^j\.toml:4: item 2 of 'x' in \[\[steps\]\]: "):
        expressions(value('[\n"a > 1",\n"a >"]'))
    with pytest.raises(JobError, match=r"^j\.toml:2: 'd' in \[\[steps\]\] x: "):
        columns(value('{ c = "a", d = "a +" }'))
    with pytest.raises(JobError, match="expected a string, found the integer 3"):
        columns(value('["a", 3]'))


def test_types() -> None:
    assert types(value('{ a = "Int8", "b c" = "List(String)" }')) == {"a": pl.Int8, "b c": pl.List(pl.String)}


def test_a_wrong_type_has_its_place() -> None:
    with pytest.raises(JobError) as raised:
        types(value('{ a = "Int8", b = "Strin" }'))
    assert str(raised.value) == (
        "j.toml:2: 'b' in [[steps]] x: unknown type 'Strin' (did you mean 'String'?)"
    )
