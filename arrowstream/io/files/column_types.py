"""Check of the column types that a file format can hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from arrowstream.core.rows.empty_frames import no_rows
from arrowstream.errors import SchemaError
from arrowstream.io.files.formats import TEXT_FORMATS, Format, a_file
from arrowstream.io.files.output.encoders import encoder_for
from arrowstream.io.files.output.streaming_sink import encoded

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

_CSV = (
    pl.Boolean,
    pl.String,
    pl.Categorical,
    pl.Enum,
    pl.Date,
    pl.Datetime,
    pl.Time,
    pl.Decimal,
    pl.Null,
)
_AVRO_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_NOT_JSON = (pl.Binary, pl.Int128, pl.UInt128) if hasattr(pl, "UInt128") else (pl.Binary, pl.Int128)


def check_types(format: Format, schema: pl.Schema) -> None:
    """Raise SchemaError if a file of this format cannot hold columns of these types.

    Examples
    --------
    >>> check_types("csv", pl.Schema({"x": pl.Int64, "day": pl.Date}))
    """
    if not schema:
        raise SchemaError("there are no columns to write", hint="select at least one column before the sink")
    for name, dtype in schema.items():
        _check_listed(format, name, dtype)
    if format not in TEXT_FORMATS and _failure(format, schema) is not None:
        alone = {name: _failure(format, pl.Schema({name: dtype})) for name, dtype in schema.items()}
        name, reason = next((name, reason) for name, reason in alone.items() if reason is not None)
        raise _refused(format, name, schema[name], reason, "drop the column, or cast it, before the sink")


def _check_listed(format: Format, name: str, dtype: pl.DataType) -> None:
    # For text formats a list decides: Polars' encoders refuse a type only when they meet a value,
    # and then not always with an error that can be caught.
    if format == "csv" and not (dtype.is_numeric() or dtype in _CSV):
        hint = "explode or unnest it, turn it into a string or a number, or write parquet"
        raise _refused(format, name, dtype, "a CSV field holds a plain value that can be read back", hint)
    if format in ("json", "ndjson") and any(leaf in _NOT_JSON for leaf in _leaves(dtype)):
        hint = f"for bytes, with_columns({name}=pl.col({name!r}).bin.encode('base64')); or write parquet"
        raise _refused(format, name, dtype, "JSON has no such values", hint)
    if format == "avro":
        _check_avro(name, dtype)
    if format == "ipc" and any(leaf == pl.Categorical for leaf in _leaves(dtype)):
        # Polars does not read delta dictionaries, so all categories would have to be known at the first row.
        hint = f"with_columns({name}=pl.col({name!r}).cast(pl.String)), or pl.Enum([...]); or write parquet"
        raise _refused(format, name, dtype, "an Arrow file has one fixed list of categories a column", hint)


def _check_avro(name: str, dtype: pl.DataType) -> None:
    names = [name, *_field_names(dtype)]
    wrong = next((name for name in names if not _AVRO_NAME.fullmatch(name)), None)
    if wrong is not None:
        other = re.sub(r"^(?=[0-9]|$)|[^A-Za-z0-9_]", "_", wrong)
        hint = f"rename it before the sink, such as to {other!r}"
        raise _refused(
            "avro", name, dtype, "names of ASCII letters, digits and _, not beginning with a digit", hint
        )
    if any(leaf == pl.Null for leaf in _leaves(dtype)):
        # Polars' encoder panics at it.
        raise _refused(
            "avro", name, dtype, "a type that Polars writes to Avro", "drop the column, or cast it"
        )


def _field_names(dtype: PolarsDataType) -> Iterator[str]:
    if isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield field.name
            yield from _field_names(field.dtype)
    elif isinstance(dtype, (pl.List, pl.Array)):
        yield from _field_names(dtype.inner)


def _leaves(dtype: PolarsDataType) -> Iterator[PolarsDataType]:
    if isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from _leaves(field.dtype)
    elif isinstance(dtype, (pl.List, pl.Array)):
        yield from _leaves(dtype.inner)
    else:
        yield dtype


def _failure(format: Format, schema: pl.Schema) -> str | None:
    """Return the encoder's error for an empty file with these columns, or None."""
    return _failure_of(format, tuple(schema.items()))


@lru_cache(maxsize=64)
def _failure_of(format: Format, columns: tuple[tuple[str, pl.DataType], ...]) -> str | None:
    """Write an empty file, which takes some 0.5 ms, once for the check of a pipeline and its runs."""
    schema = pl.Schema(columns)
    try:
        encoded(no_rows(schema), encoder_for(format, schema, None))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, ValueError) as error:
        return str(error).split("\n")[0]
    return None


def _refused(format: Format, name: str, dtype: pl.DataType, reason: str, hint: str) -> SchemaError:
    return SchemaError(
        f"column {name!r} cannot be written to {a_file(format)}",
        expected=reason,
        found=str(dtype),
        hint=hint,
    )
