"""Whatever is shown is text: never markup, never a control character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shown_html import HOSTILE, text_of

from arrowstream.display.escape import cut, lines, loose_width, text, visible, width
from arrowstream.display.tables import columns_table, error_box, folded, head, said, table
from arrowstream.errors import SchemaError

pytestmark = pytest.mark.once


@pytest.mark.parametrize("hostile", HOSTILE)
def test_everything_is_text(hostile: str) -> None:
    parts = (
        head(hostile, hostile, hostile),
        said(hostile),
        table((hostile,), [(hostile,), ((hostile, hostile),)], label=hostile),
        columns_table(((hostile, hostile),)),
        folded(hostile, said(hostile)),
        error_box(SchemaError(hostile, stage=hostile, found=hostile, hint=hostile)),
    )
    shown = text_of("".join(parts))
    assert visible(hostile[:30]) in shown


def test_control_characters_are_seen() -> None:
    assert visible("a\x1b[0m\u202e\ud800\n") == "a\\x1b[0m\\u202e\\ud800\\n"
    assert visible("a\nb\t", keep="\n") == "a\nb\\t"
    assert lines("<\n>") == "&lt;\n&gt;"
    assert text(None) == "None"


def test_texts_are_cut_by_their_width() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
    assert cut("価格価格", 6) == "価格…"
    assert cut("a" * 10_000, 4) == "aaa…"
    assert cut("\x00" * 3, 8) == "\\x00\\x0…"
    assert cut("e\u0301" * 4, 4) == "e\u0301" * 4
    assert cut("e" + "\u0301" * 500, 4) == "e" + "\u0301" * 63 + "…"
    assert cut("e\u0301" * 500, 4) == "e\u0301" * 3 + "…"


def test_texts_of_proportional_fonts_are_measured_generously() -> None:
    assert loose_width("ABC") == pytest.approx(4.2) and loose_width("WM") == 3.6 and loose_width("il") == 1.5
    assert cut("MMMMMMMM", 8, loose_width) == "MMM…"


@given(st.text(), st.integers(2, 40))
def test_a_cut_text_fits(given_text: str, columns: int) -> None:
    assert width(cut(given_text, columns)) <= columns
    assert loose_width(cut(given_text, columns, loose_width)) <= columns


def test_many_columns_are_counted() -> None:
    shown = text_of(columns_table([(f"c{number}", "Int64") for number in range(100)]))
    assert "c59" in shown and "c60" not in shown and "and 40 more columns" in shown


def test_a_long_cell_is_cut_and_whole_in_its_tip() -> None:
    html = table(("a",), [("x" * 1000,)])
    assert f'title="{"x" * 1000}"' in html and "x" * 299 + "…" in text_of(html)


def test_an_error_without_more_lines() -> None:
    assert text_of(error_box(ValueError("no"))).split("\n") == ["ValueError", " no"]
