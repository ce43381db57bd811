"""The good and the bad rows of a block of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from arrowstream.core.failures import FAILURES
from arrowstream.io.files.evolution import wider
from arrowstream.io.files.text.bad.sift_csv import kept_bytes, misshapen, not_utf8, sifted_csv
from arrowstream.io.files.text.bad.sift_ndjson import broken, flawed, lines_of, sifted_ndjson
from arrowstream.io.files.text.csv_format import Csv
from arrowstream.io.files.text.formats import INFER_ROWS, FlawedRecord, TextFormat
from arrowstream.io.files.text.json.apart import Apart
from arrowstream.io.files.text.lines_format import Lines
from arrowstream.io.files.text.ndjson_format import is_blank
from arrowstream.io.files.text.ndjson_rows import NdjsonRows, merged
from arrowstream.io.files.text.records import Positions, RecordBlock

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Sifted:
    """Rows of a block, and its records that are none.

    Parameters
    ----------
    rows
        The good rows.
    data
        Bytes from which they can be read; a bad line of NDJSON is blank there.
    errors
        Errors of the bad records, by their numbers in the block.
    ends
        Ends of the records. Shape (n,), int64. Empty if all of them are good and the block has no gaps.
    blank
        Numbers of the records that are blank lines and count as no row, ascending. Shape (k,), int64.
    whole
        All bytes of the block; of NDJSON with each object on a line of its own.
    """

    rows: pl.DataFrame
    data: bytes
    errors: dict[int, str]
    ends: Positions
    blank: Positions
    whole: Apart


def sifted(
    format: TextFormat, schema: pl.Schema, block: RecordBlock, read: Callable[[bytes], pl.DataFrame]
) -> Sifted:
    """Return the rows of a block and its bad records.

    Parameters
    ----------
    format
        Format of the records.
    schema
        Names and types of the columns.
    block
        The block.
    read
        Reads whole records; raises if one of them is bad.
    """
    whole = Apart(block.data, _NONE)
    try:
        ends = format.ends(block.data) if block.gaps else _NONE
        return Sifted(read(block.data), block.data, {}, ends, _NONE, whole)
    except FAILURES:
        if isinstance(format, Csv):
            rows, errors = sifted_csv(format, block.data, schema)
            return Sifted(rows, block.data, errors, format.ends(block.data), _NONE, whole)
        if isinstance(format, Lines):
            ends = format.ends(block.data)
            bad = not_utf8(block.data, ends)
            is_kept = np.ones(len(ends), np.bool_)
            is_kept[bad] = False
            errors = dict.fromkeys(map(int, bad), "invalid UTF-8")
            good = kept_bytes(block.data, ends, is_kept)
            return Sifted(read(good), block.data, errors, ends, _NONE, whole)
        whole = format.apart(block.data) or whole
        lines = lines_of(whole.data)
        rows, good, errors = sifted_ndjson(lines, schema, read)
        blank = [number for number, line in enumerate(lines) if is_blank(line)]
        return Sifted(rows, good, errors, format.ends(whole.data), np.array(blank, np.int64), whole)


def inferred(format: TextFormat, block: bytes, overrides: pl.Schema) -> pl.Schema:
    """Return names and types of the rows of a file's first block, from its first records that are no bad rows.

    Raises
    ------
    polars.exceptions.PolarsError
        The records cannot be read.
    """
    if not block or isinstance(format, Lines):
        return format.infer(block, overrides)
    if isinstance(format, Csv):
        block = block[: format.end_of_first(block, INFER_ROWS)]
        ends = format.ends(block)
        is_kept = np.ones(len(ends), np.bool_)
        is_kept[list(misshapen(format, block))] = False
        return format.infer(kept_bytes(block, ends, is_kept), overrides)
    block = block[: format.ends(block)[:INFER_ROWS][-1]]
    with suppress(*FAILURES):
        types = format.infer(block, overrides)
        NdjsonRows(types).read(format.checked(block))
        return types  # no line is bad: Polars reads all of them in a tenth of the time of Python's parser
    apart = format.apart(block)
    lines = lines_of(block if apart is None else apart.data)
    bad = broken(lines).keys() | flawed(lines, format.checked)
    types = _types(format, [line for number, line in enumerate(lines) if number not in bad])
    return pl.Schema({**types, **overrides})


def _types(format: TextFormat, lines: Sequence[bytes]) -> pl.Schema:
    """Return the types of lines of NDJSON; of values without a common type the first one decides."""
    try:
        return format.infer(b"".join(lines), pl.Schema())
    except (FlawedRecord, pl.exceptions.PolarsError):
        if len(lines) == 1:
            return pl.Schema()
    middle = len(lines) // 2
    first, second = _types(format, lines[:middle]), _types(format, lines[middle:])
    return pl.Schema(
        {
            **first,
            **{
                name: _common(first[name], dtype) if name in first else dtype
                for name, dtype in second.items()
            },
        }
    )


def _common(first: pl.DataType, second: pl.DataType) -> PolarsDataType:
    nested = first.is_nested() or second.is_nested()
    return merged(first, second) if nested else wider(first, second, text=True)
