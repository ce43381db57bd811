"""The page of all functions of SQL, from the tables that read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from arrowstream.sql.expressions.functions import forms
from arrowstream.sql.expressions.functions.choices import CHOICES
from arrowstream.sql.expressions.functions.numbers import NUMBERS
from arrowstream.sql.expressions.functions.regexps import REGEXPS
from arrowstream.sql.expressions.functions.table import AGGREGATES
from arrowstream.sql.expressions.functions.texts import TEXTS
from arrowstream.sql.expressions.functions.times import TIMES
from arrowstream.sql.grammar import WINDOWS
from docs.docstrings import ROOT

PAGE = ROOT / forms.PAGE

EXAMPLE = (
    """\
import polars as pl
from arrowstream import Pipeline

pages = pl.DataFrame({"url": ["https://shop.example/tea/17", "https://shop.example/mug/4?color=red"]})
query = """
    + '''"""
SELECT SPLIT_PART(url, '/', 4) AS item, REGEXP_EXTRACT(url, '/([0-9]+)', 1) AS number,
    REGEXP_REPLACE(url, '[?].*', '') AS page
FROM pages
"""
found = Pipeline.sql(query, pages=pages).collect_sync()
assert found.row(1) == ("mug", "4", "https://shop.example/mug/4")'''
)


def others(names: dict[str, object]) -> dict[str, list[str]]:
    """The other names of each function, by its first one."""
    found: dict[str, list[str]] = {}
    for name, function in names.items():
        first = next((each for each in found if names[each] is function), None)
        if first is None:
            found[name] = []
        else:
            found[first].append(name)
    return found


SECTIONS: dict[str, dict[str, list[str]]] = {
    "Texts": others({**TEXTS, **REGEXPS}),
    "Numbers": others({**NUMBERS}),
    "Times": others({**TIMES}),
    "Choices": others({**CHOICES}),
    "Many rows": {name: [] for name in AGGREGATES},
    "Windows": {name: [] for name in WINDOWS},
}
"""The other names of each function, by subject."""


def build(page: Path) -> None:
    """Write the page."""
    page.write_text("\n".join(_lines()) + "\n")


def _lines() -> Iterator[str]:
    yield "# Functions of SQL"
    yield ""
    yield "All functions of a [query](sql.md). The page is made from the tables that read them by `make docs`;"
    yield "tests compare each with DuckDB. NULL among the arguments gives NULL, if nothing else is said. Arguments"
    yield "that stand here as a number or in quotes are written in the query, not computed. Operators such as `||`,"
    yield "`LIKE`, `CASE` and `CAST` are no functions."
    yield from ("", "```python", EXAMPLE, "```")
    for subject, names in SECTIONS.items():
        yield from ("", f"## {subject}", "", "| function | gives | also called |", "|---|---|---|")
        yield from _rows(names.items())
    yield from (
        "",
        "Bounds of windows in `SELECT` are `TUMBLE_START`, `TUMBLE_END`, and so for the others, with the same",
    )
    yield "arguments as in `GROUP BY`; or the columns `window_start` and `window_end` of windows in `FROM`."


def _rows(names: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    for name, also in names:
        form, gives = forms.FORMS[name]
        yield f"| `{form}` | {gives} | {', '.join(f'`{each}`' for each in also)} |"
