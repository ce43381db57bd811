"""Polars types by name."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrowstream.expressions.type_names import dtype

plain = st.sampled_from(
    [
        *(
            pl.Int8(),
            pl.Int64(),
            pl.UInt32(),
            pl.Float32(),
            pl.Boolean(),
            pl.String(),
            pl.Binary(),
            pl.Null(),
        ),
        *(pl.Date(), pl.Time(), pl.Datetime("ms", "Europe/Berlin"), pl.Datetime("ns"), pl.Duration("us")),
        *(pl.Categorical(), pl.Enum(["a", "it's", 'q"']), pl.Decimal(10, 2)),
    ]
)
dtypes = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.builds(pl.List, inner),
        st.builds(pl.Array, inner, st.integers(1, 3)),
        st.dictionaries(st.sampled_from(["a", "b c", "d'"]), inner, min_size=1, max_size=2).map(pl.Struct),
    ),
    max_leaves=3,
)


@given(dtypes)
def test_every_type_reads_as_polars_prints_it(expected: pl.DataType) -> None:
    assert dtype(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Int64 ", pl.Int64()),
        ("Datetime", pl.Datetime("us")),
        ("Datetime('ms')", pl.Datetime("ms")),
        ("Decimal", pl.Decimal(38, 0)),
        ("Array(Int8, 2)", pl.Array(pl.Int8, 2)),
        ("Array(Int8, (2, 3))", pl.Array(pl.Int8, (2, 3))),
        ("Enum(['a'])", pl.Enum(["a"])),
    ],
)
def test_short_forms(text: str, expected: pl.DataType) -> None:
    assert dtype(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Int46", r"unknown type 'Int46' \(did you mean 'Int64'\?\)"),
        ("int64", r"unknown type 'int64' \(did you mean 'Int64'\?\)"),
        ("List(Foo)", r"unknown type 'Foo' \(one of Int8, .*Null\)"),
        ("Object", "unknown type 'Object'"),
        ("Int64 Int8", "unknown type 'Int64 Int8'"),
        ("", "unknown type ''"),
        ("\0", "unknown type"),
        ("3", "no type '3': a type begins with its name"),
        ("List", "no type 'List': .*inner"),
        ("Int64(3)", "takes no arguments"),
        ("Datetime('xx')", r"no type .*: invalid `time_unit`$"),
        ("Datetime('us', 'Nowhere')", "unable to parse time zone: 'Nowhere'"),
        ("Decimal(99, 0)", "precision must be between 1 and 38"),
        ("Array(Int64, 99999999999999999999)", "too big"),
        ("Struct([1])", "no type"),
        ("Struct({**a})", "only types, texts, numbers and lists of them"),
        ("open('x')", "unknown type 'open'"),
        ("Int64.is_(1)", "only types, texts, numbers and lists of them"),
    ],
)
def test_what_is_no_type_is_told_on_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        dtype(text)
    assert "\n" not in str(raised.value)


@given(st.text(max_size=20))
def test_any_text_is_a_type_or_a_value_error(text: str) -> None:
    try:
        assert isinstance(dtype(text), pl.DataType)
    except ValueError as error:
        assert "type" in str(error)
