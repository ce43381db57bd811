"""The page of functions lists all of them, and an unknown one is answered with it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from arrowstream import Pipeline
from arrowstream.errors import QueryError
from arrowstream.sql.expressions.functions.forms import FORMS, PAGE
from arrowstream.sql.expressions.functions.table import AGGREGATES, FUNCTIONS
from arrowstream.sql.grammar import WINDOWS
from docs import sql_functions

pytestmark = pytest.mark.once
T = pl.DataFrame({"s": ["a"]})


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    sql_functions.build(tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == sql_functions.PAGE.read_text(), "run `make docs`"


def test_every_function_is_on_the_page_once() -> None:
    listed = [
        name
        for names in sql_functions.SECTIONS.values()
        for first, also in names.items()
        for name in (first, *also)
    ]
    assert sorted(listed) == sorted([*FUNCTIONS, *AGGREGATES, *WINDOWS])
    assert sorted(FORMS) == sorted(first for names in sql_functions.SECTIONS.values() for first in names)
    assert all(form.startswith(f"{name}(") for name, (form, _) in FORMS.items())


@pytest.mark.parametrize(("name", "hint"), [("LENGHT", "did you mean 'LENGTH'?"), ("XYZZY", ".map(...)")])
def test_an_unknown_function_is_answered_with_the_page(name: str, hint: str) -> None:
    with pytest.raises(QueryError, match=f"no function is called {name}") as raised:
        Pipeline.sql(f"SELECT {name}(s) AS n FROM t", t=T)
    assert PAGE in str(raised.value.expected) and hint in str(raised.value.hint)


def test_other_arguments_are_answered_with_the_form() -> None:
    with pytest.raises(QueryError, match="SPLIT_PART takes other arguments") as raised:
        Pipeline.sql("SELECT SPLIT_PART(s, '/') AS n FROM t", t=T)
    assert raised.value.hint == "such as SPLIT_PART(text, '/', 1)"
