"""Raw messages: each is the value of the only column."""

from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from contexts import context

from arrowstream.errors import BadMessage, PlanError, SchemaError
from arrowstream.io.messages.formats import decoder, encoder

TEXT = pl.Schema({"value": pl.String()})


def test_a_message_is_the_value() -> None:
    values = pa.array([b"a", None, b"", b"\xff\x00", b"end"], pa.large_binary())[1:4]
    decoding = decoder("raw").open(context())
    assert decoding.decode(values).frame.to_dict(as_series=False) == {"value": [None, b"", b"\xff\x00"]}
    assert decoding.decode(values[:0]).frame.schema == decoder("raw").schema


def test_text_is_checked() -> None:
    values = pa.array(["é😀".encode(), None, b"", b"\xc3", b"\xff"], pa.large_binary())
    decoding = decoder("raw", TEXT).open(context())
    assert decoding.decode(values[:3]).frame.equals(pl.DataFrame({"value": ["é😀", None, ""]}))
    for start in range(4):
        with pytest.raises(BadMessage, match="cannot be read as text") as refused:
            decoding.decode(values[start:])
        assert refused.value.index == 3 - start
    parts = pa.array([b"\xc3", b"\xa9"], pa.large_binary())  # together they are a character
    with pytest.raises(BadMessage) as refused:
        decoding.decode(parts)
    assert refused.value.index == 0


@pytest.mark.parametrize(
    "schema", [{"x": pl.Binary}, {"value": pl.Int64}, {"value": pl.Binary, "b": pl.Binary}]
)
def test_other_columns_are_refused(schema: dict[str, pl.DataType]) -> None:
    with pytest.raises(SchemaError, match="one column, the message itself"):
        decoder("raw", pl.Schema(schema))


@pytest.mark.parametrize("dtype", [pl.Binary, pl.String])
def test_what_is_encoded_is_decoded(dtype: pl.DataType) -> None:
    frame = pl.DataFrame({"value": [b"a", None, b"", "é".encode()]}).cast(dtype)
    coder = encoder("raw")
    coder.check(frame.schema)
    for rows in (frame, frame[1:3], frame[:0], frame.rename({"value": "x"})):
        messages = coder.open(rows.schema, context()).encode(rows)
        assert messages.type == pa.large_binary()
        found = decoder("raw", frame.schema).open(context()).decode(messages).frame
        assert found.equals(rows.rename({rows.columns[0]: "value"}), null_equal=True)


@pytest.mark.parametrize("schema", [{}, {"x": pl.Int64}, {"a": pl.Binary, "b": pl.Binary}])
def test_rows_of_other_columns_are_not_encoded(schema: dict[str, pl.DataType]) -> None:
    with pytest.raises(SchemaError, match="the value of one column"):
        encoder("raw").check(pl.Schema(schema))


def test_formats_are_known_by_name() -> None:
    wrong: Any = "rwa"
    with pytest.raises(PlanError, match="did you mean 'raw'"):
        decoder(wrong)
    with pytest.raises(PlanError, match="do not have these options"):
        encoder("raw", object())
    assert decoder("raw").label == encoder("raw").label == "raw"
    assert encoder("raw").rows_per_message == "one"
