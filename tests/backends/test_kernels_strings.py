"""Every string kernel gives what Polars gives, over any text; what it cannot, it refuses with a reason."""

from __future__ import annotations

from functools import cache
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from effort import examples
from expression_cases.strings import CASES, CORNERS, SCHEMA, SPECIAL, S, T
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_calls import Computed, call_of, evaluate, in_arrow

from arrowstream.backends.arrow.kernels.strings.functions import KERNELS
from arrowstream.backends.arrow.kernels.strings.patterns import read
from arrowstream.core.batch import to_record
from arrowstream.expressions.program import Call, Cast, Column, Expression, Literal

TEXT = pa.large_string()
COLUMN = Column("s", TEXT)

Rows = tuple[pl.DataFrame, pa.RecordBatch]
"""Rows as Polars has them, and as a slice that does not start at the beginning of its buffers."""

texts = st.none() | st.one_of(
    st.sampled_from(SPECIAL),
    st.text("aabb\xe9 \u0301\r\n+-0\xdfK\u0130\u03c2\u03a3\x1c\u200b", max_size=6),
    st.text(max_size=5),
    st.text("ab+-1 \r", max_size=6),
)


pairs = st.lists(st.tuples(texts, texts), max_size=5)


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    drawn = draw(pairs)
    offset = draw(st.integers(0, len(drawn)))
    frame = pl.DataFrame(drawn, schema=SCHEMA, orient="row")
    return frame.slice(offset), to_record(frame).slice(offset)


@cache
def computed(function: str) -> list[tuple[pl.Expr, Computed]]:
    """The function's cases, each with the Arrow form that is compiled once."""
    assert {call_of(expression, SCHEMA).function for expression in CASES[function]} == {function}
    return [(expression, in_arrow(expression, SCHEMA)) for expression in CASES[function]]


def test_every_kernel_has_a_case() -> None:
    assert CASES.keys() | {"str.format"} == KERNELS.keys()


def assert_equals_polars(function: str, frame: pl.DataFrame, record: pa.RecordBatch) -> None:
    if function == "str.format":
        # By hand: Polars 1 does not show format() in its plan, and writes nulls out as text.
        call = Call("str.format", (COLUMN, Column("t", TEXT)), TEXT, ("é-", [2, 3]))
        expected = frame.select(x=pl.concat_str(pl.lit("é"), S, pl.lit("-"), T))["x"]
        assert evaluate(call, record).to_list() == expected.to_list()
        return
    for expression, compute in computed(function):
        assert compute(record).to_list() == frame.select(x=expression)["x"].to_list(), expression


@pytest.mark.parametrize("function", [*CASES, "str.format"])
@given(rows=rows())
@settings(max_examples=examples(25))
def test_equals_polars(function: str, rows: Rows) -> None:
    assert_equals_polars(function, *rows)


@pytest.mark.parametrize("function", [*CASES, "str.format"])
def test_corners_equal_polars(function: str) -> None:
    others = [*reversed(CORNERS[1:]), "x"]
    frame = pl.DataFrame({"s": CORNERS, "t": others}, schema=SCHEMA)
    ascii_only = frame.filter(S.str.contains(r"^[ -~]*$"))
    for rows in (frame, ascii_only, ascii_only[:0], frame.clear(3)):
        assert_equals_polars(function, rows, to_record(rows))
        assert_equals_polars(function, rows[2:], to_record(rows).slice(min(2, rows.height)))


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("function", "method"), [("str.uppercase", "to_uppercase"), ("str.lowercase", "to_lowercase")]
)
def test_case_of_every_character(function: str, method: str) -> None:
    characters = pl.Series("s", [chr(code) for code in range(0x11_0000) if not 0xD800 <= code < 0xE000])
    record = to_record(characters.to_frame())
    expected = getattr(characters.str, method)()
    assert evaluate(Call(function, (COLUMN,), TEXT), record).equals(expected)
    assert evaluate(Call(function, (COLUMN,), TEXT), record.slice(0, 128)).equals(expected[:128])


def test_a_string_type_with_short_offsets() -> None:
    short = pa.record_batch({"s": pa.array(["é", "ab", None, "B"]), "t": pa.array(["x", None, "y", "z"])})
    columns = tuple(Column(name, pa.string()) for name in short.schema.names)
    joined = Call("str.concat_horizontal", columns, TEXT, ("", False))
    upper = Call("str.uppercase", columns[:1], TEXT)
    assert evaluate(joined, short).to_list() == ["éx", None, None, "Bz"]
    assert evaluate(upper, short).to_list() == ["É", "AB", None, "B"]


# Regular expressions -------------------------------------------------------------------------------

atoms = st.sampled_from(
    [
        *"ab0 _-Kksé",
        r"\.",
        r"\$",
        r"\\",
        "[ab]",
        "[^a]",
        "[a-c0]",
        "[^ -]",
        ".",
        r"\n",
        r"[\s-]",
        r"[\d.]",
        "[a-]",
        "[^-b]",
    ]
    + [rf"\{letter}" for letter in "dDwWsS"]
)
repeats = st.sampled_from(["", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,}", "{0,2}", "{1,2}?"])


def composed(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    groups = st.tuples(st.sampled_from(["(", "(?:"]), parts, repeats)
    return st.one_of(
        st.lists(parts, min_size=1, max_size=3).map("".join),
        groups.map(lambda group: f"{group[0]}{group[1]}){group[2]}"),
        st.tuples(parts, parts).map("|".join),
        parts.map("^{}".format),
        parts.map("{}$".format),
        parts.map(r"\b{}".format),
    )


expressions = st.tuples(
    st.sampled_from(["", "", "(?i)"]),
    st.recursive(st.tuples(atoms, repeats).map("".join), composed, max_leaves=6),
).map("".join)
searched = (
    st.none()
    | st.text("aabb0 é\n._-\\$Kks\x0b\u212a\u017f\u0663\t", max_size=8)
    | st.text("ab0 ksSK_.\n", max_size=8)
)


def assert_searches_equal_polars(expression: str, texts: list[str | None], new: str) -> None:
    frame = pl.DataFrame({"s": texts}, schema={"s": pl.String})
    s = S.str
    for searching in (
        s.contains(expression),
        s.count_matches(expression),
        s.find(expression),
        s.replace_all(expression, new),
        s.replace(expression, new),
    ):
        call = call_of(searching, frame.schema)
        if not isinstance(KERNELS[call.function](call), str):
            result = in_arrow(searching, frame.schema)(to_record(frame))
            assert result.to_list() == frame.select(x=searching)["x"].to_list(), call


@given(
    expression=expressions, texts=st.lists(searched, max_size=5), new=st.sampled_from(["", "x", "\\1é", "\\"])
)
@settings(max_examples=examples(150))
def test_regular_expressions_equal_polars(expression: str, texts: list[str | None], new: str) -> None:
    assert_searches_equal_polars(expression, texts, new)


@pytest.mark.parametrize(
    "expression", ["abc", r"\d+", r"^a.*z$", r"(?i)error|warn", r"[\w.-]+@\w+", r"\bx", "a{2}"]
)
def test_common_expressions_run_in_arrow(expression: str) -> None:
    assert read(expression) is not None
    texts = ["abc abc", "12, 3", "a\\z", "Error: WARN", "me@here.org", "x xx", "aaa", "", None]
    for found in (texts, [*texts, "éabcéa12x", "\u017f\u212a"]):
        assert_searches_equal_polars(expression, found, "\\1é")


@pytest.mark.parametrize(
    "expression",
    [
        r"\p{L}",
        "a**",
        "(a",
        "[z-a]",
        "a(?=b)",
        r"\u00e9\d",
        "é\\d",
        "(?s).",
        "[a&&b]",
        "[[:alpha:]]",
        r"\x41",
        "{",
    ],
)
def test_other_expressions_are_refused(expression: str) -> None:
    assert read(expression) is None


# Refusals ------------------------------------------------------------------------------------------

NUMBER = Column("n", pa.int64())
LIST = pa.large_list(TEXT)


def argument(value: Any) -> Expression:
    match value:
        case str():
            return Literal(value, TEXT)
        case int():
            return Literal(value, pa.int64())
        case tuple():
            return Literal(value, LIST)
        case _:
            return value


def call(function: str, *arguments: Any, options: tuple[Any, ...] = (), over: Expression = COLUMN) -> Call:
    return Call(function, (over, *map(argument, arguments)), TEXT, options)


CONSTANT = Cast(call("str.uppercase", over=Literal("a", TEXT)), TEXT, strict=True)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (call("str.uppercase", over=CONSTANT), "constants"),
        (call("str.uppercase", over=NUMBER), "int64 is not a string"),
        (call("str.concat_horizontal", NUMBER, options=("", False)), "cannot join int64"),
        (call("str.concat_horizontal", "b", options=("", False), over=CONSTANT), "constants"),
        (call("str.format", NUMBER, options=("-", (0, 1))), "cannot join int64"),
        (call("str.contains", COLUMN, options=(True, True)), "constant text"),
        (call("str.contains", r"\p{L}", options=(False, True)), "differently"),
        (call("str.contains_any", ("a",), options=(True,)), "case folding"),
        (call("str.contains_any", ("a", None), options=(False,)), "without nulls"),
        (call("str.contains_any", Literal(None, LIST), options=(False,)), "without nulls"),
        (call("str.contains_any", Column("l", LIST), options=(False,)), "constant list"),
        (call("str.starts_with", COLUMN), "constant text"),
        (call("str.ends_with", Literal(None, TEXT)), "constant text"),
        (call("str.count_matches", COLUMN, options=(True,)), "constant text"),
        (call("str.count_matches", "", options=(True,)), "empty"),
        (call("str.count_matches", "a*", options=(False,)), "empty"),
        (call("str.count_matches", "^a", options=(False,)), "anchored"),
        (call("str.find", COLUMN, options=(True, True)), "constant text"),
        (call("str.find", "é.", options=(False, True)), "ASCII"),
        (call("str.replace", COLUMN, "b", options=(1, True)), "constant text"),
        (call("str.replace", "a", COLUMN, options=(1, True)), "replacement"),
        (call("str.replace", "a", "$1", options=(1, False)), "replacement"),
        (call("str.replace", "a?", "b", options=(-1, False)), "empty"),
        (call("str.replace", "^a", "b", options=(2, False)), "anchored"),
        (call("str.strip_chars", COLUMN), "constant"),
        (call("str.strip_chars", Literal(None, TEXT)), "null string"),
        (call("str.strip_prefix", COLUMN), "constant"),
        (call("str.strip_suffix", ""), "not empty"),
        (call("str.slice", NUMBER, 1), "constant"),
        (call("str.slice", 1, NUMBER), "constant"),
        (call("str.head", NUMBER), "constant"),
        (call("str.tail", NUMBER), "constant"),
        (call("str.pad_start", NUMBER, options=("x",)), "constant"),
        (call("str.zfill", 0), "above 0"),
        (call("str.split", "", options=(False,)), "separator"),
        (call("str.split", "a", options=(True,)), "separator"),
    ],
)
def test_refuses_with_a_reason(refused: Call, reason: str) -> None:
    answer = KERNELS[refused.function](refused)
    assert isinstance(answer, str)
    assert reason in answer
