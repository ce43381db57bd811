"""CSV messages: each is one record and one row, or a bad message."""

import csv
import datetime as dt
import io
from decimal import Decimal
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from message_sources import Messages
from message_sources import messages as offered

from arrowstream import ErrorHandler, Pipeline
from arrowstream.errors import BadMessage, PlanError, SchemaError, SinkError
from arrowstream.io.files.text.csv_rows import CsvRows
from arrowstream.io.messages.csv import CsvDecoder, CsvOptions
from arrowstream.io.messages.formats import MessageFormat, decoder, encoder
from arrowstream.testing import TestSink

SCHEMA = pl.Schema({"a": pl.Int64(), "s": pl.String(), "d": pl.Date()})


def messages(*values: bytes | None) -> pa.LargeBinaryArray:
    return pa.array(values, pa.large_binary())


def rows(*values: bytes | None, schema: pl.Schema = SCHEMA, options: CsvOptions | None = None) -> list[Any]:
    frame = decoder("csv", schema, options).open(context()).decode(messages(*values)).frame
    assert frame.schema == schema
    return frame.rows()


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("message", "row"),
    [
        (b"1,x,2020-02-29", (1, "x", dt.date(2020, 2, 29))),
        (b"1,x,\n", (1, "x", None)),
        (b"1,x,\r\n", (1, "x", None)),
        (b"1,x,\r", (1, "x", None)),
        (b",,", (None, None, None)),
        (b',"",', (None, "", None)),
        (b'-1,"a\n""b"",\r\n c",', (-1, 'a\n"b",\r\n c', None)),
        (b'1,5" pipe,', (1, '5" pipe', None)),
        (b'"1","x","2020-01-01"', (1, "x", dt.date(2020, 1, 1))),
        (b"", (None, None, None)),
        (b"\n", (None, None, None)),
        (None, (None, None, None)),
        (b"1,\xef\xbb\xbfx,", (1, "\ufeffx", None)),
    ],
)
def test_a_message_is_a_row(message: bytes | None, row: tuple[Any, ...]) -> None:
    around = b"7,y,2021-03-04"
    other = (7, "y", dt.date(2021, 3, 4))
    assert rows(message) == [row]
    assert rows(message, around, message, message) == [row, other, row, row]
    assert rows() == []


BAD = [
    (b"1,x", "2 fields, where 3 are expected"),
    (b"1,x,,", "4 fields, where 3 are expected"),
    (b"1", "1 field, where 3 are expected"),
    (b"x,x,", "column 'a': 'x' is no Int64"),
    (b"1.5,x,", "column 'a': '1.5' is no Int64"),
    (b"9223372036854775808,x,", "column 'a'"),
    (b"1,x,2020-13-01", "column 'd'"),
    (b'1,"x,', "a quote that is opened and never closed"),
    (b'"', "a quote that is opened and never closed"),
    (b'1,"x"y,', "text after a closing quote"),
    (b"1,x,\n2,y,", "several records"),
    (b"1,x,\n\n", "several records"),
    (b"1,\xff,", "invalid UTF-8"),
    (b"1,x\ry,", "a carriage return that ends no line"),
    (b"\xef\xbb\xbf1,x,", "column 'a'"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_the_first_bad_message_is_named(bad: bytes, reason: str) -> None:
    good = b'1,"y",'
    decoding = decoder("csv", SCHEMA).open(context())
    for values in ([bad, None, good], [good, None, good, bad, bad, b'"'], [good] * 5 + [bad]):
        with pytest.raises(BadMessage, match="cannot be read as CSV") as refused:
            decoding.decode(messages(*values))
        assert refused.value.index == values.index(bad)
        assert refused.value.found is not None and reason in refused.value.found


def test_dates_of_several_formats_are_read_each_by_its_own() -> None:
    assert rows(b"1,x,2020-01-02", b"2,y,2020/2/1") == [
        (1, "x", dt.date(2020, 1, 2)),
        (2, "y", dt.date(2020, 2, 1)),
    ]


def test_a_failure_for_which_no_message_is_to_blame_comes_out_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(self: CsvRows, block: bytes) -> pl.DataFrame:
        raise MemoryError("no room")

    monkeypatch.setattr(CsvRows, "read", fail)
    with pytest.raises(MemoryError, match="no room"):
        rows(b"1,x,2020-01-02")


def test_the_parts_of_a_column_of_messages() -> None:
    values = messages(b'"', b"1,x,\n", None, b"2,y,", b"?")
    decoding = decoder("csv", SCHEMA).open(context())
    assert decoding.decode(values[1:4]).frame["a"].to_list() == [1, None, 2]
    assert decoding.decode(values[3:4]).frame["a"].to_list() == [2]


def test_options() -> None:
    options = CsvOptions(delimiter=";", quote_char="'", null_values=["NA", "-"])
    assert rows(b"1;'a;b';", b"NA;-;", options=options) == [(1, "a;b", None), (None, None, None)]
    assert rows(b'1,"x,', options=CsvOptions(quote_char=None)) == [(1, '"x', None)]
    with pytest.raises(PlanError, match="delimiter"):
        CsvOptions(delimiter="ab")
    for wrong in (CsvOptions(quote_char=None), CsvOptions(null_values=["a", "b"])):
        with pytest.raises(PlanError, match="cannot be written"):
            encoder("csv", wrong)


@pytest.mark.parametrize("schema", [None, pl.Schema({}), pl.Schema({"x": pl.List(pl.Int64)})])
def test_columns_that_csv_cannot_have(schema: pl.Schema | None) -> None:
    with pytest.raises(SchemaError):
        decoder("csv", schema)
    if schema is not None:
        with pytest.raises(SchemaError):
            encoder("csv").check(schema)


ROWS = pl.DataFrame(
    {
        "i": [2**63 - 1, None, -(2**63), 0],
        "u": pl.Series([2**64 - 1, None, 0, 1], dtype=pl.UInt64),
        "f": [0.1, None, float("nan"), float("-inf")],
        "b": [True, None, False, True],
        "s": ['q"\n,\r\n', None, "", " \u2028é"],
        "c": pl.Series(["x", None, "y", "x"], dtype=pl.Categorical),
        "e": pl.Series(["x", None, "y", "x"], dtype=pl.Enum(["y", "x"])),
        "d": [dt.date(1, 1, 1), None, dt.date(9999, 12, 31), dt.date(2020, 2, 29)],
        "t": pl.Series([0, None, -1, 1_600_000_000_000_001], dtype=pl.Datetime("us")),
        "time": [dt.time(0), None, dt.time(23, 59, 59, 999_999), dt.time(1)],
        "n": [Decimal("1.50"), None, Decimal("-0.01"), Decimal(0)],
    }
)


@pytest.mark.parametrize("options", [None, CsvOptions(";", "'", "NA")])
def test_what_is_encoded_is_decoded(options: CsvOptions | None) -> None:
    coder = encoder("csv", options)
    coder.check(ROWS.schema)
    known = "csv" if options is None else """csv, delimiter=';', quote_char="'", null_values=['NA']"""
    assert coder.label == decoder("csv", ROWS.schema, options).label == known
    encoding = coder.open(ROWS.schema, context())
    decoding = decoder("csv", ROWS.schema, options).open(context())
    for frame in (ROWS, ROWS[1:3], ROWS[:0], pl.concat([ROWS, ROWS[:2]], rechunk=False)):
        values = encoding.encode(frame)
        assert len(values) == frame.height and not any(value.endswith(b"\n") for value in values.to_pylist())
        assert decoding.decode(values).frame.equals(frame)
    texts = ROWS.select("s")
    assert encoder("csv").open(texts.schema, context()).encode(texts).to_pylist() == [
        b'"q""\n,\r\n"',
        b"",
        b'""',
        " \u2028é".encode(),
    ]


def test_rows_that_polars_cannot_write_are_an_error_of_the_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> bytes:
        raise pl.exceptions.ComputeError("no\nmore")

    formats: list[MessageFormat] = ["csv", "json"]
    for format in formats:
        name = "csv" if format == "csv" else "json_encoder"
        monkeypatch.setattr(f"arrowstream.io.messages.{name}.encoded", fail)
        encoding = encoder(format).open(ROWS.schema, context())
        with pytest.raises(SinkError, match=r"found: no\n") as refused:
            encoding.encode(ROWS)
        assert isinstance(refused.value.__cause__, pl.exceptions.ComputeError)


FIELDS = st.text(st.sampled_from('a,"\n\r1é '), max_size=4)


@given(
    st.lists(st.none() | st.lists(FIELDS, min_size=2, max_size=2), max_size=9), st.lists(st.integers(0, 9))
)
@settings(max_examples=examples(40))
def test_records_of_the_csv_module_wherever_they_are_cut(
    records: list[list[str] | None], cuts: list[int]
) -> None:
    schema = pl.Schema({"x": pl.String(), "y": pl.String()})
    values: list[bytes | None] = []
    for record in records:
        out = io.StringIO()
        csv.writer(out, quoting=csv.QUOTE_ALL).writerow(record or ())
        values.append(None if record is None else out.getvalue().encode())
    decoding = decoder("csv", schema).open(context())
    bounds = sorted({0, len(values), *(min(cut, len(values)) for cut in cuts)})
    column = messages(*values)
    found = [
        row for start, stop in pairwise(bounds) for row in decoding.decode(column[start:stop]).frame.rows()
    ]
    assert found == [(None, None) if record is None else tuple(record) for record in records]


@pytest.mark.parametrize("at", [0, 2, 4])
def test_handlers_keep_the_neighbours_of_bad_messages(at: int) -> None:
    values = [f'{number},"x",'.encode() for number in range(5)]
    values[at] = b'"'
    bad = TestSink()
    coder: Any = CsvDecoder(SCHEMA)
    source = Messages((offered("t[0]", 10, *values),), coder)
    good = Pipeline.builder().source(source).on_error(ErrorHandler.dead_letter(bad)).collect_sync()
    assert good["a"].to_list() == [number for number in range(5) if number != at]
    assert bad.frame().select("value", "position").rows() == [(b'"', f"t[0] offsets {10 + at}-{11 + at}")]
