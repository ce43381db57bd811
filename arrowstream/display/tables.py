"""Tables, headings and errors as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from arrowstream.core.plural import counted
from arrowstream.display.boxes import short_type
from arrowstream.display.escape import cut, lines, text
from arrowstream.plan.outline import Column

SHOWN_COLUMNS = 60
"""Largest number of columns that a table of columns has; the others are counted."""

_LONGEST = 300
"""Largest number of characters of one name or type in a table."""


@dataclass(frozen=True, slots=True)
class Styled:
    """A cell of a table in the style of the class `face`."""

    value: object
    face: str


def head(what: str, name: str, said: str = "") -> str:
    """Return the heading of an object: its class, its name, and a few words."""
    named = f"<b>{text(cut(name, 200))}</b>" if name else ""
    words = f'<span class="as-said">{text(cut(said, 400))}</span>' if said else ""
    return f'<div class="as-head"><span class="as-what">{text(what)}</span>{named}{words}</div>'


def said(sentence: str, kind: str = "as-said") -> str:
    """Return a sentence as a paragraph."""
    return f'<p class="{kind}">{text(sentence)}</p>'


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], numbers: Iterable[int] = (), label: str = ""
) -> str:
    """Return a table.

    Parameters
    ----------
    headings
        The headings of the columns.
    rows
        The cells of each row; each is shown as its text, those of a tuple on lines.
    numbers
        Places of the columns that are aligned to the right.
    label
        What the table has, for screen readers.
    """
    right = set(numbers)
    top = "".join(
        f'<th scope="col"{_right(place, right)}>{text(each)}</th>' for place, each in enumerate(headings)
    )
    body = "".join(
        f"<tr>{''.join(f'<td{_right(place, right)}>{_cell(each)}</td>' for place, each in enumerate(row))}</tr>"
        for row in rows
    )
    name = f' aria-label="{text(label)}"' if label else ""
    return (
        f'<div class="as-scroll"><table class="as-table"{name}><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def columns_table(columns: Sequence[Column]) -> str:
    """Return the names and types of columns as a table; of many columns, the first."""
    shown = table(
        ("column", "type"),
        ((name, short_type(dtype)) for name, dtype in columns[:SHOWN_COLUMNS]),
        label="columns",
    )
    left = len(columns) - SHOWN_COLUMNS
    return shown + (said(f"and {counted(left, 'more columns')}") if left > 0 else "")


def folded(summary: str, content: str) -> str:
    """Return content that a click on its summary opens."""
    return f"<details><summary>{text(summary)}</summary>{content}</details>"


def error_box(error: BaseException) -> str:
    """Return an error as it reads in a terminal, on a coloured ground."""
    return message_box(type(error).__name__, str(error))


def message_box(title: str, message: str) -> str:
    """Return the message of an error on a coloured ground, its lines as they are."""
    first, _, rest = message.partition("\n")
    more = f"<pre>{lines(rest)}</pre>" if rest else ""
    return f'<div class="as-error" role="alert"><b>{text(cut(title, 300))}</b> {text(cut(first, 2000))}{more}</div>'


def _cell(value: object) -> str:
    """Return a cell, a tuple as one line for each item: a long value is cut, and the whole of it is in its tip."""
    if isinstance(value, tuple):
        return "<br>".join(map(_cell, value))
    if isinstance(value, Styled):
        return f'<span class="{value.face}">{_cell(value.value)}</span>'
    whole = str(value)
    shown = cut(whole, _LONGEST)
    return (
        text(shown) if len(whole) <= _LONGEST else f'<span title="{text(whole[:5000])}">{text(shown)}</span>'
    )


def _right(place: int, right: set[int]) -> str:
    return ' class="as-number"' if place in right else ""
