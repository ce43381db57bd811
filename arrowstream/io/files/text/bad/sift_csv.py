"""Bad rows of a block of CSV: found by passes over the whole block, not row by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from arrowstream.core.plural import counted
from arrowstream.io.files.text.csv_format import Csv
from arrowstream.io.files.text.csv_rows import can_change, may_have_changed, uneven_records
from arrowstream.io.files.text.quotes import stray_returns
from arrowstream.io.files.text.record_errors import shown
from arrowstream.io.files.text.records import Positions, byte_view, positions

_FEW = 128
"""Number of records that are decoded at once, in a block that is not UTF-8."""


def misshapen(format: Csv, block: bytes) -> dict[int, str]:
    """Return the records of a block that are no rows whatever the types of the columns, each with the error.

    Parameters
    ----------
    format
        Format of the records.
    block
        Whole records whose quotes are sound.
    """
    ends = format.ends(block)
    quotes = format.read_quotes(block)
    errors: dict[int, str] = {}
    for record in np.searchsorted(ends, stray_returns(block, quotes), side="right"):
        errors[int(record)] = "a carriage return that ends no line"
    delimiters = quotes.outside(positions(block, format.delimiter))
    expected = len(format.names)
    for record, found in zip(*uneven_records(block, ends, delimiters, expected), strict=True):
        errors.setdefault(int(record), f"{counted(int(found), 'fields')}, where {expected} are expected")
    for record in not_utf8(block, ends):
        errors.setdefault(int(record), "invalid UTF-8")
    return errors


def sifted_csv(format: Csv, block: bytes, schema: pl.Schema) -> tuple[pl.DataFrame, dict[int, str]]:
    """Return the rows of a block, and the records that are none, each with the error.

    Parameters
    ----------
    format
        Format of the records.
    block
        Whole records whose quotes are sound.
    schema
        Names and types of the columns.
    """
    errors = misshapen(format, block)
    ends = format.ends(block)
    is_kept = np.ones(len(ends), np.bool_)
    is_kept[list(errors)] = False
    sound = format.checked(kept_bytes(block, ends, is_kept))
    columns = pl.Schema({name: schema.get(name, pl.String()) for name in format.names})
    texts = format.scan(sound, pl.Schema(dict.fromkeys(columns, pl.String()))).collect(engine="in-memory")
    typed = format.scan(sound, columns, lenient=True).collect(engine="in-memory")
    numbers = np.flatnonzero(is_kept)
    wrong = np.zeros(len(numbers), np.bool_)
    for name, dtype in columns.items():
        text, values = texts[name], typed[name]
        refused = _refused(text, values)
        if can_change(dtype) and may_have_changed(values):
            refused |= format.changed(text, values)
        for row in np.flatnonzero(refused.to_numpy() & ~wrong):
            errors[int(numbers[row])] = f"column {name!r}: {shown(repr(text[int(row)]))} is no {dtype}"
            wrong[row] = True
    return typed.filter(pl.Series(~wrong)), errors


def kept_bytes(block: bytes, ends: Positions, is_kept: npt.NDArray[np.bool_]) -> bytes:
    """Return those records of a block that are kept.

    Parameters
    ----------
    block
        The bytes.
    ends
        Ends of the records. Shape (n,), int64.
    is_kept
        Whether each record is kept. Shape (n,), bool.
    """
    if is_kept.all():
        return block
    return byte_view(block)[np.repeat(is_kept, np.diff(ends, prepend=0))].tobytes()


def not_utf8(block: bytes, ends: Positions) -> list[int]:
    """Return the numbers of the records that are not UTF-8, ascending."""
    bounds = [0, *ends.tolist()]
    groups = [] if _is_utf8(block) else range(0, len(ends), _FEW)
    return [
        number
        for first in groups
        if not _is_utf8(block[bounds[first] : bounds[min(first + _FEW, len(ends))]])
        for number in range(first, min(first + _FEW, len(ends)))
        if not _is_utf8(block[bounds[number] : bounds[number + 1]])
    ]


def _is_utf8(part: bytes) -> bool:
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True


def _refused(text: pl.Series, values: pl.Series) -> pl.Series:
    """Return which texts have no value though they are not empty."""
    return values.is_null() & (text != "").fill_null(value=False)
